"""What writers and stores do while a snapshot is being taken, each at the very moment at which it could do harm."""

import threading

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
