"""EXPLAIN and EXPLAIN ANALYZE (N1-N3)."""

import json
from collections.abc import Iterator

import pytest

from catalog.errors import InvalidRequest
from engine.node import Node
from engine.query import explain, scan
from engine.query import planned as planned_statements
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write

DAY_NS = 86_400 * 10**9


@pytest.fixture
def node() -> Iterator[Node]:
    """Three days in three files, a fourth as a sorted chunk, a fifth as it arrived; two hosts."""
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        for day in range(3):
            write(node, f"cpu,host=a v=1 {day * DAY_NS}\ncpu,host=b v=2 {day * DAY_NS + 5}")
            node.snapshot_now()
        node._views.evict(0)
        write(node, f"cpu,host=a v=1 {3 * DAY_NS}\ncpu,host=b v=2 {3 * DAY_NS + 500_000_000}")
        for database_id, table_id, _ in node._views.unsettled():
            node._views.seal(database_id, table_id)
        write(node, f"cpu,host=b v=2 {4 * DAY_NS}")
        yield node


def explained(node: Node, sql: str) -> dict[str, str]:
    """The plans by their type."""
    rows = read(node, sql)
    assert all(list(row) == ["plan_type", "plan"] for row in rows)
    return {row["plan_type"]: row["plan"] for row in rows}


def without_paths(node: Node, plan: str) -> list[str]:
    for number, file in enumerate(node._files.files):
        plan = plan.replace(file.path, f"<file {number}>")
    return plan.splitlines()


def test_an_explanation_names_what_is_read_and_what_is_left_out_and_why(node: Node) -> None:
    """N1."""
    sql = "SELECT v FROM cpu WHERE host = 'a' AND time >= '1970-01-03' AND time < '1970-01-05'"
    plans = explained(node, f"EXPLAIN {sql}")

    assert list(plans) == ["logical_plan", "physical_plan", "answered", "scan of cpu"]
    assert plans["answered"] == "without the physical plan: rows of cpu"
    assert without_paths(node, plans["scan of cpu"]) == [
        "reads 1 of 2 chunks, 1 of 3 files, 1 of 2 series",
        "  sorted chunk, 2 rows, 1970-01-04T00:00:00 to 1970-01-04T00:00:00.5",
        "  file <file 2>, 2 rows, 1970-01-03T00:00:00 to 1970-01-03T00:00:00.000000005, 1 of 1 row group",
        "left out by time: 1 chunk, 2 files",
        "  chunk as it arrived, 1 row, 1970-01-05T00:00:00 to 1970-01-05T00:00:00",
        "  file <file 0>, 2 rows, 1970-01-01T00:00:00 to 1970-01-01T00:00:00.000000005",
        "  file <file 1>, 2 rows, 1970-01-02T00:00:00 to 1970-01-02T00:00:00.000000005",
    ]


def test_an_analysis_says_what_was_read(node: Node) -> None:
    """N1, N2: rows that the scan handed on, from each chunk and file."""
    plans = explained(node, "EXPLAIN ANALYZE SELECT v FROM cpu WHERE host = 'a' AND time >= '1970-01-03'")

    assert list(plans) == ["Plan with Metrics", "answered", "scan of cpu"]
    assert "metrics=" in plans["Plan with Metrics"]
    lines = without_paths(node, plans["scan of cpu"])
    assert [line.rpartition(": ")[2] for line in lines[1:4]] == ["0 rows", "1 row", "1 row"]


def test_a_series_that_is_nowhere_leaves_out_what_is_in_memory(node: Node) -> None:
    """N1."""
    lines = explained(node, "EXPLAIN SELECT v FROM cpu WHERE host = 'nowhere'")["scan of cpu"].splitlines()

    assert lines[0].startswith("reads 0 of 2 chunks,")
    assert lines[0].endswith(" 0 of 2 series")
    assert "left out by tags: 2 chunks" in "\n".join(lines)


def test_every_scan_of_a_statement_is_explained(node: Node) -> None:
    """N1."""
    write(node, "mem v=1 1")
    rows = read(node, "EXPLAIN SELECT a.v FROM cpu a JOIN cpu b ON a.time = b.time JOIN mem m ON m.v = a.v")

    assert sorted(row["plan_type"] for row in rows)[-3:] == ["scan of cpu", "scan of cpu", "scan of mem"]


def test_of_many_files_only_some_are_named(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """N1."""
    monkeypatch.setattr(explain, "NAMED", 1)

    lines = explained(node, "EXPLAIN SELECT v FROM cpu")["scan of cpu"].splitlines()

    assert lines[0] == "reads 2 of 2 chunks, 3 of 3 files"
    assert [line.strip() for line in lines if line.startswith("  and")] == ["and 1 more", "and 2 more"]
    assert len(lines) == 5


def test_explaining_reads_no_row(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """N2: gap filling neither."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("rows were read")

    monkeypatch.setattr(scan, "hydrated", refused)
    monkeypatch.setattr(type(node._access), "batches", refused)
    filling = """
        SELECT date_bin_gapfill(INTERVAL '1 day', time) AS t, avg(v) FROM cpu
        WHERE time >= '1970-01-01' AND time < '1970-01-09' GROUP BY t
    """

    assert "scan of cpu" in explained(node, "EXPLAIN SELECT v FROM cpu")
    plans = explained(node, f"EXPLAIN {filling}")
    with pytest.raises(Exception, match="rows were read"):
        explained(node, f"EXPLAIN ANALYZE {filling}")

    assert list(plans) == [
        *("logical_plan", "physical_plan", "logical_plan of gapfill_1", "physical_plan of gapfill_1", "scan of cpu")
    ]


def test_an_analysis_of_gap_filling_has_each_scan_once(node: Node) -> None:
    """N2."""
    rows = read(
        node,
        """
        EXPLAIN ANALYZE SELECT date_bin_gapfill(INTERVAL '1 day', time) AS t, avg(v) FROM cpu
        WHERE time >= '1970-01-01' AND time < '1970-01-09' GROUP BY t
        """,
    )

    (scan,) = [row["plan"] for row in rows if row["plan_type"] == "scan of cpu"]
    assert "2 rows" in scan


@pytest.mark.parametrize("head", ["EXPLAIN", "explain analyze", "-- why?\nEXPLAIN /* all */ VERBOSE", "EXPLAIN FORMAT TREE"])
@pytest.mark.parametrize(
    ("text", "files", "said"),
    [
        ("SELECT * FROM cpu ORDER BY time DESC LIMIT 1", 3, ": the newest row will do"),
        ("SELECT host, first_value(v ORDER BY time) AS v FROM cpu GROUP BY host", 1, ": one row of each group is picked"),
        (
            "SELECT date_bin(INTERVAL '1 hour', time) AS t, host, avg(v) AS v FROM cpu GROUP BY 1, 2",
            3,
            ": added up as they are read",
        ),
        ("(SELECT max(v) AS v FROM cpu)", 3, ": added up as they are read"),
        ("SELECT v FROM cpu WHERE v > 1", 3, ""),
    ],
)
def test_what_is_explained_is_what_would_run(
    node: Node, monkeypatch: pytest.MonkeyPatch, head: str, text: str, files: int, said: str
) -> None:
    """N2: the ends of series where these are enough, aggregates made of stretches of rows."""
    monkeypatch.setattr(planned_statements, "FOLDED_ROWS", 0)

    plans = explained(node, f"{head} {text}")

    assert plans["scan of cpu"].splitlines()[0] == f"reads 2 of 2 chunks, {files} of 3 files{said}"
    assert not any("AggregateExec" in plan for plan in plans.values())


def test_a_filters_value_stands_where_it_belongs(node: Node) -> None:
    plan = explained(node, "EXPLAIN SELECT v FROM cpu WHERE host = 'a'")["physical_plan"]

    assert 'filter_expr=(host == "a")' in plan


@pytest.mark.parametrize("form", ["PGJSON", "pgjson", "graphviz"])
@pytest.mark.parametrize("head", ["EXPLAIN", "-- why\nexplain"])
def test_what_programs_read_is_the_planners(node: Node, head: str, form: str) -> None:
    """N3."""
    rows = read(node, f"{head} FORMAT {form} SELECT v FROM cpu WHERE host = 'a'")

    assert len(rows) == 1
    if form.lower() == "pgjson":
        assert json.loads(rows[0]["plan"])[0]["Plan"]["Node Type"] == "TableScan"


def test_a_tree_is_for_people(node: Node) -> None:
    """N3: as is everything that only speaks of a format."""
    for sql in ("EXPLAIN FORMAT TREE SELECT v FROM cpu", "EXPLAIN SELECT v FROM cpu WHERE host = 'format pgjson'"):
        assert "scan of cpu" in explained(node, sql)


def test_a_file_that_cannot_be_read_does_not_keep_a_statement_from_being_explained(node: Node) -> None:
    path = node._files.files[0].path
    node._store.delete(path)

    plan = explained(node, "EXPLAIN SELECT v FROM cpu")["scan of cpu"]

    assert f"file {path} is missing" in plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT v FROM cpu WHERE time > 5", "Timestamp"),
        ("SELECT nothing FROM cpu", "nothing"),
        ("SELECT v + nothing() FROM cpu", "nothing"),
        ("EXPLAIN SELECT 1", "Nested EXPLAIN"),
        ("DROP TABLE cpu", "not supported"),
    ],
)
def test_what_cannot_run_cannot_be_explained(node: Node, text: str, said: str) -> None:
    """N2: and is refused with the planner's words, not shown as a plan."""
    for head in ("EXPLAIN", "EXPLAIN ANALYZE"):
        with pytest.raises(InvalidRequest, match=said):
            explained(node, f"{head} {text}")


def test_parameters_are_bound_before_a_statement_is_explained(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planned_statements, "FOLDED_ROWS", 0)
    text = "EXPLAIN SELECT host, avg(v) AS v FROM cpu WHERE host = $h GROUP BY host"

    rows = [row for batch in node.query_sql("db", text, {"h": "a"}) for row in batch.to_pylist()]

    assert rows[-1]["plan"].startswith("reads 2 of 2 chunks, 3 of 3 files, 1 of 2 series: added up as they are read")


def test_files_with_the_same_series_are_not_asked_for_rows_that_another_has(node: Node) -> None:
    """N1: not even opened. A file with other series is, and so is one with rows beyond the condition."""
    for day in range(5, 8):
        write(node, f"disk,host=a v={day} {day * DAY_NS}\ndisk,host=b v={day} {day * DAY_NS + 5}")
        node.snapshot_now()
    write(node, f"disk,host=c v=1 {4 * DAY_NS}")
    node.snapshot_now()
    node._views.evict(0)
    newest = "SELECT DISTINCT ON (host) host, v FROM disk {} ORDER BY host, time DESC"
    oldest = "SELECT host, first_value(v ORDER BY time) AS v FROM disk GROUP BY host ORDER BY host"

    assert read(node, newest.format("")) == [{"host": "a", "v": 7.0}, {"host": "b", "v": 7.0}, {"host": "c", "v": 1.0}]
    assert read(node, oldest) == [{"host": "a", "v": 5.0}, {"host": "b", "v": 5.0}, {"host": "c", "v": 1.0}]
    assert [row["host"] for row in read(node, "SELECT DISTINCT host FROM disk ORDER BY host")] == ["a", "b", "c"]
    cut = newest.format("WHERE time < '1970-01-08T00:00:00.000000003'")
    assert read(node, cut) == [{"host": "a", "v": 7.0}, {"host": "b", "v": 6.0}, {"host": "c", "v": 1.0}]
    lines = explained(node, f"EXPLAIN {newest.format('')}")["scan of disk"].splitlines()
    assert ", 2 of 4 files" in lines[0]
    assert "left out by other files with the same series: 2 files" in lines


def test_files_without_the_wanted_series_are_left_out_once_their_like_was_read(node: Node) -> None:
    """N1."""
    for day in range(5, 8):
        write(node, f"disk,host=a v={day} {day * DAY_NS}")
        node.snapshot_now()
        write(node, f"disk,host=b v={day} {day * DAY_NS + 5}")
        node.snapshot_now()
    node._views.evict(0)
    sql = "SELECT v FROM disk WHERE host LIKE 'b%' ORDER BY time"

    assert [row["v"] for row in read(node, sql)] == [5.0, 6.0, 7.0]
    lines = explained(node, f"EXPLAIN {sql}")["scan of disk"].splitlines()
    assert "left out by tags: 3 files" in lines
    assert [row["v"] for row in read(node, sql)] == [5.0, 6.0, 7.0]
