"""Is a node's log whole? Every group is read, and none may be missing from where the newest manifest ends.

B3  A group of the log that is damaged is named with its place, a missing one with the object that should begin with it. What
    was never acknowledged is no finding: the end of the last object, cut short.

Held by tests/unit/engine/verify/test_nodes.py (B3).
Elsewhere: the same questions as a start asks them (engine.wal.reader).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.paths import NodePaths, number_of
from engine.storage.base import ObjectInfo
from engine.verify.findings import Look
from engine.wal.codec import DamagedGroup, decode, find_header, read_header

_AT_START = "the next start of the node goes on without it; restore it from a backup first, if there is one"

Tables = frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Segment:
    """What an object of the log holds."""

    sequences: tuple[int, ...]
    rows: int
    tables: Tables
    torn_bytes: int = 0
    damaged: bool = False


def read_segments(look: Look, paths: NodePaths) -> dict[str, Segment]:
    """The objects of the log, in order."""
    objects = [info for info in look.store.list(paths.wal_prefix) if is_segment(paths, info.path)]
    wanted = look.unknown(objects)
    known = ((info.path, look.content(info.path)) for info in objects if info not in wanted)
    found = {path: segment for path, segment in known if isinstance(segment, Segment)}
    for info, data in look.read(wanted):
        segment = _segment(look, info.path, memoryview(data), last=info is objects[-1])
        found[info.path] = segment
        if not segment.damaged and not segment.torn_bytes:
            look.right(ObjectInfo(info.path, len(data)), segment)
    return dict(sorted(found.items()))


def _segment(look: Look, path: str, data: memoryview, *, last: bool) -> Segment:
    sequences: list[int] = []
    tables: set[tuple[int, int]] = set()
    rows, torn_bytes, damaged = 0, 0, False
    at: int | None = 0
    while at is not None:
        try:
            for group in decode(data, at):
                sequences.append(group.sequence)
                tables.update((table.database_id, table.table_id) for table in group.tables)
                rows += sum(table.rows.num_rows for table in group.tables)
            at = None
        except DamagedGroup as damage:
            at = find_header(data, damage.offset + 1)
            if at is None and last and look.store.durable_appends is not None and _is_cut_short(data, damage.offset):
                torn_bytes = len(data) - damage.offset
            else:
                damaged = True
                look.note("damaged", path, f"{damage}; writes of that group are lost", _AT_START)
    if not data and not last:
        damaged = True
        look.note("damaged", path, "it is empty", _AT_START)
    if sequences and not damaged:
        damaged = _is_out_of_order(look, path, sequences)
    return Segment(tuple(sequences), rows, frozenset(tables), torn_bytes, damaged)


def _is_cut_short(data: memoryview, offset: int) -> bool:
    """Whether a group was begun there whose end is not written: an end that is there and wrong was damaged later."""
    if not any(data[offset:]):
        return True
    try:
        read_header(data, offset)
    except DamagedGroup as damage:
        return damage.reason.startswith("incomplete")
    return False


def _is_out_of_order(look: Look, path: str, sequences: Sequence[int]) -> bool:
    first = number_of(path)
    if list(sequences) == list(range(first, first + len(sequences))):
        return False
    look.note("damaged", path, f"it holds groups {sequences[0]} to {sequences[-1]}, not those that its name says", _AT_START)
    return True


def check_continuity(look: Look, paths: NodePaths, segments: Mapping[str, Segment], wal_sequence: int) -> None:
    """From where the newest manifest ends, no number may be missing; before that the log has been trimmed."""
    expected, explained = wal_sequence + 1, False
    for path, segment in segments.items():
        if segment.sequences and segment.sequences[-1] >= expected:
            if max(segment.sequences[0], number_of(path)) > expected and not (explained or segment.damaged):
                message = f"the log goes on with group {segment.sequences[0]} in {path} where {expected} should come"
                look.note("missing", paths.wal(expected), message, _AT_START)
            expected = segment.sequences[-1] + 1
        explained = segment.damaged


def is_segment(paths: NodePaths, path: str) -> bool:
    return path.startswith(paths.wal_prefix) and re.fullmatch(r"\d{20,}\.wal", path.removeprefix(paths.wal_prefix)) is not None
