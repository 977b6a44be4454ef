"""Bins by the clock on the wall: a day begins at midnight there, however long it is.

    local time ─▶ its bin ─▶ the instant at which that wall clock shows the bin's start

W1  Where no clock is ever set (UTC by any name, a fixed offset, no zone) bins are those of date_bin.
W2  A start that the clock skips is the instant at which it would have shown it unchanged: the offset of a day before counts.
W3  A start that the clock shows twice is the earlier instant; bins no longer than the change keep the offset of their row.

Held by tests/unit/engine/query/test_wallclock.py (W1-W3).
"""

import re

import pyarrow as pa
import pyarrow.compute as pc
from datafusion import ScalarUDF, udf

from engine.query.messages import planning

#: the function that the text of a statement calls: (interval, ns, type of the time, origin) to the way from the time to its bin
SHIFT = "flightline_wallclock"
_DAY_NS = 86_400_000_000_000
_ZONE = re.compile(r'Timestamp\(\w+, "(?P<zone>[^"]+)"\)')
_NO_CHANGES = frozenset({"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Universal", "Etc/Universal"}) | frozenset(
    {"GMT", "Etc/GMT", "Zulu", "Etc/Zulu"}
)


def shift_function() -> ScalarUDF:
    inputs = [pa.month_day_nano_interval(), pa.int64(), pa.utf8(), pa.timestamp("ns")]
    return udf(_shift, inputs, pa.duration("ns"), "immutable", SHIFT)


def _shift(interval: pa.Array, times: pa.Int64Array, kinds: pa.StringArray, origins: pa.Array) -> pa.Array:
    if not len(times):
        return pa.array([], pa.duration("ns"))
    stride_ns = stride_of(interval[0], "DATE_BIN_WALLCLOCK")
    found = _ZONE.search(kinds[0].as_py())
    origin_ns = origins[0].cast(pa.int64()).as_py()
    bins = wallclock_bins(times, stride_ns, found["zone"] if found else None, origin_ns)
    return pc.subtract(bins, times).cast(pa.duration("ns"))


def stride_of(interval: pa.Scalar, function: str) -> int:
    """The nanoseconds of an interval. Days are 24 hours; months are no fixed time."""
    value = interval.as_py()
    if value is None:
        raise planning(f"stride argument to {function} must not be null")
    if value.months:
        raise planning(f"{function} does not support month intervals")
    stride_ns = int(value.days) * _DAY_NS + int(value.nanoseconds)
    if stride_ns <= 0:
        raise planning(f"{function} stride must be greater than zero")
    return stride_ns


def wallclock_bins(times: pa.Int64Array, stride_ns: int, zone: str | None, origin_ns: int = 0) -> pa.Int64Array:
    fixed = fixed_offset_ns(zone)
    if fixed is not None or zone is None:
        return floor_bins(times, stride_ns, origin_ns - (fixed or 0))
    offset = _offsets(times, zone)
    local_bins = floor_bins(pc.add(times, offset), stride_ns, origin_ns)
    same = pc.subtract(local_bins, offset)
    offset_there = _offsets(same, zone)
    across = pc.subtract(local_bins, offset_there)
    before = _offsets(pc.subtract(same, _DAY_NS), zone)
    earlier = pc.subtract(local_bins, before)
    jump = pc.subtract(before, offset)
    twice = pc.and_(pc.greater(jump, 0), pc.equal(_offsets(earlier, zone), before))
    first_of_two = pc.and_(twice, pc.less(jump, stride_ns))
    return pc.if_else(pc.equal(offset_there, offset), pc.if_else(first_of_two, earlier, same), across)


def floor_bins(values: pa.Int64Array, stride_ns: int, origin_ns: int = 0) -> pa.Int64Array:
    """The last multiple of the stride after the origin that is not above each value."""
    distance = pc.subtract(values, origin_ns)
    steps = pc.divide(distance, stride_ns)
    start = pc.multiply(steps, stride_ns)
    behind = pc.greater(start, distance)
    return pc.add(pc.if_else(behind, pc.subtract(start, stride_ns), start), origin_ns)


def _offsets(times: pa.Int64Array, zone: str) -> pa.Int64Array:
    """How far the clock of a zone is ahead of UTC at each instant."""
    zoned = times.cast(pa.timestamp("ns", zone))
    return pc.subtract(pc.local_timestamp(zoned).cast(pa.int64()), times)


def fixed_offset_ns(zone: str | None) -> int | None:
    """How far ahead of UTC a clock is that is never set; None for one that may be."""
    if zone is None or zone in _NO_CHANGES:
        return 0
    if zone[0] not in "+-":
        return None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60
    return (-seconds if zone[0] == "-" else seconds) * 1_000_000_000
