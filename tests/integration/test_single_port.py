"""HTTP/1.1 and gRPC through one port, with clients of all kinds of manners (P1-P4)."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.flight as flight
import pytest
import requests

from httpapi.connections import IO_TIMEOUT_S
from tests.helpers.servers import ROOT, Server, action, read_response, running, wait_until
from tests.helpers.small_engine import SmallServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
GET = b"GET /scheme HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as started:
        started.get("/pid")
        yield started


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """gunicorn alone, with short deadlines, in front of a Flight server of this process."""
    engine = SmallServer(f"grpc+unix://{tmp_path_factory.mktemp('engine')}/engine.sock")
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        path = engine_path(tmp_path_factory)
        command = [sys.executable, "-m", "gunicorn", "tests.helpers.small_app:app", "--bind", f"fd://{listener.fileno()}"]
        command += [
            "--worker-class",
            "tests.helpers.impatient_worker.ImpatientWorker",
            "--threads",
            "4",
            "--log-level",
            "error",
        ]
        command += ["--env", f"FLIGHTLINE_ENGINE=grpc+unix://{path}", "--no-control-socket"]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=(listener.fileno(),))
        yield listener.getsockname()
        process.terminate()
        process.wait(60)
    engine.shutdown()


def engine_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next(tmp_path_factory.getbasetemp().glob("engine*/engine.sock"))


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def quick_answer(server: Server) -> float:
    began = time.monotonic()
    assert server.get("/scheme") == b"http"
    return time.monotonic() - began


def busy_s(processes: list[psutil.Process], during_s: float) -> float:
    """Processor time that they need to do nothing."""
    before_s = sum(sum(process.cpu_times()[:2]) for process in processes)
    time.sleep(during_s)
    return sum(sum(process.cpu_times()[:2]) for process in processes) - before_s


def test_both_protocols_work_side_by_side(server: Server) -> None:
    with server.flight() as client, requests.Session() as session:
        for number in range(20):
            body = str(number).encode()
            assert action(client, "echo", body) == body
            assert session.post(server.url + "/echo", data=body, timeout=60).content == body


def test_large_streams_pass_in_both_directions_at_the_same_time(server: Server) -> None:
    """Y1, Y2 through real gRPC."""
    batch = pa.record_batch({"x": pa.array(range(131072), pa.int64())})
    received = []

    def read(client: flight.FlightClient) -> None:
        received.append(sum(chunk.data.num_rows for chunk in client.do_get(flight.Ticket(b"60"))))

    with server.flight() as client, server.flight() as other:
        reader = threading.Thread(target=read, args=(other,))
        reader.start()
        writer, acknowledgements = client.do_put(flight.FlightDescriptor.for_path("t"), batch.schema)
        for _ in range(30):
            writer.write_batch(batch)
            assert acknowledgements.read().to_pybytes() == b"131072"
        writer.close()
        reader.join(60)

    assert received == [60 * 131072]


@pytest.mark.parametrize("size", [0, 1, 65_000, 65_536, 70_000, 5_000_000])
def test_bodies_of_every_size_arrive_whole(server: Server, size: int) -> None:
    body = os.urandom(size)

    assert requests.post(server.url + "/echo", data=body, timeout=60).content == body


def test_a_chunked_body_arrives_whole(server: Server) -> None:
    pieces = [b"a" * 100, b"\r\n\r\n", b"0\r\n\r\n", b"b" * 200_000]

    assert requests.post(server.url + "/echo", data=iter(pieces), timeout=60).content == b"".join(pieces)


def test_a_request_that_comes_byte_by_byte_is_answered(server: Server) -> None:
    """P1."""
    with connect(server) as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello":
            slow.sendall(bytes([byte]))
            time.sleep(0.002)

        assert read_response(slow) == (200, b"hello")


@pytest.mark.parametrize("cut", [1, 3, 4, 13, 14, 20])
def test_a_preface_in_two_pieces_is_still_http2(server: Server, cut: int) -> None:
    """P1."""
    with connect(server) as slow:
        slow.sendall(PREFACE[:cut])
        time.sleep(0.05)
        slow.sendall(PREFACE[cut:] + SETTINGS)

        assert slow.recv(9)[3] == 4  # a SETTINGS frame comes back


def test_what_begins_like_the_preface_but_is_http_1_gets_an_http_1_answer(server: Server) -> None:
    """P1."""
    with connect(server) as odd:
        odd.sendall(b"PR")
        time.sleep(0.05)
        odd.sendall(b"OPFIND /scheme HTTP/1.1\r\nHost: x\r\n\r\n")

        assert read_response(odd) == (200, b"http")


def test_requests_sent_without_waiting_are_answered_in_order(server: Server) -> None:
    with connect(server) as eager, eager.makefile("rb") as answers:
        posts = [b"POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n%02d" % number for number in range(20)]
        eager.sendall(b"".join(posts))

        for number in range(20):
            assert b" 200 " in answers.readline()
            length = int(http.client.parse_headers(answers)["Content-Length"])
            assert answers.read(length) == b"%02d" % number


def test_a_client_that_waits_for_100_continue_gets_it(server: Server) -> None:
    with connect(server) as polite:
        polite.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert polite.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        polite.sendall(b"now")

        assert read_response(polite) == (200, b"now")


def test_hundreds_of_silent_slow_and_half_open_clients_hold_nobody_up(server: Server) -> None:
    """P2: more of them than there are threads."""
    with ExitStack() as stack:
        for beginning in (b"", b"PRI * H", b"GET / HT", b"POST /echo HTTP/1.1\r\nContent-Length: 60000\r\n\r\nx"):
            for _ in range(100):
                stack.enter_context(connect(server)).sendall(beginning)
        # these have had their answer, and do not close
        for _ in range(50):
            rude = stack.enter_context(connect(server))
            rude.sendall(b"GET /scheme HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert read_response(rude) == (200, b"http")

        slowest = max(quick_answer(server) for _ in range(20))
        with server.flight() as client:
            assert action(client, "echo", b"still here") == b"still here"

    assert slowest < IO_TIMEOUT_S, "sooner than those are given up"


def test_a_thousand_connections_are_kept_alive(server: Server) -> None:
    """P2."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server)) for _ in range(1000)]
        for _ in range(2):
            for connection in connections:
                connection.sendall(GET)
            for connection in connections:
                assert read_response(connection) == (200, b"http")
        workers = [child for child in server.children() if "gunicorn" in child.cmdline()]
        assert max(worker.num_threads() for worker in workers) <= 32 + 6

    wait_until(lambda: sum(worker.num_fds() for worker in workers) < 200)


def test_a_thousand_idle_http2_connections_cost_no_thread(server: Server) -> None:
    """Y3."""
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(connect(server)).sendall(PREFACE + SETTINGS)
        workers = [child for child in server.children() if "gunicorn" in child.cmdline()]
        wait_until(lambda: sum(worker.num_fds() for worker in workers) > 2000)
        assert max(worker.num_threads() for worker in workers) <= 32 + 6
        wait_until(lambda: busy_s(workers, during_s=0.5) < 0.1)

    wait_until(lambda: sum(worker.num_fds() for worker in workers) < 200)


def test_a_header_without_end_is_refused_with_bounded_memory(server: Server) -> None:
    with connect(server) as endless:
        endless.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"reset|pipe"):
            endless.sendall(b"X-Header: value\r\n" * 1_000_000)

    with connect(server) as long:
        long.sendall(b"GET / HTTP/1.1\r\n" + b"X-Header: value\r\n" * 7_800)
        status, body = read_response(long)
        assert (status, json.loads(body)) == (431, {"error": "the header of the request is too long"})


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01\x00\xa5\x01\x00", b"\x00" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 9]
)
def test_junk_harms_nobody(server: Server, junk: bytes) -> None:
    with connect(server) as odd:
        odd.sendall(junk)
        odd.shutdown(socket.SHUT_WR)
        answer = odd.recv(1000)

    assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
    assert server.get("/scheme") == b"http"


def test_a_request_that_cannot_be_parsed_is_refused_in_json(server: Server) -> None:
    with connect(server) as odd:
        odd.sendall(b"GET / HTTP/9.9\r\nHost: x\r\n\r\n")
        status, body = read_response(odd)

    assert status == 400
    assert json.loads(body)["error"].startswith("Invalid HTTP Version: ")


def test_clients_that_vanish_anywhere_leave_nothing_behind(server: Server) -> None:
    workers = [child for child in server.children() if "gunicorn" in child.cmdline()]
    wait_until(lambda: sum(worker.num_fds() for worker in workers) < 200)
    before = sum(worker.num_fds() for worker in workers)
    whole = b"POST /echo HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000

    for cut in (0, 1, 30, 100, 65_000, 66_000, len(whole)):
        for linger in (b"\x00" * 8, b"\x01\x00\x00\x00" + b"\x00" * 4):  # a normal close, a reset
            with connect(server) as vanishing:
                vanishing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                vanishing.sendall(whole[:cut])

    wait_until(lambda: sum(worker.num_fds() for worker in workers) <= before)
    assert server.get("/scheme") == b"http"


def test_a_request_that_does_not_arrive_in_time_is_refused(impatient: tuple[str, int]) -> None:
    """P3."""
    with socket.create_connection(impatient, timeout=60) as slow:
        slow.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        status, body = read_response(slow)

        assert (status, json.loads(body)) == (408, {"error": "the request did not arrive in time"})


def test_long_bodies_that_trickle_in_do_not_keep_their_threads(impatient: tuple[str, int]) -> None:
    """P3: four threads, eight clients that have sent enough for a thread and then stop."""
    with ExitStack() as stack:
        for _ in range(8):
            slow = stack.enter_context(socket.create_connection(impatient, timeout=60))
            slow.sendall(b"POST /echo HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 70_000)
        time.sleep(0.2)

        with closing(http.client.HTTPConnection(*impatient, timeout=60)) as other:
            other.request("GET", "/scheme")
            assert other.getresponse().read() == b"http"


def test_clients_that_do_not_read_do_not_keep_their_threads(impatient: tuple[str, int]) -> None:
    """P3, X1."""
    with ExitStack() as stack:
        for _ in range(8):
            deaf = stack.enter_context(socket.create_connection(impatient, timeout=60))
            deaf.sendall(b"GET /large?n=50 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)

        with closing(http.client.HTTPConnection(*impatient, timeout=60)) as other:
            other.request("GET", "/scheme")
            assert other.getresponse().read() == b"http"


def test_a_kept_alive_connection_outlives_the_deadline_for_requests(impatient: tuple[str, int]) -> None:
    with closing(http.client.HTTPConnection(*impatient, timeout=60)) as patient:
        for _ in range(2):
            patient.request("GET", "/scheme")
            assert patient.getresponse().read() == b"http"
            time.sleep(0.9)


def test_a_stopping_worker_is_replaced_without_a_failed_request(server: Server) -> None:
    """P5."""
    failures = []

    def client(stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                server.get("/scheme")
            except OSError as error:
                failures.append(error)

    stop = threading.Event()
    threads = [threading.Thread(target=client, args=(stop,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    psutil.Process(int(server.get("/pid"))).send_signal(signal.SIGTERM)
    time.sleep(1)
    stop.set()
    for thread in threads:
        thread.join(60)

    assert failures == []
