"""`influxdb3 write` against a real server, and against one that is busy or breaks off."""

import gzip
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers.cli import COMMAND, environment_of, influxdb3, on_a_terminal, started
from tests.helpers.servers import PATIENCE_S, ROOT, Server, wait_until

PROGRESS = re.compile(
    r"\d+\.\d\ds: (1 request|\d+ requests) \([\d.]+ requests/sec\), (\d+) lines \(\d+ lines/s\), [\d.]+ \w+ \([\d.]+ \w+/s\)\n"
)


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    return server.url


def count(url: str, database: str, table: str = "cpu") -> int:
    done = influxdb3("query", "-d", database, "--format", "csv", f"SELECT count(*) AS n FROM {table}", url=url)
    return int(done.lines[1])


def many_lines(number: int) -> str:
    """Every tenth has a string that goes on in the next line of the file."""
    text = ("one\ntwo", *["plain"] * 9)
    return "".join(f'cpu,host=h{n % 7} n={n}i,s="{text[n % 10]}" {1_700_000_000_000_000_000 + n}\n' for n in range(number))


@contextmanager
def answering(
    answer: Callable[[int, BaseHTTPRequestHandler, bytes], tuple[int, bytes] | None],
) -> Iterator[tuple[str, list[bytes]]]:
    """A server whose n-th request is answered by a function; None breaks the connection off."""
    bodies: list[bytes] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                bodies.append(body)
                number = len(bodies)
            found = answer(number, self, body)
            if found is None:
                self.close_connection = True
                return
            self.send_response(found[0])
            self.send_header("Content-Length", str(len(found[1])))
            self.end_headers()
            self.wfile.write(found[1])

        def log_message(self, format: str, *args: object) -> None: ...

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A command that has failed does not wait for its other answers."""

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_lines_come_from_the_argument_files_or_the_standard_input(url: str, tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.lp", tmp_path / "packed.lp.gz"
    plain.write_text("cpu,from=file n=1i 1\n")
    packed.write_bytes(gzip.compress(b"cpu,from=packed n=1i 1\n"))
    to = ("--database", "cli_write_doors")

    done = [
        influxdb3("write", *to, "cpu,from=argument n=1i 1", url=url),
        influxdb3("write", "--bucket=cli_write_doors", "--org=o", "--lp", "cpu,from=option n=1i 1", url=url),
        influxdb3("w", *to, "-f", str(plain), "--file", str(packed), "--gzip", url=url),
        influxdb3("write", *to, url=url, stdin="cpu,from=pipe n=1i 1\n"),
        influxdb3("write", *to, url=url, stdin=gzip.compress(b"cpu,from=gzipped\\ pipe n=1i 1\n")),
    ]

    assert [each.code for each in done] == [0] * 5
    assert [each.out for each in done] == [""] * 5
    assert all(PROGRESS.fullmatch(each.err) for each in done)
    assert count(url, "cli_write_doors") == 6


@pytest.mark.parametrize("from_pipe", [False, True])
def test_gzip_may_have_several_members_and_damage_is_named(url: str, tmp_path: Path, from_pipe: bool) -> None:
    """I3."""
    whole = gzip.compress(b"cpu n=1i 1\n") + gzip.compress(b"cpu n=2i 2\n")
    damaged = bytearray(gzip.compress(many_lines(5000).encode()))
    damaged[len(damaged) // 2] ^= 0xFF
    database = f"cli_write_gzip_{from_pipe}".lower()
    outcomes = []
    for data in (whole, whole[:-5], bytes(damaged)):
        file = tmp_path / "data.gz"
        file.write_bytes(data)
        source: tuple[str, ...] = () if from_pipe else ("--file", str(file))
        outcomes.append(influxdb3("write", "-d", database, "-q", *source, url=url, stdin=data if from_pipe else None))

    assert [done.code for done in outcomes] == [0, 1, 1]
    assert count(url, database) >= 2
    assert "ends in the middle of its gzip data" in outcomes[1].err
    assert "is damaged: " in outcomes[2].err or "ends in the middle" in outcomes[2].err


def test_quiet_says_nothing_and_options_travel(url: str) -> None:
    line = "cpu n=1i 1700000000"
    done = influxdb3("write", "-d", "cli_write_options", "-q", "-p", "s", "--no-sync", "--accept-partial", line, url=url)
    found: list[str] = []

    def is_there() -> bool:  # --no-sync answers before the rows are
        found[:] = influxdb3("query", "-d", "cli_write_options", "--format", "csv", "SELECT time FROM cpu", url=url).lines
        return len(found) == 2

    assert (done.code, done.out, done.err) == (0, "", "")
    wait_until(is_there)
    assert found[1] == "2023-11-14T22:13:20"


def test_several_arguments_are_several_lines(url: str) -> None:
    done = influxdb3("write", "-d", "cli_write_several", "-q", "cpu n=1i 1", "cpu n=2i 2\ncpu n=3i 3", url=url)
    refused = influxdb3("write", "-d", "cli_write_several", "-q", "cpu n=4i 4", "cpu n=x 5", url=url)
    found = influxdb3("query", "-d", "cli_write_several", "--format", "csv", "SELECT n FROM cpu ORDER BY n", url=url)

    assert (done.code, done.err) == (0, "")
    assert refused.code == 1
    assert '"line_number":2' in refused.err
    assert found.lines == ["n", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ((), None, "no line protocol string provided"),
        (("",), None, "no line protocol string provided"),
        (
            ("cpu,host=a", "usage=1", "1"),
            None,
            "ensure that a single protocol line string is provided as the final argument, enclosed in quotes",
        ),
        (("--file", "/nowhere"), None, "cannot read /nowhere: No such file or directory"),
        (("pyproject.toml",), None, "pyproject.toml is a file; --file pyproject.toml takes what is in it"),
    ],
)
def test_without_lines_it_says_so(url: str, arguments: tuple[str, ...], stdin: str | None, message: str) -> None:
    done = influxdb3("write", "-d", "cli_write_none", *arguments, url=url, stdin=stdin)

    assert (done.code, done.err) == (1, f"Write command failed: {message}\n")


def test_a_large_file_travels_in_pieces_and_arrives_once(url: str, tmp_path: Path) -> None:
    """W4."""
    file = tmp_path / "many.lp"
    file.write_text(many_lines(20_000))
    piece = ("--max-request-size", "50000", "--max-concurrent-requests", "4")

    done = influxdb3("write", "-d", "cli_write_many", "--file", str(file), *piece, url=url)

    progress = PROGRESS.fullmatch(done.err)
    assert done.code == 0
    assert progress is not None
    assert progress[2] == "22000"
    assert int(progress[1].split()[0]) >= 20
    assert count(url, "cli_write_many") == 20_000


def test_refused_lines_are_told_and_the_others_are_stored(url: str, tmp_path: Path) -> None:
    """W2, V2: the numbers are those of the file, though the lines travelled in different requests."""
    file = tmp_path / "bad.lp"
    lines = many_lines(1000).replace('n=500i,s="one', 'n=hi,s="one').replace("n=903i", "n=903")
    file.write_text(lines)
    numbers = [lines[: lines.index(text)].count("\n") + 1 for text in ("n=hi", "n=903,")]

    done = influxdb3("write", "-d", "cli_write_bad", "-f", str(file), "--max-request-size", "5000", url=url)

    told = done.err.splitlines()
    assert (done.code, done.out) == (1, "")
    assert PROGRESS.fullmatch(told[0] + "\n")
    assert told[1] == (
        "Write command failed: 2 lines were refused, all others are stored: partial write of line protocol occurred"
    )
    assert told[2].startswith(f"  {file}, line {numbers[0]}, column 15: ")
    assert told[4].strip().startswith("^ expected a number (1.5), an integer (1i), true, false or a string")
    assert told[5].startswith(f"  {file}, line {numbers[1]}, column 15: invalid column type for column 'n'")
    assert told[7].strip() == "^ expected an integer, as 1i"
    assert count(url, "cli_write_bad") == 998


def test_of_one_request_a_script_reads_the_servers_own_answer(url: str) -> None:
    done = influxdb3("write", "-d", "cli_write_reply", "-q", url=url, stdin="cpu n=1i 1\ncpu n=1.5 2\n")

    first = done.err.splitlines()[0]
    prefix = "Write command failed: server responded with error [400 Bad Request]: "
    assert first.startswith(prefix)
    reply = json.loads(first.removeprefix(prefix))
    assert reply["error"] == "partial write of line protocol occurred"
    assert reply["data"][0]["line_number"] == 2


def test_all_or_nothing_stores_nothing(url: str) -> None:
    influxdb3("write", "-d", "cli_write_whole", "cpu n=1i 1", url=url)

    done = influxdb3(
        "write", "-d", "cli_write_whole", "-q", "--accept-partial=false", url=url, stdin="cpu n=2i 2\ncpu n=1.5 3\n"
    )

    assert done.code == 1
    assert done.err.startswith("Write command failed: server responded with error [400 Bad Request]: parsing failed")
    assert "line 2, column 7" in done.err
    assert count(url, "cli_write_whole") == 1


def test_a_busy_server_gets_the_piece_again_and_a_broken_connection_does_not() -> None:
    """W1, V1."""

    def busy_then_well(number: int, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes] | None:
        return (503, b'{"error": "busy"}') if number < 3 else (204, b"")

    def broken(number: int, handler: BaseHTTPRequestHandler, body: bytes) -> None: ...

    with answering(busy_then_well) as (url, bodies):
        patient = influxdb3("write", "-d", "x", "cpu n=1i", url=url)
        sent_when_busy = list(bodies)
    with answering(broken) as (url, bodies):
        failed = influxdb3("write", "-d", "x", "cpu n=1i", url=url)
        sent_when_broken = list(bodies)

    assert (patient.code, sent_when_busy) == (0, [b"cpu n=1i"] * 3)
    assert (failed.code, sent_when_broken) == (1, [b"cpu n=1i"])
    assert "failed to send POST http://" in failed.err


def test_what_stopped_halfway_says_where_to_go_on(tmp_path: Path) -> None:
    """W3."""
    file = tmp_path / "many.lp"
    file.write_text(many_lines(1000))
    pieces = ("--max-request-size", "5000", "--max-concurrent-requests", "3")

    def broken_at_the_fifth(number: int, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes] | None:
        return (204, b"") if number < 5 else (500, b'{"error": "internal error"}')

    with answering(broken_at_the_fifth) as (url, bodies):
        failed = influxdb3("write", "-d", "x", "-f", str(file), *pieces, url=url)
        stored = sum(map(len, bodies[:4]))
    found = re.search(r"go on with --file \S+ --start-at (\d+)\n", failed.err)
    assert found is not None
    start = int(found[1])
    with answering(lambda number, handler, body: (204, b"")) as (url, rest):
        done = influxdb3("write", "-d", "x", "-f", str(file), *pieces, "--start-at", str(start), url=url)

    assert failed.code == 1
    assert "server responded with error [500 Internal Server Error]: internal error" in failed.err
    assert 0 < start <= stored
    assert done.code == 0
    assert b"".join(sorted(rest, key=file.read_bytes().index)) == file.read_bytes()[start:]


def test_only_the_pieces_under_way_are_held(tmp_path: Path) -> None:
    """W4, I1: while nobody answers, so many requests are sent and no more of the file is read."""
    file = tmp_path / "many.lp"
    file.write_text(many_lines(1000))
    release = threading.Event()

    def late(number: int, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        if number > 1:
            release.wait(PATIENCE_S)
        return 204, b""

    with answering(late) as (url, bodies):
        process = started(
            "write", "-d", "x", "-f", str(file), "--max-request-size", "5000", "--max-concurrent-requests", "3", url=url
        )
        deadline = time.monotonic() + PATIENCE_S
        while len(bodies) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        held = len(bodies)
        release.set()
        process.communicate(timeout=PATIENCE_S)

    assert held == 4
    assert process.returncode == 0
    assert sum(map(len, bodies)) == file.stat().st_size


def test_ctrl_c_says_where_to_go_on(tmp_path: Path) -> None:
    """W3."""
    file = tmp_path / "many.lp"
    file.write_text(many_lines(1000))

    def slow(number: int, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        time.sleep(0.2)
        return 204, b""

    with answering(slow) as (url, bodies):
        arguments = ("write", "-d", "x", "-f", str(file), "--max-request-size", "2000", "--max-concurrent-requests", "1")
        process = started(*arguments, url=url)
        deadline = time.monotonic() + PATIENCE_S
        while len(bodies) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 130
    found = re.search(rb"--start-at (\d+)", said)
    assert found is not None
    assert len(bodies[0]) <= int(found[1]) <= sum(map(len, bodies))


def test_a_pipe_that_pauses_is_written_as_it_comes(url: str) -> None:
    """I2, V1."""
    process = subprocess.Popen(
        [*COMMAND, "write", "-d", "cli_write_pipe", "-q"],
        cwd=ROOT,
        env=environment_of({"INFLUXDB3_HOST_URL": url}),
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"cpu n=1i 1\ncpu n=")
    process.stdin.flush()

    deadline = time.monotonic() + PATIENCE_S
    seen = 0
    while seen == 0 and time.monotonic() < deadline:
        time.sleep(0.2)
        found = influxdb3("query", "-d", "cli_write_pipe", "--format", "csv", "SELECT n FROM cpu", url=url)
        seen = len(found.lines) if found.code == 0 else 0
    process.stdin.write(b"2i 2\n")
    process.stdin.close()

    assert seen == 2
    assert process.wait(PATIENCE_S) == 0
    assert count(url, "cli_write_pipe") == 2


def test_a_terminal_sees_progress(tmp_path: Path) -> None:
    file = tmp_path / "many.lp"
    file.write_text(many_lines(500))

    def slow(number: int, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        time.sleep(0.2)
        return 204, b""

    with answering(slow) as (url, _):
        pieces = ("--max-request-size", "4000", "--max-concurrent-requests", "1")
        done = on_a_terminal("write", "-d", "x", "-f", str(file), *pieces, url=url, plain=False)

    assert done.code == 0
    assert re.search(r"\[=+ +\] +\d+%  \d+ lines, ", done.out)
