"""A real Flight server on a free port: over a node in memory, or over the real one."""

from collections.abc import Iterator
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import DatabaseOptions

from engine.clock import SystemClock
from engine.node import Node
from engine.settings import Settings
from engine.storage.memory import MemoryStore
from flightserver.server import EngineServer
from tests.helpers.memory_node import MemoryNode

SETTINGS = Settings(node_id="node", wal_flush_interval_ms=10)


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


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def real_node(store: MemoryStore) -> Iterator[Node]:
    node = Node.open(SETTINGS, store, SystemClock())
    yield node
    node.close()


@pytest.fixture
def real_server(real_node: Node, tmp_path: Path) -> Iterator[EngineServer]:
    (tmp_path / "handover").mkdir()
    server = EngineServer(real_node, "grpc://127.0.0.1:0", handover_dir=tmp_path / "handover")
    yield server
    server.shutdown()
