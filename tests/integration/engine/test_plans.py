"""Statements that are asked again and again: the answer is that of the moment."""

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest
from engine.node import Node
from engine.query import folded, planned
from engine.query.made import MadeTable
from engine.query.shapes.folding import Folding, Picking
from engine.query.shapes.outline import Outline
from engine.storage.memory import MemoryStore
from tests.helpers.engine import open_node, read, write
from tests.helpers.plannings import plannings as plannings


@pytest.fixture
def node() -> Iterator[Node]:
    node = open_node(MemoryStore(), wal_flush_interval_ms=1)
    write(node, "t,host=a v=1 1")
    yield node
    node.close()


def test_a_statement_is_planned_once_and_sees_every_new_row(node: Node, plannings: list[str]) -> None:
    """P1, H1: of rows in memory, merged, and in files."""
    counted = "SELECT count(*) AS n, sum(v) AS v FROM t WHERE host = 'a'"
    assert node.plan_sql("db", counted).names == ["n", "v"]
    seen = [read(node, counted)]
    for number in range(2, 5):
        write(node, f"t,host=a v={number} {number}")
        seen.append(read(node, counted))
    write(node, "t,host=a v=10 1")
    seen.append(read(node, counted))
    node.snapshot_now()
    node._views.evict(0)
    seen.append(read(node, counted))

    assert plannings == [counted]
    assert [(row["n"], row["v"]) for (row,) in seen] == [(1, 1.0), (2, 3.0), (3, 6.0), (4, 10.0), (4, 19.0), (4, 19.0)]


def test_a_kept_plan_runs_in_the_way_that_suits_the_rows_of_the_moment(
    node: Node, plannings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """J1."""
    monkeypatch.setattr(planned, "FOLDED_ROWS", 3)
    made: list[MadeTable] = []
    original = planned.Tables._folded

    def noted(tables: planned.Tables, shape: Folding | Picking, schema: pa.Schema) -> MadeTable:
        made.append(original(tables, shape, schema))
        return made[-1]

    monkeypatch.setattr(planned.Tables, "_folded", noted)
    summed = "SELECT host, sum(v) + 0 AS v FROM t GROUP BY host"
    few, ways = read(node, summed), [len(made) > 0]
    write(node, "t,host=a v=2 2\nt,host=a v=3 3")

    many, ways = read(node, summed), [*ways, len(made) > 0]

    assert (few, many) == ([{"host": "a", "v": 1.0}], [{"host": "a", "v": 6.0}])
    assert ways == [False, True]
    assert plannings == [summed]


@pytest.fixture
def directly(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each statement whether it was answered without its plan."""
    found: list[bool] = []
    suits = planned.Tables.suits

    def noted(tables: planned.Tables, outline: Outline) -> bool:
        found.append(suits(tables, outline))
        return found[-1]

    monkeypatch.setattr(planned.Tables, "suits", noted)
    return found


def test_many_rows_are_left_to_the_plan(
    node: Node, plannings: list[str], directly: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """J1."""
    monkeypatch.setattr(planned, "DIRECT_ROWS", 2)
    asked = "SELECT v FROM t ORDER BY v"
    few = read(node, asked)
    write(node, "t,host=a v=2 2\nt,host=a v=3 3")

    assert (few, read(node, asked)) == ([{"v": 1.0}], [{"v": 1.0}, {"v": 2.0}, {"v": 3.0}])
    assert directly == [True, False]
    assert plannings == [asked]


def test_an_aggregate_that_could_need_too_much_memory_is_left_to_the_plan(
    node: Node, directly: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """J1: a plan can spill."""
    write(node, "\n".join(f"t,host=a v={number} {number}" for number in range(100)))
    monkeypatch.setattr(folded, "_CELL_BYTES", node._executor.result()._limits.memory_bytes // 40)
    widths = ("1 nanosecond", "50 nanoseconds")
    counts = [len(read(node, f"SELECT date_bin(INTERVAL '{width}', time) AS t, sum(v) FROM t GROUP BY t")) for width in widths]

    assert counts == [100, 2]
    assert directly == [False, True]


def test_a_plan_that_is_kept_holds_no_rows(node: Node) -> None:
    """J2."""
    read(node, "SELECT v FROM t")

    (kept,) = (plan for alike in node._executor.result()._plans._kept.values() for plan in alike)
    assert (kept.tables._view, kept.tables._made, kept.tables.reports) == (None, {}, [])


def test_a_chain_of_hundreds_of_conditions_can_be_explained_and_run(node: Node) -> None:
    """J1: too deep to be looked through, it is left as it is."""
    chain = " OR ".join(f"regexp_like(host, 'x{n}')" for n in range(600)) + " OR v = 1"

    assert read(node, f"SELECT sum(v) AS v FROM t WHERE {chain}") == [{"v": 1.0}]
    assert len(read(node, f"EXPLAIN SELECT sum(v) AS v FROM t WHERE {chain}")) > 1


def test_a_new_column_is_a_new_plan(node: Node, plannings: list[str]) -> None:
    """P1."""
    assert read(node, "SELECT * FROM t")[0].keys() == {"host", "time", "v"}
    with pytest.raises(InvalidRequest, match="w"):
        read(node, "SELECT w FROM t")

    write(node, "t,host=a w=2 1")

    assert read(node, "SELECT * FROM t")[0].keys() == {"host", "time", "v", "w"}
    assert read(node, "SELECT w FROM t") == [{"w": 2.0}]
    node.drop_table("db", "t")
    with pytest.raises(InvalidRequest, match="not found"):
        read(node, "SELECT w FROM t")


def test_values_and_their_types_are_part_of_what_was_asked(node: Node) -> None:
    """P1."""
    for value in (1, True, 1.0, "1", None, 1, "1"):
        result = node.query_sql("db", "SELECT $x AS x, arrow_typeof($x) AS kind FROM t", {"x": value})
        (row,) = pa.Table.from_batches(result.batches, result.schema).to_pylist()
        assert row["x"] == value
        assert type(row["x"]) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT now() AS x",
        "SELECT id AS x FROM system.queries ORDER BY issue_time DESC LIMIT 1",
        "SELECT date_bin_gapfill('1 day', time) AS x FROM t WHERE time >= '1970-01-01' AND time < '1970-01-02' GROUP BY 1",
        "SELECT sleep(0.001) AS x",
    ],
)
def test_what_depends_on_the_moment_is_planned_each_time(node: Node, plannings: list[str], text: str) -> None:
    """P2."""
    read(node, text)
    before = len(plannings)

    read(node, text)

    assert len(plannings) > before


def test_many_ask_the_same_at_once_while_rows_come_in(node: Node) -> None:
    """P1: everyone sees at least what was there when it asked, and one state of it."""
    wrong: list[object] = []

    def ask(least: int) -> None:
        for _ in range(20):
            (row,) = read(node, "SELECT count(*) AS n, max(v) AS v FROM t")
            if row["n"] < least or row["v"] != row["n"]:
                wrong.append(row)

    threads = []
    for number in range(2, 10):
        write(node, f"t,host=a v={number} {number}")
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join(60)

    assert wrong == []


def test_a_statement_that_was_left_or_failed_is_planned_again(node: Node, plannings: list[str]) -> None:
    """P1: nothing is kept of what may still run."""
    text = "SELECT v FROM t"
    node.query_sql("db", text).close()

    assert read(node, text) == [{"v": 1.0}]
    assert read(node, text) == [{"v": 1.0}]

    assert plannings == [text, text]
