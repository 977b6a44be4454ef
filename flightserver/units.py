"""Durations and sizes as people write them.

U1  Nothing is guessed: a duration needs a unit, a percentage needs `%`, and whatever is left over is an error that quotes it.

Held by tests/unit/flightserver/test_units.py (U1).
"""

import re
from fractions import Fraction

SECOND_NS = 1_000_000_000

_DURATION_UNITS_NS = {
    name: factor
    for names, factor in (
        ("nanoseconds nanosecond nanos nsec ns", 1),
        ("microseconds microsecond micros usec us µs", 1_000),
        ("milliseconds millisecond millis msec ms", 1_000_000),
        ("seconds second secs sec s", SECOND_NS),
        ("minutes minute mins min m", 60 * SECOND_NS),
        ("hours hour hrs hr h", 3_600 * SECOND_NS),
        ("days day d", 86_400 * SECOND_NS),
        ("weeks week wk w", 7 * 86_400 * SECOND_NS),
        ("months month M", 2_630_016 * SECOND_NS),  # 30.44 days
        ("years year yr y", 31_557_600 * SECOND_NS),  # 365.25 days
    )
    for name in names.split()
}
_DURATION_PART = re.compile(r"\s*(\d+)\s*([A-Za-zµ]*)\s*")

_SIZE_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*|%)")


def parse_duration_ns(text: str) -> int:
    """`30s`, `4 hours`, `1h 30m`, `1month`, in nanoseconds."""
    total, at = 0, 0
    while at < len(text):
        part = _DURATION_PART.match(text, at)
        if part is None:
            raise ValueError(f"expected a number and a unit, such as 10s or 4 hours, found {text[at:]!r}")
        number, unit = part.groups()
        if not unit:
            raise ValueError(f"time unit needed, for example {number}sec or {number}ms")
        if unit not in _DURATION_UNITS_NS:
            raise ValueError(
                f"unknown time unit {unit!r}, possible are ns, us, ms, sec, min, hours, days, weeks, months, years"
            )
        total += int(number) * _DURATION_UNITS_NS[unit]
        at = part.end()
    if not text.strip():
        raise ValueError("expected a duration, such as 10s or 4 hours")
    return total


def parse_size_bytes(text: str, *, whole_bytes: int, bare_unit_bytes: int | None) -> int:
    """`20%` of `whole_bytes`, `512MB`, `1.5gib`; a number alone counts `bare_unit_bytes`, or is refused when that is None."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"expected a size such as 512MB or 20%, found {text!r}")
    number, unit = Fraction(found[1]), found[2].lower()
    if unit == "%":
        if number > 100:
            raise ValueError(f"{text} is more than the whole")
        return int(number * whole_bytes / 100)
    if not unit:
        if bare_unit_bytes is None:
            raise ValueError(f"a unit is needed, for example {text}mb, or a percentage of the memory")
        return int(number * bare_unit_bytes)
    if unit not in _SIZE_UNITS:
        raise ValueError(f"unknown unit {found[2]!r}, supported are %, b, kb, mb, gb, kib, mib, gib")
    return int(number * _SIZE_UNITS[unit])
