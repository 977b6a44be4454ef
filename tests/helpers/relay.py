"""A real HTTP relay in front of a real server, with the troubles of a network on request.

    relay.plan("lose", "ok")    the next request is lost in that way, the one after goes through; then all go through
    relay.always("busy")        from now on every request

    ok      to the server and back
    early   the connection breaks before the server has the request
    lose    the server has the request, its answer is lost and the connection reset
    hang    the server has the request, and no answer comes
    half    the connection breaks in the middle of the answer
    stall   the answer stops in the middle and the connection stays
    busy    503 with SlowDown       broken   500        full   507       throttled   429       collision   409

`down()` refuses connections and breaks those that are open; `up()` listens again.
"""

import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ANSWERS = {
    "busy": (503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    "broken": (500, b"<Error><Code>InternalError</Code></Error>"),
    "full": (507, b""),
    "throttled": (429, b""),
    "collision": (409, b"<Error><Code>ConditionalRequestConflict</Code></Error>"),
}


UNSEEN = {*ANSWERS, "early"}


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    relay: "Relay"

    def handle_error(self, *_: object) -> None:
        """A client that went away is what the tests are about."""


class Relay:
    def __init__(self, server_url: str, tls: ssl.SSLContext | None = None) -> None:
        self.target = urlsplit(server_url).netloc
        self._tls = tls
        self._plan: deque[str] = deque()
        self._always = "ok"
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.released = threading.Event()
        self.seen: list[str] = []
        self.busy = self.most_busy = 0
        self._listener: Listener | None = None
        self._port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def plan(self, *words: str) -> None:
        self._plan.extend(words)

    def always(self, word: str) -> None:
        self._always = word

    def up(self) -> None:
        self._listener = Listener(("127.0.0.1", self._port), Handler)
        self._listener.relay = self
        self._port = self._listener.server_address[1]
        if self._tls is not None:
            self._listener.socket = self._tls.wrap_socket(self._listener.socket, server_side=True)
        threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def down(self) -> None:
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None
        with self._lock:
            opened, self._open = self._open, set()
        for connection in opened:
            with suppress(OSError):  # long gone
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.released.set()
        self.down()

    @contextmanager
    def request(self, connection: socket.socket, line: str) -> Iterator[str]:
        """What is to happen to a request that has come in; it counts as busy until its answer is about to leave."""
        with self._lock:
            self._open.add(connection)
            self.seen.append(line)
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
            word = self._plan.popleft() if self._plan else self._always
        try:
            yield word
        finally:
            with self._lock:
                self.busy -= 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener

    def pass_on(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.relay.request(self.connection, f"{self.command} {self.path}") as word:
            answer = self.ask(data) if word not in UNSEEN else (0, {}, b"")
        self.go_on(word, *answer)

    def go_on(self, word: str, status: int, headers: dict[str, str], body: bytes) -> None:
        if word in ANSWERS:
            self.answer(ANSWERS[word][0], {}, ANSWERS[word][1])
        elif word == "ok":
            self.answer(status, headers, body)
        else:
            if word in ("half", "stall"):
                self.answer(status, headers, body, sent=len(body) // 2)
            if word in ("hang", "stall"):
                self.server.relay.released.wait(60)
            self.end()

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection(self.server.relay.target)
        try:
            connection.request(self.command, self.path, data, dict(self.headers))
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in HOP}
            return response.status, headers, response.read()
        finally:
            connection.close()

    def answer(self, status: int, headers: dict[str, str], body: bytes, sent: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        self.wfile.flush()

    def end(self) -> None:
        self.close_connection = True
        cut(self.connection)

    def log_message(self, *_: object) -> None:
        """Quiet."""


for method in ("GET", "PUT", "POST", "DELETE", "HEAD"):
    setattr(Handler, f"do_{method}", Handler.pass_on)

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"}


def cut(connection: socket.socket) -> None:
    """Reset the connection, so that the other side cannot take the end for the end of an answer."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
