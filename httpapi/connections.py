"""A client's connection: its socket, where it stands, and when its time is up.

X1  A socket's blocking calls end: after a time without progress, and when a response is taken too slowly.
X2  What gunicorn writes first, a response's header, leaves together with what follows it, or at the end of the request.
X3  A connection that is to be reset ends with a reset and nothing else: no client takes what it has got for a whole answer.

Held by tests/integration/test_single_port.py (X1), tests/unit/httpapi/test_connections.py (X2) and
tests/integration/http/test_streaming.py (X3).
Elsewhere: what happens to connections (worker.py); the time that a request's body may take (bodies.py).
"""

import errno
import socket
import ssl
import struct
import time
from enum import Enum, auto
from typing import Any

from gunicorn import http
from gunicorn.workers.gthread import TConn

from httpapi.sniff import Sniffer

IO_TIMEOUT_S = 15.0  # without a single byte moving
SLOWEST_BYTES_PER_S = 16 * 1024
JOINED_BYTES = 64 * 1024  # up to here a copy is cheaper than a system call and a packet


class _Patient:
    """gunicorn makes a socket blocking before a thread uses it; here that means "with a time limit" (X1)."""

    io_timeout_s = IO_TIMEOUT_S
    waited_s = 0.0
    sent_bytes = 0
    holds_next = False
    held = b""
    is_reset = False

    def start_request(self) -> None:
        self.waited_s, self.sent_bytes, self.holds_next = 0.0, 0, True

    def setblocking(self, flag: bool) -> None:
        self.settimeout(self.io_timeout_s if flag else 0.0)  # type: ignore[attr-defined]  # mixed into a socket

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self.holds_next:
            self.held, self.holds_next = bytes(data), False  # X2
            return
        if self.held and len(data) <= JOINED_BYTES:
            data, self.held = self.held + bytes(data), b""
        self.end_request()
        self._send(memoryview(data).cast("B"), flags)

    def end_request(self) -> None:
        held, self.held, self.holds_next = self.held, b"", False
        self._send(memoryview(held), 0)

    def reset(self) -> None:
        """What was sent may be lost; the other side gets an error instead of an end (X3)."""
        self.is_reset = True
        linger_0_s = struct.pack("ii", 1, 0)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_0_s)  # type: ignore[attr-defined]  # mixed into a socket

    def _send(self, view: memoryview, flags: int) -> None:
        while len(view):
            began_s = time.monotonic()
            try:
                sent: int = super().send(view, flags)  # type: ignore[misc]
            except TimeoutError:
                raise BrokenPipeError(errno.EPIPE, "the client stopped reading") from None
            view = view[sent:]
            self.waited_s += time.monotonic() - began_s
            self.sent_bytes += sent
            if self.waited_s > self.io_timeout_s + self.sent_bytes / SLOWEST_BYTES_PER_S:
                raise BrokenPipeError(errno.EPIPE, "the client reads too slowly")


class ClientSocket(_Patient, socket.socket):
    pass


class ClientTlsSocket(_Patient, ssl.SSLSocket):
    pass


def reset(sock: socket.socket) -> None:
    """End the connection of a request with a reset (X3)."""
    if isinstance(sock, _Patient):
        sock.reset()


class Phase(Enum):
    SHAKING = auto()  # TLS handshake
    FRESH = auto()  # nothing has come yet
    IDLE = auto()  # nothing of the next request yet
    READING = auto()  # a request is on its way in
    BUSY = auto()  # a thread has it
    POSTED = auto()  # a small write is with the engine
    LINGERING = auto()  # answered, and closed on our side
    GONE = auto()


class Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """gunicorn's connection, fed from `buffer` instead of by its own reads."""

    initialized: bool

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, sock, client, server)
        self.data_ready = True
        self.buffer = bytearray()
        self.sniffer = Sniffer()
        self.phase = Phase.FRESH
        self.is_watched = False  # by the loop's poller
        self.counted_bytes = 0
        self.drained_bytes = 0

    def init(self) -> None:
        """Before every request, in its thread: hand the parser what has been read."""
        self.sock.start_request()
        if not self.initialized:
            self.initialized = True
            self.parser = http.get_parser(self.cfg, self.sock, self.client)
        self.parser.unreader.unread(bytes(self.buffer))
        self.buffer.clear()

    def take_back(self) -> None:
        """After a request: what the parser has read beyond its end belongs to the next one."""
        self.sniffer.restart()
        if self.parser is not None:
            self.buffer += self.parser.unreader.take_buffered()


class Waiting:
    """Connections in the order of their deadlines, which is the order in which they came: all get the same time."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self._deadlines: dict[Connection, float] = {}

    def add(self, conn: Connection) -> None:
        self._deadlines[conn] = time.monotonic() + self.patience_s

    def remove(self, conn: Connection) -> None:
        self._deadlines.pop(conn, None)

    def expired(self, now_s: float) -> list[Connection]:
        found = []
        for conn, deadline_s in self._deadlines.items():
            if deadline_s > now_s:
                break
            found.append(conn)
        return found

    def cap(self, deadline_s: float) -> None:
        """Nobody here waits longer than this, nor does who comes later."""
        self._deadlines = {conn: min(old_s, deadline_s) for conn, old_s in self._deadlines.items()}
        self.patience_s = max(0.0, deadline_s - time.monotonic())

    def all(self) -> list[Connection]:
        return list(self._deadlines)
