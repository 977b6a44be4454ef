"""Requests as Telegraf sends them: chunked gzip over HTTP/1.1, no precision, whatever credentials it was configured with."""

import gzip
import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection

import pytest

from tests.helpers.asking import Reached, new_name

LINES = b"".join(
    b"cpu,cpu=cpu%d,host=gateway usage_idle=%d.5,usage_user=1i %d\n" % (core, core, 1_700_000_000_000_000_000 + tick)
    for tick in range(250)
    for core in range(4)
)


def pieces(body: bytes) -> Iterator[bytes]:
    """As Go's pipe hands them on: of no particular size."""
    at, size = 0, 7
    while at < len(body):
        yield body[at : at + size]
        at, size = at + size, size * 3 % 5_003 + 1


def post(http: HTTPConnection, path: str, body: bytes, **headers: str) -> HTTPResponse:
    sent = {"User-Agent": "Telegraf/1.37.0 Go/1.24", "Content-Type": "text/plain; charset=utf-8", "Accept-Encoding": "gzip"}
    http.request("POST", path, pieces(body), sent | headers, encode_chunked=True)
    return http.getresponse()


@pytest.fixture
def http(reached: Reached) -> Iterator[HTTPConnection]:
    context = reached.tls
    with closing(
        HTTPSConnection(reached.host, reached.port, timeout=60, context=context)
        if context
        else HTTPConnection(reached.host, reached.port, timeout=60)
    ) as http:
        yield http


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        ("/api/v2/write?bucket={}&org=", "Token none"),
        ("/api/v2/write?bucket={}&org=some+org", "Token "),
        ("/write?consistency=any&db={}&rp=autogen", "Basic dGVsZWdyYWY6bm9uZQ=="),
        ("/write?db={}", ""),
    ],
)
def test_batch_after_batch_is_written_over_one_connection(
    reached: Reached, http: HTTPConnection, path: str, authorization: str, encoding: str
) -> None:
    database = new_name("telegraf")
    headers = {"Authorization": authorization} if authorization else {}
    if encoding == "gzip":
        headers["Content-Encoding"] = "gzip"

    for start in range(0, 1000, 250):
        lines = b"".join(LINES.splitlines(keepends=True)[start : start + 250])
        answer = post(http, path.format(database), gzip.compress(lines) if encoding == "gzip" else lines, **headers)
        assert (answer.status, answer.read()) == (204, b"")

    assert reached.rows(database, "select count(*) as n from cpu") == [{"n": 1000}]


def test_a_refused_batch_is_told_so_that_telegraf_can_log_it(http: HTTPConnection) -> None:
    answer = post(http, f"/api/v2/write?bucket={new_name('telegraf')}", b"cpu usage_idle= 1\n")

    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.read())["message"].endswith("No fields were provided")
