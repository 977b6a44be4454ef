"""Which files are live."""

import pytest

from catalog.errors import Damaged
from engine.files.index import FileIndex
from engine.files.manifest import DataFile, Manifest
from engine.paths import NodePaths
from engine.storage.memory import MemoryStore

PATHS = NodePaths("n")


def file(name: str) -> DataFile:
    return DataFile(f"n/dbs/{name}.parquet", 1, 1, 1, 1, 0, 0)


def grown(store: MemoryStore, count: int) -> FileIndex:
    index = FileIndex.open(store, PATHS)
    for number in range(index.number + 1, index.number + count + 1):
        index.add(Manifest(number, number * 10, (file(f"f{number}"),), ()))
        index.write_index_if_due()
    return index


def test_files_are_live_from_the_manifest_that_adds_to_the_one_that_removes() -> None:
    """F1."""
    store = MemoryStore()
    index = FileIndex.open(store, PATHS)
    index.add(Manifest(1, 10, (file("a"), file("b")), ()))
    index.add(Manifest(2, 20, (file("c"),), (file("a").path,)))

    again = FileIndex.open(store, PATHS)

    assert {f.path for f in again.files} == {f.path for f in index.files} == {file("b").path, file("c").path}
    assert (again.number, again.wal_sequence) == (2, 20)


def test_a_missing_manifest_stops_the_start_by_name() -> None:
    """F2."""
    store = MemoryStore()
    grown(store, 3)
    store.delete(PATHS.manifest(2))

    with pytest.raises(Damaged, match=PATHS.manifest(2)):
        FileIndex.open(store, PATHS)


def test_opening_reads_an_index_and_what_came_after() -> None:
    """F3."""
    store = MemoryStore()
    index = grown(store, 100)

    kept = [info.path for info in store.list(PATHS.snapshot_prefix)]
    again = FileIndex.open(store, PATHS)

    assert again.files == index.files
    assert len(kept) < 75


def test_a_damaged_index_is_replaced_by_the_one_before_and_its_manifests() -> None:
    """F3."""
    store = MemoryStore()
    index = grown(store, 100)
    store.put(PATHS.file_index(96), b"rubbish")

    assert {f.path for f in FileIndex.open(store, PATHS).files} == {f.path for f in index.files}
