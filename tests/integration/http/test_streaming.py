"""Answers on their way: from the first row on, with little memory, packed, broken off, left. Real sockets, a real worker.

Q1 and Q4 of httpapi.routes.query, X3 of httpapi.connections.
"""

import gzip
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest, ServiceError, Unavailable
from engine.requests import QueryResult
from flightserver.server import EngineServer
from tests.helpers.memory_node import MemoryNode
from tests.helpers.servers import PATIENCE_S, ROOT, wait_until

SCHEMA = pa.schema({"n": pa.int64(), "s": pa.string()})
TEXT = "x" * 1_000


@dataclass
class Front:
    """A worker in front of an engine of this process, whose next answer a test decides on."""

    node: MemoryNode
    address: tuple[str, int]
    process: "subprocess.Popen[bytes]"

    def answers(self, batches: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema = SCHEMA) -> list[bool]:
        """What the next query does; the list has an entry once its work has been ended."""
        ended: list[bool] = []
        self.node.query_sql = lambda *_, **__: QueryResult(schema, batches(), lambda: ended.append(True))  # type: ignore[method-assign]
        return ended

    def ask(self, version: str = "1.1", form: str = "jsonl", **headers: str) -> socket.socket:
        sock = socket.create_connection(self.address, timeout=PATIENCE_S)
        lines = [f"GET /api/v3/query_sql?{urlencode({'db': 'db', 'q': 'x', 'format': form})} HTTP/{version}", "Host: x"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode())
        return sock

    def worker(self) -> psutil.Process:
        return psutil.Process(self.process.pid).children()[0]


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as name,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        directory = Path(name)
        node = MemoryNode()
        node.create_database("db")
        engine = EngineServer(node, f"grpc+unix://{directory}/engine")
        (directory / "counters").mkdir()
        settings = {
            "FLIGHTLINE_ENGINE": f"grpc+unix://{directory}/engine",
            "FLIGHTLINE_HANDOVER_DIR": str(directory),
            "FLIGHTLINE_COUNTERS_DIR": str(directory / "counters"),
            "FLIGHTLINE_MAX_HTTP_REQUEST_BYTES": "1000000",
            "FLIGHTLINE_WITH_TOKENS": "0",
            "FLIGHTLINE_RELEASED": "",
        }
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "httpapi.wsgi:app",
            "--bind",
            f"fd://{listener.fileno()}",
            "--threads",
            "4",
        ]
        command += ["--worker-class", "httpapi.worker.SinglePortWorker", "--log-level", "error", "--no-control-socket"]
        for key, value in settings.items():
            command += ["--env", f"{key}={value}"]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=(listener.fileno(),))
        yield Front(node, listener.getsockname(), process)
        process.terminate()
        process.wait(60)
        engine.shutdown()


def batch(number: int, rows: int = 1, text: str = "") -> pa.RecordBatch:
    return pa.record_batch({"n": [number] * rows, "s": [text] * rows}, schema=SCHEMA)


def response(sock: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_the_first_rows_arrive_while_the_query_goes_on(front: Front, form: str, encoding: str) -> None:
    """Q4."""
    seen = threading.Event()

    def batches() -> Iterator[pa.RecordBatch]:
        yield batch(1)
        assert seen.wait(PATIENCE_S)
        yield batch(2)

    front.answers(batches)
    with front.ask(form=form, accept_encoding=encoding) as sock, response(sock) as answer:
        first = answer.read1()
        seen.set()
        body = first + answer.read()

    assert first
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["Content-Encoding"] == (None if encoding == "identity" else encoding)
    if encoding == "gzip":
        body = gzip.decompress(body)
    if encoding == "zstd":
        body = pa.CompressedInputStream(pa.BufferReader(body), "zstd").read()
    expected = {
        "json": b'[{"n":1,"s":""},{"n":2,"s":""}]',
        "jsonl": b'{"n":1,"s":""}\n{"n":2,"s":""}\n',
        "csv": b"n,s\n1,\n2,\n",
    }
    assert body == expected[form]


def test_parquet_is_not_packed_again(front: Front) -> None:
    front.answers(lambda: iter([batch(1)]))

    with front.ask(form="parquet", accept_encoding="gzip") as sock, response(sock) as answer:
        body = answer.read()

    assert answer.headers["Content-Encoding"] is None
    assert body.startswith(b"PAR1")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_who_reads_slowly_holds_up_the_engine_and_not_the_memory(front: Front, encoding: str) -> None:
    """Q4. The answer is 2 GB long; of the engine's Flight stream and of the sockets a few megabytes are on their way."""
    taken = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal taken
        for number in range(2_000):
            taken += 1
            yield batch(number, 1_000, f"{number:x}" * (1_000 // len(f"{number:x}")))

    def holds_still() -> bool:
        before = taken
        threading.Event().wait(0.5)
        return taken == before and taken > 0

    front.answers(batches)
    with front.ask(accept_encoding="identity") as warm:
        wait_until(holds_still)
        warm.recv(1000)
    taken = 0
    before = front.worker().memory_info().rss

    ended = front.answers(batches)
    with front.ask(accept_encoding=encoding) as sock:
        sock.recv(1000)
        if encoding == "identity":
            wait_until(holds_still)
            assert taken < 64
        assert front.worker().memory_info().rss - before < 80_000_000

    wait_until(lambda: bool(ended))


def failing_after(count: int, failure: ServiceError) -> Callable[[], Iterator[pa.RecordBatch]]:
    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(count):
            yield batch(number, 100, TEXT)
        raise failure

    return batches


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_failure_in_the_middle_ends_a_chunked_answer_without_its_last_chunk(front: Front, form: str, encoding: str) -> None:
    """Q1."""
    front.answers(failing_after(3, Unavailable("no memory")))

    with (
        front.ask(form=form, accept_encoding=encoding) as sock,
        response(sock) as answer,
        pytest.raises(http.client.IncompleteRead) as broken,
    ):
        answer.read()

    assert answer.status == 200
    assert broken.value.partial
    assert b"no memory" not in broken.value.partial


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_a_failure_in_the_middle_resets_an_answer_that_has_no_chunks(front: Front, form: str) -> None:
    """Q1, X3."""
    front.answers(failing_after(3, Unavailable("no memory")))

    with front.ask("1.0", form) as sock, response(sock) as answer:
        assert answer.status == 200
        with pytest.raises(ConnectionResetError):
            answer.read()


def test_a_whole_answer_without_chunks_ends_with_its_connection(front: Front) -> None:
    """Q1: the counterpart, without which a reset would say nothing."""
    front.answers(lambda: iter([batch(1), batch(2)]))

    with front.ask("1.0") as sock, response(sock) as answer:
        assert answer.read() == b'{"n":1,"s":""}\n{"n":2,"s":""}\n'


@pytest.mark.parametrize(
    ("failure", "status"), [(InvalidRequest("no such column"), 400), (Unavailable("too many queries"), 503)]
)
@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "pretty", "parquet"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_failure_before_the_first_row_is_an_error_with_its_status(
    front: Front, failure: ServiceError, status: int, form: str, version: str
) -> None:
    """Q1."""
    front.answers(failing_after(0, failure))

    with front.ask(version, form, accept_encoding="gzip") as sock, response(sock) as answer:
        assert (answer.status, json.load(answer)["error"]) == (status, failure.message)


@pytest.mark.parametrize("form", ["pretty", "parquet"])
def test_what_is_sent_as_a_whole_fails_as_a_whole(front: Front, form: str) -> None:
    """Q1."""
    front.answers(failing_after(3, Unavailable("no memory")))

    with front.ask(form=form) as sock, response(sock) as answer:
        assert (answer.status, json.load(answer)["error"]) == (503, "no memory")


def test_a_type_that_has_no_text_is_refused_before_the_first_byte(front: Front) -> None:
    """Q1."""
    values = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    odd = pa.record_batch({"u": values})
    front.answers(lambda: iter([odd]), odd.schema)

    with front.ask() as sock, response(sock) as answer:
        assert answer.status == 400
        assert "can not be written as text" in json.load(answer)["error"]


def test_an_engine_that_only_says_that_it_works_has_not_answered_yet(front: Front) -> None:
    """Q1."""

    def batches() -> Iterator[pa.RecordBatch]:
        yield batch(0, 0)
        raise Unavailable("no memory")

    front.answers(batches)

    with front.ask(form="csv") as sock, response(sock) as answer:
        assert answer.status == 503


@pytest.mark.parametrize("form", ["json", "csv", "pretty"])
def test_no_rows_are_an_answer_too(front: Front, form: str) -> None:
    front.answers(lambda: iter([batch(0, 0), batch(0, 0)]))

    with front.ask(form=form) as sock, response(sock) as answer:
        expected = {"json": b"[]", "csv": b"n,s\n", "pretty": b"+---+---+\n| n | s |\n+---+---+"}
        assert answer.read() == expected[form]


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_a_client_that_leaves_in_the_middle_ends_the_work(front: Front, encoding: str) -> None:
    """Q4, and Q3 from within."""

    def batches() -> Iterator[pa.RecordBatch]:
        number = 0
        while True:
            number += 1
            yield batch(number, 100, TEXT)

    ended = front.answers(batches)
    with front.ask(accept_encoding=encoding) as sock:
        sock.recv(1000)

    wait_until(lambda: bool(ended))
