"""Hard deletion: what goes when, and that a death between any two steps changes nothing about the end."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from catalog import changes
from catalog.catalog import Catalog
from catalog.errors import ServiceError
from engine.catalog_log import StoredCatalogLog
from engine.node import Node
from engine.ownership import Fenced
from engine.paths import CatalogPaths
from engine.persist import schedule
from engine.storage.base import Data, ObjectStore, StoreFull
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from engine.wal.codec import decode
from tests.helpers.engine import ManualClock, bury, open_node, read, times, write
from tests.helpers.servers import wait_until
from tests.helpers.stopping_store import Stopped, StoppingStore

HOUR_NS = 3600 * 1_000_000_000
DAY_MS = 24 * 3_600_000


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done but what the test does."""
    monkeypatch.setattr(schedule, "_LOOK_EVERY_S", 3600.0)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opened(store: ObjectStore, clock: ManualClock, by_hand: None) -> Iterator[Callable[[], Node]]:
    """Opens the node, again when it is open."""
    nodes: list[Node] = []

    def reopen() -> Node:
        while nodes:
            nodes.pop().close()
        nodes.append(open_node(store, clock, wal_flush_interval_ms=1, delete_grace_period_ms=DAY_MS))
        return nodes[0]

    yield reopen
    for node in nodes:
        node.close()


def look(node: Node) -> None:
    node._schedule._removals.look()


def deleted_names(node: Node) -> list[str]:
    return [found.name for found in node.list_tables("db") if found.name.startswith("gone-")]


def files(store: ObjectStore) -> int:
    return len(store.list("n/dbs/"))


def filled(node: Node) -> Node:
    """A table that stays and one that goes, both with rows in a file and in memory."""
    write(node, "stays v=1 1\ngone v=1 1")
    node.snapshot_now()
    write(node, "stays v=2 2\ngone v=2 2")
    return node


def test_rows_go_when_it_is_time_and_files_and_entry_after_the_grace(
    opened: Callable[[], Node], store: ObjectStore, clock: ManualClock
) -> None:
    """R2, R3."""
    node = filled(opened())
    node.drop_table("db", "gone", clock.time_ns + HOUR_NS)
    (name,) = deleted_names(node)

    look(node)
    assert times(node, name) == [1, 2], "its time has not come"

    clock.time_ns += HOUR_NS
    look(node)
    assert times(node, name) == []
    assert (files(store), len(node._files.files)) == (2, 1), "the file is still there, and no longer live"

    clock.time_ns += 24 * HOUR_NS
    look(node)
    stays = node._catalog.state().database("db").table("stays").id
    assert {(info.path.split("/")[3], node._files.is_live(info.path)) for info in store.list("n/dbs/")} == {(str(stays), True)}
    assert deleted_names(node) == []
    assert times(node, "stays") == [1, 2]
    node = opened()
    assert times(node, "stays") == [1, 2]
    assert deleted_names(node) == []


def test_a_database_goes_with_all_its_tables(opened: Callable[[], Node], store: ObjectStore, clock: ManualClock) -> None:
    """R2, R3."""
    node = filled(opened())
    write(node, "kept v=1 1", "other")
    node.drop_database("db", 0)

    look(node)
    clock.time_ns += 24 * HOUR_NS
    look(node)

    assert [found.name for found in node.list_databases(show_deleted=True)] == ["_internal", "other"]
    assert store.list("n/dbs/1/") == []
    assert times(node, "kept", "other") == [1]


def rows_in_log(node: Node, store: ObjectStore) -> set[tuple[int, int]]:
    """(database, table) of all rows that the log holds, needed or not."""
    found: set[tuple[int, int]] = set()
    for info in store.list("n/wal/"):
        for group in decode(memoryview(store.get(info.path))):
            found |= {(table.database_id, table.table_id) for table in group.tables}
    return found


def test_nothing_of_it_stays_in_the_log(opened: Callable[[], Node], store: ObjectStore, clock: ManualClock) -> None:
    """R4: not even in what is kept of the log beyond what a start needs, nor behind the last snapshot."""
    node = filled(opened())
    gone = node._catalog.state().database("db").table("gone").id
    write(node, "gone v=3 3")
    assert (1, gone) in rows_in_log(node, store)
    node.drop_table("db", "gone", 0)

    look(node)
    clock.time_ns += 24 * HOUR_NS
    write(node, "stays v=3 3")
    look(node)

    assert rows_in_log(node, store) == set()
    assert times(node, "stays") == [1, 2, 3]
    node = opened()
    assert times(node, "stays") == [1, 2, 3]


def test_files_go_when_there_is_no_room_left(clock: ManualClock, by_hand: None) -> None:
    """R5: and the rest when there is."""
    store = Full()
    node = filled(open_node(store, clock, wal_flush_interval_ms=1, delete_grace_period_ms=DAY_MS))
    node.drop_table("db", "gone", 0)
    look(node)
    clock.time_ns += 24 * HOUR_NS
    store.full = True

    with pytest.raises(StoreFull):
        look(node)

    assert {info.path for info in store.list("n/dbs/")} == {file.path for file in node._files.files}
    store.full = False
    look(node)
    assert deleted_names(node) == []
    assert rows_in_log(node, store) == set()
    assert times(node, "stays") == [1, 2]
    node.close()


class Full(MemoryStore):
    full = False

    def put_new(self, path: str, data: Data) -> None:
        if self.full:
            raise StoreFull("store", self.url, path, "no space left on the device")
        super().put_new(path, data)


NEIGHBOURS = [
    *("n2/dbs/1/1/1970-01-01/00-00-0000000001-000-aaaaaaaa.parquet", "n2/wal/00000000000000000001.wal", "nn/dbs/1/x"),
    *("n/dbs/10/1/00-00-0000000001-000-aaaaaaaa.parquet", "n/dbs/1/10/day/00-00-0000000001-000-a.parquet"),
    *("n/dbs/1/1/notes.txt", "n/dbs/1/1/1970-01-01/00-00.parquet", "n/dbs/1/1/copy/00-00-0000000001-000-a.parquet"),
    *("n/dbs/readme", "n/backup/1.tar", "n/plugins/x.py", "n/walrus", "dbs/1/1/x.parquet", "other/catalog/checkpoint", "x"),
    *("n/dbs/1/1/1970-01-01/00-00-0000000001-000-aaaaaaaa.parquet.bak", "n/snapshots-old/00000000000000000001.manifest"),
]


def test_in_a_store_full_of_other_objects_only_its_own_go(
    opened: Callable[[], Node], store: ObjectStore, clock: ManualClock
) -> None:
    """R3: whatever lies beside, below or above them, and also while leftovers are swept."""
    node = filled(opened())
    for path in NEIGHBOURS:
        store.put_new(path, b"not ours: " + path.encode())
    kept = {file.path for file in node._files.files if file.table_id != node._catalog.state().database("db").table("gone").id}
    node.drop_table("db", "gone", 0)

    look(node)
    clock.time_ns += 24 * HOUR_NS
    look(node)
    node._snapshots.inspect()
    node = opened()
    wait_until(lambda: node._schedule.inspected)

    left = {info.path for info in store.list("")} - set(NEIGHBOURS)
    assert [path for path in NEIGHBOURS if store.get(path) != b"not ours: " + path.encode()] == []
    assert kept <= {path for path in left if path.endswith(".parquet")}
    assert {path for path in left if path.startswith("n/dbs/")} == {file.path for file in node._files.files}
    assert times(node, "stays") == [1, 2]


@pytest.mark.parametrize("online", [False, True])
def test_what_another_node_has_removed_from_the_catalog_goes_here_too(
    opened: Callable[[], Node], store: ObjectStore, clock: ManualClock, online: bool
) -> None:
    """R1, R2, R4: at once when it is heard of, else at the next start."""
    node = filled(opened())
    gone = node._catalog.state().database("db").table("gone").id
    node.drop_table("db", "gone", 0)
    other = Catalog.open(StoredCatalogLog(store, CatalogPaths("n")), clock=clock)
    other.commit(lambda state: changes.removals_due(state, clock.time_ns))

    if online:
        node._catalog.refresh()
        look(node)
    else:
        node = opened()
        wait_until(lambda: node._schedule.inspected)
        look(node)

    assert {file.table_id for file in node._files.files} == {node._catalog.state().database("db").table("stays").id}
    assert {info.path for info in store.list("n/dbs/")} == {file.path for file in node._files.files}
    assert (1, gone) not in rows_in_log(node, store)
    assert times(node, "stays") == [1, 2]


def test_rows_in_the_log_do_not_come_back_with_a_restart(opened: Callable[[], Node], clock: ManualClock) -> None:
    """R1."""
    node = filled(opened())
    node.drop_table("db", "gone", 0)
    (name,) = deleted_names(node)
    look(node)

    node = opened()
    wait_until(lambda: times(node, name) == [])
    node.snapshot_now()

    assert {file.table_id for file in node._files.files} == {node._catalog.state().database("db").table("stays").id}


def test_what_is_never_to_go_stays(opened: Callable[[], Node], clock: ManualClock) -> None:
    """R3."""
    node = filled(opened())
    node.drop_table("db", "gone", None)
    (name,) = deleted_names(node)

    clock.time_ns += 10_000 * HOUR_NS
    look(node)
    node = opened()
    look(node)

    assert times(node, name) == [1, 2]


def test_a_later_word_in_the_grace_is_heeded(opened: Callable[[], Node], store: ObjectStore, clock: ManualClock) -> None:
    """R3: files are deleted by what the catalog says then."""
    node = filled(opened())
    node.drop_table("db", "gone", 0)
    (name,) = deleted_names(node)
    look(node)
    node.drop_table("db", name, clock.time_ns + 48 * HOUR_NS)

    clock.time_ns += 47 * HOUR_NS
    look(node)

    assert deleted_names(node) == [name]
    assert files(store) == 2


def test_another_nodes_later_word_is_heeded_before_it_has_been_heard(
    opened: Callable[[], Node], store: ObjectStore, clock: ManualClock
) -> None:
    """R3."""
    node = filled(opened())
    node.drop_table("db", "gone", 0)
    (name,) = deleted_names(node)
    look(node)
    other = Catalog.open(StoredCatalogLog(store, CatalogPaths("n")), clock=clock)
    other.commit(lambda state: changes.drop_table(state, "db", name, now_ns=clock.time_ns, hard_delete_at_ns=None))

    clock.time_ns += 24 * HOUR_NS
    look(node)

    assert deleted_names(node) == [name]
    assert files(store) == 2


def test_a_node_that_is_somebody_elses_now_removes_nothing(by_hand: None, clock: ManualClock) -> None:
    """R3."""
    store = MemoryStore()
    node = filled(open_node(store, clock, wal_flush_interval_ms=1))
    node.drop_table("db", "gone", 0)
    look(node)
    open_node(store, clock).close()
    before = files(store)

    clock.time_ns += 24 * HOUR_NS
    with pytest.raises(Fenced):
        look(node)

    assert files(store) == before
    node.close()


def test_what_is_to_go_now_goes_by_itself_within_a_moment(store: ObjectStore, clock: ManualClock) -> None:
    """R1: rows, files and entry, with no grace and nobody helping."""
    node = filled(open_node(store, clock, wal_flush_interval_ms=1, delete_grace_period_ms=0))
    node.drop_table("db", "gone", clock.time_ns)

    wait_until(lambda: deleted_names(node) == [] and files(store) == len(node._files.files))

    assert times(node, "stays") == [1, 2]
    node.close()


def story(node: Node, clock: ManualClock) -> None:
    filled(node)
    node.drop_table("db", "gone", 0)
    look(node)
    clock.time_ns += 24 * HOUR_NS
    look(node)
    write(node, "stays v=3 3")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # threads die too
@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("stop_at", range(6, 24))
def test_a_process_that_dies_anywhere_is_continued_by_the_next(
    stop_at: int, landed: bool, store: ObjectStore, by_hand: None
) -> None:
    """R1, R2, R4: what an unfinished snapshot has left is looked for in the background, once after the start."""
    disk, clock = store, ManualClock()
    settings: dict[str, Any] = {"wal_flush_interval_ms": 1, "delete_grace_period_ms": DAY_MS}
    for path in NEIGHBOURS:
        disk.put_new(path, path.encode())
    dying: Node | None = None
    with suppress(Stopped, ServiceError):
        dying = open_node(StoppingStore(disk, stop_at, landed), clock, **settings)
        story(dying, clock)
    if dying is not None:
        bury(dying)
        dying._release_lock()

    clock.time_ns += 48 * HOUR_NS
    node = open_node(disk, clock, **settings)
    wait_until(lambda: node._schedule.inspected)
    look(node)
    if node._catalog.state().database("db").find_table("gone") is not None:
        node.drop_table("db", "gone", 0)
        clock.time_ns += 48 * HOUR_NS
        look(node)
    tables = [found.name for found in node.list_tables("db") if found.db_schema == "iox"]
    found = read(node, "SELECT arrow_cast(time, 'Int64') AS ns FROM stays") if tables else []
    live = {info.path for info in disk.list("n/dbs/")} - set(NEIGHBOURS)

    assert tables in ([], ["stays"])
    assert len(found) == len({row["ns"] for row in found})
    assert live == {file.path for file in node._files.files}
    assert rows_in_log(node, disk) <= {(1, 0)}, "the table that went was the second one"
    assert [path for path in NEIGHBOURS if disk.get(path) != path.encode()] == []
    node.close()
