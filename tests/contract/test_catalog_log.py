"""What every place that keeps a catalog's log must do; LOGS names them all."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.catalog import Catalog
from catalog.log import CatalogLog, LogTaken
from engine.catalog_log import StoredCatalogLog
from engine.paths import CatalogPaths
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from tests.helpers.catalog_log import FixedClock, MemoryLog

Reopen = Callable[[], CatalogLog]
"""The log as another process, or the next one, finds it."""


def memory_log(directory: Path) -> Reopen:
    log = MemoryLog()
    return lambda: log


def stored_in_memory(directory: Path) -> Reopen:
    store = MemoryStore()
    return lambda: StoredCatalogLog(store, CatalogPaths("node0"))


def stored_on_disk(directory: Path) -> Reopen:
    return lambda: StoredCatalogLog(LocalStore(directory), CatalogPaths("node0"))


LOGS: dict[str, Callable[[Path], Reopen]] = {
    "memory": memory_log,
    "stored in memory": stored_in_memory,
    "stored on disk": stored_on_disk,
}


@pytest.fixture(params=LOGS)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Reopen:
    return LOGS[request.param](tmp_path)


def test_an_empty_log_has_nothing(reopen: Reopen) -> None:
    assert list(reopen().read(0)) == []
    assert reopen().read_checkpoint() is None


def test_batches_are_read_in_order_from_any_place(reopen: Reopen) -> None:
    """G2, G3."""
    log = reopen()
    for sequence in range(1, 13):
        log.append(sequence, b"batch %d" % sequence)

    assert list(reopen().read(0)) == [(sequence, b"batch %d" % sequence) for sequence in range(1, 13)]
    assert list(reopen().read(10)) == [(11, b"batch 11"), (12, b"batch 12")]
    assert list(reopen().read(12)) == []


def test_a_number_is_given_once(reopen: Reopen) -> None:
    """G1; L1 of the log in the object store."""
    reopen().append(1, b"first")

    with pytest.raises(LogTaken):
        reopen().append(1, b"second")
    with pytest.raises(LogTaken):
        reopen().append(1, b"first")

    assert list(reopen().read(0)) == [(1, b"first")]


def test_of_many_writers_one_wins(reopen: Reopen) -> None:
    """G1."""
    won: list[int] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        log = reopen()
        start.wait()
        try:
            log.append(1, b"writer %d" % number)
        except LogTaken:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert list(reopen().read(0)) == [(1, b"writer %d" % won[0])]


def test_the_last_checkpoint_written_is_the_one_read(reopen: Reopen) -> None:
    """G4."""
    reopen().write_checkpoint(200, b"two hundred")
    assert reopen().read_checkpoint() == (200, b"two hundred")

    reopen().write_checkpoint(100, b"one hundred")
    assert reopen().read_checkpoint() == (100, b"one hundred")


def test_objects_have_names_that_people_can_find(reopen: Reopen) -> None:
    log = reopen()

    assert log.batch_name(7) != log.batch_name(8)
    assert "7" in log.batch_name(7)
    assert log.checkpoint_name() not in ("", log.batch_name(0))


def test_a_catalog_lives_in_it(reopen: Reopen) -> None:
    """G1-G4."""
    catalog = Catalog.open(reopen(), clock=FixedClock())
    catalog.write_checkpoint()

    assert Catalog.open(reopen(), clock=FixedClock()).state() == catalog.state()
