"""When deleted data goes for good, as people say it.

D1  `never`, `now`, `default` or a moment as RFC 3339; whatever else is an error that says so. Nothing is guessed: a moment
    needs its offset from UTC.
D2  A moment that is past means now. One beyond the last that 64 bits of nanoseconds can tell (in 2262) means that last one.

Held by tests/unit/catalog/test_deletion.py (D1, D2).
Elsewhere: what a deletion changes (changes.py), when files and entries go (engine/persist/removals.py).
"""

import re
from datetime import UTC, datetime, timedelta

from catalog.durations import SECOND_NS
from catalog.errors import InvalidRequest

DEFAULT_DELAY_NS = 72 * 3600 * SECOND_NS
LATEST_NS = 2**63 - 1

_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def removal_time_ns(text: str, *, now_ns: int, default_delay_ns: int = DEFAULT_DELAY_NS) -> int | None:
    """The moment at which data goes that is deleted now; None for never."""
    match text:
        case "never":
            return None
        case "now":
            return now_ns
        case "default":
            return min(now_ns + default_delay_ns, LATEST_NS)
    return min(max(now_ns, _moment_ns(text)), LATEST_NS)


def _moment_ns(text: str) -> int:
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"Cannot parse the timestamp: {text!r} is neither never, now, default nor a time as RFC 3339")
    day, time, fraction, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError as error:
        raise InvalidRequest(f"Cannot parse the timestamp: {error}") from None
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND_NS + int((fraction or "0")[:9].ljust(9, "0"))
