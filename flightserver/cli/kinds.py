"""From the text of a command's option or argument to its value, or a ValueError that says what is wrong with it."""

import re

from catalog.durations import parse_duration_ns


def positive(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError("value must be at least 1" if text.strip() in ("0", "") or text.startswith("-") else "not a number")
    return int(text)


def whole(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError("expected a whole number")
    return int(text)


def duration(text: str) -> str:
    """A duration that the server will understand, as it was written."""
    parse_duration_ns(text)
    return text


def duration_or_none(text: str) -> str:
    return "none" if text.strip().lower() == "none" else duration(text)


def listed(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError("at least one name is needed")
    return parts


FIELD_TYPES = ("int64", "uint64", "float64", "utf8", "bool")


def fields(text: str) -> list[tuple[str, str]]:
    found = []
    for part in listed(text):
        name, colon, kind = part.rpartition(":")
        if not colon:
            raise ValueError(f"invalid FIELD:VALUE. No `:` found in `{part}`")
        if kind not in FIELD_TYPES:
            raise ValueError(f"{kind} is not a valid data type, values are int64, uint64, float64, utf8, and bool")
        found.append((name, kind))
    return found


PRECISIONS = {
    "nanosecond": ("ns", "n", "nanosecond"),
    "microsecond": ("us", "u", "microsecond"),
    "millisecond": ("ms", "millisecond"),
    "second": ("s", "second"),
    "auto": ("auto",),
}


def precision(text: str) -> str:
    for name, spellings in PRECISIONS.items():
        if text.lower() in spellings:
            return name
    raise ValueError(f"unrecognized precision unit: {text}")


def address(text: str) -> str:
    """A server's URL; without a scheme it is HTTP."""
    url = text if "://" in text else f"http://{text}"
    if not re.fullmatch(r"(https?|grpc|grpc\+tcp|grpc\+tls)://(\[[0-9A-Fa-f:.]+\]|[^/:\s?#@]+)(:\d+)?(/[^\s?#]*)?", url):
        raise ValueError("expected http://host:port, https://host:port, grpc://host:port or grpc+tls://host:port")
    return url.rstrip("/")
