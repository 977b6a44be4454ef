"""Which files are live."""

import threading

import pytest

from catalog.errors import Damaged
from engine.files.index import FileIndex
from engine.files.manifest import DataFile, Manifest
from engine.ownership import Fenced
from engine.paths import NodePaths
from engine.storage.base import OutcomeUnknown, StoreFull
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


@pytest.mark.parametrize("fault", ["lost", "unanswered"])
def test_a_manifest_whose_answer_was_lost_is_stored_once_and_known_to_be_true(fault: str) -> None:
    """F4."""
    store = DoubtfulStore()
    index = FileIndex.open(store, PATHS)
    store.faults = [fault, "full"]

    index.add(Manifest(1, 10, (file("a"),), ()))
    index.add(Manifest(2, 20, (file("b"),), ()))

    assert FileIndex.open(store, PATHS).files == index.files == (file("a"), file("b"))


def test_a_manifest_that_is_certainly_not_stored_leaves_the_number_to_the_next_one() -> None:
    """F1."""
    store = DoubtfulStore()
    index = FileIndex.open(store, PATHS)
    store.faults = ["full"]

    with pytest.raises(StoreFull):
        index.add(Manifest(1, 10, (file("a"),), ()))
    index.add(Manifest(1, 20, (file("b"),), ()))

    assert FileIndex.open(store, PATHS).files == index.files == (file("b"),)


def test_a_process_that_ends_does_not_wait_for_the_fate_of_a_manifest() -> None:
    """F4: the next start finds out."""
    store = DoubtfulStore()
    index = FileIndex.open(store, PATHS)
    store.faults = ["lost"] * 1000
    threading.Timer(0.1, index.give_up).start()

    with pytest.raises(OutcomeUnknown):
        index.add(Manifest(1, 10, (file("a"),), ()))


def test_a_number_that_is_taken_means_that_the_node_is_somebody_elses() -> None:
    """F5."""
    store = MemoryStore()
    mine, theirs = FileIndex.open(store, PATHS), FileIndex.open(store, PATHS)
    theirs.claim("them")

    with pytest.raises(Fenced, match=PATHS.manifest(1)):
        mine.add(Manifest(1, 10, (file("a"),), ()))


def test_a_claim_takes_in_what_was_stored_before_it() -> None:
    """F5."""
    store = MemoryStore()
    mine = FileIndex.open(store, PATHS)
    grown(store, 3)

    mine.claim("me")

    assert (mine.number, mine.wal_sequence) == (4, 30)
    assert mine.files == FileIndex.open(store, PATHS).files


def test_the_index_is_brought_up_to_date_though_claims_take_numbers_too() -> None:
    """F3."""
    store = MemoryStore()
    for _ in range(300):
        index = FileIndex.open(store, PATHS)
        index.claim("me")
        index.write_index_if_due()

    assert len(store.list(PATHS.snapshot_prefix)) < 75
