"""Clients that close their connection while they wait for an answer: one thread watches all of them.

H1  Who has hung up is reported at once, by a call from the thread that watches, whatever the thread of the request waits for.
H2  After `end` nobody is told any more.

A client that only says that it will send no more (a half-closed connection) counts as gone, as with other servers.

Held by tests/unit/httpapi/test_hangups.py (H1, H2).
Elsewhere: what ends with the connection (routes/query.py).
"""

import logging
import select
import socket
import threading
from collections.abc import Callable

log = logging.getLogger("httpapi")

_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Hangups:
    """Its thread begins with the first client: a worker that is forked before has one of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poll: select.epoll | None = None
        self._told: dict[int, Callable[[], None]] = {}

    def watch(self, sock: socket.socket, tell: Callable[[], None]) -> Callable[[], None]:
        """`tell` is called if the other side goes. Returns the end of watching, to be called before the socket is closed."""
        number = sock.fileno()
        with self._lock:
            if self._poll is None:
                self._poll = select.epoll()
                threading.Thread(target=self._run, args=(self._poll,), name="hangups", daemon=True).start()
            self._told[number] = tell
            self._poll.register(number, _GONE | select.EPOLLONESHOT)

        def end() -> None:
            with self._lock:
                if self._told.get(number) is tell:
                    del self._told[number]
                    self._unregister(number)

        return end

    def _unregister(self, number: int) -> None:
        if self._poll is not None:
            try:
                self._poll.unregister(number)
            except OSError as error:  # it was closed: then the system has forgotten it already
                log.debug("a connection was closed before it was answered: %s", error)

    def _run(self, poll: select.epoll) -> None:
        while True:
            for number, _ in poll.poll():
                with self._lock:
                    tell = self._told.get(number)
                if tell is not None:
                    tell()
