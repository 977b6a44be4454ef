"""Statements that are answered without a plan. Random ones against DuckDB: tests/property/test_sql_against_duckdb.py."""

from collections.abc import Iterator

import pytest

from catalog.errors import ServiceError
from engine.node import Node
from engine.query import planned as planned_statements
from engine.query.direct import answered
from engine.query.limits import TooMuchMemory
from engine.query.shapes.folding import Folding, Picking
from engine.query.shapes.outline import Outline
from engine.query.stop import Stop
from engine.requests import FROM_SQL
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Rows in a file, as they arrived, and sorted; a column that came late; nulls, and what is no number."""
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        for start in (0, 60, 120):
            late = ",late=1i" if start else ""
            lines = [
                f't,host=h{n % 3},region=r{n % 2} i={n % 7}i,f={n}.5,b={str(n % 2 == 0).lower()},s="x{n % 5}"{late} {n * 10**9}'
                for n in range(start, start + 60)
            ]
            write(node, "\n".join([*lines, f"t,host=h9 f=1 {start}", f"t i=3i {start + 1}"]))
            if start == 0:
                node.snapshot_now()
                node._views.evict(0)
            if start == 60:
                for database_id, table_id, _ in node._views.unsettled():
                    node._views.seal(database_id, table_id)
        yield node


def planned(node: Node, sql: str, stop: Stop | None = None) -> planned_statements.Planned:
    executor = node._executor.result()
    made = executor._planned(executor._asked("db", sql, {}), stop or Stop(), FROM_SQL).fitted()
    assert made.tables.reports == []  # O2
    return made


def outline(node: Node, sql: str) -> Outline | None:
    made = planned(node, sql)
    return made.outline if made.is_direct else None


@pytest.mark.parametrize(
    ("sql", "asked", "said"),
    [
        ("SELECT * FROM t", "rows", "rows of t"),
        (
            "SELECT f AS i, i AS f FROM t WHERE host = 'h1' AND f > 3 AND s = 'x1'",
            "rows",
            "rows of t, those that fulfil the condition",
        ),
        (
            "SELECT time FROM t ORDER BY f DESC, host LIMIT 3 OFFSET 1",
            "rows",
            "in the order of f (descending) and host, from number 2",
        ),
        ("SELECT x.h FROM (SELECT host AS h, time FROM t) x WHERE x.h <> 'h1' ORDER BY x.time", "rows", "in the order of time"),
        ("SELECT i FROM t LIMIT 10", "rows", "rows of t, at most 10"),
        ("SELECT count(*), count(1) AS n FROM t WHERE time > '1970-01-01'", "count", "the number of rows of t"),
        (
            "SELECT host, max(i) FROM t GROUP BY host HAVING max(i) > 3 ORDER BY 2 DESC NULLS LAST, 1",
            Folding,
            "sums of rows of t",
        ),
        ("SELECT max(i) AS x, host AS y, max(i) AS z FROM t GROUP BY host LIMIT 2", Folding, "at most 2"),
        ("SELECT DISTINCT host, region FROM t", Picking, "one row of each group of t"),
        (
            "SELECT DISTINCT ON (host) f, time FROM t ORDER BY host DESC, time DESC",
            Picking,
            "in the order of host (descending)",
        ),
    ],
)
def test_statements_about_rows_of_one_table_are_recognised(node: Node, sql: str, asked: object, said: str) -> None:
    """O1, O2."""
    found = outline(node, sql)

    assert found is not None
    assert asked in (found.asked, type(found.asked))
    assert said in found.in_words()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT random()",
        "SELECT NULL",
        "SELECT 1 WHERE false",
        "VALUES (1), (2)",
        "SELECT i + 1 FROM t",
        "SELECT i FROM t WHERE i % 2 = 0",
        "SELECT i FROM t WHERE host > 'h1' OR i = 3",
        "SELECT i FROM t ORDER BY i + 1",
        "SELECT i FROM (SELECT i, f FROM t ORDER BY f LIMIT 5) WHERE i > 2",
        "SELECT i FROM (SELECT i FROM t LIMIT 5) ORDER BY i",
        "SELECT count(DISTINCT i) FROM t",
        "SELECT count(*) FILTER (WHERE b) FROM t",
        "SELECT a.i FROM t a JOIN t b ON a.time = b.time",
        "SELECT i FROM t UNION ALL SELECT i FROM t",
        "SELECT row_number() OVER (ORDER BY time) FROM t",
        "SELECT date_bin_gapfill(INTERVAL '1 minute', time) AS m, max(i) FROM t "
        "WHERE time >= '1970-01-01' AND time < '1970-01-02' GROUP BY m",
        "SELECT i FROM (SELECT 1 AS i) ORDER BY i",
    ],
)
def test_other_statements_have_a_plan(node: Node, sql: str) -> None:
    """O1."""
    assert outline(node, sql) is None


ORDERED = [
    "SELECT 1",
    "SELECT 'a' AS x, 2.5, true, 1 + 1 AS y, TIMESTAMP '2020-01-01' AS z",
    "SELECT * FROM t ORDER BY time, host",
    "SELECT host, f FROM t ORDER BY host NULLS FIRST, f DESC, time",
    "SELECT host, region, i FROM t WHERE time >= '1970-01-01T00:00:50' ORDER BY region DESC, i, time DESC LIMIT 25 OFFSET 3",
    "SELECT s, late, time FROM t WHERE i = 3 OR f > 170.5 ORDER BY late DESC NULLS LAST, s, time",
    "SELECT b, s FROM t WHERE host IN ('h1', 'h9') AND i IS NOT NULL ORDER BY b, s, time LIMIT 40",
    "SELECT f AS i, i AS f FROM t WHERE b = true ORDER BY i DESC LIMIT 7",
    "SELECT time FROM t ORDER BY time DESC LIMIT 5",
    "SELECT time, f FROM t WHERE f > 20 ORDER BY time LIMIT 5 OFFSET 2",
    "SELECT x.h FROM (SELECT host AS h, time FROM t) x WHERE x.h <> 'h1' ORDER BY x.time, 1",
    "SELECT count(*), count(1) AS n FROM t WHERE time > '1970-01-01T00:00:30'",
    "SELECT count(*) FROM t WHERE host = 'nobody'",
    "SELECT count(*) FROM t",
    "SELECT host, max(i), avg(f) FROM t GROUP BY host HAVING max(i) > 3 ORDER BY 2 DESC, 1 NULLS FIRST",
    "SELECT date_trunc('minute', time) AS m, host, max(f) AS f FROM t GROUP BY 1, 2 ORDER BY 1 DESC, 2 LIMIT 4 OFFSET 1",
    "SELECT max(i) AS x, host AS y, max(i) AS z FROM t WHERE region = 'r1' GROUP BY host ORDER BY y",
    "SELECT sum(i), count(s) FROM t WHERE host = 'nobody'",
    "SELECT DISTINCT host, region FROM t ORDER BY host, region",
    "SELECT DISTINCT region FROM t WHERE time < '1970-01-01T00:00:01' ORDER BY 1",
    "SELECT DISTINCT ON (host) f, time, host FROM t ORDER BY host DESC, time DESC",
    "SELECT DISTINCT ON (host) * FROM t ORDER BY host, time DESC",
    "SELECT DISTINCT ON (host) time, host FROM t WHERE time >= '1970-01-01T00:01:00' ORDER BY host NULLS FIRST, time",
    "SELECT host, max(time) FROM t GROUP BY host ORDER BY host DESC NULLS LAST LIMIT 3 OFFSET 1",
    "SELECT DISTINCT host FROM t ORDER BY 1 DESC",
    "SELECT date_trunc('minute', time) AS m, max(i) FROM t GROUP BY 1 ORDER BY m LIMIT 2 OFFSET 1",
    "SELECT date_trunc('minute', time) AS m, max(i) FROM t GROUP BY 1 ORDER BY m DESC",
    "SELECT i FROM t WHERE time < '1969-01-01' ORDER BY i",
]


@pytest.mark.parametrize("sql", ORDERED)
def test_an_answer_has_the_columns_types_and_rows_of_the_plan(node: Node, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """O1, Y1, P2."""
    assert outline(node, sql) is not None
    answer = node.query_sql("db", sql).schema, read(node, sql)
    monkeypatch.setattr(planned_statements.Tables, "suits", lambda tables, outline: False)

    assert answer == (node.query_sql("db", sql).schema, read(node, sql))


@pytest.mark.parametrize(("limit", "expected"), [("LIMIT 10", 10), ("LIMIT 10 OFFSET 180", 6), ("OFFSET 100", 86)])
def test_an_answer_without_an_order_is_cut_as_well(node: Node, limit: str, expected: int) -> None:
    """O1."""
    assert len(read(node, f"SELECT host, i FROM t {limit}")) == expected


def test_rows_that_take_too_much_memory_to_be_put_in_order_end_the_statement(node: Node) -> None:
    """Y2: rows that are handed on as they come need none."""
    for sql, is_ordered in (("SELECT f FROM t ORDER BY f", True), ("SELECT f FROM t", False)):
        made = planned(node, sql)
        assert made.outline is not None
        batches = answered(made.outline, made.tables.dataset("t"), Stop(), 100)
        if is_ordered:
            with pytest.raises(TooMuchMemory):
                next(batches)
        else:
            assert sum(batch.num_rows for batch in batches) == 186


def test_no_more_rows_are_looked_for_than_are_wanted(node: Node) -> None:
    """Y3."""
    made = planned(node, "SELECT f FROM t LIMIT 5")
    table = made.tables.dataset("t")
    assert made.outline is not None
    assert table is not None

    (batch,) = answered(made.outline, table, Stop(), 1 << 30)

    assert batch.num_rows == 5
    (report,) = made.tables.reports
    assert len(report.rows) == 1  # of three places


def test_a_statement_that_is_stopped_looks_no_further(node: Node) -> None:
    """Y3."""
    stop = Stop()
    made = planned(node, "SELECT f FROM t", stop)
    table = made.tables.dataset("t")
    assert made.outline is not None
    assert table is not None
    batches = answered(made.outline, table, stop, 1 << 30)
    next(batches)
    stop.set()

    with pytest.raises(ServiceError, match="cancelled"):
        next(batches)


def test_a_file_that_is_gone_ends_the_statement_with_its_name() -> None:
    """Y1."""
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        write(node, "t,host=a v=1 1")
        node.snapshot_now()
        node._views.evict(0)
        (path,) = (file.path for file in node._files.files)
        node._store.delete(path)

        for sql in ("SELECT v FROM t", "SELECT max(v) FROM t", "SELECT DISTINCT ON (host) * FROM t ORDER BY host, time"):
            with pytest.raises(ServiceError, match=path):
                read(node, sql)
