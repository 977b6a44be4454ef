"""Catalogs, schemas, tables and capabilities, as ADBC reads them (it compares schemas and crashes on a wrong union)."""

from typing import Any

import adbc_driver_manager.dbapi as adbc
import pyarrow as pa
import pyarrow.flight as fl
import pytest

from engine.requests import WriteRequest
from flightserver.flightsql import commands, info
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.flightsql.sql_info import SQL_INFO
from tests.helpers.memory_node import MemoryNode

DATABASE = fl.FlightCallOptions(headers=[(b"database", b"db")])


@pytest.fixture(autouse=True)
def rows(node: MemoryNode) -> None:
    node.write_lp(WriteRequest("db", b"cpu,host=a usage=1 1\ncpu_total usage=1 1\nmem,host=b free=2 2\n", 4))


def objects(connection: adbc.Connection, **options: Any) -> Any:
    return connection.adbc_get_objects(**options).read_all().to_pylist()


def test_every_depth_of_get_objects_is_answered(connection: adbc.Connection) -> None:
    """E1."""
    assert [found["catalog_name"] for found in objects(connection, depth="catalogs")] == ["public"]
    (catalog,) = objects(connection, depth="db_schemas")
    assert {found["db_schema_name"] for found in catalog["catalog_db_schemas"]} == {"information_schema", "iox"}
    (catalog,) = objects(connection, depth="tables", db_schema_filter="iox")
    assert [found["table_name"] for found in catalog["catalog_db_schemas"][0]["db_schema_tables"]] == [
        "cpu",
        "cpu_total",
        "mem",
    ]
    (catalog,) = objects(connection, depth="all", db_schema_filter="iox", table_name_filter="mem")
    (table,) = catalog["catalog_db_schemas"][0]["db_schema_tables"]
    assert [found["column_name"] for found in table["table_columns"]] == ["host", "free", "time"]


def test_a_table_schema_is_found_by_its_exact_name(connection: adbc.Connection) -> None:
    """E2."""
    schema = connection.adbc_get_table_schema("cpu_total")

    assert schema.names == ["usage", "time"]


def test_table_types_and_server_info(connection: adbc.Connection) -> None:
    assert connection.adbc_get_table_types() == ["BASE TABLE", "VIEW"]
    found = connection.adbc_get_info()
    assert found["vendor_name"] == "InfluxDB IOx"
    assert found["vendor_arrow_version"] == "1.3"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (sql.CommandGetCatalogs(), info.CATALOGS),
        (sql.CommandGetDbSchemas(), info.DB_SCHEMAS),
        (sql.CommandGetTables(), info.TABLES),
        (sql.CommandGetTables(include_schema=True), info.TABLES_WITH_SCHEMA),
        (sql.CommandGetTableTypes(), info.TABLE_TYPES_SCHEMA),
        (sql.CommandGetSqlInfo(info=[8]), SQL_INFO),
        (sql.CommandGetSqlInfo(), SQL_INFO),
    ],
    ids=lambda value: type(value).__name__,
)
def test_info_and_stream_have_the_standards_schema(flight: fl.FlightClient, command: Any, expected: pa.Schema) -> None:
    found = flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)), DATABASE)

    table = flight.do_get(found.endpoints[0].ticket).read_all()

    assert found.schema == expected
    assert table.schema == expected
    assert table.num_rows >= 1


def test_what_concerns_the_server_needs_no_database(flight: fl.FlightClient) -> None:
    for command in (sql.CommandGetSqlInfo(info=[8]), sql.CommandGetCatalogs(), sql.CommandGetTableTypes()):
        found = flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)))
        assert flight.do_get(found.endpoints[0].ticket).read_all().num_rows >= 1
    with pytest.raises(pa.ArrowInvalid, match="no 'database' header"):
        flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(sql.CommandGetTables())))


def test_a_command_nobody_answers_is_named(flight: fl.FlightClient) -> None:
    command = fl.FlightDescriptor.for_command(commands.pack(sql.CommandStatementIngest(table="cpu")))

    with pytest.raises(pa.ArrowNotImplementedError, match="CommandStatementIngest"):
        flight.get_flight_info(command, DATABASE)


def ask(flight: fl.FlightClient, command: Any, *headers: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    """The rows of a metadata command's result."""
    options = fl.FlightCallOptions(headers=[(b"database", b"db"), *headers])
    found = flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)), options)
    rows: list[dict[str, Any]] = flight.do_get(found.endpoints[0].ticket, options).read_all().to_pylist()
    return rows


def test_tables_are_those_of_this_moment_beside_those_of_the_engine(flight: fl.FlightClient, node: MemoryNode) -> None:
    """E1."""
    named = sql.CommandGetTables(table_name_filter_pattern="disk")
    assert ask(flight, named) == []

    node.write_lp(WriteRequest("db", b"disk,host=a used=1 1\n", 4))
    assert [row["table_name"] for row in ask(flight, named)] == ["disk"]
    node.drop_table("db", "disk")
    assert ask(flight, named) == []

    beside = {row["table_name"] for row in ask(flight, sql.CommandGetTables(db_schema_filter_pattern="information_schema"))}
    assert {"tables", "columns"} <= beside


def test_the_schema_of_a_table_is_that_of_a_query_for_all_of_it(flight: fl.FlightClient) -> None:
    """E2."""
    command = sql.CommandGetTables(table_name_filter_pattern="cpu", include_schema=True)
    (row,) = ask(flight, command)
    queried = flight.get_schema(
        fl.FlightDescriptor.for_command(commands.pack(sql.CommandStatementQuery(query="SELECT * FROM cpu"))), DATABASE
    ).schema

    listed = pa.ipc.read_schema(pa.py_buffer(row["table_schema"]))

    assert listed.field("host").type == pa.utf8()
    assert dict(zip(listed.names, listed.types, strict=True)) == dict(zip(queried.names, queried.types, strict=True))


@pytest.mark.parametrize(("asked", "shown"), [(b"TABLE", "TABLE"), (b"table", "TABLE"), (b"BASE TABLE", "BASE TABLE")])
def test_clients_that_know_tables_by_another_word_may_say_so(flight: fl.FlightClient, asked: bytes, shown: str) -> None:
    """E3."""
    header = (b"x-influxdata-base-table-type", asked)

    assert {row["table_type"] for row in ask(flight, sql.CommandGetTableTypes(), header)} == {shown, "VIEW"}
    tables = ask(flight, sql.CommandGetTables(db_schema_filter_pattern="iox"), header)
    assert {row["table_type"] for row in tables} == {shown}
    by_kind = sql.CommandGetTables(db_schema_filter_pattern="iox", table_types=[shown])
    assert len(ask(flight, by_kind, header)) == 3
    with pytest.raises(pa.ArrowInvalid, match="Invalid base table type: 'SHELF'"):
        ask(flight, sql.CommandGetTableTypes(), (b"x-influxdata-base-table-type", b"SHELF"))


@pytest.mark.parametrize(
    "command",
    [sql.CommandGetTables(), sql.CommandGetDbSchemas(), sql.CommandGetPrimaryKeys(table="cpu")],
    ids=lambda c: type(c).__name__,
)
def test_an_unknown_database_is_not_found(flight: fl.FlightClient, command: Any) -> None:
    """E4."""
    elsewhere = fl.FlightCallOptions(headers=[(b"database", b"nowhere")])
    found = flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)), elsewhere)

    with pytest.raises(KeyError, match="Database 'nowhere' not found"):
        flight.do_get(found.endpoints[0].ticket, elsewhere).read_all()


def test_keys_are_answered(flight: fl.FlightClient) -> None:
    """E1: the series key is primary, and there are no foreign ones."""
    assert [row["column_name"] for row in ask(flight, sql.CommandGetPrimaryKeys(table="mem"))] == ["host", "time"]
    assert ask(flight, sql.CommandGetPrimaryKeys(table="nothing")) == []
    for command in (sql.CommandGetExportedKeys(table="mem"), sql.CommandGetImportedKeys(table="mem")):
        assert ask(flight, command) == []
