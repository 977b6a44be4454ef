"""Durations as people write them, read as the humantime crate reads them.

U1  Nothing is guessed: every number has a unit, and whatever is not understood is an error that quotes it.
U2  A month is 30.44 days and a year 365.25 days: these are durations, not dates.

Held by tests/unit/catalog/test_durations.py (U1, U2).
"""

import re

SECOND_NS = 1_000_000_000

_UNITS_NS = {
    name: factor
    for names, factor in (
        ("nanoseconds nanosecond nanos nsec ns", 1),
        ("microseconds microsecond micros usec us µs", 1_000),
        ("milliseconds millisecond millis msec ms", 1_000_000),
        ("seconds second secs sec s", SECOND_NS),
        ("minutes minute mins min m", 60 * SECOND_NS),
        ("hours hour hrs hr h", 3_600 * SECOND_NS),
        ("days day d", 86_400 * SECOND_NS),
        ("weeks week wks wk w", 7 * 86_400 * SECOND_NS),
        ("months month mo M", 2_630_016 * SECOND_NS),  # 30.44 days
        ("years year yrs yr y", 31_557_600 * SECOND_NS),  # 365.25 days
    )
    for name in names.split()
}
_PART = re.compile(r"\s*(\d+)\s*([A-Za-zµ]*)\s*", re.ASCII)
_LARGEST_NS = 2**64 - 1


def parse_duration_ns(text: str) -> int:
    """`30s`, `4 hours`, `1h 30m`, `1month`, in nanoseconds. Raises ValueError with a sentence."""
    if not text.strip():
        raise ValueError("expected a duration, such as 10s or 4 hours")
    total, at = 0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise ValueError(f"expected a number and a unit, such as 10s or 4 hours, found {text[at:]!r}")
        number, unit = part.groups()
        if not unit:
            raise ValueError(f"time unit needed, for example {number}sec or {number}ms")
        if unit not in _UNITS_NS:
            raise ValueError(
                f"unknown time unit {unit!r}, supported are ns, us, ms, sec, min, hours, days, weeks, months, years"
            )
        if len(number) <= 20:
            total += int(number) * _UNITS_NS[unit]
        if len(number) > 20 or total > _LARGEST_NS:
            raise ValueError("number is too large")
        at = part.end()
    return total
