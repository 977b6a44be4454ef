"""A whole store: nodes, catalogs, and what belongs to others."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.storage.base import ObjectInfo
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from engine.verify.walk import NothingToVerify, verify_store
from tests.helpers.engine import open_node, running, write
from tests.unit.engine.verify.conftest import Damaged


def test_nothing_is_changed(store: Damaged) -> None:
    """V1."""
    store.add("n/dbs/1/0/.tmp-0123")
    before = {path: (store.root / path).read_bytes() for path in store.all("**/*")}

    store.report()

    assert {path: (store.root / path).read_bytes() for path in store.all("**/*")} == before


def nothing() -> None: ...


class Meanwhile(MemoryStore):
    """A store on which something happens while it is listed."""

    def __init__(self) -> None:
        super().__init__()
        self.happens: Callable[[], None] = nothing

    def list(self, prefix: str) -> list[ObjectInfo]:
        found = super().list(prefix)
        happens, self.happens = self.happens, nothing
        happens()
        return found


def test_what_a_server_does_meanwhile_is_no_finding() -> None:
    """V2, B5."""
    store = Meanwhile()
    node = open_node(store)
    for number in range(4):
        write(node, f"cpu,host=a usage={number} {number}")

        def goes_on(number: int = number) -> None:
            write(node, f"new{number},host=a usage=1 1")
            node.snapshot_now()

        store.happens = goes_on

        assert verify_store(store).findings == ()
    node.close()


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_server_that_never_rests_is_never_accused(kind: str, tmp_path: Path) -> None:
    """V2, B5."""
    store = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    node = open_node(store)
    done = threading.Event()

    def busy() -> None:
        number = 0
        while not done.is_set():
            number += 1
            write(node, f"cpu,host=h{number} usage={number} {number}\nt{number % 50} f{number % 7}=1 1")
            if number % 5 == 0:
                node.snapshot_now()

    write(node, "cpu usage=1 1")
    thread = threading.Thread(target=busy)
    thread.start()
    try:
        reports = [verify_store(store) for _ in range(5)]
    finally:
        done.set()
        thread.join()
        node.close()

    assert [report.findings for report in reports] == [()] * 5


def test_neighbours_are_told_apart(store: Damaged) -> None:
    """V3."""
    store.add("somebody/elses/data.csv")
    store.add("backup.tar")

    report = store.report()

    assert report.findings == ()
    assert report.others == 2


def test_nodes_that_share_a_catalog_are_looked_at_with_it() -> None:
    """V3."""
    store = MemoryStore()
    with running(store, cluster_id="c") as node:
        write(node, "cpu usage=1 1")

    whole = verify_store(store)
    alone = verify_store(store, node_id="n", catalog_prefix="c")

    assert [catalog.prefix for catalog in whole.catalogs] == ["c"]
    assert [(node.node_id, node.catalog) for node in whole.nodes] == [("n", "c")]
    assert (whole.findings, alone.findings) == ((), ())
    with pytest.raises(NothingToVerify, match="holds no catalog of node n"):
        verify_store(store, node_id="n")


def test_a_node_without_its_catalog_is_named() -> None:
    store = MemoryStore()
    with running(store, cluster_id="c") as node:
        write(node, "cpu usage=1 1")
    for info in store.list("c/"):
        store.delete(info.path)

    assert [finding.about for finding in verify_store(store).findings] == [("missing", "n")]


def test_an_empty_store_and_an_unknown_node_are_said(store: Damaged) -> None:
    with pytest.raises(NothingToVerify, match="holds no catalog and no node"):
        verify_store(MemoryStore())
    with pytest.raises(NothingToVerify, match="holds nothing of a node other"):
        verify_store(LocalStore(store.root, only_reading=True), node_id="other")
