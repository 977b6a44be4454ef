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


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("a_b", r"a\_b", True),
        ("axb", r"a\_b", False),
        ("100%", r"100\%", True),
        (r"a\b", r"a\\b", True),
        (r"a\b", r"a\b", True),
    ],
)
def test_a_pattern_can_be_escaped(text: str, pattern: str, expected: bool) -> None:
    """I2: as JDBC drivers do with every name."""
    assert info.like(text, pattern) is expected


def test_the_primary_key_is_the_series_key_and_the_time() -> None:
    """I3."""
    table = TableListing("iox", "cpu", "BASE TABLE", CPU.schema, ("region", "host"))

    found = info.primary_keys([table, *LISTINGS], "cpu", catalog=None, db_schema=None)

    assert found.schema == info.PRIMARY_KEYS
    assert [(row["column_name"], row["key_sequence"]) for row in found.to_pylist()][:3] == [
        ("region", 1),
        ("host", 2),
        ("time", 3),
    ]
    assert {(row["catalog_name"], row["db_schema_name"], row["key_name"]) for row in found.to_pylist()} == {
        ("public", "iox", "series")
    }


@pytest.mark.parametrize(
    ("name", "catalog", "db_schema", "rows"),
    [
        ("cpu", "public", "iox", 1),
        ("cpu", "other", None, 0),
        ("cpu", None, "system", 0),
        ("nothing", None, None, 0),
        ("queries", None, "system", 0),
    ],
)
def test_primary_keys_are_those_of_one_table(name: str, catalog: str | None, db_schema: str | None, rows: int) -> None:
    """I2, I3."""
    found = info.primary_keys(LISTINGS, name, catalog=catalog, db_schema=db_schema)

    assert (found.schema, found.num_rows) == (info.PRIMARY_KEYS, rows)


def test_types_are_sorted_and_chosen_by_number() -> None:
    """I1."""
    everything = info.types(None)
    keys = [(row["data_type"], row["type_name"]) for row in everything.to_pylist()]

    assert everything.schema == info.TYPES
    assert keys == sorted(keys)
    assert [row["type_name"] for row in info.types(12).to_pylist()] == ["VARCHAR"]
    (varchar,) = info.types(12).to_pylist()
    assert varchar == dict.fromkeys(info.TYPES.names) | {
        "type_name": "VARCHAR", "local_type_name": "VARCHAR", "data_type": 12, "sql_data_type": 12, "column_size": 2147483647,
        "literal_prefix": "'", "literal_suffix": "'", "create_params": ["length"], "nullable": 1, "searchable": 3,
        "case_sensitive": True, "fixed_prec_scale": False,
    }  # fmt: skip
    assert info.types(12345).num_rows == 0


def test_the_columns_of_keys_and_types_are_the_standards() -> None:
    """I1: names in order, with ! for not null."""

    def shape(schema: pa.Schema) -> str:
        return " ".join(f"{column.name}{'' if column.nullable else '!'}:{column.type}" for column in schema)

    assert shape(info.PRIMARY_KEYS) == (
        "catalog_name:string db_schema_name:string table_name!:string column_name!:string key_name:string key_sequence!:int32"
    )
    assert shape(info.FOREIGN_KEYS) == (
        "pk_catalog_name:string pk_db_schema_name:string pk_table_name!:string pk_column_name!:string"
        " fk_catalog_name:string fk_db_schema_name:string fk_table_name!:string fk_column_name!:string"
        " key_sequence!:int32 fk_key_name:string pk_key_name:string update_rule!:uint8 delete_rule!:uint8"
    )
    assert shape(info.TYPES) == (
        "type_name!:string data_type!:int32 column_size:int32 literal_prefix:string literal_suffix:string"
        " create_params:list<item: string not null> nullable!:int32 case_sensitive!:bool searchable!:int32"
        " unsigned_attribute:bool fixed_prec_scale!:bool auto_increment:bool local_type_name:string minimum_scale:int32"
        " maximum_scale:int32 sql_data_type!:int32 datetime_subcode:int32 num_prec_radix:int32 interval_precision:int32"
    )
