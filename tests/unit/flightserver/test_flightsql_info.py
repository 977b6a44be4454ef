"""Metadata results, column by column."""

import pyarrow as pa
import pytest

from engine.requests import TableListing
from flightserver.flightsql import info

CPU = TableListing(
    "iox", "cpu", "BASE TABLE", pa.schema([("host", pa.dictionary(pa.int32(), pa.utf8())), ("time", pa.timestamp("ns"))])
)
LISTINGS = [
    TableListing("system", "queries", "BASE TABLE", pa.schema([])),
    TableListing("iox", "cpu_total", "BASE TABLE", pa.schema([])),
    CPU,
    TableListing("information_schema", "tables", "VIEW", pa.schema([])),
]


def names(table: pa.Table) -> list[str]:
    found: list[str] = table.column("table_name").to_pylist()
    return found


def test_tables_are_sorted_and_carry_their_place() -> None:
    """I1."""
    found = info.tables(LISTINGS)

    assert names(found) == ["tables", "cpu", "cpu_total", "queries"]
    assert found.to_pylist()[1] == {
        "catalog_name": "public", "db_schema_name": "iox", "table_name": "cpu", "table_type": "BASE TABLE",
    }  # fmt: skip


def test_a_table_schema_shows_tags_as_plain_strings() -> None:
    """I1."""
    (row,) = info.tables([CPU], include_schema=True).to_pylist()

    assert pa.ipc.read_schema(pa.py_buffer(row["table_schema"])).types == [pa.utf8(), pa.timestamp("ns")]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"catalog": "public"}, ["tables", "cpu", "cpu_total", "queries"]),
        ({"catalog": "other"}, []),
        ({"catalog": ""}, []),
        ({"schema_pattern": "iox"}, ["cpu", "cpu_total"]),
        ({"schema_pattern": "i%"}, ["tables", "cpu", "cpu_total"]),
        ({"name_pattern": "cpu"}, ["cpu"]),
        ({"name_pattern": "cpu_total"}, ["cpu_total"]),
        ({"name_pattern": "CPU"}, []),
        ({"name_pattern": ""}, []),
        ({"kinds": ["VIEW"]}, ["tables"]),
        ({"kinds": ["VIEW", "BASE TABLE"], "schema_pattern": "s%"}, ["queries"]),
        ({"kinds": ["TABLE"]}, []),
    ],
)
def test_filters_are_anded(filters: dict[str, object], expected: list[str]) -> None:
    """I2."""
    assert names(info.tables(LISTINGS, **filters)) == expected  # type: ignore[arg-type]  # one case for each filter


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("cpu", None, True),
        ("cpu", "c_u", True),
        ("cpu", "%", True),
        ("cpu", "cp", False),
        ("c.u", "c.u", True),
        ("cxu", "c.u", False),
        ("a\nb", "a%b", True),
        ("(", "(", True),
    ],
)
def test_like_matches_the_whole_name(text: str, pattern: str | None, expected: bool) -> None:
    """I2."""
    assert info.like(text, pattern) is expected


def test_schemas_that_are_always_there_are_listed_once() -> None:
    assert info.db_schemas(["system", "iox"], None, None).column(1).to_pylist() == ["information_schema", "iox", "system"]
    assert info.db_schemas([], "other", None).num_rows == 0
    assert info.db_schemas([], None, "i_x").column(1).to_pylist() == ["iox"]
