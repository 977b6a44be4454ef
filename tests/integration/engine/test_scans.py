"""What scans read, by their own reports: less than everything where that is enough, and the right answer all the same."""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from engine.node import Node
from engine.query.limits import QueryLimits
from engine.query.report import ScanReport
from engine.query.stop import Stop
from engine.requests import FROM_SQL
from engine.storage.memory import MemoryStore
from tests.helpers.engine import running, write
from tests.integration.engine.test_query import PLACES, in_files, in_memory, in_runs

HOSTS, STEPS = 20, 50


@pytest.fixture
def node() -> Iterator[Node]:
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        yield node


def fill(node: Node, start: int = 0) -> None:
    steps = range(start, start + STEPS)
    write(
        node,
        "\n".join(f"t,host=h{host:02},region=r{host % 3} v={step},w={host}i {step}" for step in steps for host in range(HOSTS)),
    )


def asked(node: Node, sql: str) -> tuple[list[dict[str, Any]], ScanReport]:
    """The rows of a statement that scans one table once, and what its scan says of itself."""
    executor = node._executor.result()
    planned = executor._planned(executor._asked("db", sql, {}), Stop(), FROM_SQL).fitted()
    if planned.is_direct and planned.outline is not None:
        batches = list(planned.tables.answered(planned.outline, planned.schema, QueryLimits(1 << 30, 2)))
    else:
        assert planned.here is not None
        batches = list(planned.here.batches(lambda frame: (batch.to_pyarrow() for batch in frame.execute_stream())))
    (report,) = planned.tables.reports
    return pa.Table.from_batches(batches, planned.schema).to_pylist(), report


def rows_read(report: ScanReport) -> int:
    return sum(report.rows.values())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("sql", "expected", "at_most"),
    [
        ("SELECT host, v FROM t WHERE host = 'h07' AND arrow_cast(time, 'Int64') = 3", [{"host": "h07", "v": 3.0}], STEPS),
        (
            "SELECT sum(w) AS s FROM t WHERE host IN ('h01', 'h02', 'h03', 'h04', 'zz')",
            [{"s": 10 * STEPS}],
            4 * STEPS,
        ),
        ("SELECT sum(v) AS s FROM t WHERE host = 'h01' AND w > 0", [{"s": sum(range(STEPS))}], STEPS),
        (
            "SELECT sum(w) AS s FROM t WHERE host <> 'h19' AND region = 'r1'",
            [{"s": STEPS * (1 + 4 + 7 + 10 + 13 + 16)}],
            6 * STEPS,
        ),
    ],
)
def test_conditions_on_tags_choose_series(
    node: Node, place: Callable[[Node], None], sql: str, expected: list[dict[str, Any]], at_most: int
) -> None:
    """T3, K2: also those that DataFusion does not hand down."""
    fill(node)
    place(node)

    rows, report = asked(node, sql)

    assert rows == expected
    assert rows_read(report) <= at_most


ENDS = [
    ("SELECT host, v FROM t ORDER BY time DESC, host LIMIT 2", [{"host": "h00", "v": 49.0}, {"host": "h01", "v": 49.0}], HOSTS),
    ("SELECT v FROM t WHERE host = 'h03' ORDER BY time LIMIT 3", [{"v": 0.0}, {"v": 1.0}, {"v": 2.0}], 3),
    ("SELECT v FROM t WHERE v < 40 ORDER BY time DESC, host LIMIT 1", [{"v": 39.0}], HOSTS),
    ("SELECT sum(v) AS s FROM (SELECT DISTINCT ON (host) * FROM t ORDER BY host, time DESC)", [{"s": 49.0 * HOSTS}], HOSTS),
    (
        "SELECT sum(v) AS s FROM (SELECT v, row_number() OVER (PARTITION BY host ORDER BY time DESC) AS r FROM t) WHERE r <= 2",
        [{"s": 97.0 * HOSTS}],
        2 * HOSTS,
    ),
    ("SELECT count(DISTINCT host) AS n FROM t", [{"n": HOSTS}], HOSTS),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("sql", "expected", "at_most"), ENDS)
def test_ends_are_enough_for_plans_that_look_at_ends(
    node: Node, place: Callable[[Node], None], sql: str, expected: list[dict[str, Any]], at_most: int
) -> None:
    """D1, T3."""
    fill(node)
    place(node)

    rows, report = asked(node, sql)

    assert rows == expected
    if place is not in_files or "r <= 2" not in sql:  # of the files, one row of each series is known
        assert rows_read(report) <= at_most


def test_what_lies_before_the_newest_rows_is_not_opened(node: Node) -> None:
    """D2."""
    for start in (0, 100, 200):
        fill(node, start)
        in_files(node)
    fill(node, 300)
    in_runs(node)
    fill(node, 400)

    _, report = asked(node, "SELECT v FROM t ORDER BY time DESC LIMIT 5")
    open_rows = report.chunks.all[0]

    assert len(report.files.left) + len(report.chunks.left) == 5
    assert set(report.rows) == {id(open_rows)}


@pytest.mark.parametrize("place", PLACES)
def test_rows_are_counted_without_being_looked_at(node: Node, place: Callable[[Node], None]) -> None:
    """K3."""
    fill(node)
    place(node)

    for condition, count in (
        ("true", HOSTS * STEPS),
        ("arrow_cast(time, 'Int64') >= 0", HOSTS * STEPS),
        ("time >= '1970-01-01T00:00:00.000000010Z'", HOSTS * 40),
        ("time < '1970-01-01T00:00:00.000000010Z' AND host = 'h02'", 10),
        ("region = 'r0' OR region = 'r1'", 14 * STEPS),
    ):
        rows, _ = asked(node, f"SELECT count(*) AS n FROM t WHERE {condition}")
        assert rows == [{"n": count}], condition


def test_the_number_of_a_files_rows_is_known_without_the_file() -> None:
    """K3, D2: not even its presence is needed."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        fill(node)
        in_files(node)
        for info in store.list("n/dbs/"):
            store.delete(info.path)

        assert asked(node, "SELECT count(*) AS n FROM t")[0] == [{"n": HOSTS * STEPS}]
        times, _ = asked(node, "SELECT arrow_cast(min(time), 'Int64') AS a, arrow_cast(max(time), 'Int64') AS b FROM t")
        assert times == [{"a": 0, "b": STEPS - 1}]


def test_columns_whose_names_are_part_of_a_filters_text_are_not_read(node: Node) -> None:
    """K2."""
    write(node, "\n".join(f"t,host=a v={n},vv={n},and={n}i {n}" for n in range(10)))
    in_memory(node)

    rows, _ = asked(node, 'SELECT "and" FROM t WHERE vv > 3 AND v < 6 AND "and" <> 5 ORDER BY time')

    assert rows == [{"and": 4}]
