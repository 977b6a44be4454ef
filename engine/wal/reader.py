"""Replay: every durable group once, in order.

R1  Sequence numbers are dense. A hole, and a damaged group with more behind it, is reported by the object's name before
    anything behind it is read; whoever is told may raise, or let the reading go on with what is intact.
R2  A torn end of the last object of a segment log was never acknowledged: it is cut off, and said so in the log.

Held by tests/unit/engine/test_wal_reader.py (R1, R2), tests/crash/test_wal.py.
"""

import logging
from collections.abc import Callable, Iterator

from catalog.errors import Damaged
from engine.paths import number_of
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
    expected = after_sequence + 1
    for info in wanted:
        for group in _read_object(groups, info, on_damage, last=info is objects[-1]):
            if group.sequence < expected:
                continue
            if group.sequence != expected:
                on_damage(
                    Damaged(
                        f"the write-ahead log has a hole: {info.path} continues with group {group.sequence}"
                        f" where {expected} should come",
                        object=info.path,
                    )
                )
            yield group
            expected = group.sequence + 1


def _read_object(groups: GroupLog, info: ObjectInfo, on_damage: OnDamage, *, last: bool) -> Iterator[StoredGroup]:
    data = memoryview(groups.read(info.path))
    at = 0
    while at < len(data):
        try:
            for at, group in decode(data, at):  # noqa: B020  (reading goes on where it stopped)
                yield group
        except DamagedGroup as damage:
            following = find_header(data, damage.offset + 1)
            if following is None and last:
                log.warning("cut the torn end of %s at byte %d of %d (%s)", info.path, damage.offset, len(data), damage.reason)
                groups.cut(info.path, damage.offset)
                return
            on_damage(Damaged(f"{info.path} is damaged: {damage}", object=info.path))
            at = len(data) if following is None else following
