"""SQL over HTTP (Q1-Q3)."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from werkzeug.test import TestResponse

from catalog.errors import ServiceError, Unavailable
from engine.requests import QueryResult
from tests.helpers.flight_process import within
from tests.helpers.http_api import HttpApi
from tests.helpers.memory_node import wait_until_closed

SQL = "/api/v3/query_sql"


@pytest.fixture
def filled(api: HttpApi) -> HttpApi:
    api.write(b"cpu,host=a usage=0.5 1\ncpu,host=b usage=1 2")
    return api


def get(api: HttpApi, accept: str | None = None, **parameters: str) -> TestResponse:
    headers = {"Accept": accept} if accept is not None else {}
    return api.http.get(f"{SQL}?{urlencode({'db': 'db'} | parameters)}", headers=headers)


def post(api: HttpApi, **document: object) -> TestResponse:
    return api.http.post(SQL, data=json.dumps({"db": "db"} | document))


def error(answer: TestResponse) -> str:
    assert answer.headers["Content-Type"] == "application/json"
    return str(json.loads(answer.data)["error"])


Q = "select host, usage from cpu order by host"


def test_rows_come_as_json_unless_something_else_is_asked_for(filled: HttpApi) -> None:
    for answer in (get(filled, q=Q), post(filled, q=Q)):
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.data == b'[{"host":"a","usage":0.5},{"host":"b","usage":1.0}]'


@pytest.mark.parametrize(
    ("name", "content_type", "start"),
    [
        ("json", "application/json", b'[{"host"'),
        ("jsonl", "application/jsonl", b'{"host":"a"'),
        ("json_lines", "application/jsonl", b'{"host":"a"'),
        ("csv", "text/csv", b"host,usage\na,0.5\n"),
        ("pretty", "text/plain; charset=utf-8", b"+------+-------+\n| host |"),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
    ],
)
def test_a_format_is_asked_for_by_name(filled: HttpApi, name: str, content_type: str, start: bytes) -> None:
    for answer in (get(filled, q=Q, format=name), post(filled, q=Q, format=name)):
        assert answer.headers["Content-Type"] == content_type
        assert answer.data.startswith(start)


def test_parquet_is_a_file_that_others_read(filled: HttpApi) -> None:
    assert pq.read_table(io.BytesIO(get(filled, q=Q, format="parquet").data)).num_rows == 2


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/csv", "text/csv"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("text/html", "application/json"),
    ],
)
def test_without_a_format_accept_decides(filled: HttpApi, accept: str | None, content_type: str) -> None:
    """Q2."""
    assert get(filled, accept, q=Q).headers["Content-Type"] == content_type


@pytest.mark.parametrize("accept", ["image/png", "application/jsonl", "application/json, text/plain"])
def test_an_accept_that_nothing_satisfies_is_refused_even_with_a_format(filled: HttpApi, accept: str) -> None:
    """Q2."""
    answer = get(filled, accept, q=Q, format="csv")

    assert (answer.status_code, error(answer)) == (400, f"invalid mime type ({accept})")


def test_format_beats_accept(filled: HttpApi) -> None:
    """Q2."""
    assert get(filled, "text/csv", q=Q, format="jsonl").headers["Content-Type"] == "application/jsonl"


def test_parameters_are_bound_by_name_in_get_and_post(filled: HttpApi) -> None:
    sql = "select host from cpu where host = $host and usage > $usage"
    params = {"host": "b", "usage": 0.6}

    assert get(filled, q=sql, params=json.dumps(params)).data == b'[{"host":"b"}]'
    assert post(filled, q=sql, params=params).data == b'[{"host":"b"}]'


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"a": []}, "JSON arrays are not supported as query parameters. Expected null, boolean, number, or string."),
        ({"a": {}}, "JSON objects are not supported as query parameters. Expected null, boolean, number, or string"),
        ([1], "params must be a JSON object"),
        ("x", "params must be a JSON object"),
    ],
)
def test_parameters_of_other_shapes_are_refused(filled: HttpApi, params: object, text: str) -> None:
    for answer in (get(filled, q=Q, params=json.dumps(params)), post(filled, q=Q, params=params)):
        assert answer.status_code == 400
        assert text in error(answer)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "missing query parameters 'db' and 'q'"),
        ("db=db", "serde error: missing field `q`"),
        ("q=select+1", "serde error: missing field `db`"),
        ("db=db&q=x&q=y", "serde error: duplicate field `q`"),
        (
            "db=db&q=x&format=xml",
            "serde error: unknown variant `xml`, expected one of `parquet`, `csv`, `pretty`, `json`, `json_lines`, `jsonl`",
        ),
        ("db=db&q=x&params=%7B", "serde error: params: "),
    ],
)
def test_what_a_get_lacks_is_named(api: HttpApi, query: str, text: str) -> None:
    answer = api.http.get(f"{SQL}?{query}")

    assert answer.status_code == 400
    assert error(answer).startswith(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "serde json error: "),
        (b"select 1", "serde json error: "),
        (b"[]", "serde json error: "),
        (b'{"db":"db"}', "serde json error: missing field `q`"),
        (b'{"q":"x"}', "serde json error: missing field `db`"),
        (b'{"db":1,"q":"x"}', "serde json error: invalid type for `db`"),
        (b'{"db":"x","q":null}', "serde json error: invalid type for `q`"),
        (b'{"db":"db","q":"x","format":"xml"}', "serde json error: unknown variant `xml`"),
        (b'{"db":"db","q":"x","format":[]}', "serde json error: invalid type for `format`"),
    ],
)
def test_what_a_post_lacks_is_named(api: HttpApi, body: bytes, text: str) -> None:
    answer = api.http.post(SQL, data=body)

    assert answer.status_code == 400
    assert error(answer).startswith(text)


def test_a_query_string_is_ignored_by_post_and_its_content_type_too(filled: HttpApi) -> None:
    document = json.dumps({"db": "db", "q": Q})

    answer = filled.http.post(
        f"{SQL}?db=other&format=csv", data=document, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


def test_an_unknown_database_is_404(api: HttpApi) -> None:
    answer = get(api, q="select 1")

    assert (answer.status_code, error(answer)) == (404, "query error: database not found: db")


@pytest.mark.parametrize("sql", ["SELEC 1", "select * from not_there", "", "select nope from cpu"])
def test_a_statement_that_makes_no_sense_is_the_callers_mistake(filled: HttpApi, sql: str) -> None:
    answer = get(filled, q=sql)

    assert answer.status_code == 400
    assert error(answer)


def test_an_engine_that_is_away_is_503(api: HttpApi) -> None:
    api.engine.shutdown()

    answer = get(api, q="select 1")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("path", ["/api/v3/query_influxql", "/query"])
@pytest.mark.parametrize(
    ("method", "query", "body", "content_type"),
    [
        ("GET", "db=db&q=SHOW+DATABASES", None, None),
        ("GET", "db=db&q=SELECT+*+FROM+m&epoch=ns&chunked=true&pretty=true", None, None),
        ("GET", "", None, None),
        ("POST", "db=db&q=SHOW+DATABASES", None, None),
        ("POST", "", b"q=SHOW+DATABASES&db=db", "application/x-www-form-urlencoded"),
        ("POST", "db=db", b"SHOW DATABASES", "application/vnd.influxql"),
        ("POST", "", b'{"db":"db","q":"SHOW DATABASES"}', "application/json"),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "application/csv", "application/x-msgpack"])
def test_influxql_is_answered_with_what_this_version_lacks(
    api: HttpApi, path: str, method: str, query: str, body: bytes | None, content_type: str | None, accept: str
) -> None:
    """However it is asked, as version 1 clients read errors."""
    headers = {"Accept": accept} | ({"Content-Type": content_type} if content_type else {})
    answer = api.http.open(f"{path}?{query}", method=method, data=body, headers=headers)

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.data) == {"error": "InfluxQL is not part of this version yet", "hint": "use SQL"}


def failing_after(count: int, failure: ServiceError) -> QueryResult:
    schema = pa.schema({"n": pa.int64()})

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(count):
            yield pa.record_batch({"n": [number]}, schema=schema)
        raise failure

    return QueryResult(schema, batches())


def test_a_failure_before_the_first_row_is_an_error_and_not_half_an_answer(
    api: HttpApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q1."""
    monkeypatch.setattr(api.node, "query_sql", lambda *_: failing_after(0, Unavailable("no memory")))

    answer = get(api, q="x")

    assert (answer.status_code, error(answer)) == (503, "no memory")


@pytest.mark.parametrize("name", ["json", "jsonl", "csv"])
def test_a_failure_later_ends_the_answer_without_an_end(api: HttpApi, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Q1. The exception is what makes a server close the connection before the answer's last chunk."""
    monkeypatch.setattr(api.node, "query_sql", lambda *_: failing_after(3, Unavailable("no memory")))

    answer = get(api, q="x", format=name)

    with pytest.raises(BrokenPipeError):
        _ = answer.data


def test_leaving_early_ends_the_work(api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """Q3."""
    closed: list[bool] = []
    schema = pa.schema({"n": pa.int64()})

    def batches() -> Iterator[pa.RecordBatch]:
        while not closed:
            yield pa.record_batch({"n": list(range(10_000))}, schema=schema)

    monkeypatch.setattr(api.node, "query_sql", lambda *_: QueryResult(schema, batches(), lambda: closed.append(True)))

    answer = get(api, q="x", format="jsonl")
    assert next(answer.iter_encoded()).startswith(b'{"n":0}')
    answer.close()
    api.stop_engine()

    assert closed


def test_a_connection_that_is_closed_while_its_answer_is_awaited_ends_the_work(api: HttpApi) -> None:
    """Q3. Before the first byte, when nothing is written and so nothing fails."""
    api.node.create_database("db")
    api.node.before_batch = wait_until_closed
    here, there = socket.socketpair()
    threading.Timer(0.1, there.close).start()

    answer = api.http.get(
        "/api/v3/query_sql", query_string={"db": "db", "q": "SELECT 1"}, environ_overrides={"gunicorn.socket": here}
    )

    assert answer.status_code == 503
    within(60, lambda: api.node.closed_results == api.node.opened_results == 1)
    here.close()
