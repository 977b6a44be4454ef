"""A request's body: read once, bounded, decompressed.

B1  Neither the bytes taken from the wire nor the decompressed bytes exceed the limit by more than one, and memory is used as
    bytes arrive, whatever length was announced; but for a lane's arena, of which there is one for a thread.
B2  A body that ends early, is cut inside a chunk or inside a gzip member, or whose sender goes away is an error: never a
    shorter body.
B3  A sender without progress does not hold its thread: it has 30 s, and from then on must have sent 4 KiB/s on average.
B4  The rest of a refused body is read and dropped, within bounds, so that its sender gets to see the answer; if it is longer
    than that, the connection is closed, since nobody knows where the next request begins.

A body of known length is received straight into its final buffer: gunicorn's own reader copies it four times on the way. What
is used of that reader is checked for by type; any other server's `wsgi.input` is simply read. Large bodies go into buffers
that are used again: on a virtual machine the page faults of fresh memory cost five times as much as receiving the bytes
(1.7 MB: 1500 µs against 250).

Held by tests/unit/httpapi/test_bodies.py (B1, B2) and tests/integration/http/test_hostile_input.py (B2-B4).
"""

import gzip
import io
import mmap
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import ParseException
from isal import igzip, isal_zlib

from catalog.errors import InvalidRequest, TooLarge
from httpapi.errors import BodyTooSlow

Environ = dict[str, Any]

_IsalError: Any = isal_zlib.IsalError  # annotated as an instance there

_GRACE_S = 30.0
_MIN_BYTES_PER_S = 4096
_DISCARD_S = 2.0
_DISCARD_LIMITS = 4  # a refused body is read for at most this many times the size limit
_STEP_BYTES = 256 * 1024
_SMALL_BYTES = 64 * 1024
_KEPT_BUFFERS = 8
_KEPT_BYTES = 2 * 1024 * 1024  # of each
_MAP_NORESERVE = 0x4000  # Linux: what is not touched is not promised; the module has no name for it yet


class BodyReader:
    """Reads the bodies of a worker's requests."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._buffers = _Buffers(limit_bytes + 1)

    def straight_bytes(self, environ: Environ) -> int:
        """How long a body is that arrives as it is to be used; 0 for others."""
        length = _announced_length(environ)
        return 0 if length is None or length > self.limit_bytes or "HTTP_CONTENT_ENCODING" in environ else length

    @contextmanager
    def read(self, environ: Environ, memory: memoryview | None = None) -> Iterator[memoryview]:
        """The whole body, decompressed, or an error that says why not. Nothing may refer to it once the block is left.

        `memory` has room for all of a body that has `straight_bytes`.
        """
        if memory is not None:
            yield memory[: self._fill(memory, environ, self.straight_bytes(environ), is_gzip=False)]
            return
        encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip()
        if encoding.lower() not in ("", "identity", "gzip"):
            raise InvalidRequest(f"unacceptable content-encoding: {encoding}")
        length = _announced_length(environ)
        if length is not None and length > self.limit_bytes:
            raise self._too_large()
        if length is not None and length <= _SMALL_BYTES and encoding.lower() != "gzip":
            buffer = memoryview(bytearray(length))
            yield buffer[: self._fill(buffer, environ, length, is_gzip=False)]
            return
        with self._buffers.borrow() as buffer:
            filled = self._fill(buffer, environ, length, is_gzip=encoding.lower() == "gzip")
            yield buffer[:filled]

    def discard(self, environ: Environ) -> None:
        """Read what is left of a refused request's body, within bounds, and drop it (B4)."""
        if getattr(environ["wsgi.input"], "failed", False):
            return
        until_s = time.monotonic() + _DISCARD_S
        source = _open_source(environ, lambda received: until_s)
        scratch = memoryview(bytearray(_STEP_BYTES))
        try:
            for _ in range(1 + _DISCARD_LIMITS * self.limit_bytes // _STEP_BYTES):
                if source.readinto(scratch) == 0:
                    return
            source.spoil()
        except (OSError, ParseException):
            source.spoil()
        finally:
            source.release()

    def _fill(self, buffer: memoryview, environ: Environ, length: int | None, *, is_gzip: bool) -> int:
        started_s = time.monotonic()
        source = _open_source(environ, lambda received: started_s + _GRACE_S + received / _MIN_BYTES_PER_S)
        try:
            if is_gzip:
                return self._gunzip(source, buffer)
            if length is not None:
                return _read_exactly(source, buffer, length)
            return self._read_until_end(source.readinto, buffer)
        except TimeoutError:
            source.spoil()
            raise BodyTooSlow("the request body did not arrive in time") from None
        except (OSError, ParseException) as error:  # the connection broke, or the chunks make no sense
            source.spoil()
            raise InvalidRequest(f"Failed to read request body: {error}") from None
        finally:
            source.release()

    def _read_until_end(self, readinto: Callable[[memoryview], int], buffer: memoryview) -> int:
        filled = 0
        while count := readinto(buffer[filled : filled + _STEP_BYTES]):
            filled += count
            if filled > self.limit_bytes:
                raise self._too_large()
        return filled

    def _gunzip(self, source: "_Source", buffer: memoryview) -> int:
        with igzip.IGzipFile(fileobj=_Bounded(source, self.limit_bytes, self._too_large()), mode="rb") as members:
            try:
                return self._read_until_end(members.readinto, buffer)
            except (gzip.BadGzipFile, EOFError, zlib.error, _IsalError) as error:
                raise InvalidRequest(f"error decoding gzip stream: {error}") from None

    def _too_large(self) -> TooLarge:
        return TooLarge(f"max request size ({self.limit_bytes} bytes) exceeded")


def has_body(environ: Environ) -> bool:
    return _announced_length(environ) != 0


def _read_exactly(source: "_Source", buffer: memoryview, length: int) -> int:
    filled = 0
    while filled < length:
        count = source.readinto(buffer[filled:length])
        if count == 0:
            raise ConnectionError(f"the body ended after {filled} of {length} bytes")
        filled += count
    return filled


def _announced_length(environ: Environ) -> int | None:
    """The length that the headers tell; None for a chunked body."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return None
    return int(environ.get("CONTENT_LENGTH") or 0)


class _Buffers:
    """Memory for large bodies, the last used first. Pages exist once written to, and some stay for the next body."""

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._idle: list[mmap.mmap] = []

    @contextmanager
    def borrow(self) -> Iterator[memoryview]:
        try:
            memory = self._idle.pop()
        except IndexError:
            memory = mmap.mmap(-1, self._capacity_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
        try:
            yield memoryview(memory)
        finally:
            if len(self._idle) < _KEPT_BUFFERS:
                if self._capacity_bytes > _KEPT_BYTES:
                    memory.madvise(mmap.MADV_DONTNEED, _KEPT_BYTES)
                self._idle.append(memory)


class _Source(io.RawIOBase):
    """The bytes of one request's body, from any WSGI server."""

    def __init__(self, environ: Environ) -> None:
        super().__init__()
        self._input = environ["wsgi.input"]

    def readable(self) -> bool:
        return True

    def readinto(self, view: Any) -> int:
        data = self._input.read(len(view))
        view[: len(data)] = data
        return len(data)

    def spoil(self) -> None:
        """The rest of the body is of no use: this connection carries no further request."""

    def release(self) -> None:
        """The connection is the server's again."""


class _GunicornSource(_Source):
    """The same from gunicorn, whose socket is within reach: patience can be limited, and copies saved."""

    def __init__(self, environ: Environ, patience: Callable[[int], float]) -> None:
        super().__init__(environ)
        self._reader = self._input.reader
        self._unreader = self._reader.unreader if isinstance(self._reader, LengthReader) else self._reader.req.unreader
        self._server_socket = self._unreader.sock
        self._patient_socket = _PatientSocket(self._server_socket, patience)
        self._unreader.sock = self._patient_socket

    def readinto(self, view: Any) -> int:
        if not isinstance(self._reader, LengthReader):
            return super().readinto(view)
        wanted = min(len(view), self._reader.length)
        if wanted == 0:
            return 0
        ahead = self._unreader.take_buffered()
        if ahead:
            count = int(min(wanted, len(ahead)))
            view[:count] = ahead[:count]
            self._unreader.unread(ahead[count:])
        else:
            count = self._patient_socket.recv_into(memoryview(view)[:wanted])
        self._reader.length -= count
        return int(count)

    def spoil(self) -> None:
        self._input.failed = True

    def release(self) -> None:
        self._unreader.sock = self._server_socket
        self._patient_socket.restore()


def _open_source(environ: Environ, patience: Callable[[int], float]) -> _Source:
    body = environ["wsgi.input"]
    if type(body) is Body and type(body.reader) in (LengthReader, ChunkedReader):
        return _GunicornSource(environ, patience)
    return _Source(environ)


class _PatientSocket:
    """A socket whose reads end with TimeoutError after `patience(bytes received)`, a point in monotonic time (B3)."""

    def __init__(self, sock: socket.socket, patience: Callable[[int], float]) -> None:
        self._sock = sock
        self._patience = patience
        self._received = 0
        self._timeout_before_s = sock.gettimeout()
        self._armed = False

    def recv(self, size: int) -> bytes:
        self._arm()
        data = self._sock.recv(size)
        self._received += len(data)
        return data

    def recv_into(self, view: memoryview) -> int:
        self._arm()
        count = self._sock.recv_into(view)
        self._received += count
        return count

    def restore(self) -> None:
        if self._armed:
            self._sock.settimeout(self._timeout_before_s)

    def _arm(self) -> None:
        remaining_s = self._patience(self._received) - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        self._sock.settimeout(remaining_s)
        self._armed = True


class _Bounded(io.RawIOBase):
    """A source that ends with an error once it has given more than the limit (B1)."""

    def __init__(self, source: _Source, limit_bytes: int, too_large: TooLarge) -> None:
        super().__init__()
        self._source = source
        self._left = limit_bytes + 1
        self._too_large = too_large

    def readable(self) -> bool:
        return True

    def readinto(self, view: Any) -> int:
        count: int = self._source.readinto(memoryview(view)[: self._left])
        self._left -= count
        if self._left == 0:
            raise self._too_large
        return count
