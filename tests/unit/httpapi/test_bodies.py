"""Bodies of requests (B1-B3), from memory and from gunicorn's own readers over a real socket."""

import gzip
import io
import resource
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.unreader import SocketUnreader
from isal import igzip

from catalog.errors import InvalidRequest, TooLarge
from httpapi import bodies
from httpapi.bodies import BodyReader
from httpapi.errors import BodyTooSlow

LIMIT = 1 << 20
LINES = b"cpu,host=a usage=0.5 1\n" * 20_000


def environ(body: bytes, **headers: str) -> dict[str, Any]:
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), **headers}


def chunked(body: bytes, **headers: str) -> dict[str, Any]:
    return {"wsgi.input": io.BytesIO(body), "HTTP_TRANSFER_ENCODING": "chunked", **headers}


def gzipped(body: bytes) -> dict[str, Any]:
    return environ(body, HTTP_CONTENT_ENCODING="gzip")


def read(request: dict[str, Any], limit: int = LIMIT) -> bytes:
    with BodyReader(limit).read(request) as body:
        return bytes(body)


@contextmanager
def received(sent: bytes, length: int | None, *, then_close: bool = True) -> Iterator[dict[str, Any]]:
    """The environ that gunicorn would build for a body that comes over a socket, its beginning read ahead."""
    near, far = socket.socketpair()
    unreader = SocketUnreader(near)
    unreader.unread(sent[:100])
    request = type("Request", (), {"unreader": unreader, "limit_request_field_size": 0, "max_buffer_headers": 0})()
    body = Body(LengthReader(unreader, length) if length is not None else ChunkedReader(request, unreader))
    headers = {"HTTP_TRANSFER_ENCODING": "chunked"} if length is None else {"CONTENT_LENGTH": str(length)}

    def send() -> None:
        with suppress(BrokenPipeError):  # the reader has had enough
            far.sendall(sent[100:])
            if then_close:
                far.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield {"wsgi.input": body, **headers}
    finally:
        near.close()
        sender.join(60)
        far.close()


@pytest.mark.parametrize("size", [0, 1, 100, 65_536, 65_537, len(LINES)])
@pytest.mark.parametrize("make", [environ, chunked])
def test_a_body_is_read_whole(make: Any, size: int) -> None:
    assert read(make(LINES[:size])) == LINES[:size]


@pytest.mark.parametrize("size", [10, 100, 101, 50_000, len(LINES)])
def test_a_body_of_known_length_comes_off_the_socket_whole_and_leaves_the_next_request_alone(size: int) -> None:
    with received(LINES[:size] + b"POST /next", size) as request:
        assert read(request) == LINES[:size]
        assert request["wsgi.input"].reader.length == 0
        unread = request["wsgi.input"].reader.unreader.take_buffered()

    assert b"POST /next".startswith(unread)


def test_a_chunked_body_comes_off_the_socket_whole() -> None:
    pieces = [LINES[start : start + 7_000] for start in range(0, len(LINES), 7_000)]
    sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"

    with received(sent, None) as request:
        assert read(request) == LINES


@pytest.mark.parametrize("encoding", ["identity", "Identity", "", " identity "])
def test_identity_is_no_encoding(encoding: str) -> None:
    assert read(environ(b"cpu f=1", HTTP_CONTENT_ENCODING=encoding)) == b"cpu f=1"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x-gzip", "utf-8"])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(InvalidRequest, match=f"unacceptable content-encoding: {encoding}"):
        read(environ(b"", HTTP_CONTENT_ENCODING=encoding))


def test_gzip_may_have_several_members() -> None:
    members = b"".join(gzip.compress(LINES[start : start + 100_000]) for start in range(0, len(LINES), 100_000))

    assert read(gzipped(members)) == LINES
    assert read(chunked(members, HTTP_CONTENT_ENCODING="GZIP")) == LINES


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(LINES)[:-1],
        gzip.compress(LINES)[:-9],
        gzip.compress(LINES)[:40],
        gzip.compress(LINES)[:5],
        gzip.compress(LINES) + gzip.compress(LINES)[:20],
        gzip.compress(LINES) + b"not a member, but long enough to be one",
        gzip.compress(LINES)[:-8] + bytes(8),
        gzip.compress(LINES)[:200] + b"\xff" * 200 + gzip.compress(LINES)[400:],
        b"cpu f=1",
        zlib.compress(LINES),
    ],
    ids=["no end", "no trailer", "cut", "half a header", "second cut", "junk", "checksum", "damaged", "plain", "zlib"],
)
def test_gzip_that_is_cut_or_damaged_is_an_error_and_never_a_shorter_body(body: bytes) -> None:
    """B2."""
    with pytest.raises(InvalidRequest, match="error decoding gzip stream: "):
        read(gzipped(body))


@pytest.mark.parametrize("make", [environ, chunked])
def test_a_body_of_exactly_the_limit_fits_and_one_byte_more_does_not(make: Any) -> None:
    """B1."""
    assert len(read(make(b"#" * LIMIT))) == LIMIT
    with pytest.raises(TooLarge, match=f"max request size \\({LIMIT} bytes\\) exceeded"):
        read(make(b"#" * (LIMIT + 1)))


def test_the_limit_holds_for_what_gzip_makes_of_it() -> None:
    """B1."""
    assert len(read(gzipped(gzip.compress(b"#" * LIMIT)))) == LIMIT
    with pytest.raises(TooLarge):
        read(gzipped(gzip.compress(b"#" * (LIMIT + 1))))


def test_the_limit_holds_for_gzip_on_the_wire_even_if_nothing_comes_out_of_it() -> None:
    """B1."""
    empty = gzip.compress(b"")

    with pytest.raises(TooLarge):
        read(chunked(empty * (LIMIT // len(empty) + 10), HTTP_CONTENT_ENCODING="gzip"))


def test_a_gzip_bomb_takes_no_more_memory_than_the_limit() -> None:
    """B1."""
    bomb = igzip.compress(bytes(1 << 28))
    reader = BodyReader(1 << 22)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(TooLarge), reader.read(gzipped(bomb)):
        pass

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 16 * 1024


def test_an_announced_length_takes_no_memory_before_the_bytes_come() -> None:
    """B1."""
    reader = BodyReader(1 << 30)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with received(b"cpu f=1", 1 << 30) as request, pytest.raises(InvalidRequest), reader.read(request):
        pass

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 16 * 1024


def test_bodies_after_one_another_do_not_see_each_other() -> None:
    reader = BodyReader(LIMIT)
    for byte in b"abc":
        for size in (LIMIT, 70_000, 100_000):
            with reader.read(environ(bytes([byte]) * size)) as body:
                assert bytes(body) == bytes([byte]) * size


def test_two_bodies_at_a_time_are_apart() -> None:
    reader = BodyReader(LIMIT)

    with reader.read(environ(b"a" * 100_000)) as first, reader.read(environ(b"b" * 100_000)) as second:
        assert (bytes(first), bytes(second)) == (b"a" * 100_000, b"b" * 100_000)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_body_that_ends_early_is_an_error_and_spoils_the_connection(encoding: str) -> None:
    """B2."""
    sent = gzip.compress(LINES) if encoding else LINES

    with received(sent[: len(sent) // 2], len(sent)) as request:
        request["HTTP_CONTENT_ENCODING"] = encoding
        with pytest.raises(InvalidRequest):
            read(request)


def test_a_length_that_is_not_reached_says_so_and_spoils_the_connection() -> None:
    """B2, B4."""
    with received(LINES[:200], 300) as request:
        with pytest.raises(InvalidRequest, match="Failed to read request body: the body ended after 200 of 300 bytes"):
            read(request)

        assert request["wsgi.input"].failed


@pytest.mark.parametrize("sent", [b"5\r\ncpu f", b"zz\r\ncpu", b"5\r\ncpu f=1\r\n0\r\n\r\n", b"-1\r\n"])
def test_chunks_that_make_no_sense_are_an_error_and_spoil_the_connection(sent: bytes) -> None:
    """B2, B4."""
    with received(sent, None) as request:
        with pytest.raises(InvalidRequest, match="Failed to read request body"):
            read(request)

        assert request["wsgi.input"].failed


@pytest.mark.parametrize("length", [1000, None])
def test_a_sender_that_stops_is_given_up(monkeypatch: pytest.MonkeyPatch, length: int | None) -> None:
    """B3."""
    monkeypatch.setattr(bodies, "_GRACE_S", 0.2)
    sent = b"x" * 10 if length else b"3e8\r\n" + b"x" * 10
    began_s = time.monotonic()

    with received(sent, length, then_close=False) as request:
        with pytest.raises(BodyTooSlow):
            read(request)

        assert request["wsgi.input"].failed
        assert time.monotonic() - began_s < 20
        assert request["wsgi.input"].reader is not None


def test_a_socket_is_given_back_with_the_patience_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    with received(LINES, len(LINES)) as request:
        sock = request["wsgi.input"].reader.unreader.sock
        sock.settimeout(7.5)

        read(request)

        assert request["wsgi.input"].reader.unreader.sock is sock
        assert sock.gettimeout() == 7.5


def test_what_is_left_of_a_refused_body_is_dropped() -> None:
    """B4."""
    with received(LINES + b"POST /next", len(LINES)) as request:
        BodyReader(LIMIT).discard(request)

        assert request["wsgi.input"].reader.length == 0
        assert not request["wsgi.input"].failed


def test_dropping_ends_after_a_few_times_the_limit() -> None:
    """B4."""
    with received(LINES, 1 << 30) as request:
        BodyReader(10_000).discard(request)

        assert request["wsgi.input"].failed


@pytest.mark.parametrize("kind", [environ, gzipped, chunked])
def test_any_bytes_are_a_body_or_refused(kind: Any) -> None:
    for seed in range(200):
        body = bytes((seed * 7919 + index * index * 31) % 256 for index in range(seed))
        with suppress(InvalidRequest):
            read(kind(body))
