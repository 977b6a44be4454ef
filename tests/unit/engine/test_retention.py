"""Expired rows leave memory, files and the store; others do not."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog import changes
from catalog.catalog import Catalog
from engine.catalog_log import StoredCatalogLog
from engine.node import Node
from engine.paths import CatalogPaths
from engine.persist import schedule
from engine.persist import snapshot as snapshot_module
from engine.persist.retention import Retention
from engine.storage.memory import MemoryStore
from tests.helpers.engine import ManualClock, open_node, times, write

HOUR_NS = 3600 * 1_000_000_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000_000 * HOUR_NS)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def node(store: MemoryStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """Nothing is done but what the test does."""
    monkeypatch.setattr(schedule, "_LOOK_EVERY_S", 3600.0)
    monkeypatch.setattr(snapshot_module, "_GRACE_S", 0.0)
    node = open_node(store, clock, wal_flush_interval_ms=1)
    node.create_database("db", HOUR_NS)
    yield node
    node.close()


def stored_times(store: MemoryStore) -> list[int]:
    """What is in the files of the store, listed or not."""
    paths = [info.path for info in store.list("n/dbs/")]
    tables = [pq.read_table(pa.BufferReader(store.get(path)), columns=["time"]) for path in paths]
    return sorted(time for table in tables for time in table.column("time").cast(pa.int64()).to_pylist())


def test_a_file_goes_when_all_of_it_has_expired_and_not_sooner(node: Node, store: MemoryStore, clock: ManualClock) -> None:
    """P8: out of sight, out of the list, out of the store; and for ever."""
    now_ns = clock.time_ns
    write(node, f"t v=1 {now_ns - HOUR_NS // 2}")
    node.snapshot_now()
    write(node, f"t v=2 {now_ns}\nkept v=1 {now_ns}")
    node.set_table_retention("db", "kept", 100 * HOUR_NS)
    node.snapshot_now()

    clock.time_ns += HOUR_NS // 2
    assert node._snapshots.expire() == 0
    clock.time_ns += 1
    assert node._snapshots.expire() == 1
    assert [file.time_min_ns for file in node._files.files] == [now_ns, now_ns]
    node._snapshots.delete_unwanted()
    assert stored_times(store) == [now_ns, now_ns]
    node.set_retention("db", None)
    assert times(node) == [now_ns], "it is not merely hidden"

    again = open_node(copied(store), clock)
    assert times(again) == [now_ns]
    again.close()


def copied(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    for info in store.list(""):
        copy.put_new(info.path, store.get(info.path))
    return copy


def test_expired_rows_are_not_stored(node: Node, store: MemoryStore, clock: ManualClock) -> None:
    """P8: they wait in memory at most until the next snapshot."""
    now_ns = clock.time_ns
    write(node, f"t,host=a v=1 {now_ns - 2 * HOUR_NS}\nt,host=a v=2 {now_ns}\nt,host=b v=3 {now_ns - HOUR_NS - 1}")
    write(node, f"old v=1 {now_ns - 2 * HOUR_NS}")

    node.snapshot_now()

    assert stored_times(store) == [now_ns]
    assert node._views.unsettled_bytes == 0
    assert node._files.wal_sequence > 0, "and the log need not be kept for them"


def test_expired_rows_of_a_run_are_not_stored(node: Node, store: MemoryStore, clock: ManualClock) -> None:
    """P8."""
    now_ns = clock.time_ns
    write(node, f"t v=1 {now_ns - 1}\nt v=2 {now_ns}")
    for database_id, table_id, _ in node._views.unsettled():
        node._views.seal(database_id, table_id)

    clock.time_ns += HOUR_NS
    node.snapshot_now()

    assert stored_times(store) == [now_ns]


def test_a_file_that_is_rewritten_loses_its_expired_rows(node: Node, store: MemoryStore, clock: ManualClock) -> None:
    """P8."""
    now_ns = clock.time_ns
    write(node, "\n".join(f"t v={minute} {now_ns + minute}" for minute in range(10)))
    node.snapshot_now()
    clock.time_ns += HOUR_NS + 5

    write(node, f"t v=70 {now_ns + 7}\nt v=10 {now_ns + 1}")
    node.snapshot_now()
    node._snapshots.delete_unwanted()

    assert stored_times(store) == [now_ns + minute for minute in range(5, 10)]
    node.set_retention("db", None)
    assert times(node) == [now_ns + minute for minute in range(5, 10)]


def test_rows_are_kept_for_ever_unless_somebody_says_otherwise(node: Node, store: MemoryStore, clock: ManualClock) -> None:
    """P8."""
    write(node, f"t v=1 {clock.time_ns - 10_000 * HOUR_NS}", "for_ever")
    node.snapshot_now()

    assert node._snapshots.expire() == 0
    assert len(stored_times(store)) == 1


def test_another_nodes_longer_retention_is_heeded_before_it_has_been_heard(
    node: Node, store: MemoryStore, clock: ManualClock
) -> None:
    """P8."""
    write(node, f"t v=1 {clock.time_ns}")
    node.snapshot_now()
    other = Catalog.open(StoredCatalogLog(store, CatalogPaths("n")), clock=clock)
    other.commit(lambda state: changes.set_retention(state, "db", None))
    clock.time_ns += 2 * HOUR_NS

    assert node._snapshots.expire() == 0
    assert len(stored_times(store)) == 1


def test_files_are_looked_for_at_the_start_and_then_an_interval_apart() -> None:
    """E1."""

    class Seconds(ManualClock):
        now_s = 5.0

        def monotonic_s(self) -> float:
            return self.now_s

    class Counting:
        looks = 0
        fails = False

        def expire(self) -> int:
            self.looks += 1
            if self.fails:
                raise OSError("no store")
            return 0

    clock, snapshots = Seconds(), Counting()
    retention = Retention(snapshots, clock, interval_s=10)  # type: ignore[arg-type]

    def looked_at(now_s: float) -> int:
        clock.now_s = now_s
        retention.look()
        return snapshots.looks

    assert [looked_at(second) for second in (5, 6, 14.9, 15, 16)] == [1, 1, 1, 2, 2]
    snapshots.fails = True
    with pytest.raises(OSError, match="no store"):
        looked_at(25)
    snapshots.fails = False
    assert looked_at(25.1) == 4
