"""Files that another process left: which are opened, and that none stays."""

import os
from pathlib import Path

import pytest

from catalog.errors import InvalidRequest, Unavailable
from flightserver import wire
from flightserver.handlers.arena import HandoverDirectory

NAME = "0123456789abcdef" * 2


def arena(directory: Path, name: str = NAME, size: int = wire.ARENA_BYTES) -> Path:
    path = directory / name
    path.write_bytes(b"hello")
    os.truncate(path, size)
    return path


def test_an_arena_has_no_name_once_it_is_mapped(tmp_path: Path) -> None:
    """H2."""
    handover = HandoverDirectory(tmp_path)
    path = arena(tmp_path)

    view = handover.open_arena(NAME)

    assert bytes(view[:5]) == b"hello"
    assert view.nbytes == wire.ARENA_BYTES
    assert view.readonly
    assert not path.exists()


def test_what_an_earlier_engine_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """H3."""
    arena(tmp_path)
    (tmp_path / "engine.sock").write_bytes(b"")

    HandoverDirectory(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["engine.sock"]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "secret", "", NAME[:-1]])
def test_only_names_of_the_agreed_shape_are_opened(tmp_path: Path, name: str) -> None:
    """H1."""
    (tmp_path / "handover").mkdir()
    arena(tmp_path, "secret")

    with pytest.raises(InvalidRequest, match="not an arena's name"):
        HandoverDirectory(tmp_path / "handover").open_arena(name)

    assert (tmp_path / "secret").exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """H1."""
    handover = HandoverDirectory(tmp_path)
    arena(tmp_path, "target")
    (tmp_path / NAME).symlink_to(tmp_path / "target")

    with pytest.raises(Unavailable, match="no such arena"):
        handover.open_arena(NAME)

    assert (tmp_path / "target").exists()


def test_a_file_of_another_size_or_kind_is_refused_and_removed(tmp_path: Path) -> None:
    """H1, H2."""
    handover = HandoverDirectory(tmp_path)
    arena(tmp_path, size=5)
    with pytest.raises(InvalidRequest, match="not an arena"):
        handover.open_arena(NAME)
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(InvalidRequest, match="not an arena"):
        handover.open_arena(NAME)

    assert list(tmp_path.iterdir()) == []


def test_a_missing_arena_may_be_tried_anew(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no such arena"):
        HandoverDirectory(tmp_path).open_arena(NAME)
