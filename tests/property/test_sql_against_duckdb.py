"""Random statements over random histories, against DuckDB over the rows that a dict remembers (K1, D1, N1,
G1, F1, P1).

The history is written to a node: duplicates, late rows, new columns in the middle, rows in open batches, runs and files. Each
statement is written twice, as each side says it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.files import parquet
from engine.node import Node
from engine.query import planned as planned_statements
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write

START = datetime(2024, 1, 1)
MINUTES = 20
SECOND_NS = 1_000_000_000
SCHEMA = pa.schema(
    [
        *(("b", pa.bool_()), ("f", pa.float64()), ("host", pa.utf8()), ("i", pa.int64()), ("late", pa.int64())),
        *(("region", pa.utf8()), ("s", pa.utf8()), ("time", pa.timestamp("us"))),
    ]
)
ORDER = "time, host NULLS LAST, region NULLS LAST"


@dataclass
class History:
    """What was written, as a client would remember it: a later write wins field by field."""

    chance: random.Random
    rows: dict[tuple[str | None, str | None, int], dict[str, Any]] = field(default_factory=dict)

    def body(self, *, grown: bool) -> str:
        return "\n".join(self._line(grown=grown) for _ in range(self.chance.randint(1, 25)))

    def _line(self, *, grown: bool) -> str:
        pick = self.chance
        host, region = pick.choice(["a", "b", "c", None]), pick.choice(["x1", "x2", "y", None, None])
        second = pick.randrange(MINUTES * 60) // 10 * 10
        values: dict[str, Any] = {}
        if pick.random() < 0.7:
            values["f"] = pick.randint(-8, 8) / 2
        if pick.random() < 0.7 or not values:
            values["i"] = pick.randint(-5, 9)
        if pick.random() < 0.4:
            values["s"] = pick.choice(["p", "q", "", "it's"])
        if pick.random() < 0.4:
            values["b"] = pick.random() < 0.5
        if grown and pick.random() < 0.5:
            values["late"] = pick.randint(0, 3)
        self.rows.setdefault((host, region, second), {}).update(values)
        tags = "".join(f",{name}={value}" for name, value in (("host", host), ("region", region)) if value is not None)
        texts = {"s": '"{}"', "i": "{}i", "late": "{}i"}
        fields = ",".join(name + "=" + texts.get(name, "{}").format(value) for name, value in values.items())
        return f"t{tags} {fields} {ns(second)}"

    def table(self) -> pa.Table:
        return pa.Table.from_pylist(
            [
                {"host": host, "region": region, "time": START + timedelta(seconds=second), **values}
                for (host, region, second), values in self.rows.items()
            ],
            schema=SCHEMA,
        )


def ns(second: int) -> int:
    return (int((START - datetime(1970, 1, 1)).total_seconds()) + second) * SECOND_NS


@dataclass(frozen=True)
class Said:
    """The same in both dialects."""

    ours: str
    theirs: str

    @classmethod
    def alike(cls, text: str) -> "Said":
        return cls(text, text)

    @classmethod
    def of(cls, template: str, *parts: "Said") -> "Said":
        return cls(template.format(*(part.ours for part in parts)), template.format(*(part.theirs for part in parts)))


def all_of(parts: Sequence[Said], sign: str = ", ") -> Said:
    return Said(sign.join(part.ours for part in parts), sign.join(part.theirs for part in parts))


class Statements:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def any(self) -> tuple[Said, bool]:
        """A statement, and whether the order of its rows is known."""
        shapes: list[Callable[[], tuple[Said, bool]]] = [
            *(self.plain, self.grouped, self.grouped, self.distinct, self.joined, self.united, self.nested),
            *(self.windowed, self.changes, self.selected, self.filled, self.filled),
            *(self.newest, self.last_values, self.ranked, self.extremes, self.tag_values, self.counted, self.last_points),
            *(self.folded, self.folded),
        ]
        return self._chance.choice(shapes)()

    def plain(self) -> tuple[Said, bool]:
        end = f"ORDER BY {ORDER} LIMIT {self._chance.randint(0, 30)}"
        return Said.of(f"SELECT {{}} FROM t WHERE {{}} {end}", self.items(), self.condition()), True

    def grouped(self) -> tuple[Said, bool]:
        possible = [Said.alike("host"), Said.alike("region"), self.bin(), Said.alike("i % 2")]
        keys = self._chance.sample(possible, self._chance.randint(0, 2))
        aggregates = [self.named(number, self.aggregate()) for number in range(self._chance.randint(1, 3))]
        columns = [Said.of(f"{{}} AS k{number}", key) for number, key in enumerate(keys)] + aggregates
        text = Said.of("SELECT {} FROM t WHERE {}", all_of(columns), self.condition())
        if keys:
            text = Said.of("{} GROUP BY {}", text, all_of(keys))
            if self._chance.random() < 0.3:
                text = Said.of("{} HAVING {} > 1", text, self.aggregate())
        return text, False

    def distinct(self) -> tuple[Said, bool]:
        return Said.of("SELECT DISTINCT host, {} AS x FROM t WHERE {}", self.value(), self.condition()), False

    # what scans answer from the ends of series, the tags alone or counts (engine/query/shapes)

    def narrow(self) -> Said:
        """A condition, often of the kind that times and tags express exactly."""
        if self._chance.random() < 0.4:
            return self.condition()
        minute = self._chance.randrange(-1, MINUTES + 2)
        time = f"'{(START + timedelta(minutes=minute)).isoformat()}'"
        tags = ["host = 'a'", "host IN ('a', 'b', 'c', 'z')", "host <> 'b'", "region IS NULL"]
        tags += ["host NOT IN ('a', 'x', 'y', 'z')", "region LIKE 'x%'", "region NOT LIKE '_1'", "host NOT ILIKE 'A%'"]
        tags += ["(region LIKE 'x_' OR region = 'y')", "(host LIKE '%a' OR host <> 'b')", "(host LIKE 'a' OR host IS NULL)"]
        tags += ["host LIKE 'a'", "host NOT LIKE 'b'", "region LIKE 'y'"]
        parts = self._chance.sample(["true", *tags, f"time < {time}", f"time >= {time}"], self._chance.randint(1, 2))
        return Said.alike(" AND ".join(parts))

    def newest(self) -> tuple[Said, bool]:
        order = f"time {self._chance.choice(['ASC', 'DESC'])}, host NULLS LAST, region NULLS LAST"
        end = f"ORDER BY {order} LIMIT {self._chance.randint(1, 12)} OFFSET {self._chance.randint(0, 3)}"
        return Said.of(f"SELECT {{}} FROM t WHERE {{}} {end}", self.items(), self.narrow()), True

    def last_values(self) -> tuple[Said, bool]:
        way = self._chance.choice(["ASC", "DESC"])
        if self._chance.random() < 0.3:
            columns = "host, region, time, i, f, s, b, late"
            order = f"ORDER BY host, region, time {way}"
            return Said.of(f"SELECT DISTINCT ON (host, region) {columns} FROM t WHERE {{}} {order}", self.narrow()), False
        chosen: list[Said] = []
        for number in range(self._chance.randint(1, 3)):
            column, first = self._chance.choice(["i", "f", "s", "late", "i + 1", "time"]), self._chance.random() < 0.5
            filter = self._chance.choice(["", "", " FILTER (WHERE i IS NOT NULL)", " FILTER (WHERE late IS NOT NULL)"])
            ours, theirs = ("first_value", "first") if first else ("last_value", "last")
            call = f"({column} ORDER BY time {way}){filter} AS v{number}"
            chosen.append(Said(ours + call, theirs + call))
        chosen.append(Said.alike(self._chance.choice(["max(time) AS m", "min(time) AS m", "count(DISTINCT host) AS m"])))
        text = Said.of("SELECT host, region, {} FROM t WHERE {}", all_of(chosen), self.narrow())
        return Said.of("{} GROUP BY host, region", text), False

    def ranked(self) -> tuple[Said, bool]:
        function, keys = self._chance.choice([("rank", "host"), ("dense_rank", "region"), ("row_number", "host, region")])
        over = f"{function}() OVER (PARTITION BY {keys} ORDER BY time {self._chance.choice(['ASC', 'DESC'])})"
        bound = self._chance.choice(["r = 1", "r <= 2", "r < 4", "r <= 3 AND i > 0", "r = 2"])
        text = f"SELECT host, region, time, i, r FROM (SELECT *, {over} AS r FROM t WHERE {{}}) WHERE {bound}"
        return Said.of(text, self.narrow()), False

    def extremes(self) -> tuple[Said, bool]:
        ends = self._chance.choice(["min(time) AS a, max(time) AS b", "max(time) AS a", "min(time) AS a, max(host) AS b"])
        if self._chance.random() < 0.3:
            key, way = self._chance.choice(["host", "region"]), self._chance.choice(["ASC", "DESC"])
            said = Said(f"last_value(time ORDER BY time {way})", f"last(time ORDER BY time {way})")
            return Said.of(f"SELECT {key}, {{}} AS x FROM t WHERE {{}} GROUP BY {key}", said, self.narrow()), False
        key = self._chance.choice(["", "host", "region", "upper(host)", "coalesce(region, 'none')"])
        group = f" GROUP BY {key}" if key else ""
        return Said.of(f"SELECT {key + ' AS k, ' if key else ''}{ends} FROM t WHERE {{}}{group}", self.narrow()), False

    def tag_values(self) -> tuple[Said, bool]:
        what = self._chance.choice(["host", "region, host", "upper(host) AS u", "host, i"])
        return Said.of(f"SELECT DISTINCT {what} FROM t WHERE {{}}", self.narrow()), False

    def counted(self) -> tuple[Said, bool]:
        return Said.of("SELECT count(*) AS n FROM t WHERE {}", self.narrow()), False

    def folded(self) -> tuple[Said, bool]:
        """Aggregates over bins and tags, and something above them."""
        minutes, origin = (
            self._chance.choice([1, 3, 7]),
            self._chance.choice(["1970-01-01", "2024-01-01T00:00:13", "2031-05-05"]),
        )
        bins = [
            Said(
                f"date_bin(INTERVAL '{minutes} minutes', time, TIMESTAMP '{origin}')",
                f"time_bucket(INTERVAL '{minutes} minutes', time, TIMESTAMP '{origin}')",
            ),
            Said.alike("date_trunc('minute', time)"),
        ]
        keys = [*self._chance.sample([Said.alike("host"), Said.alike("region")], self._chance.randint(0, 2))]
        keys += self._chance.sample(bins, self._chance.randint(0, 1))
        self._chance.shuffle(keys)
        calls = [
            "count(*)",
            "count(i)",
            "count(s)",
            "sum(i)",
            "sum(f)",
            "min(i)",
            "max(i)",
            "min(f)",
            "max(f)",
            "avg(i)",
            "avg(f)",
        ]
        calls += ["max(time)", "count(b)", "max(late)", "avg(late)", "sum(late) + count(f)", "max(f) - min(f)"]
        chosen = self._chance.sample(calls, self._chance.randint(1, 4))
        columns = [Said.of(f"{{}} AS k{number}", key) for number, key in enumerate(keys)]
        columns += [Said.alike(f"{call} AS a{number}") for number, call in enumerate(chosen)]
        text = Said.of("SELECT {} FROM t WHERE {}", all_of(columns), self.narrow())
        if keys:
            text = Said.of("{} GROUP BY {}", text, all_of(keys))
            if self._chance.random() < 0.3:
                text = Said.of("{} HAVING count(*) > 1", text)
        if keys and self._chance.random() < 0.5:
            order = ", ".join(f"k{number} {self._chance.choice(['ASC', 'DESC'])} NULLS LAST" for number in range(len(keys)))
            limit = self._chance.choice(["", " LIMIT 3", " LIMIT 5 OFFSET 2"])
            return Said.of(f"SELECT * FROM ({{}}) x ORDER BY {order}{limit}", text), True
        return text, False

    def last_points(self) -> tuple[Said, bool]:
        newest = "SELECT host, max(time) AS m FROM t WHERE {} GROUP BY host"
        text = f"SELECT t.host, t.region, t.time, t.i FROM t JOIN ({newest}) n ON t.host = n.host AND t.time = n.m"
        return Said.of(text, self.narrow()), False

    def joined(self) -> tuple[Said, bool]:
        kind = self._chance.choice(["JOIN", "LEFT JOIN", "FULL JOIN"])
        on = self._chance.choice(["a.time = b.time AND a.host = b.host", "a.i = b.i AND a.time < b.time", "a.host = b.region"])
        columns = "a.host AS h, a.i AS i, b.f AS f, b.region AS r"
        return Said.of(f"SELECT {columns} FROM (SELECT * FROM t WHERE {{}}) a {kind} t b ON {on}", self.condition()), False

    def united(self) -> tuple[Said, bool]:
        sign = self._chance.choice([" UNION ALL ", " UNION ", " INTERSECT ", " EXCEPT "])
        arms = [Said.of("SELECT host, i FROM t WHERE {}", self.condition()) for _ in range(2)]
        return all_of(arms, sign), False

    def nested(self) -> tuple[Said, bool]:
        shape = self._chance.choice(
            [
                "WITH c AS (SELECT host, max(i) AS m FROM t WHERE {} GROUP BY host) SELECT * FROM c WHERE m > 0",
                "SELECT host, i FROM t WHERE i IN (SELECT late FROM t WHERE {})",
                "SELECT host, i FROM t WHERE NOT EXISTS (SELECT 1 FROM t u WHERE u.host = t.host AND u.late = t.i) AND {}",
                "SELECT host, i, (SELECT count(*) FROM t WHERE {}) AS n FROM t",
                "SELECT host, (SELECT max(u.f) FROM t u WHERE u.host = t.host) AS m FROM t WHERE {}",
            ]
        )
        return Said.of(shape, self.condition()), False

    def windowed(self) -> tuple[Said, bool]:
        over = f"OVER (PARTITION BY host ORDER BY {ORDER})"
        what = self._chance.choice(["row_number()", "lag(i)", "lead(f, 2)", "sum(i)", "count(s)", "max(f)", "first_value(i)"])
        return Said.of(f"SELECT host, time, region, {what} {over} AS w FROM t WHERE {{}}", self.condition()), False

    def changes(self) -> tuple[Said, bool]:
        over = f"OVER (PARTITION BY host ORDER BY {ORDER})"
        column = self._chance.choice(["i", "f"])
        change = f"{column} - lag({column} IGNORE NULLS) {over}"
        said = self._chance.choice(
            [
                Said(f"difference({column}) {over}", change),
                Said(f"non_negative_difference({column}) {over}", f"CASE WHEN {change} >= 0 THEN {change} END"),
            ]
        )
        return Said.of("SELECT host, time, region, {} AS w FROM t WHERE {}", said, self.condition()), False

    def selected(self) -> tuple[Said, bool]:
        """Within host and region a time is there once, so that there are no ties."""
        name, column = self._chance.choice(["first", "last", "min", "max"]), self._chance.choice(["i", "f", "late"])
        there = f"FILTER (WHERE {column} IS NOT NULL)"
        value, at = {
            "first": (f"arg_min({column}, time) {there}", f"min(time) {there}"),
            "last": (f"arg_max({column}, time) {there}", f"max(time) {there}"),
            "min": (f"min({column})", f"(min({{'v': {column}, 't': time}}) {there}).t"),
            "max": (f"max({column})", f"make_timestamp(-(max({{'v': {column}, 't': -epoch_us(time)}}) {there}).t)"),
        }[name]
        ours = f"selector_{name}({column}, time)['value'] AS v, selector_{name}({column}, time)['time'] AS at"
        columns = Said(ours, f"{value} AS v, {at} AS at")
        return Said.of("SELECT host, region, {} FROM t WHERE {} GROUP BY host, region", columns, self.condition()), False

    def filled(self) -> tuple[Said, bool]:
        first, last = sorted(self._chance.sample(range(MINUTES + 1), 2))
        stride = f"'{self._chance.choice([1, 2, 3])} minutes'"
        low, high = (f"'{(START + timedelta(minutes=minute)).isoformat()}'" for minute in (first, last))
        where = Said.of(f"time >= {low} AND time < {high} AND ({{}})", self.condition(times=False))
        begin = f"time_bucket(INTERVAL {stride}, TIMESTAMP {low}, TIMESTAMP '1970-01-01')"
        bins = f"SELECT unnest(generate_series({begin}, TIMESTAMP {high} - INTERVAL 1 SECOND, INTERVAL {stride})) AS bin"
        over = "OVER (PARTITION BY s.host, s.region ORDER BY b.bin ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
        ours = (
            f"SELECT host, region, date_bin_gapfill({stride}, time) AS bin, count(*) AS n, sum(i) AS s, locf(max(f)) AS l "
            f"FROM t WHERE {where.ours} GROUP BY host, region, bin ORDER BY bin, host NULLS LAST, region NULLS LAST"
        )
        theirs = (
            f"WITH g AS (SELECT host, region, time_bucket(INTERVAL {stride}, time, TIMESTAMP '1970-01-01') AS bin, "
            f"count(*) AS n, sum(i) AS s, max(f) AS l FROM t WHERE {where.theirs} GROUP BY host, region, bin), b AS ({bins}) "
            f"SELECT s.host, s.region, b.bin, coalesce(g.n, 0) AS n, g.s, last_value(g.l IGNORE NULLS) {over} AS l "
            "FROM (SELECT DISTINCT host, region FROM g) s CROSS JOIN b LEFT JOIN g ON g.bin = b.bin "
            "AND g.host IS NOT DISTINCT FROM s.host AND g.region IS NOT DISTINCT FROM s.region "
            "ORDER BY b.bin, s.host NULLS LAST, s.region NULLS LAST"
        )
        return Said(ours, theirs), True

    def items(self) -> Said:
        return all_of([self.named(number, self.value()) for number in range(self._chance.randint(1, 4))])

    def named(self, number: int, said: Said) -> Said:
        return Said.of(f"{{}} AS c{number}", said)

    def value(self) -> Said:
        return Said.alike(
            self._chance.choice(
                [
                    *(
                        "f",
                        "i",
                        "s",
                        "b",
                        "host",
                        "region",
                        "late",
                        "time",
                        "i + 1",
                        "f * 2",
                        "-i",
                        "coalesce(f, 0.0)",
                        "abs(i)",
                    ),
                    *("upper(host)", "length(s)", "nullif(i, 1)", "CASE WHEN b THEN i ELSE -1 END", "i % 3", "i IS NULL"),
                    *("coalesce(host, 'none')", "host || s", "round(f)", "CAST(i AS DOUBLE)", "i = late"),
                ]
            )
        )

    def aggregate(self) -> Said:
        return Said.alike(
            self._chance.choice(
                [
                    *(
                        "count(*)",
                        "count(f)",
                        "sum(i)",
                        "sum(f)",
                        "min(i)",
                        "max(f)",
                        "avg(f)",
                        "avg(i)",
                        "count(DISTINCT host)",
                    ),
                    *("count(DISTINCT i)", "sum(late)", "count(*) FILTER (WHERE b)", "max(length(s))"),
                ]
            )
        )

    def bin(self) -> Said:
        minutes = self._chance.choice([1, 5])
        return Said(
            f"date_bin(INTERVAL '{minutes} minutes', time)",
            f"time_bucket(INTERVAL '{minutes} minutes', time, TIMESTAMP '1970-01-01')",
        )

    def condition(self, depth: int = 0, *, times: bool = True) -> Said:
        if depth < 2 and self._chance.random() < 0.4:
            sign = self._chance.choice([" AND ", " OR "])
            return Said.of(f"({{}}{sign}{{}})", *(self.condition(depth + 1, times=times) for _ in range(2)))
        if depth < 2 and self._chance.random() < 0.15:
            return Said.of("NOT {}", self.condition(depth + 1, times=times))
        time = f"'{(START + timedelta(minutes=self._chance.randrange(-1, MINUTES + 2))).isoformat()}'"
        later = f"'{(START + timedelta(minutes=self._chance.randrange(MINUTES))).isoformat()}'"
        return self._chance.choice(
            [
                *map(Said.alike, ("host = 'a'", "host <> 'a'", "host IN ('a', 'c', 'z')", "host NOT IN ('a', 'b')")),
                *map(Said.alike, ("host IS NULL", "region IS NOT NULL", "region LIKE 'x%'", "region = 'y'", "host < 'b'")),
                *map(Said.alike, ("i > 3", "f <= 0.5", "i = late", "late IS NULL", "b", "s = 'it''s'", "s >= 'p'", "true")),
                *map(Said.alike, (f"time >= {time}", f"time < {time}", f"time BETWEEN {time} AND {later}") if times else ()),
                Said("host ~ '^[ab]$'", "regexp_matches(host, '^[ab]$')"),
                Said("region !~ '1'", "NOT regexp_matches(region, '1')"),
                Said("region ~ '^x.' OR region = 'y'", "regexp_matches(region, '^x.') OR region = 'y'"),
                Said("host ~* '^[AC]$'", "regexp_matches(host, '^[ac]$')"),
                *map(Said.alike, ("host NOT LIKE 'b%'", "host ILIKE 'A'", "region LIKE 'x%' OR region LIKE 'y'")),
            ]
        )


def comparable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return float(value)
    return value


def ordered(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: [(value is None, str(type(value)), str(value)) for value in row])


def settle(chance: random.Random, node: Node) -> None:
    """Rows move on: into runs, into files, out of memory; or they stay."""
    step = chance.randrange(5)
    if step in (0, 1):
        node.snapshot_now()
    if step == 1:
        node._views.evict(0)
    if step == 2:
        for database_id, table_id, _ in node._views.unsettled():
            node._views.seal(database_id, table_id)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_statements_agree_with_duckdb(seed: int) -> None:
    chance = random.Random(seed)
    history = History(chance)
    statements = Statements(chance)
    folded_rows = mock.patch.object(planned_statements, "FOLDED_ROWS", chance.choice([0, planned_statements.FOLDED_ROWS]))
    suits = planned_statements.Tables.suits
    directly = mock.patch.object(planned_statements.Tables, "suits", chance.choice([suits, lambda tables, outline: False]))
    row_groups = mock.patch.object(parquet, "ROW_GROUP_ROWS", chance.choice([5, 32_768]))
    # of files nothing is kept, or very little, so that some are read piece by piece and others as they lie, or all
    cache = {"file_cache_bytes": chance.choice([0, 4_000, 1 << 30])}
    running_node = running(MemoryStore(), wal_flush_interval_ms=1, **cache)
    with folded_rows, directly, row_groups, running_node as node, duckdb.connect() as duck:
        write(node, f't,host=a,region=y s="p",b=true,f=1,i=1i,late=1i {ns(0)}')  # all columns, before a statement names them
        history.rows["a", "y", 0] = {"s": "p", "b": True, "f": 1.0, "i": 1, "late": 1}
        for round_number in range(3):
            for _ in range(chance.randint(1, 3)):
                write(node, history.body(grown=round_number > 0))
                settle(chance, node)
            duck.register("t", history.table())
            for _ in range(8):
                said, in_order = statements.any()
                ours = [tuple(map(comparable, row.values())) for row in read(node, said.ours)]
                theirs = [tuple(map(comparable, row)) for row in duck.execute(said.theirs).fetchall()]
                if not in_order:
                    ours, theirs = ordered(ours), ordered(theirs)
                assert len(ours) == len(theirs), said
                for mine, other in zip(ours, theirs, strict=True):
                    assert list(mine) == pytest.approx(list(other), nan_ok=True), said
