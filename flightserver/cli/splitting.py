"""Line protocol cut into bodies at the ends of lines. Pure, but for reading.

S1  The bodies of a stream, put together, are the stream: nothing is lost, nothing is sent twice.
S2  A body ends where a line ends; a newline inside a quoted string is no end.
S3  No body is longer than it may be, unless a single line is.
S4  A body knows where in the stream it begins: byte and physical line number.
S5  A stream that pauses is not waited for: what has come is sent, up to the last whole line.

Held by tests/unit/flightserver/cli/test_splitting.py (S1-S5).
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

#: a string that goes on after the end of its line; without one every newline is the end of a line
_OPEN_STRING = re.compile(rb'="(?:[^"\\\n]|\\[^\n])*+\\?\n')
#: whole lines, one after another: comments, lines without fields, lines with fields and strings
_WHOLE_LINES = re.compile(
    rb"""(?:
        [\ \t\r]*+
        (?: \#[^\n]*+
          | (?:[^\\\ \n]++|\\[^\n]|\\(?=\n))*+
            (?:\ (?:="(?:[^"\\]++|\\[\s\S])*+"|=(?!")|[^=\n]++)*+)?
        )
        \n
    )*+""",
    re.VERBOSE,
)

LINE_MAX = 64 * 1024 * 1024

#: the next bytes, at most so many; None when nothing came for a while; nothing at the end
Read = Callable[[int], bytes | None]


class Body(NamedTuple):
    data: bytes
    at: int  # byte of the stream at which it begins
    line: int  # number of its first line, from 1
    lines: int  # physical lines


def bodies(read: Read, size_max: int, at: int = 0, line: int = 1) -> Iterator[Body]:
    held, ended = b"", False
    while not ended:
        some = read(size_max - len(held) if len(held) < size_max else size_max)
        ended, paused = some == b"", some is None
        held += some or b""
        while held and (ended or paused or len(held) >= size_max):
            end = _end_of_lines(held, size_max, ended=ended)
            if end == 0:
                break
            data, held = held[:end], held[end:]
            newlines = data.count(b"\n")
            yield Body(data, at, line, newlines + (not data.endswith(b"\n")))
            at, line = at + end, line + newlines


def _end_of_lines(data: bytes, size_max: int, *, ended: bool) -> int:
    """Where the last whole line ends that still fits; of a line that is too long, its end. 0: more is needed."""
    if ended and len(data) <= size_max:
        return len(data)
    end = _whole_lines(data[:size_max])
    if end or (not ended and len(data) < 4 * size_max):
        return end
    end = data.find(b"\n") + 1
    return end if end or (not ended and len(data) < LINE_MAX) else len(data)


def _whole_lines(data: bytes) -> int:
    if _OPEN_STRING.search(data) is None:
        return data.rfind(b"\n") + 1
    found = _WHOLE_LINES.match(data)
    return found.end() if found else 0
