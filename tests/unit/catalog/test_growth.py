import pytest

from catalog.apply import SoftDeleted, apply_all
from catalog.changes import create_table, drop_database, drop_table
from catalog.errors import InvalidRequest, LimitReached
from catalog.growth import SchemaMoved, WantedTable, plan_schema_changes
from catalog.ids import DatabaseId, TableId
from catalog.limits import Limits
from catalog.names import InvalidDatabaseName
from catalog.ops import AddFields, AddTags, CreateDatabase, CreateTable
from catalog.schema import FieldType
from tests.helpers.catalog_states import CPU, DB, small_state

F, INT, S = FieldType.FLOAT, FieldType.INTEGER, FieldType.STRING
MEM = WantedTable("mem", None, ("host",), (("free", F),))
IDLE = WantedTable("cpu", CPU, (), (("idle", F),))


def test_the_first_write_makes_database_and_tables() -> None:
    """R1."""
    ops = plan_schema_changes(small_state(), "new", [MEM, WantedTable("disk", None, (), (("used", INT),))])

    assert ops == [
        CreateDatabase(DatabaseId(2), "new"),
        CreateTable(DatabaseId(2), TableId(0), "mem", ("host",), (("free", F),)),
        CreateTable(DatabaseId(2), TableId(1), "disk", (), (("used", INT),)),
    ]
    assert apply_all(ops, small_state()).database("new").table("disk").fields["used"] is INT


def test_new_tables_fields_and_tags_are_planned_together() -> None:
    """R1."""
    ops = plan_schema_changes(
        small_state(), "db", [WantedTable("cpu", CPU, ("rack",), (("idle", F),), ("host", "region")), MEM]
    )

    assert ops == [
        CreateTable(DB, TableId(1), "mem", ("host",), (("free", F),)),
        AddTags(DB, CPU, ("rack",)),
        AddFields(DB, CPU, (("idle", F),)),
    ]


def test_nothing_is_planned_when_all_is_there() -> None:
    """R1: tables without wishes are only looked for."""
    assert plan_schema_changes(small_state(), "db", [WantedTable("cpu", CPU)]) == []
    assert plan_schema_changes(small_state(), "db", []) == []


def test_a_field_that_another_writer_added_with_the_same_type_is_welcome() -> None:
    """R3."""
    state = apply_all([AddFields(DB, CPU, (("idle", F),))], small_state())

    assert plan_schema_changes(state, "db", [IDLE]) == []
    assert plan_schema_changes(state, "db", [WantedTable("cpu", CPU, (), (("idle", F), ("busy", INT)))]) == [
        AddFields(DB, CPU, (("busy", INT),))
    ]


def test_a_table_that_another_writer_made_with_the_same_key_is_welcome() -> None:
    """R3."""
    state = apply_all(create_table(small_state(), "db", "mem", ["host"], [("used", F)]), small_state())

    assert plan_schema_changes(state, "db", [MEM]) == [AddFields(DB, TableId(1), (("free", F),))]


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            WantedTable("cpu", CPU, (), (("usage", INT),)),
            "column usage of table cpu is iox::column_type::field::float instead of ",
        ),
        (WantedTable("cpu", CPU, (), (("host", S),)), "column host of table cpu is iox::column_type::tag instead of "),
        (WantedTable("cpu", CPU, (), (("time", S),)), "column time of table cpu is iox::column_type::timestamp instead of "),
        (WantedTable("cpu", CPU, ("usage",), ()), "column usage of table cpu exists"),
        (WantedTable("cpu", CPU, ("host",), ()), "column host of table cpu exists"),
        (
            WantedTable("cpu", CPU, ("rack",), (), ("host",)),
            "table cpu has got the tags ['host', 'region'] instead of ['host']",
        ),
        (WantedTable("cpu", None, ("region", "host"), (("usage", F),)), "table cpu was made with the tags "),
        (WantedTable("cpu", None, ("host",), (("usage", F),)), "table cpu was made with the tags "),
        (WantedTable("cpu", None, ("host", "region"), (("usage", S),)), "column usage of table cpu is "),
        (WantedTable("cpu", 7), "table cpu was made anew"),
        (WantedTable("gone", 7), "table gone is gone"),
    ],
)
def test_another_writers_schema_is_never_bent(wanted: WantedTable, told: str) -> None:
    """R2."""
    with pytest.raises(SchemaMoved) as moved:
        plan_schema_changes(small_state(), "db", [MEM, wanted])

    assert any(conflict.startswith(told) for conflict in moved.value.details["conflicts"])


def test_a_table_that_went_with_its_database_is_gone() -> None:
    """R2."""
    state = apply_all(drop_database(small_state(), "db", now_ns=0, hard_delete_at_ns=None), small_state())

    with pytest.raises(SchemaMoved, match="table cpu is gone"):
        plan_schema_changes(state, "db", [IDLE])


def test_what_is_deleted_is_not_written_to() -> None:
    state = apply_all(drop_table(small_state(), "db", "cpu", now_ns=0, hard_delete_at_ns=None), small_state())
    with pytest.raises(SoftDeleted, match="soft-deleted table 'cpu-19700101T000000'"):
        plan_schema_changes(state, "db", [WantedTable("cpu-19700101T000000", None, (), (("a", F),))])

    state = apply_all(drop_database(small_state(), "db", now_ns=0, hard_delete_at_ns=None), small_state())
    with pytest.raises(
        SoftDeleted,
        match=r"^cannot write to soft-deleted database 'db-19700101T000000' - it is marked for deletion$",
    ):
        plan_schema_changes(state, "db-19700101T000000", [MEM])


def test_names_are_looked_at_before_anything_is_made() -> None:
    with pytest.raises(InvalidDatabaseName):
        plan_schema_changes(small_state(), "no good", [MEM])
    with pytest.raises(InvalidRequest, match="a table needs a name"):
        plan_schema_changes(small_state(), "db", [WantedTable("", None)])


@pytest.mark.parametrize(
    ("database", "wanted", "limits"),
    [
        ("new", MEM, Limits(databases=1)),
        ("db", MEM, Limits(tables=1)),
        ("db", MEM, Limits(columns=1)),
        ("db", WantedTable("mem", None, ("a", "b")), Limits(tags=1)),
        ("db", IDLE, Limits(columns=3)),
        ("db", WantedTable("cpu", CPU, ("rack",), (), ("host", "region")), Limits(tags=2)),
    ],
)
def test_limits_hold_for_writes(database: str, wanted: WantedTable, limits: Limits) -> None:
    """L2."""
    with pytest.raises(LimitReached):
        plan_schema_changes(small_state(), database, [wanted], limits=limits)


def test_a_table_that_is_over_a_limit_already_can_still_be_written() -> None:
    assert plan_schema_changes(small_state(), "db", [WantedTable("cpu", CPU)], limits=Limits(1, 1, 1, 1)) == []
