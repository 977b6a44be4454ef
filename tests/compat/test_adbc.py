"""adbc-driver-flightsql, and what stands on it: pandas, polars, DuckDB."""

import datetime as dt
from typing import Any

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.helpers.filled import Filled
from tests.helpers.tools import skip_loudly

ROWS = [("a", 1.0), ("b", 2.0), ("a", 3.0)]
QUERY = "SELECT host, usage FROM cpu ORDER BY time"


def test_a_connection_knows_where_it_is(connection: adbc.Connection) -> None:
    info = connection.adbc_get_info()

    assert info["vendor_name"] == "InfluxDB IOx"
    assert connection.adbc_current_catalog == "public"
    assert connection.adbc_current_db_schema == "iox"
    assert connection.adbc_get_table_types() == ["BASE TABLE", "VIEW"]


def test_statements_with_and_without_parameters(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(QUERY)
        assert cursor.fetchall() == ROWS
        cursor.execute("SELECT usage FROM cpu WHERE host = ? AND usage > ?", ("a", 1.5))
        assert cursor.fetchall() == [(3.0,)]
        cursor.execute("SELECT ? AS a, $2 AS b", (1, "x"))
        assert cursor.fetchall() == [(1, "x")]
        cursor.execute("SELECT count(*) AS n, 1 + 1 AS two FROM cpu")
        assert cursor.fetch_arrow_table().to_pylist() == [{"n": 3, "two": 2}]
        assert cursor.adbc_execute_schema(QUERY).names == ["host", "usage"]


def test_the_low_level_statement_executes_describes_and_updates(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        statement = cursor.adbc_statement
        statement.set_sql_query(QUERY)
        schema = pa.Schema._import_from_c_capsule(statement.execute_schema().__arrow_c_schema__())
        stream, _ = statement.execute_query()
        table = pa.RecordBatchReader._import_from_c(stream.address).read_all()
        statement.set_sql_query("INSERT INTO cpu (host, usage, time) VALUES ('c', 4, 4)")

        assert statement.execute_update() == 1
        assert schema == table.schema
        assert table.num_rows == 3


def test_partitions_are_read_by_another_connection(connection: adbc.Connection, database: Filled) -> None:
    with connection.cursor() as cursor:
        partitions, schema = cursor.adbc_execute_partitions(QUERY)

    with flight_sql.connect(database.flight_url, autocommit=True) as other, other.cursor() as cursor:
        cursor.adbc_read_partition(partitions[0])
        assert cursor.fetchall() == ROWS
    assert len(partitions) == 1
    assert schema.names == ["host", "usage"]


@pytest.mark.parametrize("depth", ["catalogs", "db_schemas", "tables", "columns", "all"])
def test_objects_at_every_depth(connection: adbc.Connection, depth: Any) -> None:
    (catalog,) = connection.adbc_get_objects(depth=depth, db_schema_filter="iox").read_all().to_pylist()

    assert catalog["catalog_name"] == "public"
    if depth in ("tables", "columns", "all"):
        (schema,) = catalog["catalog_db_schemas"]
        assert [table["table_name"] for table in schema["db_schema_tables"]] == ["cpu", "cpu_total"]
    if depth in ("columns", "all"):
        columns = schema["db_schema_tables"][0]["table_columns"]
        assert [column["column_name"] for column in columns] == ["host", "time", "usage"]


def test_a_schema_is_that_of_the_table_with_exactly_this_name(connection: adbc.Connection) -> None:
    assert connection.adbc_get_table_schema("cpu_total").names == ["time", "usage"]


@pytest.mark.parametrize("mode", ["create", "append", "create_append", "replace"])
def test_frames_are_ingested_in_every_mode(connection: adbc.Connection, mode: Any) -> None:
    table = "cpu" if mode == "append" else "new"
    when = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    data = pa.table({"host": pa.array(["z"]).dictionary_encode(), "usage": [9.0], "time": [when]})

    with connection.cursor() as cursor:
        assert cursor.adbc_ingest(table, data, mode=mode) == 1
        cursor.execute(f"SELECT usage FROM {table} WHERE host = 'z'")
        assert cursor.fetchall() == [(9.0,)]


def test_many_rows_of_values_are_inserted_at_once(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cpu (host, usage, time) VALUES (?, ?, ?)", [(f"h{n}", n / 2, 1_000 + n) for n in range(2_000)]
        )
        assert cursor.rowcount == 2_000
        cursor.execute("SELECT count(*), sum(usage) FROM cpu WHERE host LIKE 'h%'")
        assert cursor.fetchall() == [(2_000, 999_500.0)]


def test_a_result_of_tens_of_megabytes_arrives(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT value, repeat('x', 5000) AS text FROM generate_series(1, 5000)")
        table = cursor.fetch_arrow_table()

    assert (table.num_rows, table.nbytes > 25_000_000) == (5_000, True)


def test_errors_carry_the_planners_words_and_no_traceback(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor, pytest.raises(connection.ProgrammingError, match="nothing' not found") as caught:
        cursor.execute("SELECT * FROM nothing")

    assert "Traceback" not in str(caught.value)


def test_cancelling_a_cursor_leaves_the_connection_usable(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT value FROM generate_series(1, 100000000)")
        assert cursor.fetchone() == (1,)
        cursor.adbc_cancel()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS one")
        assert cursor.fetchall() == [(1,)]


def test_pandas_reads_and_writes(connection: adbc.Connection) -> None:
    frame = pd.read_sql(QUERY, connection)
    assert list(frame.itertuples(index=False, name=None)) == ROWS

    given = pd.DataFrame({"host": ["p"], "usage": [5.0], "time": [pd.Timestamp("2024-01-01", tz="UTC")]})
    given.to_sql("cpu", connection, if_exists="append", index=False)
    assert pd.read_sql("SELECT usage FROM cpu WHERE host = 'p'", connection)["usage"].to_list() == [5.0]


def test_polars_reads_and_writes(connection: adbc.Connection) -> None:
    assert pl.read_database(QUERY, connection).rows() == ROWS
    options = {"parameters": ("b",)}
    assert pl.read_database("SELECT usage FROM cpu WHERE host = ?", connection, execute_options=options).rows() == [(2.0,)]

    given = pl.DataFrame({"host": ["p"], "usage": [5.0], "time": [dt.datetime(2024, 1, 1)]})
    given.write_database("cpu", connection, if_table_exists="append")
    assert pl.read_database("SELECT usage FROM cpu WHERE host = 'p'", connection).rows() == [(5.0,)]


def test_duckdb_queries_a_result_as_it_arrives(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT host, usage FROM cpu")
        relation = duckdb.from_arrow(cursor.fetch_record_batch())

        assert sorted(relation.aggregate("host, sum(usage)").fetchall()) == [("a", 4.0), ("b", 2.0)]


def test_duckdb_scans_over_adbc(database: Filled) -> None:
    with duckdb.connect() as duck:
        try:
            duck.execute("INSTALL adbc_scanner FROM community; LOAD adbc_scanner")
        except duckdb.Error as error:
            skip_loudly(f"DuckDB's adbc_scanner: {str(error).splitlines()[0]}")
        driver = adbc_driver_flightsql._driver_path()
        options = f"{{'driver': '{driver}', 'uri': '{database.flight_url}', "
        options += f"'adbc.flight.sql.rpc.call_header.database': '{database.name}'}}"
        duck.execute(f"SET VARIABLE flightline = (SELECT adbc_connect({options}))")

        found = duck.execute(f"SELECT * FROM adbc_scan(getvariable('flightline')::BIGINT, '{QUERY}')").fetchall()

        assert found == ROWS
