"""Replay: every durable group once, in order.

R1  Sequence numbers are dense. A hole, and a damaged group with more behind it, is reported by the object's name before
    anything behind it is given out; whoever is told may raise, or let the reading go on with what is intact.
R2  A torn end of the last object of a segment log was never acknowledged: it is cut off, and said so in the log. An object
    of which nothing is left goes, for its name belongs to the group that comes next.

Held by tests/unit/engine/test_wal_reader.py (R1, R2).
"""

import logging
from collections.abc import Callable, Iterator

from catalog.errors import Damaged
from engine.paths import number_of
from engine.storage.ahead import read_ahead
from engine.storage.base import ObjectInfo
from engine.wal.codec import DamagedGroup, StoredGroup, decode, find_header
from engine.wal.log import GroupLog

log = logging.getLogger(__name__)

OnDamage = Callable[[Damaged], None]


def read_groups(groups: GroupLog, after_sequence: int, on_damage: OnDamage) -> Iterator[StoredGroup]:
    """The groups behind `after_sequence`."""
    objects = groups.objects()
    starts = [number_of(info.path) for info in objects]
    # An object is wholly behind us when the next one starts no later than where we begin.
    wanted = [info for at, info in enumerate(objects) if at + 1 == len(objects) or starts[at + 1] > after_sequence + 1]
    claims = {number_of(info.path) for info in wanted if groups.is_claim(info)}
    expected, explained = after_sequence + 1, False
    for info, data in read_ahead(groups.read, [info for info in wanted if not groups.is_claim(info)]):
        for found in _groups_of(groups, info, memoryview(data), last=info is objects[-1]):
            if isinstance(found, Damaged):
                on_damage(found)
                explained = True
            elif found.sequence >= expected:
                while expected in claims:
                    expected += 1
                if found.sequence > expected and not explained:
                    on_damage(_hole(info.path, found.sequence, expected))
                yield found
                expected, explained = found.sequence + 1, False


def _groups_of(groups: GroupLog, info: ObjectInfo, data: memoryview, *, last: bool) -> Iterator[StoredGroup | Damaged]:
    if not data and not (last and groups.cut(info.path, 0)):
        yield Damaged(f"{info.path} is empty", object=info.path)
    at: int | None = 0
    while at is not None:
        try:
            yield from decode(data, at)
            return
        except DamagedGroup as damage:
            at = find_header(data, damage.offset + 1)
            if at is None and last and groups.cut(info.path, damage.offset):
                torn = "cut the torn end of %s at byte %d of %d (%s): nobody was told that it is stored, there is nothing to do"
                log.warning(torn, info.path, damage.offset, len(data), damage.reason)
            else:
                yield Damaged(f"{info.path} is damaged: {damage}", object=info.path)


def _hole(path: str, sequence: int, expected: int) -> Damaged:
    return Damaged(
        f"the write-ahead log has a hole: {path} continues with group {sequence} where {expected} should come", object=path
    )
