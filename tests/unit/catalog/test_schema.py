from dataclasses import FrozenInstanceError

import pytest

from catalog.errors import NotFound, TableNotFound
from catalog.ids import DatabaseId
from catalog.names import InvalidColumn
from catalog.schema import IOX_BY_KIND, ColumnExists, Database, FieldType, Table

CPU = Table.create(0, "cpu", ["region", "host"], [("usage", FieldType.FLOAT), ("Busy", FieldType.BOOLEAN)])


def test_a_table_has_tags_in_key_order_fields_in_order_of_creation_and_columns_by_name() -> None:
    assert CPU.tags == ("region", "host")
    assert list(CPU.fields.items()) == [("usage", FieldType.FLOAT), ("Busy", FieldType.BOOLEAN)]
    assert CPU.column_names_sorted == ("Busy", "host", "region", "time", "usage")


def test_columns_are_numbered_tags_first_then_fields_then_time_then_what_came_later() -> None:
    """S2."""
    wider = CPU.with_fields([("idle", FieldType.INTEGER)]).with_tags(["rack"])

    assert wider.column_names == ("region", "host", "usage", "Busy", "time", "idle", "rack")
    assert wider.column_numbers["rack"] == 6
    assert all(wider.column_numbers[name] == number for name, number in CPU.column_numbers.items())
    assert wider.tags == ("region", "host", "rack")


def test_a_table_never_changes() -> None:
    """S1."""
    before = (CPU.column_names, dict(CPU.fields), CPU.tags)

    CPU.with_fields([("idle", FieldType.INTEGER)])

    assert (CPU.column_names, dict(CPU.fields), CPU.tags) == before
    with pytest.raises(FrozenInstanceError):
        CPU.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        CPU.fields["idle"] = FieldType.FLOAT  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "existing"),
    [("host", "iox::column_type::tag"), ("usage", "iox::column_type::field::float")],
)
def test_a_name_is_one_column_only(name: str, existing: str) -> None:
    """S3."""
    text = f"^cannot add column {name} because it already exists with type {existing}$"

    with pytest.raises(ColumnExists, match=text):
        CPU.with_fields([(name, FieldType.STRING)])
    with pytest.raises(ColumnExists, match=text):
        CPU.with_tags([name])


def test_a_name_given_twice_is_refused() -> None:
    """S3."""
    with pytest.raises(ColumnExists):
        Table.create(1, "mem", ["a"], [("a", FieldType.FLOAT)])
    with pytest.raises(ColumnExists):
        CPU.with_fields([("x", FieldType.FLOAT), ("x", FieldType.FLOAT)])


def test_time_cannot_be_named() -> None:
    """S3."""
    with pytest.raises(InvalidColumn, match="'time' is a reserved column"):
        Table.create(1, "mem", ["time"], [])


def test_a_table_without_tags_or_fields_has_time() -> None:
    empty = Table.create(0, "empty", [], [])

    assert (empty.tags, dict(empty.fields), empty.column_names) == ((), {}, ("time",))
    assert empty.column_count == 0


def test_types_have_the_names_that_clients_know() -> None:
    assert [member.iox.rpartition("::")[2] for member in FieldType] == ["float", "integer", "uinteger", "string", "boolean"]
    assert FieldType.FLOAT.iox == "iox::column_type::field::float"
    assert [member.api_name for member in FieldType] == ["float64", "int64", "uint64", "utf8", "bool"]
    assert all(FieldType.from_api_name(member.api_name) is member for member in FieldType)
    assert CPU.iox_type("host") == "iox::column_type::tag"
    assert CPU.iox_type("time") == "iox::column_type::timestamp"
    assert CPU.iox_type("Busy") == "iox::column_type::field::boolean"


def test_every_kind_of_column_has_a_letter_of_its_own() -> None:
    assert list(IOX_BY_KIND) == ["@", "t", "f", "i", "u", "s", "b"]


def test_an_unknown_type_name_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidColumn, match="'int32', expected one of float64, int64, uint64, utf8, bool"):
        FieldType.from_api_name("int32")


def test_a_database_finds_its_tables_by_name_and_by_id() -> None:
    database = Database(DatabaseId(1), "db").with_new_table(CPU)

    assert database.table("cpu") is CPU
    assert database.table_by_id(0) is CPU
    assert database.tables == (CPU,)
    assert (database.find_table("mem"), database.find_table_by_id(9)) == (None, None)
    with pytest.raises(TableNotFound, match=r"^table not found: mem in database db$"):
        database.table("mem")
    with pytest.raises(NotFound, match="database db has no table with id 9"):
        database.table_by_id(9)
