"""The gunicorn worker: HTTP/1.1 to the application, HTTP/2 to the engine, on one port and over TLS alike.

P1  What a connection speaks is decided by what it sends (or by ALPN), whatever the pieces it comes in.
P2  A thread is given to a request that has arrived, not to a connection: waiting, slow and idle clients cost no thread.
P3  A client has `request_s` for a request to arrive (of a long one, the beginning), and must take a response at a fair rate.
P4  The loop that accepts never waits for a client: neither in a handshake nor in a close.
P5  A stopping worker answers what it has accepted, what still stands in the queue of the socket included.
P6  A small write costs no thread while it waits for the engine. Its connection is read from again once it has been answered:
    requests of one connection are answered in order.

Held by tests/integration/test_single_port.py (P1-P4), test_tls.py (P1), test_serve.py (P5) and
tests/integration/test_short_road.py (P6).
Elsewhere: a connection (connections.py), when a request has arrived (sniff.py), the rest of long bodies (bodies.py), HTTP/2
(relay.py), gunicorn's flags (flightserver.sidecar).

Written against gunicorn 27's gthread worker. The seams: `accept`, `enqueue_req`, the thread pool and the three that end
connections (`murder_keepalived`, `murder_pending`, `_cap_keepalive`) are ours; its main loop and its `handle` (one request in
one thread, through TConn.init) are used as they are, with its own lists of connections left empty.
"""

import contextlib
import errno
import json
import logging
import os
import resource
import selectors
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from catalog.credentials import without_tokens
from flightserver.client import CONVOY_BODY_BYTES_MAX
from httpapi.app import HttpFace
from httpapi.connections import IO_TIMEOUT_S, ClientSocket, ClientTlsSocket, Connection, Phase, Waiting
from httpapi.heads import plain_write
from httpapi.relay import Relay
from httpapi.sniff import Verdict

log = logging.getLogger("httpapi.worker")

NEXT_REQUEST_S = 0.001  # that a thread without other work waits for the next request on the same connection
LINGER_S = 2.0  # for a client to read a last response before its unread bytes turn into a reset
LINGER_BYTES = 1024 * 1024  # that are read to that end
STOP_IDLE_S = 0.3  # connections of a stopping worker that have had an answer: for a request that is on its way
STOP_REQUEST_S = 1.0  # those that have not
READ_BYTES = 64 * 1024
BUFFERED_BYTES = 128 * 1024 * 1024  # of the beginnings of all requests that are not answered yet
ACCEPTS_PER_EVENT = 8

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def refusal(status: str, message: str) -> bytes:
    body = json.dumps({"error": message})
    header = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (header + body).encode()


class _Captured:
    """Takes what gunicorn would send. Of its page about an error only the status is of use."""

    def __init__(self) -> None:
        self.sent = b""

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.sent += data

    @property
    def status(self) -> str:
        return self.sent.partition(b"\r\n")[0].decode().removeprefix("HTTP/1.1 ")


class Threads:
    """Threads that take tasks, which raise nothing, from one queue. gunicorn asks its pool for nothing but `shutdown`."""

    def __init__(self, count: int) -> None:
        self.queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._run, name=f"request-{number}", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.queue.get()()

    def shutdown(self, wait: bool = True) -> None:
        """They are daemons: the end of the process ends them."""


class SinglePortWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    alive: bool
    worker_connections: int
    request_s = 30.0  # for a request to arrive, counted from its first byte
    handshake_s = 10.0
    io_timeout_s = IO_TIMEOUT_S

    def init_process(self) -> None:
        soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.worker_connections = max(1, min(self.worker_connections, (soft - 200) // 2))  # a relayed one needs two
        self.waiting = {
            Phase.SHAKING: Waiting(self.handshake_s),
            Phase.FRESH: Waiting(self.cfg.keepalive),
            Phase.IDLE: Waiting(self.cfg.keepalive),
            Phase.READING: Waiting(self.request_s),
            Phase.LINGERING: Waiting(LINGER_S),
        }
        self.buffered_bytes = 0
        self.answered: deque[Connection] = deque()
        self.tells_answered = False
        self.tls = self._tls_context() if self.cfg.is_ssl else None
        engine_path = self.cfg.env["FLIGHTLINE_ENGINE"].removeprefix("grpc+unix://")
        self.relay = Relay(engine_path, partial(self.method_queue.defer, self._forget_relayed))
        self.relay.start()
        sys.setswitchinterval(0.001)  # the loop and the relay have to get their turn while threads compute
        self.log._access_log_enabled = False  # a log configuration turns it on, and it costs 40 µs a request at any level
        super().init_process()

    def run(self) -> None:
        report_fd = self.cfg.env.get("FLIGHTLINE_REPORT_FD")
        if report_fd is not None:
            with contextlib.suppress(BrokenPipeError):  # another worker has said it before, once is enough
                os.write(int(report_fd), b'{"http": "ready"}\n')
        super().run()

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cfg.certfile, self.cfg.keyfile)
        oldest = self.cfg.env.get("FLIGHTLINE_TLS_MINIMUM_VERSION")
        context.minimum_version = ssl.TLSVersion.TLSv1_3 if oldest == "tls-1.3" else ssl.TLSVersion.TLSv1_2
        # In this order HTTP clients that offer both speak HTTP/1.1; gRPC clients offer h2 alone.
        context.set_alpn_protocols(["http/1.1", "h2"])
        context.sslsocket_class = ClientTlsSocket
        return context

    # ---------------------------------------------------------------------------------------------- a connection's way

    def accept(self, listener: Any) -> None:
        for _ in range(ACCEPTS_PER_EVENT):
            if not self._accept_one(listener):
                return

    def _accept_one(self, listener: Any) -> bool:
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                log.error("cannot accept a connection: %s", error)
                time.sleep(0.01)
            return error.errno == errno.ECONNABORTED
        self.nr_conns += 1
        sock: socket.socket = ClientSocket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        try:
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            sock.io_timeout_s = self.io_timeout_s  # type: ignore[attr-defined]  # one of the two above
            conn = Connection(self.cfg, sock, client, listener.getsockname())
        except OSError:
            sock.close()  # gone before it was accepted
            self.nr_conns -= 1
            return True
        self._watch(conn)
        self._enter(conn, Phase.FRESH if self.tls is None else Phase.SHAKING)
        return True

    def _enter(self, conn: Connection, phase: Phase) -> None:
        if conn.phase in self.waiting:
            self.waiting[conn.phase].remove(conn)
        conn.phase = phase
        if phase in self.waiting:
            self.waiting[phase].add(conn)

    def _on_ready(self, conn: Connection, _sock: object) -> None:
        """The poller's callback: a step that never waits (P4)."""
        try:
            if conn.phase is Phase.SHAKING:
                self._shake_hands(conn)
            elif conn.phase is Phase.LINGERING:
                conn.drained_bytes += READ_BYTES
                if not conn.sock.recv(READ_BYTES) or conn.drained_bytes > LINGER_BYTES:
                    self._drop(conn)
            elif conn.phase in (Phase.FRESH, Phase.IDLE, Phase.READING):
                self._read(conn)
            elif conn.phase is Phase.POSTED:
                self._meet_early(conn)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            log.debug("connection lost: %s", error)
            self._drop(conn)

    def _shake_hands(self, conn: Connection) -> None:
        try:
            conn.sock.do_handshake()
        except ssl.SSLWantWriteError:
            self.poller.modify(conn.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, partial(self._on_ready, conn))
            return
        self.poller.modify(conn.sock, selectors.EVENT_READ, partial(self._on_ready, conn))
        if conn.sock.selected_alpn_protocol() == "h2":
            self._hand_over(conn)
        else:
            self._enter(conn, Phase.FRESH)
            self._read(conn)

    def _read(self, conn: Connection) -> None:
        """Everything there is, up to what a thread should begin with."""
        while True:
            try:
                data = conn.sock.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            if not data:
                self._drop(conn)
                return
            conn.buffer += data
            self._count(conn, len(conn.buffer))
            if not self._judge(conn) or (self.tls is None and len(data) < READ_BYTES):
                return

    def _judge(self, conn: Connection) -> bool:
        """Act on what has arrived. True: more of it has to come."""
        verdict = conn.sniffer.look(conn.buffer)
        if verdict is Verdict.EXPECTS:
            conn.sock.sendall(CONTINUE)
            conn.sniffer.drop_expectation(conn.buffer)
            verdict = conn.sniffer.look(conn.buffer)
        if verdict is Verdict.READY:
            self._dispatch(conn)
        elif verdict is Verdict.HTTP2:
            self._hand_over(conn)
        elif verdict is Verdict.TOO_LONG:
            self._refuse(conn, "431 Request Header Fields Too Large", "the header of the request is too long")
        elif verdict is Verdict.TLS:
            self._refuse(conn, "400 Bad Request", "a TLS handshake where plain HTTP is spoken")
        elif self.buffered_bytes > BUFFERED_BYTES:
            self._refuse(conn, "503 Service Unavailable", "too many requests at a time")
        else:
            if conn.phase is not Phase.READING:
                self._enter(conn, Phase.READING)
            return True
        return False

    def _dispatch(self, conn: Connection) -> None:
        if self._post(conn):
            return
        if conn.is_watched:
            self._unwatch(conn)
        self._enter(conn, Phase.BUSY)
        self.enqueue_req(conn)

    def get_thread_pool(self) -> Threads:
        return Threads(self.cfg.threads)

    def enqueue_req(self, conn: Connection) -> None:
        self.tpool.queue.put(partial(self._serve, conn))

    def _serve(self, conn: Connection) -> None:
        """In a thread: a request, and those that follow at once."""
        keep = False
        try:
            keep = self._handle(conn)
            while keep and self._next_is_here(conn):
                keep = self._handle(conn)
        except Exception:  # the thread has to live on
            log.exception("a request ended with an error that nobody caught, please report it with this line")
        finally:
            self.method_queue.defer(self._finish, conn, keep)

    def _handle(self, conn: Connection) -> bool:
        try:
            return bool(self.handle(conn))
        finally:
            with contextlib.suppress(OSError):  # what was wrong with the connection has been seen by now
                conn.sock.end_request()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Requests that gunicorn's parser refuses are answered in JSON, as all others are."""
        captured = _Captured()
        super().handle_error(req, captured, addr, exc)
        if captured.status:
            message = str(exc) if captured.status.startswith("4") else "internal error"
            client.sendall(refusal(captured.status, without_tokens(message or captured.status)))

    def _next_is_here(self, conn: Connection) -> bool:
        """Who waits for an answer often asks again at once; the way through the loop would cost more than the request."""
        if not self.alive or not self.tpool.queue.empty():
            return False
        conn.take_back()
        conn.sock.settimeout(NEXT_REQUEST_S)
        try:
            if not conn.buffer:
                conn.buffer += conn.sock.recv(READ_BYTES)
        except OSError:  # nothing yet, or nothing any more: the loop will see
            return False
        return conn.sniffer.look(conn.buffer) is Verdict.READY

    def _count(self, conn: Connection, size: int) -> None:
        """What this connection's request takes up, from its first byte until it has been answered."""
        self.buffered_bytes += size - conn.counted_bytes
        conn.counted_bytes = size

    def _unwatch(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        conn.is_watched = False

    def _watch(self, conn: Connection) -> None:
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._on_ready, conn))
        conn.is_watched = True

    def _hand_over(self, conn: Connection) -> None:
        self._unwatch(conn)
        self._count(conn, 0)
        self._enter(conn, Phase.GONE)
        self.relay.add(conn.sock, bytes(conn.buffer))

    def _forget_relayed(self) -> None:
        self.nr_conns -= 1

    def _finish(self, conn: Connection, keep: bool) -> None:
        """In the loop again. (gunicorn's `finish_request` would wait here until the client has closed.)"""
        try:
            conn.sock.setblocking(False)
            if not conn.is_watched:
                self._watch(conn)
            if keep:
                self._await_next(conn)
            else:
                self._linger(conn)
        except Exception as error:  # whatever one connection ran into must not end the worker
            log.debug("connection lost: %s", error)
            self._drop(conn)

    def _await_next(self, conn: Connection) -> None:
        conn.take_back()
        self._count(conn, len(conn.buffer))
        self._enter(conn, Phase.IDLE)
        if (not conn.buffer or self._judge(conn)) and self.tls is not None:
            self._read(conn)  # decrypted bytes do not make the socket readable

    # ------------------------------------------------------------------------------- a small write's way (P6)

    def _post(self, conn: Connection) -> bool:
        """Send a small write on; False if it is none, or if it has to be the connection's last request."""
        head, end = conn.sniffer.header_end, conn.sniffer.needed or 0
        if (
            conn.sniffer.chunked
            or not 0 < end - head < CONVOY_BODY_BYTES_MAX
            or not self.alive
            or type(self.wsgi) is not HttpFace
        ):
            return False
        environ = plain_write(conn.buffer, head)
        if environ is None or not self.wsgi.start_small(environ, bytes(conn.buffer[head:end]), partial(self._respond, conn)):
            return False
        del conn.buffer[:end]
        self._enter(conn, Phase.POSTED)
        return True

    def _respond(self, conn: Connection, response: bytes | Callable[[], bytes]) -> None:
        """In a thread that must not wait."""
        if not isinstance(response, bytes):
            self.tpool.queue.put(partial(self._respond_patiently, conn, response))
            return
        try:
            sent = conn.sock.send(response)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = 0
        except OSError:  # the loop will see
            sent = len(response)
        if sent < len(response):
            self.tpool.queue.put(partial(self._respond_patiently, conn, lambda: response[sent:]))
        else:
            self._has_answered(conn)

    def _respond_patiently(self, conn: Connection, response: Callable[[], bytes]) -> None:
        try:
            conn.sock.start_request()
            conn.sock.setblocking(True)
            conn.sock.sendall(response())
            conn.sock.end_request()
        except OSError as error:
            log.debug("connection lost: %s", error)
        except Exception:  # the thread has to live on
            log.exception("a request ended with an error that nobody caught, please report it with this line")
            conn.sock.reset()
        self._has_answered(conn)

    def _has_answered(self, conn: Connection) -> None:
        self.answered.append(conn)
        if not self.tells_answered:
            self.tells_answered = True
            self.method_queue.defer(self._take_answered)

    def _take_answered(self) -> None:
        """In the loop again."""
        self.tells_answered = False
        while self.answered:
            conn = self.answered.popleft()
            self._finish(conn, keep=not conn.sock.is_reset)

    def _meet_early(self, conn: Connection) -> None:
        """The connection sends on or ends before the loop knows that it was answered, or before it was."""
        self._take_answered()
        if conn.phase is Phase.POSTED:
            self._unwatch(conn)

    # ------------------------------------------------------------------------------------------------- its end

    def _refuse(self, conn: Connection, status: str, message: str) -> None:
        with contextlib.suppress(OSError):
            conn.sock.send(refusal(status, message))
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """Close our side and read on until the client closes, or the kernel would turn its unread bytes into a reset."""
        if conn.sock.is_reset:
            self._drop(conn)
            return
        conn.buffer.clear()
        self._count(conn, 0)
        self._enter(conn, Phase.LINGERING)
        if isinstance(conn.sock, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                conn.sock.unwrap()
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        if conn.phase is Phase.GONE:
            return
        with contextlib.suppress(KeyError, ValueError):
            self.poller.unregister(conn.sock)
        self._count(conn, 0)
        self._enter(conn, Phase.GONE)
        self.nr_conns -= 1
        conn.sock.close()

    def murder_keepalived(self, force: bool = False) -> None:
        now_s = time.monotonic()
        for phase in (Phase.FRESH, Phase.IDLE, Phase.SHAKING, Phase.LINGERING):
            for conn in self.waiting[phase].all() if force else self.waiting[phase].expired(now_s):
                self._drop(conn)

    def murder_pending(self) -> None:
        for conn in self.waiting[Phase.READING].expired(time.monotonic()):
            self._refuse(conn, "408 Request Timeout", "the request did not arrive in time")

    # ---------------------------------------------------------------------------------------------- stopping

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            listener.setblocking(False)
            while self._accept_one(listener):  # P5
                pass
            listener.close()

    def _cap_keepalive(self, deadline: float) -> None:
        now_s = time.monotonic()
        for phase, waiting in self.waiting.items():
            patience_s = STOP_IDLE_S if phase in (Phase.IDLE, Phase.LINGERING) else STOP_REQUEST_S
            waiting.cap(min(deadline, now_s + patience_s))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, 0.05))

    def is_parent_alive(self) -> bool:
        self.alive = self.alive and super().is_parent_alive()
        return bool(self.alive)
