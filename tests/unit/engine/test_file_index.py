"""Which files are live."""

import pytest

from catalog.errors import Damaged
from engine.files.index import FileIndex
from engine.files.manifest import DataFile, Manifest
from engine.paths import NodePaths
from engine.storage.base import Listing, ObjectExists, OutcomeUnknown
from engine.storage.memory import MemoryStore
from tests.helpers.wal import DoubtfulStore

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


def test_whoever_claims_the_files_keeps_the_process_before_from_finishing_a_snapshot() -> None:
    """F4, F1: so what that one has under way are leftovers."""
    store = MemoryStore()
    before = grown(store, 2)

    now = FileIndex.claim(store, PATHS)

    with pytest.raises(ObjectExists):
        before.add(Manifest(before.number + 1, 30, (file("late"),), ()))
    assert {f.path for f in now.files} == {file("f1").path, file("f2").path}
    assert (now.number, now.wal_sequence) == (3, 20)
    assert FileIndex.open(store, PATHS).files == now.files


def test_a_snapshot_that_is_finished_while_the_files_are_claimed_counts() -> None:
    """F4, F1."""

    class Racing(MemoryStore):
        before: FileIndex | None = None

        def list(self, prefix: str) -> Listing:
            found = super().list(prefix)
            if self.before is not None:
                racing, self.before = self.before, None
                racing.add(Manifest(3, 30, (file("f3"),), ()))
            return found

    store = Racing()
    store.before = grown(store, 2)

    now = FileIndex.claim(store, PATHS)

    assert {f.path for f in now.files} == {file(f"f{number}").path for number in (1, 2, 3)}
    assert (now.number, now.wal_sequence) == (4, 30)


@pytest.mark.parametrize("fault", ["lost", "unanswered"])
def test_a_manifest_of_unknown_outcome_may_be_added_again(fault: str) -> None:
    """F1."""
    store = DoubtfulStore()
    index = grown(store, 1)
    store.faults = [fault]
    manifest = Manifest(2, 20, (file("a"),), (file("f1").path,))
    with pytest.raises(OutcomeUnknown):
        index.add(manifest)
    assert index.number == 1

    index.add(manifest)

    assert [f.path for f in index.files] == [f.path for f in FileIndex.open(store, PATHS).files] == [file("a").path]
