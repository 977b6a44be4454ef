"""Is everything there that the manifests list, and nothing else?"""

import pytest

from catalog.errors import Damaged
from engine.files.index import FileIndex
from engine.files.inspection import Findings, inspect, refuse_lost_manifest
from engine.files.manifest import DataFile, Manifest
from engine.paths import NodePaths
from engine.storage.base import Listing
from engine.storage.memory import MemoryStore

PATHS = NodePaths("n")


def path(name: str) -> str:
    return f"{PATHS.data_prefix}1/0/{name}.parquet"


def file(name: str, size: int = 4) -> DataFile:
    return DataFile(path(name), 1, 0, 1, size, 0, 0)


def indexed(store: MemoryStore, *names: str) -> FileIndex:
    index = FileIndex.open(store, PATHS)
    for name in names:
        store.put_new(path(name), b"rows")
    index.add(Manifest(1, 1, tuple(file(name) for name in names), ()))
    return index


def test_nothing_is_said_when_all_is_there() -> None:
    """X1, X2."""
    store = MemoryStore()
    index = indexed(store, "a", "b")

    findings = inspect(store, PATHS, index)

    assert findings == Findings((), ())


def test_what_is_missing_or_of_another_size_is_named() -> None:
    """X1."""
    store = MemoryStore()
    index = indexed(store, "a", "b", "c", "d")
    store.delete(path("a"))
    store.put(path("b"), b"row")
    store.put(path("c"), b"")

    findings = inspect(store, PATHS, index)

    assert [damage.message for damage in findings.damaged] == [
        f"file {path('a')} is missing",
        f"file {path('b')} is damaged: it has 3 bytes and should have 4",
        f"file {path('c')} is damaged: it has 0 bytes and should have 4",
    ]
    assert [damage.details["object"] for damage in findings.damaged] == [path("a"), path("b"), path("c")]


def test_what_no_manifest_lists_is_a_leftover() -> None:
    """X2: removed ones included; other nodes' objects and other kinds are not ours to judge."""
    store = MemoryStore()
    index = indexed(store, "a", "b")
    index.add(Manifest(2, 2, (), (path("b"),)))
    store.put(path("c"), b"rows")
    store.put("other/dbs/1/0/d.parquet", b"rows")

    assert inspect(store, PATHS, index).leftovers == (path("b"), path("c"))


def snapshot_file(number: int) -> str:
    return PATHS.parquet(1, 0, 0, number, 0, "ab")


def test_files_that_only_a_lost_manifest_can_have_listed_are_no_leftovers() -> None:
    """X4."""
    store = MemoryStore()
    index = indexed(store, "a")
    for number in (2, 3):
        store.put_new(snapshot_file(number), b"rows")

    with pytest.raises(Damaged, match=f"{PATHS.manifest(2)} is missing.* and 2 files of later snapshots") as refused:
        refuse_lost_manifest(store, PATHS, index)

    assert refused.value.hint is not None


def test_files_of_older_snapshots_are_leftovers_whatever_the_log_holds() -> None:
    """X4: of one that failed and was tried again, or replaced since."""
    store = MemoryStore()
    index = indexed(store, "a")
    store.put_new(snapshot_file(1), b"rows")

    refuse_lost_manifest(store, PATHS, index)

    assert inspect(store, PATHS, index).leftovers == (snapshot_file(1),)


def test_what_is_added_while_the_store_is_listed_is_neither() -> None:
    """X3."""

    class Growing(MemoryStore):
        def list(self, prefix: str) -> Listing:
            found = super().list(prefix)
            if prefix == PATHS.data_prefix:
                self.put_new(path("new"), b"rows")
                index.add(Manifest(2, 2, (file("new"),), ()))
            return found

    store = Growing()
    index = indexed(store, "a")

    findings = inspect(store, PATHS, index)

    assert findings == Findings((), ())
    assert index.is_live(path("new"))


def test_what_is_replaced_while_the_store_is_listed_is_not_missing() -> None:
    """X3: its rows lie in another file by then."""

    class Shrinking(MemoryStore):
        def list(self, prefix: str) -> Listing:
            if prefix == PATHS.data_prefix:
                index.add(Manifest(2, 2, (), (path("a"),)))
                self.delete(path("a"))
            return super().list(prefix)

    store = Shrinking()
    index = indexed(store, "a", "b")

    findings = inspect(store, PATHS, index)

    assert findings == Findings((), ())
