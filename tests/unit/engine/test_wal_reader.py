"""Replay: which groups are read, and what is said about those that cannot be."""

import logging
import os
from pathlib import Path

import pytest

from catalog.errors import Damaged
from engine._native import SeriesIndex
from engine.paths import NodePaths
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from engine.wal.codec import encode
from engine.wal.log import GroupLog, ObjectLog, SegmentLog, next_sequence
from engine.wal.reader import read_groups
from tests.helpers.rows import table_rows
from tests.helpers.wal import flip

PATHS = NodePaths("n")


def append(log: GroupLog, *sequences: int) -> None:
    index = SeriesIndex(1)
    for sequence in sequences:
        log.append(sequence, encode(sequence, sequence, [table_rows(index, [(("a",), sequence, {"v": sequence})])]))


def segments(root: Path, *segments: tuple[int, ...]) -> SegmentLog:
    """A log whose segment files hold these groups."""
    log = SegmentLog(LocalStore(root), PATHS)
    for sequences in segments:
        append(log, *sequences)
        log.roll()
    return SegmentLog(LocalStore(root), PATHS)


def objects(*sequences: int) -> ObjectLog:
    log = ObjectLog(MemoryStore(), PATHS)
    append(log, *sequences)
    return log


def read(log: GroupLog, after: int = 0) -> tuple[list[int], list[str]]:
    """The sequences that are read, and what is damaged."""
    damage: list[str] = []
    return [group.sequence for group in read_groups(log, after, lambda error: damage.append(error.message))], damage


def test_every_group_is_read_once_in_order(tmp_path: Path) -> None:
    """R1."""
    assert read(segments(tmp_path, (1, 2, 3), (4, 5), (6,))) == ([1, 2, 3, 4, 5, 6], [])
    assert read(objects(*range(1, 12))) == (list(range(1, 12)), [])
    assert read(objects()) == ([], [])


@pytest.mark.parametrize("after", range(7))
def test_groups_that_a_manifest_covers_are_passed_over(after: int, tmp_path: Path) -> None:
    """R1: whether or not their objects are still there."""
    expected = list(range(after + 1, 7))

    assert read(segments(tmp_path, (1, 2, 3), (4, 5), (6,)), after) == (expected, [])
    assert read(objects(1, 2, 3, 4, 5, 6), after) == (expected, [])
    assert read(objects(*expected), after) == (expected, [])


def test_a_torn_end_is_cut_at_whichever_byte_it_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2: afterwards the groups before it are there and the next one can be appended."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of them
    segments(tmp_path, (1, 2), (3, 4))
    path = tmp_path / PATHS.wal(3)
    whole = path.read_bytes()
    boundary = len(whole) // 2

    for size in range(boundary + 1, len(whole)):
        path.write_bytes(whole[:size])
        log = SegmentLog(LocalStore(tmp_path), PATHS)
        with caplog.at_level(logging.WARNING):
            assert read(log) == ([1, 2, 3], [])
        assert path.read_bytes() == whole[:boundary]
        assert next_sequence(log, 3) == 4
    assert f"cut the torn end of {PATHS.wal(3)}" in caplog.text


def test_rubbish_in_place_of_the_last_group_is_a_torn_end_too(tmp_path: Path) -> None:
    """R2: after a power failure a file may have its length and not its bytes."""
    log = segments(tmp_path, (1, 2))
    path = tmp_path / PATHS.wal(1)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))

    assert read(log) == ([1], [])
    assert path.read_bytes() == whole[: len(whole) // 2]


@pytest.mark.parametrize("left", [0, 1, 10])
def test_a_last_file_of_which_nothing_is_left_makes_room_for_the_next_group(left: int, tmp_path: Path) -> None:
    """R2: a process that dies before its first group leaves an empty file, or one without a whole group."""
    log = segments(tmp_path, (1, 2), (3,))
    path = tmp_path / PATHS.wal(3)
    path.write_bytes(path.read_bytes()[:left])

    assert read(log) == ([1, 2], [])

    assert next_sequence(log, 2) == 3
    append(log, 3)
    assert read(log) == ([1, 2, 3], [])


@pytest.mark.parametrize("place", ["header", "payload"])
def test_damage_in_the_middle_is_named_once_and_what_follows_is_read(place: str, tmp_path: Path) -> None:
    """R1: before anything behind it is read."""
    log = segments(tmp_path, (1, 2, 3), (4,))
    path = tmp_path / PATHS.wal(1)
    third = path.stat().st_size // 3
    flip(path, third + (12 if place == "header" else third // 2))
    order: list[object] = []

    groups = read_groups(log, 0, lambda error: order.append(error.details["object"]))
    order.extend(group.sequence for group in groups)

    assert order == [1, PATHS.wal(1), 3, 4]


def test_a_damaged_end_of_a_file_that_is_not_the_last_is_damage(tmp_path: Path) -> None:
    """R1, R2: its groups were acknowledged, for others were stored after them."""
    log = segments(tmp_path, (1, 2), (3,))
    path = tmp_path / PATHS.wal(1)
    path.write_bytes(path.read_bytes()[:-5])

    sequences, [damage] = read(log)

    assert sequences == [1, 3]
    assert PATHS.wal(1) in damage
    assert path.stat().st_size > 0


def test_a_hole_is_named_by_the_object_behind_it() -> None:
    """R1."""
    log = objects(1, 2, 3, 4)
    log._store.delete(PATHS.wal(2))

    sequences, [hole] = read(log)

    assert sequences == [1, 3, 4]
    assert hole == f"the write-ahead log has a hole: {PATHS.wal(3)} continues with group 3 where 2 should come"


def test_a_log_that_begins_too_late_has_a_hole() -> None:
    """R1: the groups right behind the manifest are missing."""
    log = objects(5, 6)

    assert read(log, 4) == ([5, 6], [])
    assert read(log, 2)[1] == [f"the write-ahead log has a hole: {PATHS.wal(5)} continues with group 5 where 3 should come"]


def test_whoever_is_told_of_damage_may_end_the_reading() -> None:
    """R1: by raising; nothing behind it has been read then."""
    log = objects(1, 2, 3)
    log._store.put(PATHS.wal(2), b"rubbish")
    seen: list[int] = []

    def refuse(error: Damaged) -> None:
        raise error

    with pytest.raises(Damaged, match=PATHS.wal(2)):
        seen.extend(group.sequence for group in read_groups(log, 0, refuse))
    assert seen == [] or seen == [1]


@pytest.mark.parametrize("content", [b"", b"rubbish"])
def test_a_damaged_last_object_of_a_remote_store_is_named_and_its_number_not_used_again(content: bytes) -> None:
    """R1, R2: such an object was stored whole, so this is no torn end."""
    log = objects(1, 2, 3)
    log._store.put(PATHS.wal(3), content)

    sequences, damage = read(log)

    assert sequences == [1, 2]
    assert [PATHS.wal(3) in each for each in damage] == [True]
    assert next_sequence(log, 2) == 4
    append(log, 4)
    assert read(log) == ([1, 2, 4], damage)
