"""Aggregates that are asked of the rows. Random ones against DuckDB: tests/property/test_sql_against_duckdb.py."""

from collections.abc import Iterator

import pytest

from catalog.errors import ServiceError
from engine.node import Node
from engine.query import planned as planned_statements
from engine.query.shapes.folding import Bin, Folding, Measure, Picking
from engine.query.stop import Stop
from engine.requests import FROM_SQL
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write

MINUTE_NS = 60 * 10**9
HOUR = "date_bin(INTERVAL '1 minute', time)"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setattr(planned_statements, "FOLDED_ROWS", 0)
    monkeypatch.setattr(planned_statements.Tables, "suits", lambda tables, outline: False)  # test_outline.py looks at these
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        for start in (0, 60):  # in a file, and in memory
            lines = (
                f't,host=h{n % 3},region=r{n % 2} i={n}i,f={n}.5,b=true,s="x" {n * 10**9}' for n in range(start, start + 60)
            )
            write(node, "\n".join(lines))
            if start == 0:
                node.snapshot_now()
                node._views.evict(0)
        yield node


def foldings(node: Node, sql: str) -> list[Folding | Picking]:
    """What a statement asks of the rows."""
    fit = planned(node, sql).fit
    assert fit is not None
    assert bool(fit.shapes) == (fit.folded.prepared.frame is not fit.plain.prepared.frame)
    return list(fit.shapes)


def planned(node: Node, sql: str, stop: Stop | None = None) -> planned_statements.Planned:
    """A statement as it will run. Nothing has been read for it (G2)."""
    executor = node._executor.result()
    made = executor._planned(executor._asked("db", sql, {}), stop or Stop(), FROM_SQL).fitted()
    assert made.tables.reports == []
    return made


def is_folded(made: planned_statements.Planned) -> bool:
    assert made.fit is not None
    return made.here is made.fit.folded.prepared


@pytest.mark.parametrize(
    ("sql", "keys", "measures"),
    [
        ("SELECT avg(i) FROM t", (), (Measure("avg", "i"),)),
        ("SELECT sum(i) FROM t WHERE host LIKE 'h%' OR host ~ '^h[12]$'", (), (Measure("sum", "i"),)),
        ("SELECT host, max(f) - min(f) FROM t GROUP BY host", ("host",), (Measure("max", "f"), Measure("min", "f"))),
        (
            f"SELECT {HOUR} AS m, region, host, sum(f), count(*) FROM t GROUP BY 1, 2, 3 ORDER BY m DESC LIMIT 2",
            (Bin(MINUTE_NS, 0), "region", "host"),
            (Measure("sum", "f"), Measure("count", None)),
        ),
        ("SELECT count(s), count(time) FROM t u WHERE u.host = 'h1'", (), (Measure("count", "s"), Measure("count", None))),
        (
            "SELECT date_bin(INTERVAL '1 day', time, TIMESTAMP '1970-01-01T00:00:05') AS d, max(i) FROM t "
            "WHERE host IN ('a', 'b', 'c', 'd', 'e') GROUP BY d HAVING max(i) > 3",
            (Bin(1440 * MINUTE_NS, 5 * 10**9),),
            (Measure("max", "i"),),
        ),
        (
            "SELECT date_trunc('hour', time) AS h, max(time) FROM t GROUP BY h",
            (Bin(60 * MINUTE_NS, 0),),
            (Measure("max", "time"),),
        ),
        (
            "SELECT x.m + 1 FROM (SELECT host, max(i) AS m FROM t GROUP BY host) x WHERE x.host = 'h2'",
            ("host",),
            (Measure("max", "i"),),
        ),
    ],
)
def test_aggregates_by_bins_and_tags_are_recognised(
    node: Node, sql: str, keys: tuple[str | Bin, ...], measures: tuple[Measure, ...]
) -> None:
    """G1, G2."""
    (found,) = foldings(node, sql)

    assert isinstance(found, Folding)
    assert (found.keys, found.measures) == (keys, measures)


@pytest.mark.parametrize(
    ("sql", "tags", "newest", "columns"),
    [
        ("SELECT DISTINCT ON (host) i, host FROM t ORDER BY host, time DESC", ("host",), True, ("i", "host")),
        ("SELECT region, last_value(f ORDER BY time), max(time) FROM t GROUP BY region", ("region",), True, ("f", "time")),
        (
            "SELECT first_value(i ORDER BY time) FROM t WHERE host <> 'x' GROUP BY region, host",
            ("region", "host"),
            False,
            ("i",),
        ),
        ("SELECT DISTINCT host FROM t", ("host",), True, ()),
        (
            "SELECT DISTINCT ON (host, region) host, region, f FROM t ORDER BY host, region, time DESC, f",
            ("host", "region"),
            True,
            ("host", "region", "f"),
        ),
    ],
)
def test_one_row_of_each_group_is_picked(
    node: Node, sql: str, tags: tuple[str, ...], newest: bool, columns: tuple[str, ...]
) -> None:
    """G1, G2."""
    (found,) = foldings(node, sql)

    assert isinstance(found, Picking)
    assert (found.tags, found.newest, found.columns) == (tags, newest, columns)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT i FROM t",
        "SELECT last_value(i ORDER BY time), first_value(i ORDER BY time) FROM t GROUP BY host",
        "SELECT last_value(i ORDER BY time) IGNORE NULLS FROM t GROUP BY host",
        "SELECT last_value(i + 1 ORDER BY time) FROM t GROUP BY host",
        "SELECT last_value(i ORDER BY f) FROM t GROUP BY host",
        "SELECT last_value(i ORDER BY time, region) FROM t GROUP BY host",
        "SELECT DISTINCT ON (host) host, i FROM t ORDER BY host, time DESC, i",
        "SELECT count(*) FROM t WHERE host = 'h1'",
        "SELECT min(time), max(time) FROM t GROUP BY host",
        "SELECT max(time) FROM t",
        "SELECT sum(i) FROM t WHERE f > 3",
        "SELECT sum(i) FROM t WHERE upper(host) = 'H1'",
        "SELECT sum(i) FROM t WHERE host ILIKE 'h%'",
        "SELECT sum(DISTINCT i), sum(DISTINCT f) FROM t",
        "SELECT sum(i) FILTER (WHERE b) FROM t",
        "SELECT sum(i + 1) FROM t",
        "SELECT stddev(i) FROM t",
        "SELECT max(s) FROM t",
        "SELECT max(i) FROM t GROUP BY upper(host)",
        "SELECT max(i) FROM t GROUP BY b",
        "SELECT max(i) FROM t GROUP BY date_bin(INTERVAL '1 month', time)",
        f"SELECT max(i) FROM t GROUP BY {HOUR}, date_bin(INTERVAL '7 minutes', time)",
        "SELECT max(i) FROM (SELECT * FROM t LIMIT 5)",
        "SELECT max(a.i) FROM t a JOIN t b ON a.time = b.time",
        "SELECT max(i) FROM t UNION ALL SELECT 1",
    ],
)
def test_other_plans_are_left_as_they_are(node: Node, sql: str) -> None:
    """G1."""
    assert foldings(node, sql) == []


def test_few_rows_are_left_to_the_plan(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned_statements, "FOLDED_ROWS", 100)
    assert not is_folded(planned(node, "SELECT sum(i) FROM t WHERE host = 'h1'"))


def test_the_answer_has_the_columns_types_and_rows_of_the_plan(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """G1, F1, M1: rows in a file and in memory, empty groups and none at all, a condition on the outcome."""
    statements = [
        f"SELECT {HOUR} AS m, host, count(*), sum(i) AS a, avg(f) AS b, min(time) AS c FROM t GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT region AS r, max(f) FROM t GROUP BY region HAVING max(f) > 118.6 AND region = 'r1'",
        "SELECT sum(i), count(*), avg(f), max(time) FROM t WHERE host = 'nobody'",
        "SELECT host, sum(i) FROM t WHERE host = 'nobody' GROUP BY host",
        "SELECT max(i) AS x, host FROM t WHERE time >= '1970-01-01T00:00:50Z' AND host <> 'h0' GROUP BY host ORDER BY x",
        "SELECT 1 AS one FROM t GROUP BY host HAVING sum(i) > 0",
        "SELECT DISTINCT ON (host) * FROM t ORDER BY host, time DESC",
        "SELECT region, host, last_value(i ORDER BY time), max(time) FROM t WHERE host = 'nobody' GROUP BY 1, 2",
        "SELECT host, first_value(f ORDER BY time) AS f FROM t WHERE time > '1970-01-01T00:01:50Z' GROUP BY 1 ORDER BY 2 DESC",
    ]
    folded = [(node.query_sql("db", sql).schema, read(node, sql)) for sql in statements]
    monkeypatch.setattr(planned_statements, "FOLDED_ROWS", 10**9)

    assert folded == [(node.query_sql("db", sql).schema, read(node, sql)) for sql in statements]


def test_a_statement_that_is_stopped_folds_no_further(node: Node) -> None:
    """F2, M2."""
    stop = Stop()
    fitted = planned(node, "SELECT sum(i) FROM t", stop).here
    assert fitted is not None
    stop.set()

    with pytest.raises(Exception, match="cancelled"):
        list(fitted.frame.execute_stream())


def test_a_file_that_is_gone_ends_a_folded_statement_with_its_name(node: Node) -> None:
    """F1, M2."""
    (path,) = (file.path for file in node._files.files)
    node._store.delete(path)

    with pytest.raises(ServiceError, match=path):
        read(node, "SELECT sum(i) FROM t")
