from dataclasses import replace
from typing import cast

import pytest

from catalog.apply import ImpossibleChange, SoftDeleted, apply, apply_all
from catalog.errors import AlreadyDeleted, AlreadyExists, InvalidRequest, NotFound, ServiceError
from catalog.ids import INTERNAL_DATABASE_ID, DatabaseId, TableId
from catalog.names import InvalidColumn
from catalog.ops import (
    AddFields,
    AddTags,
    CreateDatabase,
    CreateTable,
    DropDatabase,
    DropTable,
    FoundCluster,
    Op,
    RegisterNode,
    RemoveDatabase,
    RemoveTable,
    SetRetention,
    SetTableRetention,
    StopNode,
)
from catalog.schema import ColumnExists, FieldType
from catalog.state import EMPTY, CatalogState
from tests.helpers.catalog_states import CPU, DB, EVERY_OP, small_state

F = FieldType.FLOAT
DROP_CPU = DropTable(DB, CPU, "cpu-20240101T000000", 5, 9)
DROP_DB = DropDatabase(DB, "db-20240101T000000", 5, 9)


def after(*ops: Op) -> CatalogState:
    return apply_all(ops, small_state())


def test_every_catalog_begins_with_the_internal_database() -> None:
    """T4."""
    internal = EMPTY.database("_internal")

    assert (internal.id, internal.retention_ns) == (0, 7 * 24 * 3600 * 10**9)
    assert EMPTY.live_database_count == 0


def test_a_cluster_is_founded_once() -> None:
    """A3."""
    state = apply(FoundCluster("u"), EMPTY)

    assert state.uuid == "u"
    with pytest.raises(ImpossibleChange):
        apply(FoundCluster("v"), state)


def test_a_database_and_a_table_are_made() -> None:
    state = small_state()

    assert [database.name for database in state.databases] == ["_internal", "db"]
    table = state.database("db").table("cpu")
    assert (table.id, table.tags, dict(table.fields)) == (0, ("host", "region"), {"usage": F})
    assert state.database_by_id(1) is state.database("db")


def test_a_table_may_have_a_retention_of_its_own() -> None:
    state = after(
        CreateTable(DB, TableId(1), "mem", (), (), 60), SetTableRetention(DB, CPU, 50), SetTableRetention(DB, CPU, 40)
    )

    assert [table.retention_ns for table in state.database("db").tables] == [40, 60]


def test_fields_and_tags_are_added_behind_the_others() -> None:
    state = after(AddFields(DB, CPU, (("idle", F),)), AddTags(DB, CPU, ("rack",)))

    table = state.database("db").table("cpu")
    assert (table.tags, list(table.fields)) == (("host", "region", "rack"), ["usage", "idle"])


def test_ops_ask_neither_clock_nor_chance() -> None:
    """O1, A2: applied at another time they give the same state, down to every id, name and time."""
    assert apply_all(EVERY_OP, EMPTY) == apply_all(EVERY_OP, EMPTY)
    assert apply_all(EVERY_OP, EMPTY).node("node0").updated_at_ns == 1_700_000_000_000_000_001


def test_a_state_that_somebody_holds_does_not_change() -> None:
    """T1, A1."""
    held, same = small_state(), small_state()

    apply_all((AddFields(DB, CPU, (("idle", F),)), CreateDatabase(DatabaseId(2), "b"), DROP_CPU, DROP_DB), held)

    assert held == same


def test_what_did_not_change_is_shared() -> None:
    """T1."""
    state = after(CreateDatabase(DatabaseId(2), "b"), CreateTable(DB, TableId(1), "mem", (), ()))

    later = apply(AddFields(DB, CPU, (("idle", F),)), state)

    assert later.database("b") is state.database("b")
    assert later.database("db").table("mem") is state.database("db").table("mem")


@pytest.mark.parametrize(
    ("op", "error"),
    [
        (CreateDatabase(DatabaseId(2), "db"), AlreadyExists),
        (CreateDatabase(DatabaseId(2), "_internal"), AlreadyExists),
        (CreateDatabase(DatabaseId(1), "b"), ImpossibleChange),
        (CreateDatabase(DatabaseId(3), "b"), ImpossibleChange),
        (CreateTable(DB, TableId(1), "cpu", (), ()), AlreadyExists),
        (CreateTable(DB, TableId(7), "mem", (), ()), ImpossibleChange),
        (CreateTable(DatabaseId(9), TableId(0), "mem", (), ()), NotFound),
        (CreateTable(DB, TableId(1), "mem", ("a",), (("a", F),)), ColumnExists),
        (CreateTable(DB, TableId(1), "mem", ("time",), ()), InvalidColumn),
        (AddFields(DB, CPU, (("host", F),)), ColumnExists),
        (AddFields(DB, CPU, (("new", F), ("usage", F))), ColumnExists),
        (AddFields(DB, TableId(8), (("new", F),)), NotFound),
        (AddTags(DB, CPU, ("usage",)), ColumnExists),
        (StopNode("nobody", 1), NotFound),
        (DropDatabase(DatabaseId(9), "x", 1, None), NotFound),
        (DropDatabase(DB, "_internal", 1, None), AlreadyExists),
        (DropTable(DB, CPU, "cpu", 1, None), AlreadyExists),
        (RemoveDatabase(DB), ImpossibleChange),
        (RemoveTable(DB, CPU), ImpossibleChange),
        (SetRetention(INTERNAL_DATABASE_ID, 1), InvalidRequest),
        (DropDatabase(INTERNAL_DATABASE_ID, "x", 1, None), InvalidRequest),
    ],
    ids=repr,
)
def test_what_may_not_be_is_refused_whole(op: Op, error: type[ServiceError]) -> None:
    """A1, A3, T2, T3, T4."""
    state = small_state()

    with pytest.raises(error):
        apply(op, state)

    assert state == small_state()


def test_a_thing_that_is_no_op_is_refused() -> None:
    """A3."""
    with pytest.raises(ImpossibleChange, match="no change is called str"):
        apply(cast("Op", "create everything"), EMPTY)


def test_a_deleted_table_gives_its_name_back_and_stays_readable() -> None:
    """S4, T2, T3."""
    state = after(DROP_CPU, CreateTable(DB, TableId(1), "cpu", (), (("x", F),)))

    database = state.database("db")
    gone = database.table("cpu-20240101T000000")
    assert (gone.id, gone.tags, gone.deleted, gone.deleted_at_ns, gone.hard_delete_at_ns) == (
        0,
        ("host", "region"),
        True,
        5,
        9,
    )
    assert (database.table("cpu").id, database.table("cpu").deleted) == (1, False)
    assert (database.live_table_count, len(database.tables)) == (1, 2)


def test_a_removed_table_is_gone_and_its_id_is_not_used_again() -> None:
    """T3."""
    state = after(DROP_CPU, RemoveTable(DB, CPU))

    database = state.database("db")
    assert (database.tables, database.live_table_count, database.next_table_id) == ((), 0, 1)
    with pytest.raises(ImpossibleChange):
        apply(CreateTable(DB, CPU, "cpu", (), ()), state)


def test_a_deleted_database_gives_its_name_back_with_its_tables_inside() -> None:
    """S4, T2, T3."""
    state = after(DROP_DB, CreateDatabase(DatabaseId(2), "db"))

    assert state.database("db").id == 2
    gone = state.database("db-20240101T000000")
    assert (gone.id, gone.deleted, gone.table("cpu").deleted) == (1, True, False)
    assert (state.live_database_count, state.live_table_count) == (1, 0)


def test_a_removed_database_is_gone_and_its_id_is_not_used_again() -> None:
    """T3."""
    state = after(DROP_DB, RemoveDatabase(DB))

    assert [database.name for database in state.databases] == ["_internal"]
    assert state.next_database_id == 2


def test_deleting_again_changes_the_time_of_removal_only() -> None:
    state = after(DROP_DB, replace(DROP_DB, deleted_at_ns=100, hard_delete_at_ns=200))
    database = state.database("db-20240101T000000")
    assert (database.deleted_at_ns, database.hard_delete_at_ns) == (5, 200)

    state = after(DROP_CPU, replace(DROP_CPU, deleted_at_ns=100, hard_delete_at_ns=None))
    table = state.database("db").table("cpu-20240101T000000")
    assert (table.deleted_at_ns, table.hard_delete_at_ns) == (5, None)
    assert state.database("db").live_table_count == 0


def test_what_is_deleted_does_not_change() -> None:
    """A3."""
    without_table, without_database = after(DROP_CPU), after(DROP_DB)

    with pytest.raises(AlreadyDeleted, match="attempted to modify resource that was already deleted: cpu-2024"):
        apply(AddFields(DB, CPU, (("new", F),)), without_table)
    for op in (AddFields(DB, CPU, (("new", F),)), CreateTable(DB, TableId(1), "mem", (), ()), SetRetention(DB, 5)):
        with pytest.raises(SoftDeleted, match=r"^cannot write to soft-deleted database 'db-20240101T000000' - it is marked"):
            apply(op, without_database)


def test_retention_is_set_and_cleared() -> None:
    assert after(SetRetention(DB, 5)).database("db").retention_ns == 5
    assert after(SetRetention(DB, 5), SetRetention(DB, None)).database("db").retention_ns is None


def test_a_node_keeps_its_number_when_it_comes_back() -> None:
    first = RegisterNode("node0", "one", ("core",), 2, 10)
    state = after(first, RegisterNode("node1", "x", (), 8, 11), StopNode("node0", 20))
    assert (state.node("node0").state, state.node("node0").updated_at_ns) == ("stopped", 20)

    state = apply(replace(first, instance_id="two", time_ns=30, cli_params="{}"), state)

    node = state.node("node0")
    assert (node.number, node.instance_id, node.state, node.updated_at_ns, node.cli_params) == (0, "two", "running", 30, "{}")
    assert [node.node_id for node in state.nodes] == ["node0", "node1"]
    with pytest.raises(NotFound, match="there is no node node7"):
        state.node("node7")


def test_looking_for_what_is_not_there_says_so() -> None:
    state = small_state()

    assert (state.find_database("x"), state.find_database_by_id(5), state.find_node("n")) == (None, None, None)
    with pytest.raises(NotFound, match=r"^database not found: x$"):
        state.database("x")
    with pytest.raises(NotFound, match="there is no database with id 5"):
        state.database_by_id(5)
