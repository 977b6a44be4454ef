"""Late rows that meet many files are merged with them step by step (P7)."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from catalog.errors import ServiceError
from engine import view as view_module
from engine.buffer import rows as rows_module
from engine.files.manifest import DataFile
from engine.node import Node
from engine.persist import schedule
from engine.persist import snapshot as snapshot_module
from engine.storage.memory import MemoryStore
from tests.helpers.engine import bury, open_node, read, write
from tests.helpers.stopping_store import Stopped, StoppingStore

HOUR_NS = 3600 * 1_000_000_000
FILES = 12
ROWS = 10
FILE_BYTES = ROWS * (12 + 8)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for two files at a time, and nothing is done but what the test does."""
    monkeypatch.setattr(snapshot_module, "SHARE_BYTES", 2 * FILE_BYTES)
    monkeypatch.setattr(schedule, "_LOOK_EVERY_S", 3600.0)


def filled(node: Node, *tables: str) -> Node:
    """Files of an hour each; rows of the last one are in no file yet."""
    for hour in range(FILES):
        lines = [f"{table} v={hour} {hour * HOUR_NS + row}" for table in tables for row in range(ROWS)]
        write(node, "\n".join(lines))
        node.snapshot_now()
    node._views.evict(0)
    return node


def late(*tables: str) -> str:
    """One late row for each file, and one that is not."""
    rows = [f"{table} v=100 {hour * HOUR_NS + 3}" for table in tables for hour in range(FILES)]
    return "\n".join([*rows, *(f"{table} v=1 {FILES * HOUR_NS}" for table in tables)])


def sums(node: Node, table: str) -> list[dict[str, Any]]:
    return read(node, f"SELECT count(*) AS n, sum(v) AS v FROM {table}")


EXPECTED = [{"n": FILES * ROWS + 1, "v": float((ROWS - 1) * sum(range(FILES)) + 100 * FILES + 1)}]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files were loaded for each seal."""
    found: list[int] = []
    sealing = rows_module.seal

    def counted(data: Any, load: Callable[[DataFile], Any], *rest: Any, **options: Any) -> Any:
        count = 0

        def counting(file: DataFile) -> Any:
            nonlocal count
            count += 1
            return load(file)

        result = sealing(data, counting, *rest, **options)
        found.append(count)
        return result

    monkeypatch.setattr(view_module, "seal", counted)
    return found


def test_each_step_loads_no_more_than_there_is_room_for(loads: list[int]) -> None:
    """P7, V6: and the log goes when the last one is done."""
    store = MemoryStore()
    node = filled(open_node(store, wal_flush_interval_ms=1), "t")
    first, behind = node._files.number, node._files.wal_sequence
    write(node, late("t"))
    loads.clear()

    node.snapshot_now()

    assert max(loads) == 2
    assert sum(loads) == FILES
    assert node._files.number - first >= FILES // 2
    assert node._files.wal_sequence > behind
    assert sums(node, "t") == EXPECTED
    assert node._views.unsettled() == []
    node.close()
    node = open_node(store)
    assert sums(node, "t") == EXPECTED
    node.close()


def test_many_tables_share_the_room(loads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """P7: what does not fit beside the others waits for the next manifest."""
    tables = [f"t{number}" for number in range(5)]
    node = filled(open_node(MemoryStore(), wal_flush_interval_ms=1), *tables)
    write(node, late(*tables))
    steps: list[int] = []
    storing = node._snapshots._store_tables
    loads.clear()

    def noted(number: int, waiting: Any) -> Any:
        before = len(loads)
        done = storing(number, waiting)
        steps.append(sum(loads[before:]))
        return done

    monkeypatch.setattr(node._snapshots, "_store_tables", noted)
    node.snapshot_now()

    assert max(steps) == 2
    assert all(sums(node, table) == EXPECTED for table in tables)
    node.close()


def test_duplicates_are_folded_a_share_at_a_time(loads: list[int]) -> None:
    """V6: what is left stays open, and readers see each key once all the while."""
    node = filled(open_node(MemoryStore(), wal_flush_interval_ms=1), "t")
    write(node, late("t"))
    assert sums(node, "t") == EXPECTED
    loads.clear()

    for _ in range(FILES):
        node._views.tidy(3 * FILE_BYTES)
        assert sums(node, "t") == EXPECTED

    folds = loads[::2]  # a query seals for itself
    assert max(folds) == 3
    assert [data.late for _, _, data in node._views.unsettled()] == [None]
    node.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # threads die too
@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("stop_at", range(0, 26, 2))
def test_a_process_that_dies_between_two_steps_is_continued_by_the_next(stop_at: int, landed: bool) -> None:
    """P7: rows that files have already come back with the log, and are merged once more."""
    disk = MemoryStore()
    filled(open_node(disk, wal_flush_interval_ms=1), "t").close()
    node = open_node(disk, wal_flush_interval_ms=1)
    write(node, late("t"))
    store = StoppingStore(disk, stop_at, landed)
    node._snapshots._store = node._files._store = store
    with suppress(Stopped, ServiceError):
        node.snapshot_now()
    bury(node)

    node = open_node(disk, wal_flush_interval_ms=1)
    seen = sums(node, "t")
    node.snapshot_now()

    assert (seen, sums(node, "t")) == (EXPECTED, EXPECTED)
    assert node._views.unsettled() == []
    node.close()
