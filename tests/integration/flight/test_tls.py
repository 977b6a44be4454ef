"""Direct gRPC over TLS, with a certificate made for the test."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import pyarrow.flight as fl
import pytest

from flightserver.client import EngineClient
from flightserver.server import EngineServer
from tests.helpers.memory_node import MemoryNode


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """(certificate, key) of localhost."""
    directory: Path = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(directory / "key"), "-out", str(directory / "cert")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return (directory / "cert").read_bytes(), (directory / "key").read_bytes()


@pytest.fixture
def tls_port(node: MemoryNode, certificate: tuple[bytes, bytes]) -> Iterator[int]:
    node.create_database("db")
    server = EngineServer(node, "grpc+tls://localhost:0", tls_certificates=[certificate])
    yield server.port
    server.shutdown()


def test_flight_adbc_and_our_own_client_speak_tls(tls_port: int, certificate: tuple[bytes, bytes]) -> None:
    location = f"grpc+tls://localhost:{tls_port}"
    ticket = fl.Ticket(json.dumps({"database": "db", "sql_query": "SELECT 1 AS one"}))
    options = {
        "adbc.flight.sql.rpc.call_header.database": "db",
        "adbc.flight.sql.client_option.tls_root_certs": certificate[0].decode(),
    }

    with fl.FlightClient(location, tls_root_certs=certificate[0]) as flight:
        assert flight.do_get(ticket).read_all().to_pylist() == [{"one": 1}]
    with flight_sql.connect(location, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS one")
        assert cursor.fetchall() == [(1,)]
    client = EngineClient(location, tls_root_certs=certificate[0])
    assert client.write_lp(db="db", body=b"cpu,host=a usage=1 1") == {"rows": 1, "rejected": []}
    client.close()


def test_a_client_without_the_certificate_is_turned_away(tls_port: int) -> None:
    with fl.FlightClient(f"grpc+tls://localhost:{tls_port}") as flight, pytest.raises(fl.FlightUnavailableError):
        list(flight.list_flights())
