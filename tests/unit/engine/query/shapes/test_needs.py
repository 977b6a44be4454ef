"""Which rows a plan can do without (N1, N2). That answers stay right is held by the property test against DuckDB."""

from collections.abc import Mapping

import pyarrow as pa
import pytest
from datafusion import SessionContext

from catalog.schema import FieldType, Table
from engine.query.predicate import ALL_TIME, Predicate
from engine.query.shapes.needs import End, Needs, needs_of

NEW, OLD = End(newest=True), End(newest=False)
PER_HOST = "FROM t GROUP BY host"


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.create(0, "t", ["host", "region"], [("i", FieldType.INTEGER), ("f", FieldType.FLOAT)])


def needs(table: Table, sql: str) -> Mapping[str, Needs]:
    schema = pa.schema(
        [
            *(("f", pa.float64()), ("host", pa.dictionary(pa.int32(), pa.utf8())), ("i", pa.int64())),
            *(("region", pa.dictionary(pa.int32(), pa.utf8())), pa.field("time", pa.timestamp("ns"), nullable=False)),
        ]
    )
    context = SessionContext()
    for name in ("t", "other"):
        context.register_record_batches(name, [[pa.RecordBatch.from_pylist([], schema)]])
    plan = context.sql(sql).optimized_logical_plan()
    return needs_of([plan], lambda name: table if name == "t" else None)


@pytest.mark.parametrize(
    ("sql", "ends", "each"),
    [
        ("SELECT * FROM t ORDER BY time DESC LIMIT 5", {End(True, 5)}, False),
        ("SELECT i AS x FROM t u ORDER BY u.time, i LIMIT 3 OFFSET 4", {End(False, 7)}, False),
        ("SELECT max(time) FROM t", {NEW}, False),
        ("SELECT min(time), max(time) FROM t", {NEW, OLD}, False),
        (f"SELECT host, max(time) {PER_HOST}", {NEW}, True),
        ("SELECT max(time) FROM t GROUP BY upper(host)", {NEW}, True),
        ("SELECT DISTINCT region, host FROM t", {NEW}, True),
        ("SELECT count(DISTINCT host), max(region) FROM t", {NEW}, True),
        (f"SELECT last_value(i ORDER BY time) {PER_HOST}", {NEW}, True),
        (f"SELECT first_value(i + f ORDER BY time), min(time) {PER_HOST}", {OLD}, True),
        (f"SELECT first_value(i ORDER BY host, time DESC) {PER_HOST}", {NEW}, True),
        (f"SELECT last_value(i ORDER BY time) FILTER (WHERE i IS NOT NULL) {PER_HOST}", {NEW, End(True, 1, "i")}, True),
        (f"SELECT last_value(f ORDER BY time) IGNORE NULLS, max(time) {PER_HOST}", {NEW, End(True, 1, "f")}, True),
        ("SELECT DISTINCT ON (host) * FROM t ORDER BY host, time DESC", {NEW}, True),
        (
            "SELECT i FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS r FROM t) WHERE r = 1",
            {NEW},
            True,
        ),
        (
            "SELECT i FROM (SELECT *, rank() OVER (PARTITION BY host ORDER BY time) AS r FROM t) WHERE r < 4 AND i > 2",
            {End(False, 3)},
            True,
        ),
    ],
)
def test_plans_that_look_at_ends_are_recognised(table: Table, sql: str, ends: set[End], each: bool) -> None:
    """N1."""
    found = needs(table, sql)["t"]

    assert (set(found.ends or ()), found.each) == (ends, each)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t",
        "SELECT * FROM t ORDER BY i LIMIT 5",
        "SELECT * FROM t ORDER BY host, time LIMIT 5",
        "SELECT * FROM t ORDER BY time",
        "SELECT * FROM (SELECT * FROM t LIMIT 9) ORDER BY time LIMIT 5",
        "SELECT max(i) FROM t",
        f"SELECT count(*) {PER_HOST}",
        f"SELECT last_value(i ORDER BY time), sum(i) {PER_HOST}",
        f"SELECT last_value(i ORDER BY f, time) {PER_HOST}",
        f"SELECT last_value(i ORDER BY region, time) {PER_HOST}",
        f"SELECT last_value(i ORDER BY time) FILTER (WHERE i > 3) {PER_HOST}",
        f"SELECT last_value(i + f ORDER BY time) IGNORE NULLS {PER_HOST}",
        "SELECT last_value(i ORDER BY time) FROM t GROUP BY host, i",
        "SELECT max(time) FROM t GROUP BY date_bin(INTERVAL '1 hour', time)",
        "SELECT max(time) FROM t WHERE i * 2 > 5",
        "SELECT max(time) FROM t GROUP BY random()",
        "SELECT i FROM (SELECT *, row_number() OVER (PARTITION BY i ORDER BY time) AS r FROM t) WHERE r = 1",
        "SELECT i FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY i) AS r FROM t) WHERE r = 1",
        "SELECT i FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time) AS r FROM t) WHERE r > 1",
        "SELECT i FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time) AS r FROM t) WHERE r = 1 OR i = 3",
        "SELECT i, s FROM (SELECT *, row_number() OVER (PARTITION BY host ORDER BY time) AS r, sum(i) OVER (ORDER BY time) s "
        "FROM t) WHERE r = 1",
    ],
)
def test_plans_that_look_at_more_get_all_rows(table: Table, sql: str) -> None:
    """N1."""
    assert all(found.ends is None for found in needs(table, sql).values())


def test_a_condition_above_the_table_narrows_it(table: Table) -> None:
    """N1: what DataFusion cannot hand down, we read from the plan."""
    sql = "SELECT max(i) FROM t WHERE upper(host) = 'A' AND host IN ('a', 'b', 'c', 'd')"

    assert needs(table, sql)["t"].predicate == Predicate(ALL_TIME, {"host": frozenset("abcd")}, False)


def test_ends_are_looked_for_under_conditions_that_are_understood(table: Table) -> None:
    """N1."""
    found = needs(table, "SELECT max(time) FROM t WHERE host NOT IN ('a', 'b', 'c', 'd') GROUP BY region")["t"]

    assert found.ends == frozenset([NEW])
    assert found.predicate.without == {"host": frozenset(["a", "b", "c", "d", None])}


def test_two_scans_of_a_table_need_what_either_needs(table: Table) -> None:
    """N2."""
    newest = "SELECT max(time) AS m FROM t"

    both = needs(table, f"SELECT * FROM ({newest}) CROSS JOIN (SELECT host, min(time) AS n FROM t GROUP BY host)")["t"]

    assert (both.ends, both.each) == (frozenset([NEW, OLD]), True)
    assert not needs(table, f"SELECT * FROM ({newest}) n JOIN t ON t.time = n.m")
    assert not needs(table, f"SELECT * FROM ({newest}) UNION ALL SELECT time FROM t")


def test_a_sub_query_that_stays_inside_of_an_expression_makes_all_rows_needed(table: Table) -> None:
    """N2: its scans are of the same table."""
    sql = "SELECT max(time) FROM t WHERE host IN ('a', 'b', 'c', 'd') AND EXISTS (SELECT 1 FROM t u WHERE u.i > 3 LIMIT 1)"

    assert not any(found.ends for found in needs(table, sql).values())
