"""Random writes, late rows, duplicates, new columns, dropped tables, snapshots, stops and deaths against a dict that must agree
with us."""

from typing import Any, TypeAlias

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.requests import IngestOptions
from engine.storage.memory import MemoryStore
from tests.helpers.engine import bury, open_node, read, write

Tags: TypeAlias = dict[str, str]
Point: TypeAlias = tuple[Tags, int, dict[str, Any]]
Key: TypeAlias = tuple[tuple[tuple[str, str], ...], int]

DAY_NS = 86_400_000_000_000
TIMES = st.one_of(
    st.integers(min_value=-3, max_value=25),
    st.builds(lambda day, ns: day * DAY_NS // 2 + ns, st.integers(-2, 5), st.integers(0, 2)),
)
VALUES = {
    "f": st.sampled_from([0.5, -1.25, 3.0]),
    "i": st.integers(min_value=-5, max_value=5),
    "s": st.sampled_from(["x", "", "ü\n"]),
    "b": st.booleans(),
    "more": st.sampled_from([1.5, 2.5]),
    "time of day": st.sampled_from(["noon", "night"]),
}
FIELDS = st.fixed_dictionaries({}, optional=VALUES).filter(bool)
ARROW = {"f": pa.float64(), "i": pa.int64(), "s": pa.utf8(), "b": pa.bool_(), "more": pa.float64(), "time of day": pa.utf8()}
TABLES = {
    "tagged": st.fixed_dictionaries({}, optional={"host": st.sampled_from("abc")}),
    "plain": st.just({}),
    "growing": st.fixed_dictionaries(
        {}, optional={"host": st.sampled_from("ab"), "dc": st.sampled_from("xy"), "rack": st.just("1")}
    ),
}


def points_of(name: str) -> st.SearchStrategy[tuple[str, list[Point]]]:
    return st.tuples(st.just(name), st.lists(st.tuples(TABLES[name], TIMES, FIELDS), min_size=1, max_size=6))


POINTS = st.sampled_from(sorted(TABLES)).flatmap(points_of)


def line(table: str, tags: Tags, time: int, values: dict[str, Any]) -> str:
    key = "".join(f",{name}={value}" for name, value in tags.items())
    return f"{table}{key} {','.join(f'{name}={text(value)}' for name, value in escaped(values).items())} {time}"


def escaped(values: dict[str, Any]) -> dict[str, Any]:
    return {name.replace(" ", "\\ "): value for name, value in values.items()}


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, int):
        return f"{value}i"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def batch(points: list[Point]) -> pa.RecordBatch:
    tags = sorted({name for tags, _, _ in points for name in tags})
    fields = [name for name in ARROW if any(name in values for _, _, values in points)]
    columns = {"time": pa.array([time for _, time, _ in points], pa.timestamp("ns"))}
    columns |= {tag: pa.array([tags.get(tag) for tags, _, _ in points]).dictionary_encode() for tag in tags}
    columns |= {name: pa.array([values.get(name) for _, _, values in points], ARROW[name]) for name in fields}
    return pa.record_batch(columns)


class RowsMachine(RuleBasedStateMachine):
    """B3-B5, V1, V4, P3: one row a key, last value of each field, nulls never overwrite, whatever happened in between."""

    @initialize()
    def start(self) -> None:
        self.store = MemoryStore()
        self.model: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in TABLES}
        self.suspects = set[str]()
        self.open()

    def open(self) -> None:
        self.node = open_node(self.store, wal_flush_interval_ms=1, extend_tags=True)

    @rule(points=POINTS)
    def write(self, points: tuple[str, list[Point]]) -> None:
        table, some = points
        write(self.node, "\n".join(line(table, *point) for point in some))
        self.note(table, some)

    @rule(one=POINTS, other=POINTS)
    def write_two(self, one: tuple[str, list[Point]], other: tuple[str, list[Point]]) -> None:
        write(self.node, "\n".join(line(table, *point) for table, some in (one, other) for point in some))
        self.note(*one)
        self.note(*other)

    @rule(points=POINTS)
    def ingest(self, points: tuple[str, list[Point]]) -> None:
        table, some = points
        rows = batch(some)
        self.node.ingest("db", table, rows.schema, IngestOptions()).write(rows).wait()
        self.note(table, some)

    def note(self, table: str, points: list[Point]) -> None:
        for tags, time, values in points:
            self.model[table].setdefault((tuple(sorted(tags.items())), time), {}).update(values)
        self.suspects.add(table)

    @rule(table=st.sampled_from(sorted(TABLES)))
    def drop(self, table: str) -> None:
        if self.model[table]:
            self.node.drop_table("db", table)
            self.model[table] = {}

    @rule(narrow=st.booleans())
    def snapshot(self, narrow: bool) -> None:
        """All at once, or so that late rows meet one file at a time."""
        self.node._snapshots._share_bytes = 1 if narrow else 1 << 30
        self.node.snapshot_now()
        self.suspects |= TABLES.keys()

    @rule()
    def evict(self) -> None:
        self.node._views.evict(0)
        self.suspects |= TABLES.keys()

    @rule(budget_bytes=st.sampled_from([1, 1 << 30]))
    def seal(self, budget_bytes: int) -> None:
        for _ in range(2):  # the second time, no more rows have come
            self.node._views.tidy(budget_bytes, least_rows=1)
        self.suspects |= TABLES.keys()

    @rule()
    def restart(self) -> None:
        self.node.close()
        self.open()
        self.suspects |= TABLES.keys()

    @rule()
    def die(self) -> None:
        bury(self.node)
        self.open()
        self.suspects |= TABLES.keys()

    @invariant()
    def agrees(self) -> None:
        for table in sorted(self.suspects):
            self.check(table)
        self.suspects.clear()

    def check(self, table: str) -> None:
        if not self.model[table]:
            database = self.node._catalog.state().find_database("db")
            assert database is None or database.find_table(table) is None
            return
        rows = read(self.node, f"SELECT *, arrow_cast(time, 'Int64') AS ns FROM {table}")
        seen = {self.key(row): {name: row[name] for name in VALUES if row.get(name) is not None} for row in rows}
        assert len(rows) == len(seen)
        assert seen == self.model[table]

    def key(self, row: dict[str, Any]) -> Key:
        return tuple((tag, row[tag]) for tag in ("dc", "host", "rack") if row.get(tag) is not None), row["ns"]

    def teardown(self) -> None:
        if hasattr(self, "node"):
            self.suspects |= TABLES.keys()
            self.agrees()
            self.node.close()


TestRows = RowsMachine.TestCase
TestRows.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRows = pytest.mark.timeout(240)(TestRows)
