"""Lines that the server refused, told to a person: where, what is there, what was expected. Pure.

J1  The line number is that of the file, whichever request carried the line.
J2  The caret stands below the first character that is wrong, as far as the message lets one find it; otherwise there is none.

Held by tests/unit/flightserver/cli/test_refused.py (J1, J2).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

SHOWN_LINES_MAX = 10
SHOWN_WIDTH = 100

_ANY_VALUE = "a number (1.5), an integer (1i), true, false or a string in double quotes"
_KINDS = {
    "float": "a float, as 1.5",
    "integer": "an integer, as 1i",
    "uinteger": "an unsigned integer, as 1u",
    "string": 'a string, as "text"',
    "boolean": "true or false",
    "tag": "a tag, before the first space",
}
_VALUE = re.compile(
    r'(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\d+[iu]|t|T|true|True|TRUE|f|F|false|False|FALSE|"(?:[^"\\]|\\.)*")'
    r"(?=[ ,\n]|$)",
    re.DOTALL,
)
_FIRST_SPACE = re.compile(r"(?:[^\\ ]|\\.)*? ", re.DOTALL)


class RefusedLine(NamedTuple):
    number: int  # in the file, from 1
    message: str
    text: str
    file: str | None = None


class Place(NamedTuple):
    column: int  # from 0
    expected: str | None = None


def told(refused: Sequence[RefusedLine]) -> str:
    """A block of text, the first lines first."""
    ordered = sorted(refused, key=lambda line: (line.file or "", line.number))
    parts = [_told(line) for line in ordered[:SHOWN_LINES_MAX]]
    if len(ordered) > SHOWN_LINES_MAX:
        parts.append(f"  … and {len(ordered) - SHOWN_LINES_MAX} more lines")
    return "\n".join(parts)


def _told(line: RefusedLine) -> str:
    text = line.text.rstrip("\n")
    place = find_place(line.message, text)
    where = f"{line.file}, line {line.number}" if line.file else f"line {line.number}"
    if place is None:
        return f"  {where}: {line.message}\n    {_window(text, 0)[0]}"
    shown, column = _window(text, place.column)
    expected = f" expected {place.expected}" if place.expected else ""
    return f"  {where}, column {place.column + 1}: {line.message}\n    {shown}\n    {' ' * column}^{expected}"


def _window(text: str, column: int) -> tuple[str, int]:
    """The part of a line around a column, on one line."""
    plain = text.replace("\n", "↵").replace("\t", " ")
    begin = max(0, min(column - SHOWN_WIDTH * 2 // 3, len(plain) - SHOWN_WIDTH))
    left, right = "…" if begin else "", "…" if begin + SHOWN_WIDTH < len(plain) else ""
    return left + plain[begin : begin + SHOWN_WIDTH] + right, column - begin + len(left)


def find_place(message: str, line: str) -> Place | None:
    for pattern, find in _FINDERS:
        if (found := pattern.search(message)) is not None:
            return find([group for group in found.groups() if group is not None], line)
    return None


def _wrong_kind(names: Sequence[str], line: str) -> Place | None:
    key = _key(line, names[0])
    return None if key is None else Place(key[1], _KINDS.get(names[1].rpartition("::")[2]))


def _trailing(names: Sequence[str], line: str) -> Place | None:
    content, cut, _ = names[0].partition("...")
    at = line.find(content, _fields_at(line)) if cut or not line.endswith(content) else len(line) - len(content)
    return None if at < 0 else _value_at(line, at)


def _no_fields(_: Sequence[str], line: str) -> Place:
    at = _fields_at(line)
    if at >= len(line.rstrip()):
        return Place(len(line), "a space and a field, as temp=21.5")
    return _value_at(line, at)


def _value_at(line: str, at: int) -> Place:
    """Of a field that begins at a place: its value, if that is what is wrong with it."""
    field = re.compile(r"((?:[^\\=, ]|\\.)+)=").match(line, at)
    if field is None:
        return Place(at)
    return Place(at) if _VALUE.match(line, field.end()) else Place(field.end(), _ANY_VALUE)


def _quoted(names: Sequence[str], line: str) -> Place | None:
    at = line.find(names[0].partition("...")[0])
    return None if at < 0 else Place(at)


def _last(names: Sequence[str], line: str) -> Place | None:
    at = line.rfind(names[0])
    return None if at < 0 else Place(at)


def _second(names: Sequence[str], line: str) -> Place | None:
    first = _key(line, names[0])
    second = None if first is None else _key(line, names[0], first[1])
    return None if second is None else Place(second[0])


def _named(names: Sequence[str], line: str) -> Place | None:
    key = _key(line, names[0])
    return None if key is None else Place(key[0])


def _at_end(_: Sequence[str], line: str) -> Place:
    return Place(len(line), "a space and a field, as temp=21.5")


def _key(line: str, name: str, begin: int = 0) -> tuple[int, int] | None:
    """Where a tag or field of this name begins, and its value."""
    escaped = re.sub(r"([,= ])", r"\\\1", name)
    found = re.compile(rf"[, ]({re.escape(escaped)})=").search(line, begin)
    return None if found is None else (found.start(1), found.end())


def _fields_at(line: str) -> int:
    found = _FIRST_SPACE.match(line)
    return len(line) if found is None else found.end()


_FINDERS = (
    (re.compile(r"invalid column type for column '(.+)', expected (\S+), got"), _wrong_kind),
    (re.compile(r"trailing content: `(.*)`", re.DOTALL), _trailing),
    (re.compile(r"No fields were provided"), _no_fields),
    (re.compile(r"got end of input"), _at_end),
    (re.compile(r"equals sign in `(.*)`", re.DOTALL), _quoted),
    (re.compile(r"timestamp value `(.*)`|timestamp, (-?\d+), out of range"), _last),
    (re.compile(r"Unable to parse .* value `(.*)`"), _quoted),
    (re.compile(r"multiple instances of '(.+)' field|duplicate tags, but `(.+)` was"), _second),
    (re.compile(r"unknown tag '(.+)' for table"), _named),
    (re.compile(r"got `(.*)`"), _quoted),
)
