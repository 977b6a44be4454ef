"""Rows in memory become Parquet files, then the log that held them goes."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog import changes
from catalog.errors import ServiceError
from engine.files.index import FileIndex
from engine.files.manifest import DataFile, decode_manifest
from engine.files.parquet import verify
from engine.node import Node
from engine.paths import NodePaths
from engine.persist import snapshot as snapshot_module
from engine.persist.snapshot import cut
from engine.storage.base import Data, OutcomeUnknown, StoreFull
from engine.storage.memory import MemoryStore
from tests.helpers.engine import ManualClock, open_node, read, running, times, write
from tests.helpers.wal import objects_with_rows

PATHS = NodePaths("n")
MINUTE_NS = 60 * 10**9
HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS


class SteppingStore(MemoryStore):
    """Notes each change, and fails or waits at those that the test names."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda action, path: None
        self.after: Callable[[str, str], None] = lambda action, path: None

    def put_new(self, path: str, data: Data) -> None:
        self.before("put", path)
        super().put_new(path, data)
        self.changes.append(("put", path))
        self.after("put", path)

    def delete(self, path: str) -> None:
        self.before("delete", path)
        super().delete(path)
        self.changes.append(("delete", path))

    def paths(self, part: str) -> list[str]:
        return [info.path for info in self.list("") if part in info.path]


def kind(path: str) -> str:
    return path.rpartition(".")[2]


def fill(node: Node, *steps: int, host: str = "a", value: float = 1) -> None:
    write(node, "\n".join(f"t,host={host} v={value} {step}" for step in steps))


def live(node: Node) -> Sequence[DataFile]:
    return node._files.files


# order


def test_files_come_before_the_manifest_and_the_manifest_before_trimming() -> None:
    """P1, P2."""
    store = SteppingStore()
    with running(store, wal_flush_interval_ms=1, snapshotted_wal_files_to_keep=0) as node:
        fill(node, 1)
        write(node, "u v=1 1\nu v=1 2")
        store.changes.clear()

        report = node._snapshots.take()

        assert [(action, kind(path)) for action, path in store.changes] == [
            ("put", "parquet"),
            ("put", "parquet"),
            ("put", "manifest"),
            ("delete", "wal"),
            ("delete", "wal"),
        ]
        assert report is not None
        assert (report.files, report.rows) == (2, 3)


def test_a_manifest_lists_files_that_are_stored_and_right() -> None:
    """P1."""
    store = SteppingStore()
    seen: list[int] = []

    def check(action: str, path: str) -> None:
        if action == "put" and kind(path) == "manifest":
            for file in decode_manifest(store.get(path), path).added:
                facts = verify(store.get(file.path), name=file.path)
                assert (facts.rows, facts.size_bytes) == (file.rows, file.size_bytes)
                assert (facts.time_min_ns, facts.time_max_ns) == (file.time_min_ns, file.time_max_ns)
                seen.append(facts.rows)

    with running(store, wal_flush_interval_ms=1) as node:
        store.after = check
        fill(node, 3, 1, 2)
        node._snapshots.take()
        assert seen == [3]


def test_nothing_to_settle_makes_no_snapshot() -> None:
    """P5."""
    store = SteppingStore()
    with running(store, wal_flush_interval_ms=1) as node:
        fill(node, 1)
        node._snapshots.take()
        store.changes.clear()

        assert node._snapshots.take() is None
        assert store.changes == []


def test_rows_that_arrive_during_a_snapshot_are_kept_in_the_log() -> None:
    """P2, P4: they may lie in the file too, and are there once after a start."""
    store = SteppingStore()
    node = open_node(store, wal_flush_interval_ms=1)
    fill(node, 1)

    def meanwhile(action: str, path: str) -> None:
        if kind(path) == "parquet":
            store.after = lambda *_: None
            fill(node, 2)
            fill(node, 1, value=10)

    store.after = meanwhile
    node._snapshots.take()
    assert times(node) == [1, 2]
    node.close()

    with running(store) as node:
        assert read(node, "SELECT v FROM t ORDER BY time") == [{"v": 10.0}, {"v": 1.0}]


# failures


@pytest.mark.parametrize("failing", ["parquet", "manifest"])
def test_a_failed_snapshot_changes_nothing_that_is_read_and_the_next_one_settles(failing: str) -> None:
    """P5, P2, P4: its files are leftovers, which the next start removes."""
    store = SteppingStore()
    node = open_node(store, wal_flush_interval_ms=1)
    fill(node, 1, 2)
    write(node, "u v=1 1")
    log_before = store.paths("/wal/")

    def fail(action: str, path: str) -> None:
        if kind(path) == failing and (failing == "manifest" or len(store.paths("parquet")) == 1):
            raise StoreFull("store", store.url, path, "no space")

    store.before = fail
    with pytest.raises(StoreFull):
        node._snapshots.take()
    store.before = lambda *_: None

    assert store.paths("/wal/") == log_before
    assert (times(node), times(node, "u")) == ([1, 2], [1])
    leftovers = set(store.paths("parquet"))
    fill(node, 2, 3)
    report = node._snapshots.take()
    assert report is not None
    assert (report.rows, report.number) == (4, node._files.number)
    assert (times(node), times(node, "u")) == ([1, 2, 3], [1])
    assert leftovers <= set(store.paths("parquet"))
    node.close()

    with running(store) as node:
        assert node._schedule._thread.is_alive()
        node._snapshots.inspect()
        assert set(store.paths("parquet")) == {file.path for file in live(node)}
        assert (times(node), times(node, "u")) == ([1, 2, 3], [1])


@pytest.mark.parametrize("landed", [False, True])
def test_a_manifest_of_unknown_outcome_becomes_true_once_the_store_answers(landed: bool) -> None:
    """P5, P3: the same files, once, whether or not the first request had come through."""
    store = SteppingStore()
    node = open_node(store, wal_flush_interval_ms=1)
    fill(node, 1, 2)
    lost: list[str] = []

    def lose(action: str, path: str) -> None:
        if kind(path) == "manifest" and len(lost) < 2:
            lost.append(path)
            raise OutcomeUnknown("store", store.url, path, "no answer")

    if landed:
        store.after = lose
    else:
        store.before = lose
    report = node._snapshots.take()
    fill(node, 2, value=5)

    assert report is not None
    assert (report.files, report.rows) == (1, 2)
    assert len(lost) == 1 + (not landed)
    rows = [{"ns": 1, "v": 1.0}, {"ns": 2, "v": 5.0}]
    assert read(node, "SELECT arrow_cast(time, 'Int64') AS ns, v FROM t ORDER BY ns") == rows
    node.close()
    with running(store) as node:
        assert read(node, "SELECT arrow_cast(time, 'Int64') AS ns, v FROM t ORDER BY ns") == rows
        assert node.health()["status"] == "pass"


def test_a_store_that_returns_other_bytes_than_it_was_given_is_found() -> None:
    """P1."""

    class Lying(SteppingStore):
        def put_new(self, path: str, data: Data) -> None:
            super().put_new(path, bytes(data)[:-1] if kind(path) == "parquet" else data)

    store = Lying()
    with running(store, wal_flush_interval_ms=1) as node:
        fill(node, 1)
        with pytest.raises(ServiceError, match="not stored as it was written"):
            node._snapshots.take()
        assert store.paths("manifest") == [PATHS.manifest(1)], "the one that claims the files"
        assert times(node) == [1]


def test_a_damaged_file_does_not_keep_other_rows_from_being_settled() -> None:
    """P5: nor the late rows of its own table, which come to lie beside it."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1, file_cache_bytes=0, snapshotted_wal_files_to_keep=0) as node:
        fill(node, 1, 2)
        node._snapshots.take()
        [file] = live(node)
        store.put(file.path, b"rubbish")
        fill(node, 1, 9, value=7)
        write(node, "u v=1 1")

        report = node._snapshots.take()

        assert report is not None
        assert report.rows == 3
        assert objects_with_rows(store) == []
        assert times(node, "u") == [1]
        with pytest.raises(ServiceError, match=file.path):
            times(node)


# files


def test_rows_are_seen_throughout() -> None:
    """P4: at every change of the store."""
    store = SteppingStore()
    with running(store, wal_flush_interval_ms=1) as node:
        fill(node, *range(20))
        node._snapshots.take()
        fill(node, *range(10, 30), host="b")
        seen: list[int] = []
        store.before = store.after = lambda action, path: seen.append(len(times(node)))

        node._snapshots.take()

        assert set(seen) == {40}
        assert len(seen) == 4


def test_late_rows_replace_the_files_that_they_repeat() -> None:
    """P3: one manifest adds the merged file and removes the old one, which is deleted later."""
    store = MemoryStore()
    clock = ManualClock()
    node = open_node(store, clock, wal_flush_interval_ms=1)
    for day in range(3):
        fill(node, day * DAY_NS, day * DAY_NS + 1)
        node._snapshots.take()
    before = {file.time_min_ns: file.path for file in live(node)}

    fill(node, DAY_NS + 1, DAY_NS + 2, value=5)
    node._snapshots.take()

    after = {file.time_min_ns: file.path for file in live(node)}
    assert (after[0], after[2 * DAY_NS]) == (before[0], before[2 * DAY_NS])
    assert after[DAY_NS] != before[DAY_NS]
    manifest = decode_manifest(store.get(PATHS.manifest(node._files.number)), "m")
    assert manifest.removed == (before[DAY_NS],)
    assert [file.path for file in manifest.added] == [after[DAY_NS]]
    assert len(times(node)) == 7
    node.close()


def test_a_replaced_file_is_deleted_once_no_query_can_want_it() -> None:
    """P4."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        seconds = 1000.0
        node._snapshots._clock = _Seconds(lambda: seconds)  # type: ignore[assignment]
        fill(node, 1)
        node._snapshots.take()
        [old] = live(node)
        fill(node, 1, value=2)
        node._snapshots.take()
        assert len(store.list(PATHS.data_prefix)) == 2

        node._snapshots.delete_unwanted()
        seconds += 599
        node._snapshots.delete_unwanted()
        assert len(store.list(PATHS.data_prefix)) == 2
        seconds += 2
        node._snapshots.delete_unwanted()

        assert [info.path for info in store.list(PATHS.data_prefix)] == [file.path for file in live(node)] != [old.path]


class _Seconds:
    def __init__(self, now: Callable[[], float]) -> None:
        self.monotonic_s = now


def test_two_files_never_share_a_key_whatever_comes_late() -> None:
    """P3."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1, file_cache_bytes=0, gen1_duration_ns=MINUTE_NS) as node:
        for step in range(6):
            fill(node, *(number * MINUTE_NS * 300 for number in range(step, step + 8)), host="ab"[step % 2], value=step)
            fill(node, *(number * MINUTE_NS for number in range(0, 10, step + 1)), host="c", value=step)
            node._snapshots.take()
            keys = [
                (row["host"], row["time"])
                for file in live(node)
                for row in pq.read_table(pa.BufferReader(store.get(file.path)), columns=["host", "time"]).to_pylist()
            ]
            assert len(keys) == len(set(keys))


def test_a_live_load_makes_one_file_and_a_load_of_old_data_one_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: whole windows of one day, however many windows it spans."""
    monkeypatch.setattr(snapshot_module, "DAY_ROWS", 20)
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        fill(node, *range(5))
        node._snapshots.take()
        assert len(live(node)) == 1

        write(node, "\n".join(f"old,host=a v=1 {hour * HOUR_NS}" for hour in range(72)))
        node._snapshots.take()

        old = sorted((file for file in live(node) if file.table_id == 1), key=lambda file: file.time_min_ns)
        assert [(file.time_min_ns, file.time_max_ns) for file in old] == [
            (day * DAY_NS, day * DAY_NS + 23 * HOUR_NS) for day in range(3)
        ]
        assert [file.path.split("/")[4] for file in old] == ["1970-01-01", "1970-01-02", "1970-01-03"]


def test_sparse_rows_of_many_days_make_few_files() -> None:
    """P3."""
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        write(node, "\n".join(f"t,host=a v=1 {day * DAY_NS}" for day in range(3000)))
        node._snapshots.take()

        assert len(live(node)) == 1
        node._views.evict(0)
        assert times(node) == [day * DAY_NS for day in range(3000)]


def batch_of(*times_ns: int) -> pa.RecordBatch:
    schema = pa.schema([pa.field("series", pa.int32(), nullable=False), pa.field("time", pa.timestamp("ns"), nullable=False)])
    return pa.record_batch([pa.array([0] * len(times_ns), pa.int32()), pa.array(times_ns, pa.timestamp("ns"))], schema=schema)


def cuts(*parts: pa.RecordBatch, gen1: int = 10) -> list[list[list[int]]]:
    return [[part.column(1).cast(pa.int64()).to_pylist() for part in file] for file in cut(parts, gen1)]


def test_a_file_has_at_most_so_many_rows_unless_one_window_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: and ends where a window does."""
    monkeypatch.setattr(snapshot_module, "FILE_ROWS", 4)

    assert cuts(batch_of(1, 2, 3)) == [[[1, 2, 3]]]
    assert cuts(batch_of(1, 2, 11, 12, 21, 22)) == [[[1, 2, 11, 12]], [[21, 22]]]
    assert cuts(batch_of(1, 2, 3, 4, 5, 6), batch_of(11)) == [[[1, 2, 3, 4, 5, 6]], [[11]]]
    assert cuts(batch_of(1, 2, 3), batch_of(4, 12, 13), batch_of(11, 35)) == [[[1, 2, 3], [4]], [[12, 13], [11, 35]]]


@pytest.mark.parametrize("first", [-25 * 10**9, -1, 0, 5])
def test_times_before_1970_are_cut_like_all_others(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: windows count downwards there."""
    monkeypatch.setattr(snapshot_module, "FILE_ROWS", 2)
    given = [first + step for step in (0, 3, 7, 10, 14, 19, 20, 33)]

    files = cuts(batch_of(*given))

    assert [time for [times_ns] in files for time in times_ns] == given
    windows = [{time // 10 for time in times_ns} for [times_ns] in files]
    assert all(one.isdisjoint(other) for at, one in enumerate(windows) for other in windows[:at])


def test_a_window_as_long_as_a_day_and_times_at_the_ends_of_time() -> None:
    """P3."""
    edge = 2**63 - 1
    with running(MemoryStore(), wal_flush_interval_ms=1, gen1_duration_ns=DAY_NS) as node:
        write(node, f"t v=1 {-edge}\nt v=2 0\nt v=3 {edge - 1}")
        node._snapshots.take()
        node._views.evict(0)
        assert times(node) == [-edge, 0, edge - 1]


def test_rows_of_a_removed_table_are_let_go() -> None:
    """P5."""

    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1, snapshotted_wal_files_to_keep=0) as node:
        fill(node, 1)
        write(node, "u v=1 1")
        node.drop_table("db", "u", hard_delete_at_ns=1)
        node._catalog.commit(lambda state: changes.removals_due(state, ManualClock().time_ns + 1))

        report = node._snapshots.take()

        assert report is not None
        assert report.files == 1
        assert node._views.unsettled_bytes == 0
        assert objects_with_rows(store) == []


def test_tables_without_tags_with_missing_tags_and_with_new_columns_are_stored_as_they_are(tmp_path: Path) -> None:
    """P3, P4."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "plain v=1 1\nplain w=2i 2")
        write(node, "some,a=1 v=1 1\nsome,b=2 v=2 1\nsome v=3 1", accept_partial=True)
        node._snapshots.take()
        write(node, 'plain x="late" 1\nsome,a=1 y=t 1')
        node._snapshots.take()

    with running(store, file_cache_bytes=0) as node:
        assert read(node, "SELECT v, w, x FROM plain ORDER BY time") == [
            {"v": 1.0, "w": None, "x": "late"},
            {"v": None, "w": 2, "x": None},
        ]
        assert read(node, "SELECT a, v, y FROM some ORDER BY a NULLS FIRST") == [
            {"a": None, "v": 3.0, "y": None},
            {"a": "1", "v": 1.0, "y": True},
        ]


def test_writes_go_on_during_a_snapshot() -> None:
    """P4: from several threads; afterwards and after a start each row is there once."""
    store = SteppingStore()
    node = open_node(store, wal_flush_interval_ms=1)
    failures: list[Exception] = []
    done = threading.Event()

    def work(worker: int) -> None:
        try:
            for step in range(40):
                fill(node, step, step // 2, host=f"h{worker}", value=step)
        except Exception as error:
            failures.append(error)

    def settle() -> None:
        while not done.is_set():
            node._snapshots.take()
            node._views.evict(3000)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    settling = threading.Thread(target=settle)
    for thread in (*threads, settling):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    settling.join()
    assert failures == []
    rows = read(node, "SELECT host, arrow_cast(time, 'Int64') AS ns, v FROM t ORDER BY host, ns")
    node.close()

    expected = {step: float(min(2 * step + 1, 39) if 2 * step <= 39 else step) for step in range(40)}
    assert rows == [{"host": f"h{worker}", "ns": step, "v": expected[step]} for worker in range(4) for step in range(40)]
    with running(store, file_cache_bytes=0) as node:
        assert read(node, "SELECT host, arrow_cast(time, 'Int64') AS ns, v FROM t ORDER BY host, ns") == rows


def test_manifests_are_numbered_without_a_gap() -> None:
    """P1."""
    store = MemoryStore()
    for start in range(3):
        with running(store, wal_flush_interval_ms=1) as node:
            fill(node, start)
            node._snapshots.take()

    index = FileIndex.open(store, PATHS)
    assert [info.path for info in store.list(PATHS.snapshot_prefix)] == [PATHS.manifest(n) for n in range(1, index.number + 1)]
    assert len(index.files) == 3
