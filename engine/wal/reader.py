"""Replay: every durable group once, in order.

R1  Sequence numbers are dense: at a hole, or at a damaged group with more behind it, reading stops with the object's name.
R2  A torn end of the last object of a segment log was never acknowledged: it is cut off, and said so in the log.
R3  Series numbers come out as the reader's: each definition is resolved once per epoch.

Held by tests/unit/engine/test_wal_reader.py (R1-R3), tests/crash/test_wal.py.
"""

import logging
from collections.abc import Iterator

from catalog.errors import Damaged
from engine.paths import number_of
from engine.storage.base import ObjectInfo
from engine.wal.codec import DamagedGroup, StoredGroup, decode, find_header
from engine.wal.log import GroupLog

log = logging.getLogger(__name__)


def read_groups(groups: GroupLog, after_sequence: int) -> Iterator[StoredGroup]:
    """The groups behind `after_sequence`. Raises Damaged where a durable group cannot be read."""
    objects = groups.objects()
    # An object is wholly behind us when the next one starts no later than where we begin.
    starts = [number_of(info.path) for info in objects]
    wanted = [info for at, info in enumerate(objects) if at + 1 == len(objects) or starts[at + 1] > after_sequence + 1]
    expected = after_sequence + 1
    for info in wanted:
        for group in _read_object(groups, info, last=info is objects[-1]):
            if group.sequence < expected:
                continue
            if group.sequence != expected:
                raise Damaged(
                    f"the write-ahead log has a hole: {info.path} continues at {group.sequence} where {expected} should come",
                    object=info.path,
                )
            yield group
            expected += 1


def _read_object(groups: GroupLog, info: ObjectInfo, *, last: bool) -> Iterator[StoredGroup]:
    data = memoryview(groups.read(info.path))
    good = 0
    try:
        for good, group in decode(data):  # noqa: B007  (the offset is wanted behind the loop)
            yield group
    except DamagedGroup as damage:
        if not last or find_header(data, damage.offset + 1) is not None:
            raise Damaged(f"{info.path} is damaged: {damage}", object=info.path) from None
        log.warning("cut the torn end of %s at byte %d of %d (%s)", info.path, good, len(data), damage.reason)
        groups.cut(info.path, good)
