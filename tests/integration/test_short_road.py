"""Small writes on the short road through a real worker, in front of an engine of this process (A6, P6)."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.requests import WriteRequest
from flightserver.server import EngineServer
from tests.helpers.memory_node import MemoryNode
from tests.helpers.servers import ROOT

THREADS = 2
#: two headers about the scheme: a head that is not plain, and means nothing to the application
LONG_ROAD = "X-Forwarded-Proto: http\r\nX-Forwarded-Ssl: off\r\n"


@dataclass
class Front:
    node: MemoryNode
    address: tuple[str, int]

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=60)

    def ask(self, request: bytes) -> bytes:
        with self.connect() as sock:
            sock.sendall(request)
            return response_of(sock)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    directory: Path = tmp_path_factory.mktemp("front")
    for name in ("handover", "counters"):
        (directory / name).mkdir()
    node = MemoryNode()
    engine = EngineServer(node, f"grpc+unix://{directory}/engine", handover_dir=directory / "handover")
    settings = {
        "ENGINE": f"grpc+unix://{directory}/engine",
        "HANDOVER_DIR": directory / "handover",
        "COUNTERS_DIR": directory / "counters",
        "MAX_HTTP_REQUEST_BYTES": 4096,
        "WITH_TOKENS": 0,
        "RELEASED": "",
    }
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        command = [sys.executable, "-m", "gunicorn", "httpapi.wsgi:app", "--bind", f"fd://{listener.fileno()}"]
        command += ["--worker-class", "httpapi.worker.SinglePortWorker", "--threads", str(THREADS), "--log-level", "error"]
        command += [part for name, value in settings.items() for part in ("--env", f"FLIGHTLINE_{name}={value}")]
        process = subprocess.Popen([*command, "--no-control-socket"], cwd=ROOT, pass_fds=(listener.fileno(),))
        found = Front(node, listener.getsockname())
        found.ask(request_of("m v=1 1"))  # the first request asks the engine who it is; the short road needs to know
        yield found
        process.terminate()
        process.wait(60)
    engine.shutdown()


def request_of(lines: str, target: str = "/api/v3/write_lp?db=d", headers: str = "") -> bytes:
    body = lines.encode()
    return f"POST {target} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


def response_of(sock: socket.socket) -> bytes:
    """Exactly one, byte for byte."""
    got = b""
    while not got.endswith(b"\r\n\r\n"):
        got += sock.recv(1) or pytest.fail(f"the connection ended after {got!r}")
    length = next((int(line[16:]) for line in got.lower().split(b"\r\n") if line.startswith(b"content-length: ")), 0)
    while length:
        more = sock.recv(length) or pytest.fail(f"the connection ended after {got!r}")
        got, length = got + more, length - len(more)
    return got


def without_the_moment(response: bytes) -> list[bytes]:
    return [
        line.partition(b" ")[0] if line.startswith((b"Date:", b"Request-Id:")) else line for line in response.split(b"\r\n")
    ]


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        ("/api/v3/write_lp?db=d", "m v=1 1"),
        ("/api/v2/write?bucket=d&precision=ns", "m v=1 1\nm v=2 2\n"),
        ("/write?db=d&rp=", "m v=1 1"),
        ("/api/v3/write_lp?db=d", "m v=1 1\nrubbish"),
        ("/api/v3/write_lp?db=d&accept_partial=false", "rubbish"),
        ("/api/v2/write?bucket=d", "rubbish"),
        ("/write?db=d", "rubbish"),
        ("/api/v3/write_lp?db=d", "\n"),
        ("/api/v3/write_lp?db=d&precision=weeks", "m v=1 1"),
        ("/api/v3/write_lp?precision=ns", "m v=1 1"),
        ("/write?db=d%00", "m v=1 1"),
        ("/write?db=d", ""),
        ("/api/v3/write_lp?db=d", "m v=1 1\n" * 600),
    ],
)
def test_both_roads_give_the_same_answer(front: Front, target: str, lines: str) -> None:
    """A6."""
    short = front.ask(request_of(lines, target))
    long = front.ask(request_of(lines, target, LONG_ROAD))

    assert without_the_moment(short) == without_the_moment(long)


def test_a_failure_that_nobody_planned_is_told_in_the_same_words(front: Front) -> None:
    """A6, and A3 on the short road."""
    front.node.fail_with = RuntimeError("what nobody planned")
    short = front.ask(request_of("m v=1 1"))
    front.node.fail_with = RuntimeError("what nobody planned")
    long = front.ask(request_of("m v=1 1", headers=LONG_ROAD))
    front.node.fail_with = None

    assert short.startswith(b"HTTP/1.1 500 ")
    assert without_the_moment(short) == without_the_moment(long)


def test_requests_of_one_connection_are_answered_in_order_however_they_come(front: Front) -> None:
    """P6: in one piece, in two, and mixed with requests on the long road."""
    requests = [
        request_of("rubbish" if number % 3 == 0 else "m v=1 1", headers=LONG_ROAD if number % 5 == 4 else "")
        for number in range(30)
    ]
    expected = [b"400" if number % 3 == 0 else b"204" for number in range(30)]
    whole = b"".join(requests)

    for cut in (len(whole), len(whole) // 2):
        with front.connect() as sock:
            sock.sendall(whole[:cut])
            sock.sendall(whole[cut:])
            assert [response_of(sock)[9:12] for _ in requests] == expected


def test_writes_that_wait_for_the_engine_hold_no_thread(front: Front) -> None:
    """P6: there are two threads; ten writes wait, and somebody else is answered."""
    gate = threading.Event()

    def wait(request: WriteRequest) -> None:
        gate.wait(60)

    front.node.before_lines = wait
    try:
        with ExitStack() as stack:
            socks = [stack.enter_context(front.connect()) for _ in range(10)]
            for sock in socks:
                sock.sendall(request_of("m v=1 1"))
            ping = front.ask(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
            gate.set()
            answers = [response_of(sock)[:12] for sock in socks]
    finally:
        gate.set()
        front.node.before_lines = lambda request: None

    assert ping.startswith(b"HTTP/1.1 204 ")
    assert answers == [b"HTTP/1.1 204"] * 10


def test_a_client_that_leaves_before_its_answer_disturbs_nobody(front: Front) -> None:
    """P6."""
    gate = threading.Event()

    def wait(request: WriteRequest) -> None:
        gate.wait(60)

    front.node.before_lines = wait
    try:
        for _ in range(5):
            with front.connect() as sock:
                sock.sendall(request_of("m v=1 1"))
    finally:
        gate.set()
        front.node.before_lines = lambda request: None

    assert front.ask(request_of("m v=1 1")).startswith(b"HTTP/1.1 204")
