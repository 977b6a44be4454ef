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
