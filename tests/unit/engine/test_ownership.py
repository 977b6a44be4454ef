"""Two processes and one node: who may go on, and that neither loses or doubles what it has acknowledged."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from catalog.errors import ServiceError, Unavailable
from engine import ownership
from engine.node import Node
from engine.ownership import Fenced
from engine.paths import NodePaths
from engine.storage.base import Data, ObjectStore
from engine.storage.memory import MemoryStore
from engine.wal.codec import CLAIM_BYTES
from tests.helpers.engine import bury, open_node, read, times, write
from tests.helpers.servers import wait_until
from tests.helpers.stopping_store import Stopped, StoppingStore

PATHS = NodePaths("n")
FAST: dict[str, Any] = {"wal_flush_interval_ms": 1}


class HookedStore:
    """Somebody's view of a store: `before` is called with each path that is about to be stored."""

    def __init__(self, inner: MemoryStore, before: Callable[[str], None]) -> None:
        self.inner, self.before = inner, before
        self.url, self.durable_appends = inner.url, None
        self.get, self.get_range, self.list = inner.get, inner.get_range, inner.list
        self.put, self.delete, self.local_path, self.close = inner.put, inner.delete, inner.local_path, inner.close

    def put_new(self, path: str, data: Data) -> None:
        self.before(path)
        self.inner.put_new(path, data)


def names(store: ObjectStore, prefix: str) -> list[int]:
    return [int(info.path.rpartition("/")[2].partition(".")[0]) for info in store.list(prefix)]


def refused(node: Node, line: str) -> bool:
    try:
        write(node, line)
    except Unavailable as error:
        return "the write-ahead log stopped" in str(error)
    return False


def test_who_starts_later_has_all_rows_and_the_first_one_stops_at_its_next_group() -> None:
    """O1."""
    store, fatal = MemoryStore(), list[BaseException]()
    first = open_node(store, on_fatal=fatal.append, **FAST)
    write(first, "t v=1 1\nt v=2 2")
    first.snapshot_now()
    write(first, "t v=3 3")

    second = open_node(store, **FAST)
    write(second, "t v=4 4")

    assert refused(first, "t v=5 5")
    wait_until(lambda: bool(fatal))
    assert isinstance(fatal[0], Fenced)
    first.close()
    write(second, "t v=6 6")
    assert times(second) == [1, 2, 3, 4, 6]
    second.close()
    third = open_node(store)
    assert times(third) == [1, 2, 3, 4, 6]
    third.close()


def test_writes_that_go_on_while_another_process_takes_over_are_kept_when_they_were_acknowledged() -> None:
    """O1: nothing is lost in between, and nothing is there twice."""
    store, acknowledged = MemoryStore(), list[int]()
    first = open_node(store, **FAST)

    def keep_writing() -> None:
        with suppress(ServiceError):
            for number in range(1, 1_000_000):
                write(first, f"t v=1 {number}\nu{number % 3},host={number} v=1 {number}")
                acknowledged.append(number)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    wait_until(lambda: len(acknowledged) > 20)
    second = open_node(store, **FAST)
    writer.join(60)
    write(second, "t v=1 0")
    first.close()

    found = times(second)
    assert len(found) == len(set(found))
    assert set(found) - {0} - set(acknowledged) <= {len(acknowledged) + 1}, "the write that was refused may have landed"
    assert set(acknowledged) <= set(found)
    second.close()


def test_tables_and_tags_that_the_first_one_adds_until_it_is_stopped_are_known() -> None:
    """O1: the catalog is read after the claims."""
    store = MemoryStore()
    first = open_node(store, extend_tags=True, **FAST)
    write(first, "t,a=1 v=1 1")

    def first_goes_on(path: str) -> None:
        if path.startswith(PATHS.snapshot_prefix):
            write(first, "t,a=1,b=2 v=1,w=2 2\nnew,c=3 x=4 3")

    second = open_node(HookedStore(store, first_goes_on), extend_tags=True, **FAST)

    assert read(second, "SELECT a, b, v, w FROM t ORDER BY time")[1] == {"a": "1", "b": "2", "v": 1.0, "w": 2.0}
    assert read(second, "SELECT c, x FROM new") == [{"c": "3", "x": 4.0}]
    first.close()
    second.close()


def test_a_snapshot_that_is_under_way_when_another_process_starts_comes_to_nothing() -> None:
    """O1: its files may be swept as soon as it can no longer become true."""
    store, reached, go_on = MemoryStore(), threading.Event(), threading.Event()

    def wait_before_the_manifest(path: str) -> None:
        if path == PATHS.manifest(2):
            reached.set()
            assert go_on.wait(60)

    first = open_node(HookedStore(store, wait_before_the_manifest), **FAST)
    write(first, "t v=1 1\nt v=2 2")
    with ThreadPoolExecutor(1) as pool:
        snapshot = pool.submit(first.snapshot_now)
        assert reached.wait(60)
        second = open_node(store, **FAST)
        wait_until(lambda: not store.list(PATHS.data_prefix))
        go_on.set()
        with pytest.raises(Fenced):
            snapshot.result()
    first.close()

    assert times(second) == [1, 2]
    second.snapshot_now()
    second.close()
    third = open_node(store)
    assert times(third) == [1, 2]
    third.close()


def test_of_processes_that_start_at_once_what_any_of_them_acknowledges_is_kept() -> None:
    """O2."""
    store = MemoryStore()
    open_node(store, **FAST).close()
    with ThreadPoolExecutor(4) as pool:
        nodes = list(pool.map(lambda _: open_node(store, **FAST), range(4)))
        kept = list(pool.map(lambda at: not refused(nodes[at], f"t v=1 {at}"), range(4)))
    for node in nodes:
        node.close()

    last = open_node(store)
    assert kept.count(True) <= 1
    if any(kept):
        assert set(times(last)) == {kept.index(True)}
    last.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # threads die too
@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("stop_at", range(6))
def test_a_process_that_dies_while_it_takes_over_costs_nothing_that_was_acknowledged(stop_at: int, landed: bool) -> None:
    """O1: neither before nor after; the first one may go on, or has to stop."""
    disk, acknowledged = MemoryStore(), [1, 2]
    first = open_node(disk, **FAST)
    write(first, "t v=1 1")
    first.snapshot_now()
    write(first, "t v=1 2")
    second: Node | None = None
    with suppress(Stopped, ServiceError):
        second = open_node(StoppingStore(disk, stop_at, landed), **FAST)
        write(second, "t v=1 3")
        acknowledged.append(3)
    for number in (4, 5):
        if not refused(first, f"t v=1 {number}\nu{number} v=1 {number}"):
            acknowledged.append(number)
        with suppress(Fenced, ServiceError):
            first.snapshot_now()

    third = open_node(disk, **FAST)

    found = times(third)
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    write(third, "t v=1 6")
    first.close()
    third.close()
    if second is not None:
        bury(second)


def test_a_process_that_slept_through_snapshots_and_trimming_is_stopped_at_its_next_group() -> None:
    """O3, G1: the name it wants is not free again."""
    store = MemoryStore()
    sleeper = open_node(store, **FAST)
    write(sleeper, "t v=1 1")
    second = open_node(store, snapshotted_wal_files_to_keep=0, **FAST)
    for number in range(2, 6):
        write(second, f"t v=1 {number}")
        second.snapshot_now()

    assert {info.size for info in store.list(PATHS.wal_prefix)} == {CLAIM_BYTES}
    assert refused(sleeper, "t v=1 9")
    assert times(second) == [1, 2, 3, 4, 5]
    sleeper.close()
    second.close()


def test_a_process_that_slept_through_dozens_of_snapshots_deletes_nothing_when_its_own_comes_true() -> None:
    """O3, P6: by then the number of its manifest is free again."""
    store = MemoryStore()
    sleeper = open_node(store, **FAST)
    write(sleeper, "t v=1 1")
    second = open_node(store, snapshotted_wal_files_to_keep=0, **FAST)
    for number in range(2, 100):
        write(second, f"t v=1 {number}")
        second.snapshot_now()
    before = {info.path for info in store.list("n/")}
    assert PATHS.manifest(2) not in before

    with pytest.raises(Fenced, match="another server has started as node n"):
        sleeper.snapshot_now()

    assert before <= {info.path for info in store.list("n/")}
    sleeper.close()
    assert sleeper._snapshots._unwanted == []
    second.close()
    third = open_node(store)
    assert times(third) == list(range(1, 100))
    third.close()


def test_a_process_that_stores_nothing_notices_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """O4, D3."""
    monkeypatch.setattr(ownership, "CHECK_EVERY_S", 0.0)
    store, fatal = MemoryStore(), list[BaseException]()
    idle = open_node(store, on_fatal=fatal.append)

    second = open_node(store)
    wait_until(lambda: bool(fatal))

    assert isinstance(fatal[0], Fenced)
    idle.close()
    write(second, "t v=1 1")
    second.close()
