"""What the server says of itself, through every door: logged statements, system tables, explained plans (K1, K3, N1)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import DatabaseOptions
from werkzeug.test import Client

from engine.node import Node
from engine.query.system_tables import SYSTEM_TABLES
from flightserver.client import EngineClient
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.server import EngineServer
from httpapi.app import HttpSettings, create_app
from httpapi.gateway import Gateway
from tests.helpers.engine import read, write

HEADER = DatabaseOptions.RPC_CALL_HEADER_PREFIX.value


@pytest.fixture
def node(real_node: Node) -> Node:
    write(real_node, "cpu,host=a v=1 1\ncpu,host=b v=2 2")
    return real_node


@pytest.fixture
def url(real_server: EngineServer) -> str:
    return f"grpc://127.0.0.1:{real_server.port}"


def connected(url: str, database: str) -> adbc.Connection:
    return flight_sql.connect(url, db_kwargs={f"{HEADER}database": database}, autocommit=True)


@pytest.fixture
def http(url: str, tmp_path: Path) -> Iterator[Client]:
    client, watching = EngineClient(url), EngineClient(url)
    (tmp_path / "counters").mkdir()
    app = create_app(Gateway(client, watching), HttpSettings(tmp_path / "counters"))
    yield Client(app)
    app.close()
    client.close()
    watching.close()


def asked(http: Client, statement: str, database: str = "db", format: str = "json") -> str:
    answer = http.get("/api/v3/query_sql", query_string={"db": database, "q": statement, "format": format})
    assert answer.status_code == 200, answer.text
    return answer.text


def kinds(node: Node) -> dict[str, tuple[str, str]]:
    """Door and phase of each statement that was logged, by its text."""
    rows = read(node, "SELECT query_text, query_type, phase FROM system.queries")
    return {row["query_text"]: (row["query_type"], row["phase"]) for row in rows}


def test_a_statement_is_logged_under_the_door_that_it_came_through(node: Node, url: str, http: Client) -> None:
    """K3."""
    asked(http, "SELECT 1 AS by_http")
    with fl.FlightClient(url) as flight:
        flight.do_get(fl.Ticket(b'{"database": "db", "sql_query": "SELECT 1 AS by_ticket", "query_type": "sql"}')).read_all()
        update = commands.pack(sql.CommandStatementUpdate(query="INSERT INTO copy SELECT * FROM cpu"))
        options = fl.FlightCallOptions(headers=[(b"database", b"db"), (b"traceparent", b"00-abcdef-12-01")])
        writer, reader = flight.do_put(fl.FlightDescriptor.for_command(update), pa.schema([]), options)
        with writer:
            writer.done_writing()
            reader.read()
    with connected(url, "db") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS by_adbc")
        cursor.fetchall()
        cursor.execute("SELECT v AS prepared FROM cpu WHERE host = ?", parameters=("a",))
        cursor.fetchall()
        with pytest.raises(adbc.Error):
            cursor.execute("SELECT nothing FROM cpu")

    found = kinds(node)

    assert found["SELECT 1 AS by_http"] == found["SELECT 1 AS by_ticket"] == ("sql", "success")
    assert found["SELECT 1 AS by_adbc"] == ("flightsql", "success")
    assert found["SELECT v AS prepared FROM cpu WHERE host = ?"] == ("flightsql", "success")
    assert found["INSERT INTO copy SELECT * FROM cpu"] == ("flightsql", "success")
    assert found["SELECT nothing FROM cpu"] == ("flightsql", "fail")
    (traced,) = read(node, "SELECT trace_id FROM system.queries WHERE query_text LIKE 'INSERT%'")
    assert traced == {"trace_id": "abcdef"}


def test_what_drivers_ask_for_themselves_is_not_logged(node: Node, url: str) -> None:
    """K3."""
    with connected(url, "db") as connection:
        connection.adbc_get_objects(depth="all").read_all()

    assert kinds(node) == {"SELECT query_text, query_type, phase FROM system.queries": ("sql", "execution_permit")}


@pytest.mark.parametrize("table", SYSTEM_TABLES, ids=lambda table: table.name)
def test_every_table_is_read_through_every_door(node: Node, url: str, http: Client, table: Any) -> None:
    """K1: as what every client knows; no views of texts, no nulls in JSON."""
    statement = f"SELECT * FROM system.{table.name}"
    with connected(url, "_internal") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        found = cursor.fetch_arrow_table()

    rows = json.loads(asked(http, statement, "_internal"))

    assert "string_view" not in str(found.schema)
    assert set(found.column_names) >= {name for row in rows for name in row}
    assert asked(http, statement, "_internal", "pretty")
    assert asked(http, statement, "_internal", "csv") or not rows


def test_values_are_spelled_as_other_values_are(node: Node, http: Client) -> None:
    node.drop_database("db", 1_900_000_000_000_000_000)

    (database,) = json.loads(asked(http, "SELECT * FROM system.databases WHERE deleted", "_internal"))
    (server,) = json.loads(asked(http, "SELECT mode, updated_at FROM system.nodes", "_internal"))
    logged = json.loads(asked(http, "SELECT end2end_duration FROM system.queries WHERE success", "_internal"))

    assert database["hard_deletion_time"] == "2030-03-17T17:46:40Z"
    assert "retention_period_ns" not in database
    assert server["mode"] == ["all"]
    assert not server["updated_at"].endswith("Z")
    assert logged
    assert all(row["end2end_duration"].startswith("PT") for row in logged)


def test_plans_are_readable_over_every_door(node: Node, url: str, http: Client) -> None:
    """N1."""
    statement = "EXPLAIN ANALYZE SELECT v FROM cpu WHERE host = 'a'"
    with connected(url, "db") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        plans = dict(cursor.fetchall())

    rows = json.loads(asked(http, statement))
    pretty = asked(http, statement, format="pretty").splitlines()

    assert list(plans) == [row["plan_type"] for row in rows] == ["Plan with Metrics", "answered", "scan of cpu"]
    assert plans["scan of cpu"].startswith("reads 1 of 1 chunk, 0 of 0 files, 1 of 2 series\n  chunk as it arrived, 2 rows, ")
    assert plans["scan of cpu"].endswith(": 1 row")
    assert any(line.startswith("| scan of cpu") and "reads 1 of 1 chunk" in line for line in pretty)
    assert len({len(line) for line in pretty}) == 1


def test_metadata_of_a_database_shows_its_own_system_tables(node: Node, url: str) -> None:
    """K1."""
    shown = {}
    for database in ("db", "_internal", "db"):
        with connected(url, database) as connection:
            (catalog,) = connection.adbc_get_objects(depth="tables").read_all().to_pylist()
            schemas = {schema["db_schema_name"]: schema["db_schema_tables"] for schema in catalog["catalog_db_schemas"]}
            shown[database] = {table["table_name"] for table in schemas["system"]}

    assert shown["_internal"] == {table.name for table in SYSTEM_TABLES}
    assert shown["db"] == {table.name for table in SYSTEM_TABLES if not table.internal}
