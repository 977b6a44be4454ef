"""From the text of an option to its value, in the unit that the value's name ends with (O3), or a ValueError."""

import re
from pathlib import Path

from catalog.access import RELEASABLE
from flightserver.options.declared import Given, Kind
from flightserver.units import parse_duration_ns, parse_size_bytes


def text(given: Given) -> str:
    return given.text


def name(given: Given) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", given.text):
        raise ValueError("a name consists of letters, digits, '.', '_' and '-' and begins with a letter or digit")
    return given.text


def flag(given: Given) -> bool:
    lowered = given.text.strip().lower()
    if lowered in ("true", "1", "yes", "y", "on", "t"):
        return True
    if lowered in ("false", "0", "no", "n", "off", "f", ""):
        return False
    raise ValueError("expected true or false")


def count(given: Given) -> int:
    if not given.text.strip().isdecimal():
        raise ValueError("expected a whole number")
    return int(given.text)


def positive(given: Given) -> int:
    if (number := count(given)) < 1:
        raise ValueError("value must be at least 1")
    return number


def path(given: Given) -> str:
    if given.text == "~" or given.text.startswith("~/"):
        return str(given.machine.home / given.text[2:])
    return str(Path(given.text).absolute())


def listed(given: Given) -> tuple[str, ...]:
    return tuple(part.strip() for part in given.text.split(",") if part.strip())


def released(given: Given) -> tuple[str, ...]:
    names = listed(given)
    if not names or not set(names) <= set(RELEASABLE):
        raise ValueError(
            "invalid value passed in for --disable-authz, allowed values are health, ping, metrics, ready, pprof, and node_stop"
        )
    return names


def duration_ms(given: Given) -> int:
    nanoseconds = parse_duration_ns(given.text)
    if nanoseconds < 1_000_000:
        raise ValueError("the shortest duration here is 1ms")
    return nanoseconds // 1_000_000


def gen1_ns(given: Given) -> int:
    nanoseconds = parse_duration_ns(given.text)
    if nanoseconds not in (60_000_000_000, 300_000_000_000, 600_000_000_000):
        raise ValueError(f"invalid gen1 duration {given.text}. Must be one of 1m, 5m, 10m")
    return nanoseconds


def size_bytes(given: Given) -> int:
    """Of the memory where it is a percentage. A bare number is in MB under the older names and refused under the newer ones."""
    bare = 10**6 if given.old_spelling else None
    return parse_size_bytes(given.text, whole_bytes=given.machine.memory_bytes, bare_unit_bytes=bare)


def body_bytes(given: Given) -> int:
    return parse_size_bytes(given.text, whole_bytes=given.machine.memory_bytes, bare_unit_bytes=1)


def address(given: Given) -> tuple[str, int]:
    """`0.0.0.0:8181`, `[::1]:8181`; a scheme in front and a slash behind are allowed."""
    stripped = re.sub(r"^[a-z+]+://", "", given.text.strip()).rstrip("/")
    host, colon, port = stripped.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("expected an address and a port, such as 127.0.0.1:8181")
    return host.strip("[]"), int(port)


def one_of(*choices: str) -> Kind:
    def choice(given: Given) -> str:
        if given.text.lower() not in choices:
            raise ValueError(f"possible values: {', '.join(choices)}")
        return given.text.lower()

    return choice
