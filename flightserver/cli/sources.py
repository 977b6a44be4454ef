"""Where the lines of a write come from: the command line, files, pipes; plain or gzipped.

I1  A source is read as it is asked for. A file is never held whole.
I2  A pipe that pauses says so (None), so that what has come can be sent.
I3  Gzip is recognised by its first bytes, may have several members, and must be whole.

Held by tests/integration/cli/test_write.py (I1-I3).
Elsewhere: cutting what is read (cli.splitting).
"""

import os
import select
import sys
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

from flightserver.cli.console import CommandError, refuse_file_name
from flightserver.cli.parsing import Given, UsageError
from flightserver.cli.splitting import Read

NOTHING_GIVEN = "No input from stdin detected, no string was passed in, and no file path was given"
NOT_QUOTED = "ensure that a single protocol line string is provided as the final argument, enclosed in quotes"
NO_LINES = "no line protocol string provided"
PAUSE_S = 1.0
READ_BYTES = 1 << 20
GZIP, GZIP_ONLY = b"\x1f\x8b", 31


class Source(NamedTuple):
    """Where lines come from. `size_bytes` is of the file as it is on the disk; None where nobody knows."""

    name: str | None
    read: Read
    size_bytes: int | None = None
    position: Callable[[], int] = lambda: 0
    at: int = 0
    line: int = 1


def open_sources(given: Given) -> Iterator[Source]:
    """The arguments, else the files, else the standard input."""
    texts = given.each("LINE_PROTOCOL") + ([given.text("--lp")] if "--lp" in given else [])
    files = given.each("--file")
    start = given.number("--start-at")
    if start and (texts or len(files) != 1):
        raise UsageError("--start-at needs exactly one --file", "write")
    for text in texts:
        refuse_file_name(text)
    if len(texts) > 1 and any(" " not in text.strip() for text in texts):
        raise CommandError(NOT_QUOTED)  # no line is a single word: the shell has cut one into several
    if texts:
        if not any(text.strip() for text in texts):
            raise CommandError(NO_LINES)
        yield _of_text("\n".join(texts))
    elif files:
        yield from (_of_file(name, start) for name in files)
    elif sys.stdin is None or sys.stdin.isatty():
        raise CommandError(NOTHING_GIVEN)
    else:
        yield _of_stream(sys.stdin.buffer, None, 0)


def _of_text(text: str) -> Source:
    parts = iter([os.fsencode(text)])
    return Source(None, lambda _: next(parts, b""), len(text))


def _of_file(name: str, start: int) -> Source:
    if name == "-":
        return _of_stream(sys.stdin.buffer, None, start)
    try:
        stream = open(name, "rb")  # noqa: SIM115  # read until the process ends
        return _of_stream(stream, name, start)
    except OSError as error:
        raise CommandError(f"cannot read {name}: {error.strerror}") from None


def _of_stream(stream: IO[bytes], name: str | None, start: int) -> Source:
    """A stream from a byte on; gzip is recognised by its first bytes."""
    size_bytes = os.fstat(stream.fileno()).st_size if os.path.isfile(name or "") else None
    if size_bytes is None:
        return _of_pipe(stream.fileno(), name)
    head = stream.read(2)
    stream.seek(0)
    read = _reads(stream, name)
    if head == GZIP:
        read = _unpacked(read, name)
    line = 1 + _skip(read, start, name)
    return Source(name, read, size_bytes, stream.tell, start, line)


def _skip(read: Read, count: int, name: str | None) -> int:
    """Pass over the first bytes, and say how many lines they were."""
    lines = 0
    while count > 0:
        data = read(min(count, READ_BYTES))
        if not data:
            raise CommandError(f"--start-at lies behind the end of {name}")
        lines += data.count(b"\n")
        count -= len(data)
    return lines


def _reads(stream: IO[bytes], name: str | None) -> Read:
    def read(count: int) -> bytes:
        try:
            return stream.read(count)
        except OSError as error:
            raise CommandError(f"cannot read {name}: {error.strerror}") from None

    return read


def _unpacked(read: Read, name: str | None) -> Read:
    """What a gzip file holds, however many members it has. A pause of the source is passed on."""
    from isal import igzip_lib, isal_zlib  # seldom needed

    held = bytearray()
    member = isal_zlib.decompressobj(GZIP_ONLY)
    begun = False

    def read_plain(count: int) -> bytes | None:
        nonlocal member, begun
        while len(held) < count:
            packed = read(READ_BYTES)
            if packed is None:
                break
            if not packed:
                if begun:
                    raise CommandError(f"{name or 'the input'} ends in the middle of its gzip data")
                return _taken(held, count)
            try:
                while packed:
                    held.extend(member.decompress(packed))
                    begun = not member.eof
                    packed = member.unused_data
                    if member.eof:
                        member = isal_zlib.decompressobj(GZIP_ONLY)
            except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stubs call the class an instance
                raise CommandError(f"{name or 'the input'} is damaged: {error}") from None
        return _taken(held, count) or None

    return read_plain


def _taken(held: bytearray, count: int) -> bytes:
    data = bytes(held[:count])
    del held[:count]
    return data


def _pipe(descriptor: int) -> Read:
    """A pipe: what comes is taken, and a pause is told."""

    def read(count: int) -> bytes | None:
        parts: list[bytes] = []
        while count > 0:
            ready, _, _ = select.select([descriptor], [], [], PAUSE_S)
            if not ready:
                return b"".join(parts) or None
            data = os.read(descriptor, min(count, READ_BYTES))
            if not data:
                break
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    return read


def _of_pipe(descriptor: int, name: str | None) -> Source:
    """Whether it is gzip is known from its first two bytes, which are waited for."""
    read, head = _pipe(descriptor), b""
    while len(head) < len(GZIP) and (some := read(len(GZIP) - len(head))) != b"":
        head += some or b""

    def whole(count: int) -> bytes | None:
        nonlocal head
        data, head = head, b""
        return data or read(count)

    return Source(name, _unpacked(whole, name) if head == GZIP else whole)
