"""`influxdb3 query` against a real server."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pyarrow.parquet as pq
import pytest

from tests.helpers.cli import influxdb3, on_a_terminal, rows_of, started
from tests.helpers.servers import PATIENCE_S, Server

LINES = """\
cpu,host=Alpha,application=web usage=20.5,val=1i,status="OK" 1700000000000000000
cpu,host=Bravo,application=db usage=55.2,val=2i,status="a, \\"quoted\\"" 1700000001000000000
cpu,host=Bravo usage=70 1700000002000000000
"""
ALL = "SELECT * FROM cpu ORDER BY time"
ENDLESS = "SELECT value FROM generate_series(1, 1000000000000) WHERE value < 0"
DATABASE = ("--database", "cli_query")


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    assert influxdb3("write", *DATABASE, url=server.url, stdin=LINES).code == 0
    return server.url


def running_queries(server: Server) -> int:
    query = urlencode({"db": "cli_query", "format": "json", "q": "SELECT count(*) AS n FROM system.queries WHERE running"})
    found: list[dict[str, int]] = json.loads(server.get(f"/api/v3/query_sql?{query}"))
    return found[0]["n"] - 1  # this one


@pytest.mark.parametrize("form", ["pretty", "json", "jsonl", "csv"])
def test_rows_are_spelled_as_over_http(url: str, server: Server, form: str) -> None:
    """Q2."""
    query = urlencode({"db": "cli_query", "format": form, "q": ALL})

    done = influxdb3("query", *DATABASE, "--format", form, ALL, url=url)

    assert (done.code, done.err) == (0, "")
    assert done.out.rstrip("\n") == server.get(f"/api/v3/query_sql?{query}").decode().rstrip("\n")
    assert done.out.endswith("\n")
    assert not done.out.endswith("\n\n")


def test_older_spellings_work(url: str) -> None:
    lines = influxdb3("q", "--db=cli_query", "--lang=sql", "--format", "json_lines", f"--query-host={url}", ALL).lines

    assert [json.loads(line)["usage"] for line in lines] == [20.5, 55.2, 70.0]


def test_the_statement_comes_from_the_argument_a_file_or_the_standard_input(url: str, tmp_path: Path) -> None:
    file = tmp_path / "statement.sql"
    file.write_text("SELECT 2 AS n")
    csv = (*DATABASE, "--format", "csv")

    outputs = [
        influxdb3("query", *csv, "SELECT 1 AS n", "--file", str(file), url=url, stdin="SELECT 3 AS n").lines,
        influxdb3("query", *csv, "--file", str(file), url=url, stdin="SELECT 3 AS n").lines,
        influxdb3("query", *csv, url=url, stdin="SELECT 3 AS n\n").lines,
        influxdb3("query", *csv, "-f", "-", url=url, stdin="SELECT 4 AS n\n").lines,
    ]

    assert outputs == [["n", "1"], ["n", "2"], ["n", "3"], ["n", "4"]]


def test_without_a_statement_it_says_so(url: str) -> None:
    done = influxdb3("query", *DATABASE, url=url)

    expected = "Query command failed: No input from stdin detected, no string was passed in,  and no file path was given\n"
    assert (done.code, done.err) == (1, expected)


def test_the_name_of_a_file_is_no_statement(url: str) -> None:
    done = influxdb3("query", *DATABASE, "pyproject.toml", url=url)

    assert (done.code, done.err) == (
        1,
        "Query command failed: pyproject.toml is a file; --file pyproject.toml takes what is in it\n",
    )


def test_several_words_are_a_usage_error(url: str) -> None:
    done = influxdb3("query", *DATABASE, "SELECT", "1", url=url)

    assert done.code == 2
    assert done.err.startswith(
        "error: unexpected argument '1' found\n\n  tip: put [QUERY] in quotes\n\nUsage: influxdb3 query "
    )


def test_a_file_holds_the_whole_answer_or_is_not_there(url: str, tmp_path: Path) -> None:
    """Q3, I1."""
    good, empty, bad = (tmp_path / name for name in ("good.parquet", "empty.parquet", "bad.parquet"))
    bad.write_text("as it was")
    parquet = ("query", *DATABASE, "--format", "parquet", "--output")

    done = influxdb3(*parquet, str(good), ALL, url=url)
    influxdb3(*parquet, str(empty), f"{ALL} LIMIT 0", url=url)
    failed = influxdb3(*parquet, str(bad), "SELECT 1 / (val - 2) FROM cpu", url=url)

    assert (done.code, done.out, done.err) == (0, "", "")
    assert pq.read_table(good).num_rows == 3
    assert pq.read_table(empty).num_rows == 0
    assert failed.code == 1
    assert bad.read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.parquet", "empty.parquet", "good.parquet"]


def test_a_pipe_takes_parquet_and_a_terminal_does_not(url: str) -> None:
    piped = influxdb3("query", *DATABASE, "--format", "parquet", ALL, url=url)
    shown = on_a_terminal("query", *DATABASE, "--format", "parquet", ALL, url=url)

    assert piped.out.startswith("PAR1")
    assert "cannot write parquet to a terminal, use `--output <file>` or pipe the output" in shown.out
    assert shown.code == 1


@pytest.mark.parametrize(
    ("statement", "shown"),
    [
        ("SELECT * FORM cpu", "  1 | SELECT * FORM cpu\n    |          ^\n"),
        ("SELECT host\nFROM cpu\nWHERE hots = 'x'", "  3 | WHERE hots = 'x'\n    |       ^\n"),
        (
            "SELECT * FROM cpu WHERE host = 'Bravo;",
            "  1 | SELECT * FROM cpu WHERE host = 'Bravo;\n    |                                ^\n",
        ),
    ],
)
def test_an_error_shows_where_in_the_statement_it_is(url: str, statement: str, shown: str) -> None:
    """Q4."""
    done = influxdb3("query", *DATABASE, statement, url=url)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Query command failed: ")
    assert done.err.endswith(shown)


def test_an_unknown_database_and_another_language_are_said(url: str) -> None:
    missing = influxdb3("query", "-d", "nowhere", "SELECT 1", url=url)

    influxql = [
        influxdb3("query", *DATABASE, spelled, "SHOW MEASUREMENTS", url=url)
        for spelled in ("--language=influxql", "--lang=influxql", "-linfluxql")
    ]

    assert missing.err.startswith("Query command failed: database not found: nowhere")
    assert missing.code == 1
    assert [done.code for done in influxql] == [1, 1, 1]
    assert all(done.err.startswith("Query command failed: InfluxQL is not part of this version yet") for done in influxql)


def test_a_server_that_is_not_there_is_said() -> None:
    done = influxdb3("query", *DATABASE, "SELECT 1", url="http://127.0.0.1:1")

    assert done.code == 1
    assert done.err == (
        "Query command failed: failed to send POST http://127.0.0.1:1/api/v3/query_sql request: "
        "connection refused; is the server running?\n"
    )


def test_a_terminal_gets_a_table_that_fits_and_a_pipe_a_complete_one(url: str) -> None:
    """N1."""
    narrow = on_a_terminal("query", *DATABASE, ALL, url=url, columns=50)
    full = on_a_terminal("query", *DATABASE, "--full", ALL, url=url, columns=50)
    piped = influxdb3("query", *DATABASE, ALL, url=url)

    assert narrow.code == full.code == piped.code == 0
    assert max(len(line) for line in narrow.lines) <= 50
    assert "…" in narrow.out
    assert [len(rows_of(done.out)) for done in (narrow, full, piped)] == [4, 4, 4]
    assert full.out == piped.out
    assert rows_of(piped.out)[0] == ["application", "host", "status", "time", "usage", "val"]


def test_rows_are_printed_as_they_arrive(url: str) -> None:
    """Q1, K2: far more rows than anyone holds, of which the first are there at once."""
    process = started("query", *DATABASE, "--format", "csv", "SELECT value FROM generate_series(1, 1000000000)", url=url)
    assert process.stdout is not None

    first = [process.stdout.readline() for _ in range(3)]
    process.stdout.close()

    assert first == [b"value\n", b"1\n", b"2\n"]
    assert process.wait(PATIENCE_S) == 1  # nobody reads on: it ends, without a word
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


def test_ctrl_c_stops_the_query_on_the_server_too(url: str, server: Server) -> None:
    """K1, C4."""
    process = started("query", *DATABASE, ENDLESS, url=url)
    deadline = time.monotonic() + PATIENCE_S
    while running_queries(server) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)

    process.send_signal(signal.SIGINT)

    assert process.wait(PATIENCE_S) == 130
    while running_queries(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running_queries(server) == 0
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        assert stream.read() == b""
        stream.close()


def test_a_terminal_hears_that_the_server_is_still_at_it(url: str) -> None:
    """N1."""
    done = on_a_terminal("query", *DATABASE, ENDLESS, url=url, interrupt_at="waiting for the server", plain=False)

    assert done.code == 130
    assert "waiting for the server" in done.out


@contextmanager
def http_only(server: Server) -> Iterator[str]:
    """A proxy that takes HTTP/1.1 below a path, as many in front of servers do."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(server.url + self.path.removeprefix("/behind"), data=body, headers=dict(self.headers.items()))
            try:
                answer = urlopen(request, timeout=PATIENCE_S)
            except HTTPError as error:
                answer = error
            with answer:
                self.send_response(answer.status)
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, format: str, *args: object) -> None: ...

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}/behind"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join(10)


def test_where_grpc_does_not_get_through_http_answers_the_same(url: str, server: Server, tmp_path: Path) -> None:
    """Q5."""
    with http_only(server) as behind:
        different = [
            form
            for form in ("pretty", "json", "jsonl", "csv")
            if influxdb3("query", *DATABASE, "--format", form, ALL, url=behind)
            != influxdb3("query", *DATABASE, "--format", form, ALL, url=url)
        ]
        influxdb3("query", *DATABASE, "--format", "parquet", "-o", str(tmp_path / "file"), ALL, url=behind)
        shown = on_a_terminal("query", *DATABASE, ALL, url=behind, columns=50)
        failed = influxdb3("query", *DATABASE, "SELECT * FORM cpu", url=behind)

    assert different == []
    assert pq.read_table(tmp_path / "file").num_rows == 3
    assert shown.out == on_a_terminal("query", *DATABASE, ALL, url=url, columns=50).out
    assert failed.err.endswith("  1 | SELECT * FORM cpu\n    |          ^\n")


def test_a_statement_may_be_long(url: str) -> None:
    statement = "SELECT 1 AS n -- " + "x" * 100_000

    assert influxdb3("query", *DATABASE, "--format", "csv", url=url, stdin=statement).lines == ["n", "1"]


def test_a_terminal_without_the_characters_gets_question_marks(url: str) -> None:
    statement = "SELECT 'Zürich €' AS place"

    done = influxdb3("create", "database", "x€", url=url, variables={"PYTHONIOENCODING": "ascii"})
    shown = influxdb3("query", *DATABASE, "--format", "csv", statement, url=url, variables={"PYTHONIOENCODING": "ascii"})

    assert done.code == 1
    assert "Traceback" not in done.err
    assert shown.lines == ["place", "Zürich €"]  # rows are bytes, whatever the terminal is


def test_the_token_travels_as_a_bearer(url: str) -> None:
    """A server without tokens takes any."""
    done = influxdb3("query", *DATABASE, "--token", "apiv3_x", "SELECT 1 AS n", url=url)

    assert done.code == 0


def test_settings_come_from_a_dotenv_file(url: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"INFLUXDB3_HOST_URL={url}\nINFLUXDB3_DATABASE_NAME=cli_query\n")

    assert influxdb3("query", "SELECT 1 AS n", directory=tmp_path).code == 0
