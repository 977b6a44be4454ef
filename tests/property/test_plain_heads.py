"""What is taken for a plain write is one to gunicorn's parser too (E1)."""

from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.body import LengthReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import example, given
from hypothesis import strategies as st

from httpapi.heads import plain_write

CONFIG = Config()
CONFIG.set("limit_request_line", 0)
CONFIG.set("limit_request_field_size", 0)
HOST, LENGTH = b"Host: x\r\n", b"Content-Length: 5\r\n"
LINE = b"POST /write?db=a HTTP/1.1\r\n"


def taken(head: bytes) -> dict[str, Any] | None:
    return plain_write(bytearray(head + b"hello"), len(head))


def by_gunicorn(head: bytes) -> Request:
    return Request(CONFIG, IterUnreader([head + b"hello"]), ("127.0.0.1", 1))


words = st.sampled_from(
    [
        b"host", b"Host", b"content-length", b"Content-Length", b"connection", b"Connection", b"authorization",
        b"Authorization", b"content-encoding", b"transfer-encoding", b"expect", b"upgrade", b"x-forwarded-proto",
        b"X-Forwarded-SSL", b"accept", b"script_name", b"x y", b"content-type", b"", b"te", b"trailer", b"x-\xe9",
    ]
)  # fmt: skip
values = st.one_of(
    st.sampled_from([b"5", b"05", b"+5", b"5 ", b"\xb2", b"keep-alive", b"Keep-Alive, x", b"close", b"gzip", b"chunked",
                     b"Token abc", b"100-continue", b"https", b"a\tb", b" \t", b"x\x00", b"\xe9", b"x\r", b"x\ny: z"]),
    st.binary(max_size=5),
)  # fmt: skip
fields = st.tuples(words, st.sampled_from([b":", b": ", b" : ", b":\t "]), values, st.sampled_from([b"", b" ", b"\t"])).map(
    lambda parts: b"".join(parts) + b"\r\n"
)
targets = st.one_of(
    st.sampled_from([b"/write?db=a", b"/api/v2/write?bucket=b", b"/api/v3/write_lp?db=c%20d&p=t", b"/write", b"/writes?db=a",
                     b"/write?", b"/write?a#b", b"/write?a b", b"/w%72ite?db=a", b"//write?db=a", b"http://h/write?db=a"]),
    st.binary(max_size=3).map(lambda tail: b"/write?db=" + tail),
)  # fmt: skip
lines = st.one_of(
    st.builds(b"POST %b HTTP/1.1\r\n".__mod__, targets),
    st.sampled_from([b"post /write?db=a HTTP/1.1\r\n", b"POST /write?db=a HTTP/1.0\r\n", b"POST  /write?db=a HTTP/1.1\r\n"]),
)
heads = st.builds(
    lambda line, before, after: line + b"".join(before) + HOST + LENGTH + b"".join(after) + b"\r\n",
    lines,
    st.lists(fields, max_size=2),
    st.lists(fields, max_size=2),
)


@given(heads)
@example(LINE + HOST + LENGTH + b"Authorization:  Token  t \r\n\r\n")
@example(LINE + HOST + LENGTH + b"X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n\r\n")
def test_what_is_taken_means_the_same_to_the_parser(head: bytes) -> None:
    """E1."""
    environ = taken(head)
    if environ is None:
        return

    request = by_gunicorn(head)

    named = dict(request.headers)
    assert (request.method, request.path, request.query) == ("POST", environ["PATH_INFO"], environ["QUERY_STRING"])
    assert named.get("AUTHORIZATION") == environ.get("HTTP_AUTHORIZATION")
    assert named.keys().isdisjoint({"CONTENT-ENCODING", "TRANSFER-ENCODING", "EXPECT", "UPGRADE"})
    assert type(request.body.reader) is LengthReader
    assert request.body.reader.length == int(environ["CONTENT_LENGTH"])
    assert not request.should_close()


@pytest.mark.parametrize(
    "more",
    [
        b"User-Agent: curl/8\r\nAccept: */*\r\nContent-Type: text/plain; charset=utf-8\r\n",
        b"Authorization: Bearer apiv3_x\r\nConnection: keep-alive\r\nAccept-Encoding: gzip, deflate\r\n",
        b"X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nVia: 1.1 proxy\r\n",
    ],
)
def test_what_clients_and_proxies_send_is_taken(more: bytes) -> None:
    assert taken(LINE + HOST + more + LENGTH + b"\r\n") is not None


@pytest.mark.parametrize(
    "head",
    [
        LINE + HOST + b"\r\n",
        LINE + LENGTH + b"\r\n",
        LINE + HOST + LENGTH + LENGTH + b"\r\n",
        LINE + HOST + LENGTH + b"Content-Encoding: gzip\r\n\r\n",
        LINE + HOST + LENGTH + b"Connection: close\r\n\r\n",
        LINE + HOST + LENGTH + b"X: " + b"x" * 5000 + b"\r\n\r\n",
        LINE + HOST + LENGTH + b"".join(b"X-%d: y\r\n" % number for number in range(60)) + b"\r\n",
        b"GET /write?db=a HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n",
        b"POST /query?db=a HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n",
    ],
)
def test_anything_else_is_left_to_the_parser(head: bytes) -> None:
    assert taken(head) is None
