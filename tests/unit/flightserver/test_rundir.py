"""The run directory (R1, R2)."""

import os
import stat
from pathlib import Path

from flightserver.rundir import PREFIX, run_directory


def test_only_the_user_can_look_into_it(tmp_path: Path) -> None:
    """R1."""
    with run_directory((tmp_path,)) as run:
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(run.handover.stat().st_mode) == 0o700


def test_it_is_gone_afterwards(tmp_path: Path) -> None:
    """R2."""
    with run_directory((tmp_path,)) as run:
        (run.handover / "left").write_bytes(b"x")

    assert list(tmp_path.iterdir()) == []


def test_one_that_was_left_behind_is_removed_and_one_in_use_is_not(tmp_path: Path) -> None:
    """R2."""
    abandoned = tmp_path / (PREFIX + "abandoned")
    abandoned.mkdir()
    (abandoned / "lock").touch()
    (abandoned / "big").write_bytes(b"x")
    (tmp_path / (PREFIX + "being-made")).mkdir()
    remains = tmp_path / (PREFIX + "remains")
    remains.mkdir()
    os.utime(remains, (0, 0))

    with run_directory((tmp_path,)) as first, run_directory((tmp_path,)) as second:
        assert first.path.is_dir()
        assert second.path.is_dir()

    assert [path.name for path in tmp_path.iterdir()] == [PREFIX + "being-made"]


def test_a_place_that_cannot_be_used_is_passed_over(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()

    with run_directory((tmp_path / "missing", long, tmp_path)) as run:
        assert run.path.parent == tmp_path
