"""Durations and sizes as people write them.

U1  Nothing is guessed: a duration needs a unit, a percentage needs `%`, and whatever is left over is an error that quotes it.

Held by tests/unit/flightserver/test_units.py (U1).
"""

import re
from fractions import Fraction

from catalog.durations import SECOND_NS, parse_duration_ns

__all__ = ["SECOND_NS", "parse_duration_ns", "parse_size_bytes"]

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
