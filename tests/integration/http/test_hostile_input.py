"""Raw sockets against the whole server: whatever comes in, an answer or a closed connection, and no dead worker (B2-B4, H1)."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection

import psutil
import pytest

from tests.conftest import PRODUCT
from tests.helpers.servers import Server, running

LIMIT = 1 << 20
HOST = b"Host: x\r\n"
WRITE = b"POST /api/v3/write_lp?db=db HTTP/1.1\r\n" + HOST
GOOD = b"cpu,host=a usage=1 1\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--object-store", "file", "--max-http-request-size", str(LIMIT))
    with running(tmp_path_factory.mktemp("hostile"), *options, command=PRODUCT) as server:
        yield server


@pytest.fixture(autouse=True)
def unharmed(server: Server) -> Iterator[None]:
    """After each test the same workers answer, nothing nobody planned stands in the log, and memory is where it was."""
    workers = worker_pids(server)
    before_bytes = memory_bytes(server)
    said = len(server.text)
    yield
    assert exchange(server, WRITE + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD)[0] == 204
    assert worker_pids(server) == workers
    assert "Traceback" not in server.text[said:]
    assert memory_bytes(server) - before_bytes < 100 << 20


def worker_pids(server: Server) -> list[int]:
    return sorted(child.pid for child in psutil.Process(server.master_pid()).children())


def memory_bytes(server: Server) -> int:
    return sum(int(psutil.Process(pid).memory_info().rss) for pid in worker_pids(server))


def connect(server: Server) -> socket.socket:
    return socket.create_connection((server.host, server.port), timeout=60)


def answers(sock: socket.socket) -> Iterator[tuple[int, bytes]]:
    """The answers on a connection, until the server closes it or falls silent."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            with suppress(OSError):
                more = sock.recv(65536)
                if more:
                    data += more
                    continue
            return
        head, _, data = data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        while len(data) < length:
            data += sock.recv(65536)
        yield int(head[9:12]), data[:length]
        data = data[length:]


def exchange(server: Server, *sent: bytes) -> tuple[int, bytes]:
    """The first answer to what is sent on a connection of its own; 0 for none."""
    with closing(connect(server)) as sock:
        with suppress(OSError):  # an answer may come, and the connection go, before all is sent
            for piece in sent:
                sock.sendall(piece)
        return next(answers(sock), (0, b""))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def query(server: Server, sql: str) -> list[dict[str, object]]:
    with closing(HTTPConnection(server.host, server.port, timeout=60)) as http:
        http.request("POST", "/api/v3/query_sql", json.dumps({"db": "db", "q": sql}))
        answer = http.getresponse()
        assert answer.status == 200
        return list(json.loads(answer.read()))


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
        b"get /ping HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /ping HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nHo st: x\r\n\r\n",
        b"GET /ping HTTP/1.1\r\n" + HOST + b"A: \x00\x01\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\x00" * 1000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 500 + b"\r\n\r\n",
        b"POST /write?db=db HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST /write?db=db HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n",
        b"POST /write?db=db HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST /write?db=db HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /write?db=db HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, gzip\r\n\r\n0\r\n\r\n",
    ],
    ids=range(16),
)
def test_what_is_no_http_is_refused(server: Server, sent: bytes) -> None:
    status, _ = exchange(server, sent)

    assert status == 0 or 400 <= status < 600
    assert status != 500


@pytest.mark.parametrize("query_string", [b"db=%FF%FE", b"db=%00", b"db=%", b"db=a&precision=%C3", b"%FF=%FF&db=%C3%28"])
def test_names_that_are_no_text_are_refused(server: Server, query_string: bytes) -> None:
    status, body = exchange(
        server, b"POST /api/v3/write_lp?" + query_string + b" HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nx=1"
    )

    assert status == 400
    assert "error" in json.loads(body)


@pytest.mark.parametrize("header", [b"A: " + b"a" * 300_000, b"\r\n".join(b"A%d: a" % number for number in range(40_000))])
def test_headers_without_end_are_refused(server: Server, header: bytes) -> None:
    status, _ = exchange(server, b"GET /ping HTTP/1.1\r\n" + HOST + header + b"\r\n\r\n")

    assert status in (0, 400, 431)


def test_a_query_string_of_fifty_thousand_characters_is_read(server: Server) -> None:
    sql = b"select+1+as+n+--" + b"x" * 50_000

    status, body = exchange(server, b"GET /api/v3/query_sql?db=db&q=" + sql + b" HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (status, body[:9]) in [(200, b""), (404, b'{"error":')]  # chunked, or no such database yet


def test_a_body_without_end_is_told_so_and_cut_off(server: Server) -> None:
    """B4, H1."""
    piece = chunk(b"#" * 60_000)
    sent = 0

    with closing(connect(server)) as sock:
        sock.sendall(WRITE + b"Transfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            for _ in range(10_000):
                sock.sendall(piece)
                sent += len(piece)
        found = next(answers(sock), (413, b""))

    assert found[0] == 413
    assert sent < 100 << 20


@pytest.mark.parametrize("length", [LIMIT + 1, 1 << 40, 10**17])
def test_a_body_that_announces_too_much_is_refused_before_it_comes(server: Server, length: int) -> None:
    """B4, H1."""
    status, body = exchange(server, WRITE + b"Content-Length: %d\r\n\r\n" % length, b"#" * 100_000)

    assert (status, json.loads(body)) == (413, {"error": f"max request size ({LIMIT} bytes) exceeded"})


def test_a_client_that_sends_all_of_too_much_gets_to_see_why(server: Server) -> None:
    """B4."""
    with closing(HTTPConnection(server.host, server.port, timeout=60)) as http:
        http.request("POST", "/api/v2/write?bucket=db", b"#" * (3 * LIMIT))
        answer = http.getresponse()

        assert answer.status == 413
        assert json.loads(answer.read())["code"] == "request too large"


def test_a_gzip_bomb_is_refused(server: Server) -> None:
    bomb = gzip.compress(bytes(64 << 20), 9)

    status, _ = exchange(server, WRITE + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)

    assert status == 413


def test_a_chunked_gzip_body_of_nothing_is_refused_when_it_is_too_long(server: Server) -> None:
    empty = gzip.compress(b"")
    body = chunk(empty * (2 * LIMIT // len(empty))) + b"0\r\n\r\n"

    status, _ = exchange(server, WRITE + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + body)

    assert status == 413


@pytest.mark.parametrize("announced", [100, 500_000])
def test_a_body_that_ends_before_its_length_writes_nothing(server: Server, announced: int) -> None:
    """B2."""
    with closing(connect(server)) as sock:
        sock.sendall(WRITE.replace(b"db=db", b"db=cut") + b"Content-Length: %d\r\n\r\n" % announced + GOOD)
        sock.shutdown(socket.SHUT_WR)
        found = next(answers(sock), (400, b""))

    assert found[0] == 400
    assert b'"cut"' not in exchange(server, b"GET /api/v3/configure/database?format=json HTTP/1.1\r\n" + HOST + b"\r\n")[1]


@pytest.mark.parametrize("body", [chunk(GOOD)[:-3], chunk(GOOD), b"15\r\n" + GOOD, b"zz\r\n" + GOOD, chunk(GOOD) + b"x\r\n"])
def test_chunks_that_break_off_write_nothing(server: Server, body: bytes) -> None:
    """B2."""
    with closing(connect(server)) as sock:
        sock.sendall(WRITE.replace(b"db=db", b"db=cut") + b"Transfer-Encoding: chunked\r\n\r\n" + body)
        sock.shutdown(socket.SHUT_WR)
        found = next(answers(sock), (400, b""))

    assert found[0] == 400
    assert b'"cut"' not in exchange(server, b"GET /api/v3/configure/database?format=json HTTP/1.1\r\n" + HOST + b"\r\n")[1]


def test_clients_that_leave_in_the_middle_are_no_news(server: Server) -> None:
    """B2."""
    for size in (0, 10, 70_000, 400_000):
        with closing(connect(server)) as sock:
            sock.sendall(WRITE + b"Content-Length: 500000\r\n\r\n" + b"#" * size)
    time.sleep(0.2)


def test_a_body_longer_than_its_length_is_the_next_request_and_no_good_one(server: Server) -> None:
    with closing(connect(server)) as sock:
        sock.sendall(WRITE + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD + b"cpu,host=b usage=2 2\r\n\r\n")
        found = list(answers(sock))

    assert [status for status, _ in found] == [204, 400]


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(server: Server) -> None:
    one = WRITE + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    ping = b"GET /ping HTTP/1.1\r\nAccept: */*\r\n" + HOST + b"\r\n"

    with closing(connect(server)) as sock:
        sock.sendall(one + ping + one + b"GET /nowhere HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        found = [status for status, _ in answers(sock)]

    assert found == [204, 200, 204, 404]


@pytest.mark.parametrize("path", [b"/nowhere", b"/api/v3/write_lp?db=", b"/api/v3/configure/table"])
def test_a_refused_body_does_not_become_the_next_request(server: Server, path: bytes) -> None:
    """B4."""
    body = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n" + b"x" * 200_000

    with closing(connect(server)) as sock:
        sock.sendall(b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        sock.sendall(b"GET /nowhere HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        found = [status for status, _ in answers(sock)]

    assert found[0] in (400, 404, 415)
    assert found[1:] == [404]


def test_a_body_is_sent_for_when_its_client_asks_first(server: Server) -> None:
    with closing(connect(server)) as sock:
        sock.sendall(WRITE + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(GOOD))
        found = answers(sock)
        assert next(found)[0] == 100
        sock.sendall(GOOD)
        assert next(found)[0] == 204


def test_old_http_is_answered_and_closed(server: Server) -> None:
    with closing(connect(server)) as sock:
        sock.sendall(b"POST /write?db=db&precision=s HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD)

        assert [status for status, _ in answers(sock)] == [204]


def test_ten_thousand_tables_in_one_body_are_written(server: Server) -> None:
    body = b"".join(b"t%d,host=a usage=%d 1\n" % (number, number) for number in range(10_000))

    status, text = exchange(server, WRITE.replace(b"db=db", b"db=many") + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    assert (status, text) == (204, b"")
    with closing(HTTPConnection(server.host, server.port, timeout=60)) as http:
        http.request("POST", "/api/v3/query_sql", json.dumps({"db": "many", "q": "select usage from t9999"}))
        assert json.loads(http.getresponse().read()) == [{"usage": 9999.0}]


def test_a_hundred_thousand_columns_are_written_or_refused_whole(server: Server) -> None:
    body = b"wide " + b",".join(b"f%d=1" % number for number in range(90_000))

    status, _ = exchange(server, WRITE.replace(b"db=db", b"db=wide") + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    assert status in (204, 400, 413, 422)


def test_lines_of_random_bytes_are_refused_line_by_line(server: Server) -> None:
    body = bytes((index * index * 31 + index // 7) % 256 for index in range(100_000))

    status, text = exchange(server, WRITE + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    assert status == 400
    assert json.loads(text)["data"]


def test_what_was_written_between_all_this_is_there(server: Server) -> None:
    assert query(server, "select host, usage from cpu") == [{"host": "a", "usage": 1.0}]
