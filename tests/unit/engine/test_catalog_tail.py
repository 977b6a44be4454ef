"""Nodes of one cluster: what they know of each other's changes, and what stays each node's own."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from catalog.errors import AlreadyExists, NotFound, Unavailable
from engine.catalog_tail import CatalogTail
from engine.clock import SystemClock
from engine.node import Node
from engine.persist import schedule
from engine.settings import Settings
from engine.storage.base import ObjectStore
from engine.storage.memory import MemoryStore
from tests.helpers.engine import ManualClock, read, times, write
from tests.helpers.servers import wait_until

HOUR_NS = 3600 * 10**9


class Outage(MemoryStore):
    """A store that does not answer while it is said not to."""

    down = False

    def get(self, path: str) -> bytes:
        if self.down and "/catalog/log/" in path:
            raise Unavailable("no answer")
        return super().get(path)


@pytest.fixture
def store() -> Outage:
    return Outage()


def node_of(store: ObjectStore, name: str, clock: ManualClock | None = None, cluster_id: str | None = "c") -> Node:
    settings = Settings(
        name,
        cluster_id=cluster_id,
        catalog_sync_interval_ms=20,
        wal_flush_interval_ms=1,
        wal_files_per_snapshot=10**9,
        delete_grace_period_ms=1,
    )
    return Node.open(settings, store, clock or ManualClock())


@pytest.fixture
def pair(store: Outage) -> Iterator[tuple[Node, Node]]:
    with ExitStack() as nodes:
        both = [node_of(store, name) for name in ("a", "b")]
        for node in both:
            nodes.callback(node.close)
        yield both[0], both[1]


def names(node: Node, *, show_deleted: bool = False) -> list[str]:
    return [found.name for found in node.list_databases(show_deleted=show_deleted) if found.name != "_internal"]


def test_a_node_sees_what_another_one_changes_within_a_moment(pair: tuple[Node, Node]) -> None:
    """G1: databases, tables, columns, retention, deletion; nobody has to ask for it."""
    here, there = pair

    here.create_database("db", HOUR_NS)
    wait_until(lambda: names(there) == ["db"])
    there.create_table("db", "t", ["host"], {"v": "float64"}, 5 * HOUR_NS)
    wait_until(lambda: [table.name for table in here.describe_tables("db")] == ["t"])
    write(here, "t,host=a v=1,w=2 1")
    wait_until(lambda: set(there.describe_tables("db")[0].fields) == {"v", "w"})
    there.set_retention("db", None)
    wait_until(lambda: here.list_databases()[1].retention_ns is None)
    there.drop_database("db")
    wait_until(lambda: names(here) == [])
    with pytest.raises(NotFound):
        read(here, "SELECT 1")


def test_both_create_the_same_and_one_is_told(pair: tuple[Node, Node]) -> None:
    """G2: a commit reads on by itself, however long the next look is away."""
    here, there = pair
    for node in pair:
        assert node._tail is not None
        node._tail.close()

    here.create_database("db")

    with pytest.raises(AlreadyExists):
        there.create_database("db")
    write(here, "t,host=a v=1 1")
    report = write(there, "t,host=b v=2i 2\nt,host=b v=2,w=3 2")
    assert [line.line_number for line in report.rejected] == [1], "read in the light of what the other one has made"
    assert there.describe_tables("db")[0].fields == {"v": "float64", "w": "float64"}


def test_rows_are_each_nodes_own(pair: tuple[Node, Node], store: Outage) -> None:
    """G1: the catalog is what nodes share; what a table is called and made of, not what is in it."""
    here, there = pair
    write(here, "t,host=a v=1 1")
    write(there, "t,host=b v=2 2")
    here.snapshot_now()
    there.snapshot_now()

    assert (times(here), times(there)) == ([1], [2])
    assert len({(file.database_id, file.table_id) for node in pair for file in node._files.files}) == 1
    assert {info.path.split("/")[0] for info in store.list("") if info.path.endswith(".parquet")} == {"a", "b"}
    assert {info.path.split("/")[0] for info in store.list("") if "/catalog/" in info.path} == {"c"}


def test_others_can_join_a_node_that_has_run_alone(store: Outage) -> None:
    """G1: its catalog is that of a cluster called like itself."""
    node = node_of(store, "a", cluster_id=None)
    write(node, "t,host=a v=1 1")
    node.close()

    here, there = (node_of(store, name, cluster_id="a") for name in ("a", "b"))
    write(there, "t,host=b v=2 2")
    here.create_database("more")
    wait_until(lambda: "more" in names(there))

    assert (times(here), times(there)) == ([1], [2])
    for node in (here, there):
        node.close()


def test_a_store_that_does_not_answer_is_told_of_and_looked_at_again(pair: tuple[Node, Node], store: Outage) -> None:
    """G2."""
    here, there = pair
    store.down = True
    wait_until(lambda: "not seen" in str(there.health()["problems"]))
    store.down = False
    here.create_database("db")

    wait_until(lambda: names(there) == ["db"])
    wait_until(lambda: there.health()["status"] == "pass")


def test_nothing_is_read_after_the_end() -> None:
    """G3."""

    class Counting:
        looks = 0
        looked = threading.Event()

        def refresh(self) -> None:
            self.looks += 1
            self.looked.set()

    catalog = Counting()
    tail = CatalogTail(catalog, interval_s=0.001)
    assert catalog.looked.wait(10)
    tail.close()
    looks = catalog.looks

    assert not threading.Event().wait(0.05)
    assert catalog.looks == looks


def test_what_one_node_removes_for_good_every_node_clears_away(store: Outage) -> None:
    """G1: also one that was not there, when it comes back."""
    clock = ManualClock(SystemClock().now_ns())
    here, there = node_of(store, "a", clock), node_of(store, "b", clock)
    for node in (here, there):
        write(node, "gone v=1 1\nstays v=1 1")
        node.snapshot_now()
        write(node, "gone v=2 2")
    there.close()

    here.drop_table("db", "gone", 0)
    clock.time_ns += HOUR_NS
    wait_until(lambda: [table.name for table in here.describe_tables("db", show_deleted=True)] == ["stays"])
    there = node_of(store, "b", clock)
    wait_until(lambda: there._schedule.inspected and not there._schedule._removals._strangers)

    for node in (here, there):
        assert {info.path for info in store.list(f"{node.node_id}/dbs/")} == {file.path for file in node._files.files}
        assert times(node, "stays") == [1]
        assert len(node._files.files) == 1
        node.close()


def test_what_is_removed_while_another_node_watches_goes_there_too(store: Outage, monkeypatch: pytest.MonkeyPatch) -> None:
    """G1."""
    monkeypatch.setattr(schedule, "_LOOK_EVERY_S", 0.05)
    clock = ManualClock(SystemClock().now_ns())
    here, there = node_of(store, "a", clock), node_of(store, "b", clock)
    for node in (here, there):
        write(node, "gone v=1 1\nstays v=1 1")
        node.snapshot_now()

    here.drop_table("db", "gone", 0)
    clock.time_ns += HOUR_NS

    wait_until(lambda: {path.split("/")[3] for path in parquet(store)} == {"1"})
    for node in (here, there):
        assert node.health()["status"] == "pass"
        assert times(node, "stays") == [1]
        node.close()


def parquet(store: ObjectStore) -> list[str]:
    return [info.path for info in store.list("") if info.path.endswith(".parquet")]
