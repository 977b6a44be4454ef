"""The HTTP client counts every request once (scripts/bench_lib/http_client.py), against a real server with moods."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scripts.bench_lib import data as rows_of
from scripts.bench_lib.http_client import Job, Load, parse_response
from scripts.bench_lib.scenarios import http_job

DATA = rows_of.cpu("client", hosts=10, rows=200)
Answer = Callable[["Handler", int, bytes], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: Answer
    seen: list[bytes]
    lock: threading.Lock

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            self.seen.append(body)
            number = len(self.seen)
        type(self).answer(self, number, body)

    def reply(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[int, list[bytes]]]:
    seen: list[bytes] = []
    handler = type("Moody", (Handler,), {"answer": answer, "seen": seen, "lock": threading.Lock()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], seen
        finally:
            server.shutdown()
            thread.join()


def job(port: int, lines: int = 20, **more: object) -> Job:
    bodies = rows_of.bodies(DATA, DATA.full_rows, lines)
    return {**http_job(bodies, 3), "port": port, "path": "/write", **more}  # type: ignore[typeddict-item]


def run(job: Job) -> dict[str, object]:
    load = Load(job)
    try:
        return load.run()
    finally:
        for connection in load.connections.values():
            connection.sock.close()
        load.epoll.close()


def test_every_body_is_sent_once_and_every_row_acknowledged() -> None:
    """H1, H2."""
    with serving(lambda handler, number, body: handler.reply(204)) as (port, seen):
        result = run(job(port))

    text = rows_of.bodies(DATA, DATA.full_rows, 20).data.read_bytes()
    assert b"".join(sorted(seen)) == b"".join(sorted(text[at : at + len(body)] for body in seen for at in [text.index(body)]))
    assert len(seen) == len(set(seen)) == 10
    assert (result["rows"], result["unknown_rows"], result["outcomes"]) == (200, 0, {"204": 10})
    assert result["check"] == int(rows_of.cpu_values(DATA, 200)[:, 0].sum())


def test_a_503_is_repeated_until_it_is_taken() -> None:
    with serving(lambda handler, number, body: handler.reply(503 if number <= 4 else 204)) as (port, seen):
        result = run(job(port))

    assert result["outcomes"] == {"503": 4, "204": 10}
    assert result["rows"] == 200
    assert len(seen) == 14


def test_a_refused_request_is_counted_and_not_acknowledged() -> None:
    """H2."""
    with serving(lambda handler, number, body: handler.reply(400 if number == 2 else 204)) as (port, _):
        result = run(job(port))

    assert result["outcomes"] == {"204": 9, "400": 1}
    assert (result["rows"], result["unknown_rows"]) == (180, 0)


def test_a_lost_connection_leaves_its_rows_unknown_and_the_rest_goes_on() -> None:
    """H1, H2."""

    def answer(handler: Handler, number: int, body: bytes) -> None:
        if number == 3:
            handler.close_connection = True
        else:
            handler.reply(204)

    with serving(answer) as (port, _):
        result = run(job(port))

    assert result["outcomes"] == {"204": 9, "dropped": 1}
    assert (result["rows"], result["unknown_rows"]) == (180, 20)


def test_a_server_that_closes_after_each_answer_is_served_on_new_connections() -> None:
    def answer(handler: Handler, number: int, body: bytes) -> None:
        handler.reply(204, Connection="close")
        handler.close_connection = True

    with serving(answer) as (port, _):
        result = run(job(port))

    assert result["outcomes"] == {"204": 10}


def test_on_a_schedule_a_stall_shows_in_the_latency_of_what_it_held_up() -> None:
    """H3."""
    stall = threading.Event()

    def answer(handler: Handler, number: int, body: bytes) -> None:
        if number == 1:
            stall.wait(0.3)
        handler.reply(204)

    with serving(answer) as (port, seen):
        result = run(job(port, connections=1, interval_s=0.05, duration_s=0.5))

    assert len(seen) == 10
    assert result["p50_ms"] > 45  # type: ignore[operator]
    assert result["max_ms"] >= 300  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 204 No Content\r\n", None),
        (b"HTTP/1.1 400 Bad\r\ncontent-length: 3\r\n\r\nab", None),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", None),
        (b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 503),
    ],
)
def test_an_answer_is_whole_or_not_yet_there(text: bytes, status: int | None) -> None:
    response = parse_response(bytearray(text))

    assert (response and response.status) == status
