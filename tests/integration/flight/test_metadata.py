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
        (sql.CommandGetXdbcTypeInfo(), info.TYPES),
        (sql.CommandGetPrimaryKeys(table="cpu"), info.PRIMARY_KEYS),
        (sql.CommandGetExportedKeys(table="cpu"), info.FOREIGN_KEYS),
        (sql.CommandGetImportedKeys(table="cpu"), info.FOREIGN_KEYS),
        (sql.CommandGetCrossReference(pk_table="cpu", fk_table="mem"), info.FOREIGN_KEYS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_info_and_stream_have_the_standards_schema(flight: fl.FlightClient, command: Any, expected: pa.Schema) -> None:
    """E1."""
    found = flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)), DATABASE)

    table = flight.do_get(found.endpoints[0].ticket).read_all()

    assert found.schema == expected
    assert table.schema == expected
    assert (table.num_rows == 0) == (expected is info.FOREIGN_KEYS)
    assert flight.get_schema(fl.FlightDescriptor.for_command(commands.pack(command)), DATABASE).schema == expected


def test_what_concerns_the_server_needs_no_database(flight: fl.FlightClient) -> None:
    for command in (
        sql.CommandGetSqlInfo(info=[8]),
        sql.CommandGetCatalogs(),
        sql.CommandGetTableTypes(),
        sql.CommandGetXdbcTypeInfo(data_type=12),
    ):
        found = flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)))
        assert flight.do_get(found.endpoints[0].ticket).read_all().num_rows >= 1
    with pytest.raises(pa.ArrowInvalid, match="no 'database' header"):
        flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(sql.CommandGetTables())))


def test_a_command_nobody_answers_is_named(flight: fl.FlightClient) -> None:
    command = fl.FlightDescriptor.for_command(commands.pack(sql.CommandStatementIngest(table="cpu")))

    with pytest.raises(pa.ArrowNotImplementedError, match="CommandStatementIngest"):
        flight.get_flight_info(command, DATABASE)


def tables(
    flight: fl.FlightClient, command: Any, options: fl.FlightCallOptions = DATABASE, redeem: fl.FlightCallOptions | None = None
) -> list[dict[str, Any]]:
    found = flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)), options)
    rows: list[dict[str, Any]] = (
        flight.do_get(found.endpoints[0].ticket, redeem or fl.FlightCallOptions()).read_all().to_pylist()
    )
    return rows


def test_tables_are_those_of_this_moment_and_what_stands_beside_them(flight: fl.FlightClient, node: MemoryNode) -> None:
    """E1."""
    everything = sql.CommandGetTables()
    before = {(row["db_schema_name"], row["table_name"], row["table_type"]) for row in tables(flight, everything)}

    node.write_lp(WriteRequest("db", b"disk,host=a used=1 1\n", 4))

    after = {(row["db_schema_name"], row["table_name"], row["table_type"]) for row in tables(flight, everything)}
    assert after - before == {("iox", "disk", "BASE TABLE")}
    assert {("iox", "cpu", "BASE TABLE"), ("information_schema", "tables", "VIEW")} <= before


def test_a_table_schema_is_that_of_its_rows_on_the_wire(flight: fl.FlightClient) -> None:
    """E2."""
    wanted = sql.CommandGetTables(table_name_filter_pattern="cpu", include_schema=True)
    (row,) = tables(flight, wanted)
    select = sql.CommandStatementQuery(query="SELECT * FROM cpu")

    rows = flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(select)), DATABASE)

    assert pa.ipc.read_schema(pa.py_buffer(row["table_schema"])) == rows.schema
    assert rows.schema.field("host").type == pa.utf8()


def test_views_have_schemas_too(flight: fl.FlightClient) -> None:
    """E2."""
    wanted = sql.CommandGetTables(db_schema_filter_pattern="information_schema", include_schema=True)

    schemas = {row["table_name"]: pa.ipc.read_schema(pa.py_buffer(row["table_schema"])) for row in tables(flight, wanted)}

    assert {"table_schema", "table_name", "table_type"} <= set(schemas["tables"].names)


@pytest.mark.parametrize(("header", "expected"), [(b"TABLE", "TABLE"), (b"table", "TABLE"), (b"Base Table", "BASE TABLE")])
def test_a_base_table_is_called_what_the_header_says(flight: fl.FlightClient, header: bytes, expected: str) -> None:
    """E3."""
    redeem = fl.FlightCallOptions(headers=[(b"x-influxdata-base-table-type", header)])

    cpu = tables(flight, sql.CommandGetTables(table_name_filter_pattern="cpu"), redeem=redeem)
    named = tables(flight, sql.CommandGetTables(table_types=[expected], db_schema_filter_pattern="iox"), redeem=redeem)
    types = tables(flight, sql.CommandGetTableTypes(), redeem=redeem)

    assert [row["table_type"] for row in cpu] == [expected]
    assert len(named) == 3
    assert [row["table_type"] for row in types] == sorted([expected, "VIEW"])


def test_a_client_of_another_language_may_still_browse(flight: fl.FlightClient) -> None:
    """E1: it asks for the server's capabilities with the header of its statements."""
    influxql = fl.FlightCallOptions(headers=[(b"database", b"db"), (b"x-influxdata-query-language", b"influxql")])

    assert tables(flight, sql.CommandGetSqlInfo(info=[8]), influxql) == [{"info_name": 8, "value": 0}]


def test_an_unknown_word_for_a_base_table_is_refused(flight: fl.FlightClient) -> None:
    """E3."""
    redeem = fl.FlightCallOptions(headers=[(b"x-influxdata-base-table-type", b"x")])

    with pytest.raises(pa.ArrowInvalid, match="Invalid base table type: 'x'"):
        tables(flight, sql.CommandGetTables(), redeem=redeem)


@pytest.mark.parametrize("command", [sql.CommandGetTables(), sql.CommandGetDbSchemas(), sql.CommandGetPrimaryKeys(table="cpu")])
def test_an_unknown_database_is_not_found(flight: fl.FlightClient, command: Any) -> None:
    """E4."""
    with pytest.raises(pa.ArrowKeyError, match="Database 'other' not found"):
        tables(flight, command, fl.FlightCallOptions(headers=[(b"database", b"other")]))


def test_primary_keys_come_in_the_order_of_the_series_key(flight: fl.FlightClient, node: MemoryNode) -> None:
    """E1."""
    node.create_table("db", "ordered", ["zone", "host"], {"v": "float64"})

    found = tables(flight, sql.CommandGetPrimaryKeys(table="ordered", db_schema="iox"))

    assert [row["column_name"] for row in found] == ["zone", "host", "time"]
