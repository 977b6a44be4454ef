"""A real Flight server on a free port, over a node in memory."""

from collections.abc import Iterator

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import DatabaseOptions

from flightserver.server import EngineServer
from tests.helpers.memory_node import MemoryNode


@pytest.fixture
def node() -> MemoryNode:
    return MemoryNode()


@pytest.fixture
def server(node: MemoryNode) -> Iterator[EngineServer]:
    server = EngineServer(node, "grpc://127.0.0.1:0")
    yield server
    server.shutdown()


@pytest.fixture
def url(server: EngineServer) -> str:
    return f"grpc://127.0.0.1:{server.port}"


@pytest.fixture
def flight(url: str) -> Iterator[fl.FlightClient]:
    with fl.FlightClient(url) as client:
        yield client


@pytest.fixture
def connection(url: str) -> Iterator[adbc.Connection]:
    """ADBC, as a user of the database `db` has it."""
    options = {f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database": "db"}
    with flight_sql.connect(url, db_kwargs=options, autocommit=True) as connection:
        yield connection
