"""The whole server, with its real engine: what is acknowledged survives, and what is wrong is said (E1-E3, B2, B3)."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.flight as flight
import pytest
import requests

from tests.helpers.certificates import make_certificate
from tests.helpers.servers import PATIENCE_S, Server, launch, running, wait_until

REAL = ("-m", "flightserver.cli.main", "serve")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), "--flight-bind", "127.0.0.1:0", command=REAL) as started:
        yield started


def write(server: Server, value: int, *, no_sync: bool = False, session: requests.Session | None = None) -> int:
    return (
        (session or requests)
        .post(
            f"{server.url}/api/v3/write_lp",
            params={"db": "d", "precision": "nanosecond", "no_sync": str(no_sync).lower()},
            data=f"t,host=a value={value}i {value}",
            timeout=60,
        )
        .status_code
    )


def values(server: Server) -> list[int]:
    rows = requests.get(
        f"{server.url}/api/v3/query_sql", params={"db": "d", "q": "SELECT value FROM t ORDER BY time"}, timeout=PATIENCE_S
    ).json()
    return [row["value"] for row in rows]


def test_an_engine_that_is_killed_under_load_comes_back_with_every_acknowledged_row(tmp_path: Path) -> None:
    """B2: meanwhile the answer is 503."""
    acknowledged: list[int] = []
    seen: set[int] = set()
    stop = threading.Event()

    def client(first: int, server: Server) -> None:
        with requests.Session() as session:
            for value in range(first, 10**9, 4):
                if stop.is_set():
                    return
                status = write(server, value, session=session)
                seen.add(status)
                if status == 204:
                    acknowledged.append(value)

    with running(tmp_path, command=REAL) as server:
        threads = [threading.Thread(target=client, args=(first, server)) for first in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > 20)
        os.kill(server.engine_pid(), signal.SIGKILL)
        wait_until(lambda: 503 in seen)
        before = len(acknowledged)
        wait_until(lambda: len(acknowledged) > before + 20)
        stop.set()
        for thread in threads:
            thread.join(60)

        assert seen == {204, 503}
        assert set(acknowledged) <= set(values(server))
        assert server.stop() == 0


def test_a_stop_writes_out_what_was_acknowledged_without_waiting(tmp_path: Path) -> None:
    """E2."""
    with running(tmp_path, "--wal-flush-interval", "10m", command=REAL) as server:
        assert [write(server, value, no_sync=True) for value in range(5)] == [204] * 5

        assert server.stop() == 0

    with running(tmp_path, command=REAL) as server:
        assert values(server) == [0, 1, 2, 3, 4]


def test_the_second_server_of_a_node_is_told_and_the_first_goes_on(server: Server) -> None:
    """E1."""
    port = server.port
    second = launch(server.directory, command=REAL)

    assert second.wait() == 1
    [line] = second.text.splitlines()
    assert line.startswith("Serve command failed: another server runs node node on ")
    server.port = port
    assert write(server, 1) == 204


@pytest.mark.parametrize("directory", ["/proc/nothing", "/etc/passwd"])
def test_a_store_that_cannot_be_opened_is_one_sentence(tmp_path: Path, directory: str) -> None:
    """E1."""
    server = launch(tmp_path, "--data-dir", directory, command=REAL)

    assert server.wait() == 1
    [line] = server.text.splitlines()
    assert line.startswith(f"Serve command failed: could not open file://{directory}")


def test_sigterm_while_a_store_is_being_opened_ends_the_start(tmp_path: Path) -> None:
    """E3: a store that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        s3 = ("--object-store", "s3", "--bucket", "b", "--aws-endpoint", endpoint, "--aws-allow-http")
        server = launch(tmp_path, *s3, "--aws-access-key-id", "k", "--aws-secret-access-key", "s", command=REAL)
        silent.settimeout(60)
        with silent.accept()[0]:
            assert server.stop() == 0


def test_flight_answers_on_its_own_address_and_on_the_shared_one(server: Server) -> None:
    assert write(server, 1) == 204
    own = server.text.split("flight=")[1].split()[0]

    for location in (f"grpc://{own}", f"grpc://127.0.0.1:{server.port}"):
        with flight.connect(location) as client:
            ticket = flight.Ticket(b'{"database":"d","sql_query":"SELECT count(*) AS n FROM t","query_type":"sql"}')
            assert client.do_get(ticket).read_all().to_pylist() == [{"n": 1}]


def test_everything_works_over_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    options = (*certificate.options, "--flight-bind", "127.0.0.1:0")
    with running(tmp_path / "data", *options, command=REAL) as server:
        own = server.text.split("flight=")[1].split()[0]
        url = f"https://127.0.0.1:{server.port}/api/v3/write_lp?db=d"
        answer = requests.post(url, data="t value=1", verify=str(certificate.cert), timeout=60)

        assert answer.status_code == 204
        for location in (f"grpc+tls://{own}", f"grpc+tls://127.0.0.1:{server.port}"):
            with flight.connect(location, tls_root_certs=certificate.cert.read_bytes()) as client:
                ticket = flight.Ticket(b'{"database":"d","sql_query":"SELECT value FROM t","query_type":"sql"}')
                assert client.do_get(ticket).read_all().to_pylist() == [{"value": 1.0}]


def test_it_loads_nothing_that_it_does_not_use(server: Server) -> None:
    """B5: pyarrow would import what it finds of these."""
    mapped = {Path(each.path) for each in psutil.Process(server.engine_pid()).memory_maps()}

    assert any("pyarrow" in path.parts for path in mapped)
    assert not [path for path in mapped if {"numpy", "pandas"} & set(path.parts)]


def test_files_of_the_server_are_for_its_user_alone(server: Server) -> None:
    directory = server.run_directory()

    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "engine.sock").stat().st_mode & 0o077 == 0
