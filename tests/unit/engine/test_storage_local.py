"""engine/storage/local.py, on the disk that the tests run on."""

import errno
import fcntl
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from engine.storage import local, syncing
from engine.storage.base import (
    ObjectExists,
    ObjectInfo,
    ObjectMissing,
    OutcomeUnknown,
    StoreFull,
    StorePermission,
    StoreUnavailable,
    StoreUnfit,
)
from engine.storage.local import TEMPORARY, LocalStore
from engine.storage.syncing import can_sync_whole, sync_whole

CHILDREN = 4


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def refuse(number: int) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


def traced(name: str, calls: list[str]) -> Callable[..., object]:
    real: Callable[..., object] = getattr(os, name)

    def call(*arguments: object) -> object:
        calls.append(name)
        return real(*arguments)

    return call


def test_bytes_are_synced_before_their_name_appears_and_the_name_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L1, L3: the system calls in their order."""
    calls: list[str] = []
    for name in ("fdatasync", "fsync", "link", "rename", "mkdir", "write"):
        monkeypatch.setattr(os, name, traced(name, calls))
    store = LocalStore(tmp_path / "data")
    calls.clear()

    store.put_new("a/b/1", b"x")
    created, calls[:] = list(calls), []
    store.put_new("a/b/2", b"x")
    again, calls[:] = list(calls), []
    store.put("a/b/2", b"y")

    assert created == ["mkdir", "fsync", "mkdir", "fsync", "write", "fdatasync", "link", "fsync"]
    assert again == ["write", "fdatasync", "link", "fsync"]
    assert calls == ["write", "fdatasync", "rename", "fsync"]


def test_a_name_that_was_found_taken_is_synced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L3."""
    store = LocalStore(tmp_path)
    store.put_new("a/1", b"x")
    synced: list[str] = []
    monkeypatch.setattr(local, "sync_directory", synced.append)

    with pytest.raises(ObjectExists):
        store.put_new("a/1", b"x")

    assert synced == [str(tmp_path / "a")]


WRITE_ONE = """
import sys, os
from engine.storage.local import LocalStore
from engine.storage.base import ObjectExists
won = 0
for number in range(50):
    store = LocalStore(sys.argv[1])
    try:
        store.put_new(f"race/{number}", sys.argv[2].encode())
        won += 1
    except ObjectExists:
        pass
print(won)
"""


def test_between_processes_every_name_has_one_winner(tmp_path: Path) -> None:
    """L2."""
    children = [
        subprocess.Popen([sys.executable, "-c", WRITE_ONE, str(tmp_path), str(child)], stdout=subprocess.PIPE, text=True)
        for child in range(CHILDREN)
    ]
    won = {str(child): int(process.communicate(timeout=60)[0]) for child, process in enumerate(children)}

    owners = [(tmp_path / "race" / str(number)).read_text() for number in range(50)]
    assert {owner: owners.count(owner) for owner in won} == won


DIE_MIDWAY = """
import os, sys
from engine.storage import local
from engine.storage.local import LocalStore
store = LocalStore(sys.argv[1])
real = getattr(os, sys.argv[2])
setattr(os, sys.argv[2], lambda *args: os._exit(9))
getattr(store, sys.argv[3])("a/1", b"new" * 1000)
"""


@pytest.mark.parametrize("call", ["put_new", "put"])
@pytest.mark.parametrize("step", ["write", "fdatasync", "link", "rename", "fsync"])
def test_a_process_that_dies_within_a_call_leaves_the_old_or_the_whole_new_object(tmp_path: Path, call: str, step: str) -> None:
    """L1, L4."""
    store = LocalStore(tmp_path)
    (tmp_path / "a").mkdir()
    if call == "put":
        store.put("a/1", b"old")
    subprocess.run([sys.executable, "-c", DIE_MIDWAY, str(tmp_path), step, call], timeout=60, check=False)

    reopened = LocalStore(tmp_path)
    found = [(info.path, reopened.get(info.path)) for info in reopened.list("")]

    old = [("a/1", b"old")] if call == "put" else []
    assert found in (old, [("a/1", b"new" * 1000)])
    assert files(tmp_path) == [path for path, _ in found]


def test_leftover_temporary_files_are_no_objects_and_go_at_the_next_open(tmp_path: Path) -> None:
    """L4."""
    store = LocalStore(tmp_path)
    store.put_new("a/1", b"x")
    (tmp_path / "a" / f"{TEMPORARY}left").write_bytes(b"half")

    before = store.list("")
    LocalStore(tmp_path)

    assert before == [ObjectInfo("a/1", 1)]
    assert files(tmp_path) == ["a/1"]


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreUnfit, match="a file is there, where a directory is needed") as refused:
            LocalStore(place)
        assert "--data-dir" in str(refused.value.hint)


def test_who_only_looks_changes_nothing(tmp_path: Path) -> None:
    """L8."""
    LocalStore(tmp_path).put_new("a/1", b"x")
    (tmp_path / "a" / f"{TEMPORARY}left").write_bytes(b"half")

    listed = LocalStore(tmp_path, only_reading=True).list("")
    with pytest.raises(StoreUnavailable):
        LocalStore(tmp_path / "nowhere", only_reading=True)

    assert listed == [ObjectInfo("a/1", 1)]
    assert files(tmp_path) == [f"a/{TEMPORARY}left", "a/1"]
    assert not (tmp_path / "nowhere").exists()


def test_a_temporary_file_that_another_process_holds_is_left_to_it(tmp_path: Path) -> None:
    """L4."""
    (tmp_path / "a").mkdir()
    held = os.open(tmp_path / "a" / f"{TEMPORARY}held", os.O_CREAT | os.O_WRONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    LocalStore(tmp_path)
    kept = files(tmp_path)
    os.close(held)
    LocalStore(tmp_path)

    assert kept == [f"a/{TEMPORARY}held"]
    assert files(tmp_path) == []


def test_a_sweep_between_the_creation_of_a_file_and_its_lock_costs_another_file_and_no_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L4."""
    store = LocalStore(tmp_path)
    real, sweeps = fcntl.flock, [2]

    def flock(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_EX and sweeps[0]:
            sweeps[0] -= 1
            LocalStore(tmp_path)
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    store.put_new("a/1", b"x")

    assert sweeps == [0]
    assert files(tmp_path) == ["a/1"]


def test_what_is_no_objects_name_is_passed_over(tmp_path: Path) -> None:
    """S4, S7."""
    store = LocalStore(tmp_path)
    store.put_new("a/1", b"x")
    (tmp_path / "a" / "two words").write_bytes(b"")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "1").write_bytes(b"")
    (tmp_path / "a" / "broken").symlink_to(tmp_path / "nowhere")

    assert [info.path for info in store.list("")] == ["a/1"]


def test_a_linked_directory_is_read_and_listed_alike(tmp_path: Path) -> None:
    """S4."""
    (tmp_path / "elsewhere").mkdir()
    store = LocalStore(tmp_path / "data")
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")

    store.put_new("a/1", b"x")

    assert store.get("a/1") == (tmp_path / "elsewhere" / "1").read_bytes()
    assert [info.path for info in store.list("")] == ["a/1"]


def test_a_data_directory_that_vanishes_is_an_error_and_no_empty_store(tmp_path: Path) -> None:
    """L5, S6."""
    root = tmp_path / "data"
    store = LocalStore(root)
    store.put_new("a/1", b"x")
    root.rename(tmp_path / "away")
    calls: list[Callable[[], object]] = [
        lambda: store.get("a/1"),
        lambda: store.get_range("a/1", 0, 1),
        lambda: store.list(""),
        lambda: store.put_new("a/2", b""),
        lambda: store.put("a/1", b""),
        lambda: store.delete("a/1"),
    ]

    for call in calls:
        with pytest.raises(StoreUnavailable, match="the data directory is gone"):
            call()

    (tmp_path / "away").rename(root)
    store.put_new("a/2", b"y")
    assert [info.path for info in store.list("")] == ["a/1", "a/2"]


def test_directories_that_somebody_removed_are_made_again(tmp_path: Path) -> None:
    """S6."""
    store = LocalStore(tmp_path)
    store.put_new("a/b/c/1", b"x")
    (tmp_path / "a/b/c/1").unlink()
    for directory in ("a/b/c", "a/b", "a"):
        (tmp_path / directory).rmdir()

    store.put_new("a/b/c/1", b"y")

    assert store.get("a/b/c/1") == b"y"


def test_directories_that_deletion_empties_go_but_for_the_upper_two_levels(tmp_path: Path) -> None:
    """L6."""
    store = LocalStore(tmp_path)
    for path in ("n/wal/1", "n/dbs/1/2/day/minute/1", "n/dbs/1/3/day/1"):
        store.put_new(path, b"")
        store.delete(path)
    directories = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))

    assert directories == ["n", "n/dbs", "n/wal"]


@pytest.mark.parametrize("call", ["put_new", "put"])
@pytest.mark.parametrize(
    ("step", "number", "expected"),
    [
        ("write", errno.ENOSPC, StoreFull),
        ("fdatasync", errno.EDQUOT, StoreFull),
        ("write", errno.EFBIG, StoreFull),
        ("open", errno.EACCES, StorePermission),
        ("open", errno.EROFS, StorePermission),
        ("fdatasync", errno.EIO, StoreUnavailable),
        ("open", errno.EMFILE, StoreUnavailable),
    ],
)
def test_a_failure_before_the_name_is_there_is_definite_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, step: str, number: int, expected: type[Exception]
) -> None:
    """L7, S5, S6: errors that cannot be had from a disk at will."""
    store = LocalStore(tmp_path)
    (tmp_path / "a").mkdir()
    with monkeypatch.context() as broken:
        broken.setattr(os, step, refuse(number))
        with pytest.raises(expected, match=r"could not store file://.*/a/1: ") as failed:
            getattr(store, call)("a/1", b"x")

    assert type(failed.value) is expected
    assert files(tmp_path) == []
    store.put_new("a/1", b"x")
    assert store.get("a/1") == b"x"


@pytest.mark.parametrize("call", ["put_new", "put"])
def test_a_name_that_cannot_be_synced_leaves_the_outcome_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """L7."""
    store = LocalStore(tmp_path)
    store.put_new("a/0", b"")
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", refuse(errno.EIO))
        with pytest.raises(OutcomeUnknown, match="a/1"):
            getattr(store, call)("a/1", b"x")

    assert files(tmp_path) == ["a/0", "a/1"]


def test_a_file_system_without_links_is_said_to_be_unfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))

    with pytest.raises(StoreUnfit, match="no hard links"):
        store.put_new("a/1", b"x")

    assert files(tmp_path) == []


def test_a_read_error_names_the_object(tmp_path: Path) -> None:
    """S5."""
    store = LocalStore(tmp_path)
    store.put_new("a/b/1", b"x")

    with pytest.raises(ObjectMissing, match="a/b"):
        store.get("a/b")
    with pytest.raises(ObjectMissing, match="a/b/1/c"):
        store.get("a/b/1/c")


def test_a_large_object_is_stored_whole(tmp_path: Path) -> None:
    """S1: more than one write call may take."""
    store = LocalStore(tmp_path)
    data = os.urandom(1 << 20) * 20

    store.put_new("a/1", memoryview(data))

    assert store.get("a/1") == data
    assert store.get_range("a/1", 19 << 20, 2 << 20) == data[19 << 20 :]


MANY = [(f"n/dbs/{number}/x", b"%d" % number) for number in range(5)]


@pytest.mark.parametrize("whole", [False, True])
def test_many_objects_go_through_each_step_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """L1, L3, Y1: bytes and directories are synced before the first name appears, the names before the call returns."""
    store = LocalStore(tmp_path / "data")
    store._syncs_whole = whole
    calls: list[str] = []
    for name in ("fdatasync", "fsync", "link", "mkdir", "write"):
        monkeypatch.setattr(os, name, traced(name, calls))
    monkeypatch.setattr(local, "sync_whole", lambda _: calls.append("whole"))

    store.put_new_all(MANY)
    created, calls[:] = list(calls), []
    store.put_new_all([(f"{path}2", data) for path, data in MANY])

    syncs = ["whole"] if whole else ["fdatasync"] * 5
    entries = ["whole"] if whole else ["fsync"] * 5
    assert created == [*["mkdir"] * 7, *["write"] * 5, *syncs, *([] if whole else ["fsync"] * 3), *["link"] * 5, *entries]
    assert calls == [*["write"] * 5, *syncs, *["link"] * 5, *entries]
    assert files(tmp_path / "data") == sorted(f"n/dbs/{number}/x{suffix}" for number in range(5) for suffix in ("", "2"))


def test_a_file_system_is_really_synced_as_a_whole(tmp_path: Path) -> None:
    """Y1: the call is there, and says what went wrong."""
    with (tmp_path / "file").open("wb") as file:
        sync_whole(file.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        sync_whole(10_000)


def test_only_what_is_known_to_sync_as_a_whole_is_trusted_with_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Y2."""
    found: dict[str, bool] = {}
    for kind in ("ext4", "xfs", "nfs4", "fuse.sshfs", "tmpfs", None):
        monkeypatch.setattr(syncing, "_kind", lambda _, kind=kind: kind)
        found[str(kind)] = can_sync_whole(str(tmp_path))
    monkeypatch.setattr(syncing, "_kind", lambda _: "ext4")
    for release in ("5.8.0-1", "5.7.19", "4.19", "unknown"):
        monkeypatch.setattr(platform, "release", lambda release=release: release)
        found[release] = can_sync_whole(str(tmp_path))

    assert [name for name, trusted in found.items() if trusted] == ["ext4", "xfs", "5.8.0-1"]


def test_the_kind_of_a_file_system_is_looked_up() -> None:
    """Y2."""
    assert syncing._kind("/proc") == "proc"


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("step", "number", "expected"),
    [("write", errno.ENOSPC, StoreFull), ("mkdir", errno.EACCES, StorePermission), ("fdatasync", errno.EIO, StoreUnavailable)],
)
def test_a_failure_of_many_before_the_first_name_is_there_is_definite_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, number: int, expected: type[Exception], whole: bool
) -> None:
    """L7."""
    store = LocalStore(tmp_path)
    store._syncs_whole = whole
    with monkeypatch.context() as broken:
        broken.setattr(os, step, refuse(number))
        broken.setattr(local, "sync_whole", refuse(number))
        with pytest.raises(expected, match=r"could not store file://.*/n/dbs/0/x: "):
            store.put_new_all(MANY)
    assert files(tmp_path) == []

    store.put_new_all(MANY)

    assert [store.get(path) for path, _ in MANY] == [data for _, data in MANY]


@pytest.mark.parametrize("whole", [False, True])
def test_many_names_that_cannot_be_synced_leave_the_outcome_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """L7."""
    store = LocalStore(tmp_path)
    store._syncs_whole = whole
    store.put_new_all(MANY)
    linking = os.link

    def link(*arguments: str) -> None:
        linking(*arguments)
        broken.setattr(local, "sync_whole", refuse(errno.EIO))
        broken.setattr(os, "fsync", refuse(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "link", link)
        with pytest.raises(OutcomeUnknown, match="could not be synced"):
            store.put_new_all([(f"{path}2", data) for path, data in MANY])


def test_directories_that_a_deletion_takes_away_from_many_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L6."""
    store = LocalStore(tmp_path)
    making = store._make_all

    def make_all(directories: Iterable[str]) -> Sequence[str]:
        made = making(directories)
        (tmp_path / "n/dbs/3").rmdir()
        return made

    monkeypatch.setattr(store, "_make_all", make_all)
    store.put_new_all(MANY)

    assert [store.get(path) for path, _ in MANY] == [data for _, data in MANY]
