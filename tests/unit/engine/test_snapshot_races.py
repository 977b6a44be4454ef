"""What writers and stores do while a snapshot is being taken, each at the very moment at which it could do harm."""

import threading

import pytest

from catalog.ops import AddTags
from engine.storage.base import Data, StoreFull
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write


def test_a_column_that_comes_while_a_snapshot_begins_is_in_its_files() -> None:
    """P4: the rows that brought it are sealed and settled with the others, and their log is trimmed one snapshot later."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1, file_cache_bytes=0) as node:
        write(node, "t,a=1 v=1 1")
        database = node._catalog.state().database("db")
        snapshot = threading.Thread(target=node.snapshot_now)
        with node._views._seal_locks[database.id, database.table("t").id]:
            snapshot.start()
            snapshot.join(0.2)
            write(node, "t,a=1 v=2,w=7 2")
        snapshot.join()
        assert read(node, "SELECT v, w FROM t ORDER BY v") == [{"v": 1.0, "w": None}, {"v": 2.0, "w": 7.0}]
        write(node, "t,a=1 v=3 3")
        node.snapshot_now()

    with running(store) as node:
        assert read(node, "SELECT w FROM t WHERE v = 2") == [{"w": 7.0}]


def test_a_tag_that_comes_while_a_file_is_read_is_null_in_it() -> None:
    """P4: late rows are merged with the file all the same."""
    with running(MemoryStore(), wal_flush_interval_ms=1, extend_tags=True, file_cache_bytes=0) as node:
        write(node, "t,a=1 v=1,w=1 1")
        node.snapshot_now()
        database = node._catalog.state().database("db")
        series, table = node._series.database(database), database.table("t")
        write(node, "t,a=1 v=2 1")
        sealing = threading.Thread(target=node._views.seal, args=(database.id, table.id))
        with series.lock:
            sealing.start()
            sealing.join(0.2)
            node._catalog.commit(lambda _: [AddTags(database.id, table.id, ("b",))])
            node._series._learn(series, node._catalog.state().database("db").table("t"))
        sealing.join()

        assert node._views.now().table(database.id, table.id).open == ()
        assert read(node, "SELECT a, b, v, w FROM t") == [{"a": "1", "b": None, "v": 2.0, "w": 1.0}]


class SmallStore(MemoryStore):
    """Has room for so many files of rows."""

    room = 3

    def put_new(self, path: str, data: Data) -> None:
        if "/dbs/" in path and len(self.list("n/dbs/")) >= self.room:
            raise StoreFull("store", self.url, path, "no space")
        super().put_new(path, data)


def test_a_snapshot_that_runs_out_of_room_leaves_the_room_that_it_found() -> None:
    """P5: or each try would make it smaller, until nothing could ever be settled again."""
    store = SmallStore()
    with running(store, wal_flush_interval_ms=1, snapshot_concurrency=1) as node:
        write(node, "\n".join(f"t{number} v=1 1" for number in range(5)))
        for _ in range(2):
            with pytest.raises(StoreFull):
                node.snapshot_now()
            assert store.list("n/dbs/") == []

        store.room = 5

        assert node.snapshot_now() == 5
