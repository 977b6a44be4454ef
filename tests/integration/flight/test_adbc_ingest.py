"""ADBC's adbc_ingest in its four modes, with what pandas, polars and Arrow hand over."""

import datetime as dt
from typing import Any

import adbc_driver_manager.dbapi as adbc
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from catalog.errors import Unavailable
from tests.helpers.memory_node import MemoryNode

TIMES = [dt.datetime(2024, 1, 1, 0, 0, second, tzinfo=dt.UTC) for second in range(3)]
ARROW = pa.table(
    {
        "host": pa.array(["a", "b", "a"]).dictionary_encode(),
        "usage": [1.0, None, 3.0],
        "time": pa.array(TIMES, pa.timestamp("us", "UTC")),
    }
)


def rows_of(node: MemoryNode, table: str = "cpu") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.databases["db"][table].rows.select(["host", "usage"]).to_pylist()
    return found


def test_arrow_data_is_appended_and_counted(connection: adbc.Connection, node: MemoryNode) -> None:
    """D2."""
    with connection.cursor() as cursor:
        created = cursor.adbc_ingest("cpu", ARROW, mode="create_append")
        appended = cursor.adbc_ingest("cpu", ARROW, mode="append")

    assert (created, appended) == (3, 3)
    assert rows_of(node) == 2 * [{"host": "a", "usage": 1.0}, {"host": "b", "usage": None}, {"host": "a", "usage": 3.0}]
    assert node.databases["db"]["cpu"].tags == ("host",)
    assert node.databases["db"]["cpu"].rows.column("time").to_pylist()[0].value == 1_704_067_200_000_000_000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            pd.DataFrame({"host": pd.Categorical(["a", "b", "a"]), "usage": [1.0, None, 3.0], "time": pd.to_datetime(TIMES)}),
            id="pandas",
        ),
        pytest.param(
            pl.DataFrame({"host": ["a", "b", "a"], "usage": [1.0, None, 3.0], "time": TIMES}).with_columns(
                pl.col("host").cast(pl.Categorical)
            ),
            id="polars",
        ),
        pytest.param(ARROW.to_reader(), id="reader"),
        pytest.param(ARROW.to_batches()[0], id="batch"),
    ],
)
def test_frames_arrive_as_they_are(connection: adbc.Connection, node: MemoryNode, data: Any) -> None:
    given = pa.Table.from_pandas(data, preserve_index=False) if isinstance(data, pd.DataFrame) else data
    given = data.to_arrow() if isinstance(data, pl.DataFrame) else given
    with connection.cursor() as cursor:
        count = cursor.adbc_ingest("cpu", given, mode="create")

    assert count == 3
    assert rows_of(node) == [{"host": "a", "usage": 1.0}, {"host": "b", "usage": None}, {"host": "a", "usage": 3.0}]
    assert node.databases["db"]["cpu"].tags == ("host",)


def test_pandas_to_sql_writes_through_adbc(connection: adbc.Connection, node: MemoryNode) -> None:
    frame = pd.DataFrame({"host": pd.Categorical(["a", "b"]), "usage": [1.0, 2.0], "time": pd.to_datetime(TIMES[:2])})
    node.create_database("db")

    frame.to_sql("cpu", connection, if_exists="append", index=False)

    assert rows_of(node) == [{"host": "a", "usage": 1.0}, {"host": "b", "usage": 2.0}]


def test_polars_write_database_writes_through_adbc(connection: adbc.Connection, node: MemoryNode) -> None:
    frame = pl.DataFrame({"host": ["a", "b"], "usage": [1.0, 2.0], "time": TIMES[:2]})

    frame.write_database("cpu", connection, if_table_exists="append")

    assert node.databases["db"]["cpu"].rows.num_rows == 2


def test_create_refuses_a_table_that_exists(connection: adbc.Connection, node: MemoryNode) -> None:
    with connection.cursor() as cursor:
        cursor.adbc_ingest("cpu", ARROW, mode="create")

        with pytest.raises(connection.Error, match="already exists"):
            cursor.adbc_ingest("cpu", ARROW, mode="create")

    assert len(rows_of(node)) == 3


def test_append_refuses_a_table_that_does_not_exist(connection: adbc.Connection, node: MemoryNode) -> None:
    with connection.cursor() as cursor, pytest.raises(connection.Error, match="table not found: cpu in database db"):
        cursor.adbc_ingest("cpu", ARROW, mode="append")


def test_replace_leaves_only_the_new_rows_and_columns(connection: adbc.Connection, node: MemoryNode) -> None:
    other = pa.table({"host": ["z"], "usage": ["now a string"]})
    with connection.cursor() as cursor:
        cursor.adbc_ingest("cpu", ARROW, mode="create")
        cursor.adbc_ingest("cpu", other, mode="replace")

    assert rows_of(node) == [{"host": "z", "usage": "now a string"}]


def test_nothing_is_counted_that_is_not_durable(connection: adbc.Connection, node: MemoryNode) -> None:
    """D2."""
    node.fail_write_with = Unavailable("the log is closed")

    with connection.cursor() as cursor, pytest.raises(connection.Error, match="the log is closed"):
        cursor.adbc_ingest("cpu", ARROW, mode="create")


def test_a_wrong_type_names_the_column_and_both_types(connection: adbc.Connection, node: MemoryNode) -> None:
    with connection.cursor() as cursor:
        cursor.adbc_ingest("cpu", ARROW, mode="create")

        with pytest.raises(
            connection.Error, match=r"column 'usage' of table cpu, expected .*float, got .*integer \(int64\)"
        ) as error:
            cursor.adbc_ingest("cpu", pa.table({"host": ["a"], "usage": [1]}), mode="append")

    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temporary": True}, "temporary tables are not supported"),
        ({"db_schema_name": "other"}, "tables live in the schema iox, not in other"),
        ({"catalog_name": "other"}, "tables live in the catalog public, not in other"),
    ],
)
def test_a_place_that_does_not_exist_is_refused(connection: adbc.Connection, options: dict[str, Any], expected: str) -> None:
    with connection.cursor() as cursor, pytest.raises(connection.Error, match=expected):
        cursor.adbc_ingest("cpu", ARROW, mode="create", **options)


def test_the_names_of_our_own_catalog_and_schema_are_accepted(connection: adbc.Connection, node: MemoryNode) -> None:
    with connection.cursor() as cursor:
        cursor.adbc_ingest("cpu", ARROW, mode="create", catalog_name="public", db_schema_name="iox")

    assert len(rows_of(node)) == 3


def test_many_batches_are_one_ingest(connection: adbc.Connection, node: MemoryNode) -> None:
    """D2."""
    reader = pa.RecordBatchReader.from_batches(ARROW.schema, ARROW.to_batches() * 50)

    with connection.cursor() as cursor:
        count = cursor.adbc_ingest("cpu", reader, mode="create")

    assert count == 150
    assert node.closed_sessions == 1
