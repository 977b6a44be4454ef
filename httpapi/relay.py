"""HTTP/2 connections, byte for byte, to the engine's socket and back: one thread, however many there are.

Y1  Bytes arrive unchanged and in order; an end of one direction is passed on and the other goes on (half-close).
Y2  A side that does not read stops the other side from being read: at most one buffer waits per direction.
Y3  An idle connection costs two sockets and a small object: no thread, no buffer, no wake-up.
Y4  While the engine is starting, a new connection waits for it, at most ENGINE_PATIENCE_S.

Held by tests/integration/test_relay.py (Y1-Y4).
Elsewhere: which connections come here (worker.py). What the bytes mean is nobody's business here.
"""

import contextlib
import errno
import logging
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable

log = logging.getLogger("httpapi.relay")

BUFFER_BYTES = 1024 * 1024
TURN_BYTES = 4 * 1024 * 1024  # how much one connection may move before the others get their turn
ENGINE_PATIENCE_S = 5.0
ENGINE_RETRY_S = 0.05

_READ_EVENTS = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_WRITE_EVENTS = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_ALL_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

WOULD_BLOCK = -1


class _End:
    """One socket of a connection. Edge-triggered: `readable` and `writable` hold until a call says otherwise."""

    __slots__ = ("link", "readable", "sock", "writable")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.readable = True
        self.writable = True
        self.link: _Link | None = None

    def read_into(self, view: memoryview) -> int:
        """Bytes read, 0 at the end of the stream, or WOULD_BLOCK."""
        try:
            return self.sock.recv_into(view)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.readable = False
            return WOULD_BLOCK

    def write(self, view: memoryview) -> int:
        try:
            return self.sock.send(view)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self.writable = False
            return 0

    def end_writing(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()


class _TlsEnd(_End):
    """Records are at most 16 KiB, so several are read or written per turn."""

    __slots__ = ()

    def read_into(self, view: memoryview) -> int:
        filled = 0
        while filled < len(view):
            count = super().read_into(view[filled:])
            if count <= 0:
                return filled or count  # an end is seen again by the next read
            filled += count
        return filled

    def write(self, view: memoryview) -> int:
        sent = 0
        while sent < len(view) and (count := super().write(view[sent:])):
            sent += count
        return sent

    def end_writing(self) -> None:
        """TLS has no half-close that clients agree on: say goodbye, the link closes."""
        assert isinstance(self.sock, ssl.SSLSocket)
        with contextlib.suppress(OSError, ValueError):
            self.sock.unwrap()


class _Direction:
    __slots__ = ("ended", "sink", "source", "waiting")

    def __init__(self, source: _End, sink: _End, waiting: bytes = b"") -> None:
        self.source = source
        self.sink = sink
        self.waiting: memoryview | None = memoryview(waiting) if waiting else None
        self.ended = False

    def move(self, buffer: memoryview) -> bool:
        """Move what can be moved now, a turn's worth at most. True: there may be more."""
        moved = 0
        while moved < TURN_BYTES:
            if self.waiting is not None and not self._send_waiting():
                return False
            if self.ended or not self.source.readable:
                return False
            count = self.source.read_into(buffer)
            if count == WOULD_BLOCK:
                return False
            if count == 0:
                self.ended = True
                self.sink.end_writing()
                return False
            moved += count
            self._send(buffer[:count])
        return True

    def _send(self, view: memoryview) -> None:
        sent = self.sink.write(view) if self.sink.writable else 0
        if sent < len(view):
            self.waiting = memoryview(bytes(view[sent:]))

    def _send_waiting(self) -> bool:
        assert self.waiting is not None
        while len(self.waiting):
            sent = self.sink.write(self.waiting) if self.sink.writable else 0
            if sent == 0:
                return False
            self.waiting = self.waiting[sent:]
        self.waiting = None
        return True


class _Link:
    __slots__ = ("closed", "down", "ends", "queued", "up")

    def __init__(self, client: _End, engine: _End, first: bytes) -> None:
        self.ends = (client, engine)
        self.up = _Direction(client, engine, first)
        self.down = _Direction(engine, client)
        self.queued = False
        self.closed = False

    @property
    def over(self) -> bool:
        """Once the engine has said all it will, or both sides have."""
        return self.down.ended and self.down.waiting is None


class Relay(threading.Thread):
    def __init__(self, engine_path: str, on_close: Callable[[], None]) -> None:
        super().__init__(name="relay", daemon=True)
        self.engine_path = engine_path
        self.on_close = on_close
        self._arrivals: deque[tuple[socket.socket, bytes, float]] = deque()
        self._unconnected: deque[tuple[socket.socket, bytes, float]] = deque()
        self._ends: dict[int, _End] = {}
        self._queue: deque[_Link] = deque()
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))

    def add(self, client: socket.socket, first: bytes) -> None:
        """Take a non-blocking socket over, with what has been read from it. Called from any thread."""
        self._arrivals.append((client, first, time.monotonic() + ENGINE_PATIENCE_S))
        os.eventfd_write(self._wake, 1)

    def run(self) -> None:
        while True:
            for fd, events in self._epoll.poll(self._timeout_s()):
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                elif fd in self._ends:
                    self._note(self._ends[fd], events)
            self._connect_arrivals()
            for _ in range(len(self._queue)):
                self._take_turn(self._queue.popleft())

    def _timeout_s(self) -> float:
        if self._queue or self._arrivals:
            return 0
        return ENGINE_RETRY_S if self._unconnected else -1

    def _note(self, end: _End, events: int) -> None:
        tls = isinstance(end.sock, ssl.SSLSocket)  # reading may have waited for writing, and the other way round
        end.readable |= tls or bool(events & _READ_EVENTS)
        end.writable |= tls or bool(events & _WRITE_EVENTS)
        assert end.link is not None
        self._enqueue(end.link)

    def _enqueue(self, link: _Link) -> None:
        if not link.queued and not link.closed:
            link.queued = True
            self._queue.append(link)

    def _take_turn(self, link: _Link) -> None:
        link.queued = False
        if link.closed:
            return
        try:
            more_up = link.up.move(self._buffer)
            more_down = link.down.move(self._buffer)
        except OSError as error:
            log.debug("connection closed: %s", error)
            self._close(link)
            return
        if link.over:
            self._close(link)
        elif more_up or more_down:
            self._enqueue(link)

    # ---------------------------------------------------------------------------------------------- opening, closing

    def _connect_arrivals(self) -> None:
        while self._arrivals:
            self._unconnected.append(self._arrivals.popleft())
        for _ in range(len(self._unconnected)):
            client, first, deadline_s = self._unconnected.popleft()
            engine = self._connect()
            if engine is not None:
                self._link(client, engine, first)
            elif time.monotonic() < deadline_s:
                self._unconnected.appendleft((client, first, deadline_s))  # Y4; the others would not fare better now
                return
            else:
                client.close()
                self.on_close()

    def _connect(self) -> socket.socket | None:
        try:
            engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:  # no descriptor is free; the thread has to live on
            log.error("cannot reach the engine, which is started anew when it has died: %s", error)
            return None
        engine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        try:
            engine.connect(self.engine_path)
        except OSError as error:
            engine.close()
            if error.errno not in (errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN):
                log.error("cannot reach the engine, which is started anew when it has died: %s", error)
            return None
        return engine

    def _link(self, client: socket.socket, engine: socket.socket, first: bytes) -> None:
        outer = _TlsEnd(client) if isinstance(client, ssl.SSLSocket) else _End(client)
        link = _Link(outer, _End(engine), first)
        for end in link.ends:
            end.link = link
            self._ends[end.sock.fileno()] = end
            self._epoll.register(end.sock.fileno(), _ALL_EVENTS)
        self._enqueue(link)

    def _close(self, link: _Link) -> None:
        link.closed = True
        for end in link.ends:
            self._epoll.unregister(end.sock.fileno())
            del self._ends[end.sock.fileno()]
            end.link = None
            end.close()
        self.on_close()
