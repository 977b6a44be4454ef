"""Where groups are kept: segment files on a real disk, objects in a store, and what their failures mean."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from engine.ownership import Fenced
from engine.paths import NodePaths
from engine.storage.base import ObjectInfo, ObjectMissing, OutcomeUnknown, StoreFull, StorePermission, StoreUnavailable
from engine.storage.local import LocalStore, sync_directory
from engine.storage.memory import MemoryStore
from engine.wal import log as log_module
from engine.wal.log import ObjectLog, SegmentLog, SyncedFile, claim, open_log
from tests.helpers.wal import DoubtfulStore, faulty_file

PATHS = NodePaths("n")


def segment(root: Path, first_sequence: int) -> Path:
    return root / PATHS.wal(first_sequence)


def names(log: SegmentLog | ObjectLog) -> list[int]:
    return [int(info.path.rpartition("/")[2].removesuffix(".wal")) for info in log.objects()]


# segment files


def test_groups_are_appended_to_one_file_until_it_is_rolled(tmp_path: Path) -> None:
    """G1."""
    log = SegmentLog(LocalStore(tmp_path), PATHS)

    log.append(1, [b"one", b"-"])
    log.append(2, [b"two"])
    log.roll()
    log.append(3, [b"three"])

    assert segment(tmp_path, 1).read_bytes() == b"one-two"
    assert segment(tmp_path, 3).read_bytes() == b"three"
    assert log.open_bytes == len(b"three")
    assert [log.read(info.path) for info in log.objects()] == [b"one-two", b"three"]


def test_every_name_on_the_way_to_a_group_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G2: power may fail before anything else is stored in the node's directory."""
    synced: list[str] = []

    def noted(directory: str) -> None:
        sync_directory(directory)
        synced.append(directory)

    monkeypatch.setattr(log_module, "sync_directory", noted)
    (tmp_path / "n").mkdir()

    SegmentLog(LocalStore(tmp_path), PATHS).append(1, [b"one"])

    assert synced == [str(tmp_path / "n"), str(tmp_path / "n" / "wal")]


def test_many_small_pieces_are_written_whole(tmp_path: Path) -> None:
    """G2: more of them than one system call takes."""
    pieces = [b"%d," % number for number in range(5000)]
    log = SegmentLog(LocalStore(tmp_path), PATHS)

    log.append(1, [b"", *pieces, b""])

    assert segment(tmp_path, 1).read_bytes() == b"".join(pieces)


def test_a_second_owner_is_stopped_by_the_name_of_the_first_segment(tmp_path: Path) -> None:
    """G1."""
    SegmentLog(LocalStore(tmp_path), PATHS).append(1, [b"mine"])

    with pytest.raises(Fenced, match=PATHS.wal(1)):
        SegmentLog(LocalStore(tmp_path), PATHS).append(1, [b"theirs"])

    assert segment(tmp_path, 1).read_bytes() == b"mine"


def test_the_group_and_the_name_of_its_file_are_synced_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G2."""
    calls: list[str] = []
    log = SegmentLog(LocalStore(tmp_path), PATHS)

    def noted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object) -> object:
            calls.append(name)
            return real(*given)

        return call

    for name in ("fdatasync", "fsync", "pwritev", "ftruncate"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))

    log.append(1, [b"one"])
    log.append(2, [b"two"])
    log.cut(PATHS.wal(1), 3)

    assert calls == ["fsync", "pwritev", "fdatasync", "pwritev", "fdatasync", "ftruncate", "fsync"]


def test_an_append_that_fails_half_way_leaves_nothing_of_its_group(tmp_path: Path) -> None:
    """G2: any error but OutcomeUnknown says so."""
    file = faulty_file()
    log = SegmentLog(LocalStore(tmp_path), PATHS, file)
    log.append(1, [b"first"])
    file.torn_after = 4

    with pytest.raises(StoreUnavailable, match="input/output error"):
        log.append(2, [b"torn group"])
    log.append(2, [b"second"])

    assert segment(tmp_path, 1).read_bytes() == b"firstsecond"


def test_an_append_that_cannot_be_cut_off_again_is_unknown_until_it_can(tmp_path: Path) -> None:
    """G2, G3."""
    file = faulty_file()
    log = SegmentLog(LocalStore(tmp_path), PATHS, file)
    log.append(1, [b"first"])
    file.torn_after, file.stuck = 4, 2

    with pytest.raises(OutcomeUnknown, match=PATHS.wal(1)):
        log.append(2, [b"torn group"])
    with pytest.raises(AssertionError, match="resolve first"):
        log.append(2, [b"second"])
    with pytest.raises(StoreUnavailable):
        log.resolve()
    assert segment(tmp_path, 1).read_bytes() == b"firsttorn"

    assert log.resolve() is False
    log.append(2, [b"second"])
    assert segment(tmp_path, 1).read_bytes() == b"firstsecond"


LIMITED = """
import resource, signal, sys
from engine.ownership import Fenced
from engine.paths import NodePaths
from engine.storage.base import StoreFull
from engine.storage.local import LocalStore
from engine.wal.log import SegmentLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = SegmentLog(LocalStore(sys.argv[1]), NodePaths("n"))
log.append(1, [b"x" * 60_000])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for _ in range(2):
    try:
        log.append(2, [b"y" * 30_000, b"z" * 30_000])
    except StoreFull as error:
        print(error, log.open_bytes)
log.append(2, [b"small"])
"""


def test_a_real_file_that_may_not_grow_is_cut_back_and_goes_on_with_smaller_groups(tmp_path: Path) -> None:
    """G2: a real limit of the operating system, in a process of its own."""
    ran = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("beyond the largest file allowed") == 2
    assert ran.stdout.count(" 60000") == 2
    assert segment(tmp_path, 1).read_bytes() == b"x" * 60_000 + b"small"


def test_a_segment_whose_name_cannot_be_made_durable_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G2: the same group can be appended when the disk works again, and nobody takes the file for another process's."""
    log = SegmentLog(LocalStore(tmp_path), PATHS)

    def fail(_directory: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(log_module, "sync_directory", fail)
        with pytest.raises(StoreUnavailable, match=PATHS.wal(1)):
            log.append(1, [b"first"])
    assert not segment(tmp_path, 1).exists()

    log.append(1, [b"first"])
    assert segment(tmp_path, 1).read_bytes() == b"first"


def test_a_directory_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G2."""

    def refuse(path: Path, *, create: bool) -> SyncedFile:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    log = SegmentLog(LocalStore(tmp_path), PATHS, refuse)

    with pytest.raises(StorePermission, match=PATHS.wal(1)):
        log.append(1, [b"first"])


def test_cutting_takes_the_end_and_a_file_of_which_nothing_is_left(tmp_path: Path) -> None:
    """G1: the next group may have the name."""
    log = SegmentLog(LocalStore(tmp_path), PATHS)
    log.append(1, [b"whole torn"])
    log.close()

    assert log.cut(PATHS.wal(1), 5)
    assert segment(tmp_path, 1).read_bytes() == b"whole"
    assert log.cut(PATHS.wal(1), 0)
    assert not segment(tmp_path, 1).exists()

    log.append(1, [b"next"])
    assert segment(tmp_path, 1).read_bytes() == b"next"


def test_trimming_deletes_what_lies_wholly_behind_and_never_what_is_appended_to(tmp_path: Path) -> None:
    """G1."""
    log = SegmentLog(LocalStore(tmp_path), PATHS)
    for sequence in range(1, 7):
        log.append(sequence, [b"%d" % sequence])
        if sequence % 2 == 0 and sequence < 6:
            log.roll()

    assert names(log) == [1, 3, 5]
    assert log.trim(1) == 0
    assert log.trim(3) == 1
    assert names(log) == [3, 5]
    assert log.trim(6) == 1
    assert names(log) == [5], "the open file stays"

    log.roll()
    assert log.trim(6) == 1
    assert names(log) == []


def test_segments_are_kept_as_far_as_they_are_wanted(tmp_path: Path) -> None:
    """G4."""
    log = SegmentLog(LocalStore(tmp_path), PATHS)
    for sequence in range(1, 7):
        log.append(sequence, [b"%d" % sequence])
        log.roll()

    assert log.trim(5, keep=2) == 3
    assert names(log) == [4, 5, 6]
    assert log.kept_objects == 0


# one object a group


def test_each_group_is_an_object_of_its_own() -> None:
    """G1."""
    store = MemoryStore()
    log = open_log(store, PATHS)

    log.append(1, [b"o", b"ne"])
    log.append(2, [b"two"])

    assert isinstance(log, ObjectLog)
    assert [store.get(info.path) for info in log.objects()] == [b"one", b"two"]
    assert log.trim(1) == 1
    assert names(log) == [2]


def test_a_second_owner_is_stopped_by_the_name_of_the_first_object() -> None:
    """G1."""
    store = MemoryStore()
    ObjectLog(store, PATHS).append(1, [b"mine"])

    with pytest.raises(Fenced, match=PATHS.wal(1)):
        ObjectLog(store, PATHS).append(1, [b"mine"])

    assert store.get(PATHS.wal(1)) == b"mine"


def test_a_full_store_stores_nothing_and_the_next_group_may_have_the_name() -> None:
    """G2."""
    store = DoubtfulStore()
    store.faults = ["full"]
    log = ObjectLog(store, PATHS)

    with pytest.raises(StoreFull):
        log.append(1, [b"first"])
    log.append(1, [b"another"])

    assert store.get(PATHS.wal(1)) == b"another"


@pytest.mark.parametrize("landed", ["lost", "unanswered"])
def test_a_group_of_unknown_outcome_is_stored_when_resolved(landed: str) -> None:
    """G2, G3: stored once, whether or not the first request had come through."""
    store = DoubtfulStore()
    store.faults = [landed]
    log = ObjectLog(store, PATHS)

    with pytest.raises(OutcomeUnknown):
        log.append(1, [b"group"])
    with pytest.raises(AssertionError, match="resolve first"):
        log.append(2, [b"later"])

    assert log.resolve() is True
    log.append(2, [b"later"])
    assert [store.get(info.path) for info in log.objects()] == [b"group", b"later"]


def test_an_outcome_stays_unknown_while_the_store_does_not_tell() -> None:
    """G3."""
    store = DoubtfulStore()
    store.faults = ["unanswered", "full", None]
    store.unreadable = 1
    log = ObjectLog(store, PATHS)
    with pytest.raises(OutcomeUnknown):
        log.append(1, [b"group"])

    with pytest.raises(StoreFull):
        log.resolve()
    with pytest.raises(StoreUnavailable):
        log.resolve()

    assert log.resolve() is True


def test_a_request_that_arrives_late_is_still_ours() -> None:
    """G3: given up for lost, then stored just before we try again."""
    store = DoubtfulStore()
    store.faults = ["lost"]
    log = ObjectLog(store, PATHS)
    with pytest.raises(OutcomeUnknown):
        log.append(1, [b"group"])
    store.late = (PATHS.wal(1), b"group")

    assert log.resolve() is True


def test_a_name_that_another_process_took_meanwhile_stops_this_one() -> None:
    """G1, G3."""
    store = DoubtfulStore()
    store.faults = ["lost"]
    log = ObjectLog(store, PATHS)
    with pytest.raises(OutcomeUnknown):
        log.append(1, [b"group"])
    store.late = (PATHS.wal(1), b"theirs")

    with pytest.raises(Fenced, match=PATHS.wal(1)):
        log.resolve()


def test_an_object_has_no_torn_end() -> None:
    """G2: it is stored whole, so what looks cut off is damage."""
    store = MemoryStore()
    store.put(PATHS.wal(1), b"half a gro")

    assert ObjectLog(store, PATHS).cut(PATHS.wal(1), 0) is False
    assert store.get(PATHS.wal(1)) == b"half a gro"


def test_what_is_read_is_named_when_it_is_missing() -> None:
    """G2."""
    with pytest.raises(ObjectMissing, match=PATHS.wal(3)):
        ObjectLog(MemoryStore(), PATHS).read(PATHS.wal(3))


def test_objects_are_kept_as_far_as_they_are_wanted_and_claims_beyond_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """G4, G1."""
    log = ObjectLog(MemoryStore(), PATHS)
    monkeypatch.setattr(log_module, "_CLAIMS_KEPT", 2)
    claimed = []
    for _ in range(4):
        claimed.append(claim(log, 0, str(uuid4())))
        for sequence in range(claimed[-1] + 1, claimed[-1] + 5):
            log.append(sequence, [b"group"])

    assert claimed == [1, 6, 11, 16]
    log.trim(17, keep=3)
    assert names(log) == [11, 14, 15, 16, 17, 18, 19, 20]
    log.trim(20)
    assert names(log) == [11, 16]
    assert claim(log, 20, str(uuid4())) == 21


def test_a_claim_takes_the_next_number_though_another_process_goes_on_writing() -> None:
    """G1."""
    store = MemoryStore()
    mine, theirs = ObjectLog(store, PATHS), ObjectLog(store, PATHS)
    theirs.append(1, [b"group"])
    listed, asked = mine.objects, 0

    def late_listing() -> list[ObjectInfo]:
        nonlocal asked
        found, asked = listed(), asked + 1
        if asked <= 2:
            theirs.append(asked + 1, [b"group"])
        return found

    mine.objects = late_listing  # type: ignore[method-assign]

    assert claim(mine, 0, str(uuid4())) == 4
    with pytest.raises(Fenced, match=PATHS.wal(4)):
        theirs.append(4, [b"group"])


def test_a_log_without_objects_has_nothing_to_trim(tmp_path: Path) -> None:
    """G4."""
    assert SegmentLog(LocalStore(tmp_path), PATHS).trim(5) == 0
    assert ObjectLog(MemoryStore(), PATHS).trim(5) == 0
