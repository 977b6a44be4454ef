"""Run directories (R1-R3)."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flightserver.rundir import PREFIX, SHARED_MEMORY, places, run_directory


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Short, wherever pytest keeps its own: paths of sockets must be."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_user_can_look_into_them(tmp_path: Path) -> None:
    """R1."""
    memory = tmp_path / "memory"
    memory.mkdir()

    with run_directory((tmp_path,), memory) as run:
        assert {mode(run.path), mode(run.handover), mode(run.handover.parent), mode(run.counters)} == {0o700}
        assert run.handover.parent.parent == memory


def test_they_are_gone_afterwards(tmp_path: Path) -> None:
    """R2."""
    memory = tmp_path / "memory"
    memory.mkdir()

    with run_directory((tmp_path,), memory) as run:
        (run.handover / "left").write_bytes(b"x")

    assert list(tmp_path.iterdir()) == [memory]
    assert list(memory.iterdir()) == []


def test_one_that_was_left_behind_is_removed_and_one_in_use_is_not(tmp_path: Path) -> None:
    """R2."""
    abandoned = tmp_path / (PREFIX + "abandoned")
    abandoned.mkdir()
    (abandoned / "big").write_bytes(b"x")
    (tmp_path / ("." + PREFIX + "being-made")).mkdir()
    (tmp_path / (PREFIX + "file")).touch()
    (tmp_path / (PREFIX + "link")).symlink_to(tmp_path / ("." + PREFIX + "being-made"))

    with run_directory((tmp_path,), tmp_path) as first, run_directory((tmp_path,), tmp_path) as second:
        assert first.path.is_dir()
        assert second.path.is_dir()

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"." + PREFIX + "being-made", PREFIX + "file", PREFIX + "link"}


def test_one_in_use_is_locked_itself(tmp_path: Path) -> None:
    """R3: the lock that systemd-tmpfiles respects."""
    with run_directory((tmp_path,), tmp_path) as run:
        descriptor = os.open(run.path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_a_persons_sockets_do_not_lie_where_logging_out_removes_them() -> None:
    """R3."""
    assert places(uid=1000)[0] == Path(tempfile.gettempdir())
    assert places(uid=0)[0] == SHARED_MEMORY
    assert places(uid=999)[0] == SHARED_MEMORY


def test_a_place_that_cannot_be_used_is_passed_over(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()

    with run_directory((tmp_path / "missing", long, tmp_path), tmp_path / "missing") as run:
        assert run.path.parent == tmp_path
        assert run.handover.parent == run.path
