from collections.abc import Callable

import pytest

from catalog.apply import SoftDeleted, apply_all
from catalog.changes import (
    create_database,
    create_table,
    drop_database,
    drop_table,
    empty_database,
    empty_table,
    next_removal_ns,
    register_node,
    removals_due,
    set_retention,
    set_table_retention,
    stop_node,
)
from catalog.errors import AlreadyDeleted, AlreadyExists, DatabaseNotFound, InvalidRequest, TableNotFound
from catalog.ids import DatabaseId
from catalog.names import InvalidColumn, InvalidDatabaseName
from catalog.ops import CreateDatabase, CreateTable, Op, RemoveDatabase, RemoveTable, SetRetention
from catalog.schema import ColumnExists, FieldType
from catalog.state import CatalogState
from tests.helpers.catalog_states import CPU, DB, small_state

F = FieldType.FLOAT
NOW_NS = 1_704_110_645_123_456_789  # 2024-01-01T12:04:05Z
STAMP = "20240101T120405"


def done(state: CatalogState, ops: list[Op]) -> CatalogState:
    return apply_all(ops, state)


def test_a_database_is_created_with_its_retention() -> None:
    assert create_database(small_state(), "b", retention_ns=7) == [CreateDatabase(DatabaseId(2), "b", 7)]


def test_a_table_brings_its_database_along() -> None:
    ops = create_table(small_state(), "b", "mem", ["host"], [("free", F)], retention_ns=9)

    assert [type(op) for op in ops] == [CreateDatabase, CreateTable]
    table = done(small_state(), ops).database("b").table("mem")
    assert (table.tags, dict(table.fields), table.retention_ns) == (("host",), {"free": F}, 9)


def test_a_name_that_exists_is_refused() -> None:
    """H2."""
    text = "^attempted to create a resource that already exists$"
    with pytest.raises(AlreadyExists, match=text):
        create_database(small_state(), "db")
    with pytest.raises(AlreadyExists, match=text):
        create_table(small_state(), "db", "cpu", [], [])


def test_bad_names_and_columns_are_refused() -> None:
    """H2."""
    with pytest.raises(InvalidDatabaseName):
        create_database(small_state(), "_internal")
    with pytest.raises(InvalidDatabaseName):
        create_table(small_state(), "a b", "t", [], [])
    with pytest.raises(InvalidRequest, match="a table needs a name"):
        create_table(small_state(), "db", "", [], [])
    with pytest.raises(InvalidColumn, match=r"^'time' is a reserved column$"):
        create_table(small_state(), "db", "t", [], [("time", F)])
    with pytest.raises(ColumnExists, match=r"^cannot add column a because it already exists with type iox::column_type::tag$"):
        create_table(small_state(), "db", "t", ["a"], [("a", F)])


def test_a_deleted_database_takes_no_tables_under_its_new_name() -> None:
    """H2."""
    state = done(small_state(), drop_database(small_state(), "db", now_ns=NOW_NS, hard_delete_at_ns=None))

    with pytest.raises(SoftDeleted):
        create_table(state, f"db-{STAMP}", "t", [], [])


def test_a_deleted_thing_is_named_after_the_second_of_its_deletion() -> None:
    """H3."""
    state = done(small_state(), drop_table(small_state(), "db", "cpu", now_ns=NOW_NS, hard_delete_at_ns=NOW_NS + 1))
    state = done(state, drop_database(state, "db", now_ns=NOW_NS, hard_delete_at_ns=None))

    database = state.database(f"db-{STAMP}")
    assert (database.deleted_at_ns, database.hard_delete_at_ns) == (NOW_NS, None)
    assert database.table(f"cpu-{STAMP}").hard_delete_at_ns == NOW_NS + 1


def test_the_id_is_appended_when_that_name_is_taken() -> None:
    """H3."""
    state = small_state()
    for _ in range(3):
        state = done(state, drop_table(state, "db", "cpu", now_ns=NOW_NS, hard_delete_at_ns=None))
        state = done(state, create_table(state, "db", "cpu", [], []))

    assert [table.name for table in state.database("db").tables] == [
        f"cpu-{STAMP}",
        f"cpu-{STAMP}-1",
        f"cpu-{STAMP}-2",
        "cpu",
    ]


def test_even_a_name_with_an_id_may_be_taken() -> None:
    """H3."""
    state = small_state()
    for taken in (f"db-{STAMP}", f"db-{STAMP}-1"):
        state = done(state, create_database(state, taken))

    state = done(state, drop_database(state, "db", now_ns=NOW_NS, hard_delete_at_ns=None))

    assert state.database(f"db-{STAMP}-1-1").deleted


def test_deleting_again_sets_another_time_and_the_same_time_is_refused() -> None:
    """H2, H3."""
    state = small_state()
    state = done(state, drop_table(state, "db", "cpu", now_ns=NOW_NS, hard_delete_at_ns=None))
    with pytest.raises(AlreadyDeleted):
        drop_table(state, "db", f"cpu-{STAMP}", now_ns=NOW_NS + 10**9, hard_delete_at_ns=None)
    state = done(state, drop_table(state, "db", f"cpu-{STAMP}", now_ns=NOW_NS + 10**9, hard_delete_at_ns=NOW_NS))
    assert state.database("db").table(f"cpu-{STAMP}").hard_delete_at_ns == NOW_NS

    state = done(state, drop_database(state, "db", now_ns=NOW_NS, hard_delete_at_ns=None))
    with pytest.raises(AlreadyDeleted, match=f"already deleted: db-{STAMP}"):
        drop_database(state, f"db-{STAMP}", now_ns=NOW_NS, hard_delete_at_ns=None)
    state = done(state, drop_database(state, f"db-{STAMP}", now_ns=NOW_NS, hard_delete_at_ns=NOW_NS))
    assert state.database(f"db-{STAMP}").hard_delete_at_ns == NOW_NS


def test_what_does_not_exist_is_not_deleted() -> None:
    """H2."""
    with pytest.raises(DatabaseNotFound):
        drop_database(small_state(), "x", now_ns=NOW_NS, hard_delete_at_ns=None)
    with pytest.raises(TableNotFound):
        drop_table(small_state(), "db", "x", now_ns=NOW_NS, hard_delete_at_ns=None)


def test_the_internal_database_stays_as_it_is() -> None:
    """H2."""
    with pytest.raises(InvalidRequest, match=r"^cannot delete internal db$"):
        drop_database(small_state(), "_internal", now_ns=NOW_NS, hard_delete_at_ns=None)
    with pytest.raises(InvalidRequest, match=r"^cannot modify internal db$"):
        set_retention(small_state(), "_internal", 5)
    with pytest.raises(InvalidRequest, match=r"^cannot modify internal db$"):
        create_table(small_state(), "_internal", "t", ["host"], [])


def test_retention_is_set_even_to_what_it_seems_to_be() -> None:
    """H1: the state may be older than another writer's change, and only a commit finds out."""
    state = done(small_state(), set_retention(small_state(), "db", 5))

    assert state.database("db").retention_ns == 5
    assert set_retention(state, "db", 5) == [SetRetention(DB, 5)]
    with pytest.raises(DatabaseNotFound):
        set_retention(state, "x", 5)


def test_a_deleted_database_keeps_its_retention() -> None:
    """H2."""
    state = done(small_state(), drop_database(small_state(), "db", now_ns=NOW_NS, hard_delete_at_ns=None))

    with pytest.raises(AlreadyDeleted):
        set_retention(state, f"db-{STAMP}", 5)


@pytest.mark.parametrize("keep_tables", [False, True])
def test_a_database_can_lose_its_data_and_stay(keep_tables: bool) -> None:
    """H4: with or without its tables; what was deleted before keeps its own time."""
    state = done(small_state(), create_table(small_state(), "db", "mem", ["host"], [("free", F)], retention_ns=5))
    state = done(state, create_table(state, "db", "old", [], []))
    state = done(state, drop_table(state, "db", "old", now_ns=NOW_NS, hard_delete_at_ns=None))

    ops = empty_database(state, "db", keep_tables=keep_tables, now_ns=NOW_NS, hard_delete_at_ns=NOW_NS + 1)
    database = done(state, ops).database("db")

    assert [(table.name, table.hard_delete_at_ns) for table in database.tables if table.deleted] == [
        (f"cpu-{STAMP}", NOW_NS + 1),
        (f"mem-{STAMP}", NOW_NS + 1),
        (f"old-{STAMP}", None),
    ]
    living = [table for table in database.tables if not table.deleted]
    assert [(table.name, table.tags, dict(table.fields), table.retention_ns) for table in living] == (
        [("cpu", ("host", "region"), {"usage": F}, None), ("mem", ("host",), {"free": F}, 5)] if keep_tables else []
    )


def test_a_table_can_lose_its_data_and_stay() -> None:
    """H4."""
    ops = empty_table(small_state(), "db", "cpu", now_ns=NOW_NS, hard_delete_at_ns=None)

    database = done(small_state(), ops).database("db")
    assert [(table.name, table.deleted, table.tags) for table in database.tables] == [
        (f"cpu-{STAMP}", True, ("host", "region")),
        ("cpu", False, ("host", "region")),
    ]


def test_what_is_deleted_or_internal_cannot_lose_its_data_only() -> None:
    """H2, H4."""
    state = done(small_state(), drop_table(small_state(), "db", "cpu", now_ns=NOW_NS, hard_delete_at_ns=None))
    with pytest.raises(AlreadyDeleted):
        empty_table(state, "db", f"cpu-{STAMP}", now_ns=NOW_NS, hard_delete_at_ns=NOW_NS)
    with pytest.raises(TableNotFound):
        empty_table(state, "db", "cpu", now_ns=NOW_NS, hard_delete_at_ns=NOW_NS)
    state = done(state, drop_database(state, "db", now_ns=NOW_NS, hard_delete_at_ns=None))
    with pytest.raises(AlreadyDeleted):
        empty_database(state, f"db-{STAMP}", keep_tables=True, now_ns=NOW_NS, hard_delete_at_ns=NOW_NS)
    with pytest.raises(InvalidRequest, match=r"^cannot delete internal db$"):
        empty_database(state, "_internal", keep_tables=True, now_ns=NOW_NS, hard_delete_at_ns=NOW_NS)


def test_a_table_has_a_retention_of_its_own() -> None:
    """H1, H2."""
    state = done(small_state(), set_retention(small_state(), "db", 5))
    state = done(state, set_table_retention(state, "db", "cpu", 7))
    database = state.database("db")
    assert database.retention_of(database.table("cpu")) == 7
    database = done(state, set_table_retention(state, "db", "cpu", None)).database("db")
    assert database.retention_of(database.table("cpu")) == 5

    with pytest.raises(TableNotFound):
        set_table_retention(state, "db", "x", 5)
    state = done(state, drop_table(state, "db", "cpu", now_ns=NOW_NS, hard_delete_at_ns=None))
    with pytest.raises(AlreadyDeleted):
        set_table_retention(state, "db", f"cpu-{STAMP}", 5)


def test_nothing_is_kept_for_less_than_no_time() -> None:
    """H2."""
    refused: list[Callable[[], list[Op]]] = [
        lambda: create_database(small_state(), "b", retention_ns=-1),
        lambda: create_table(small_state(), "db", "t", [], [], retention_ns=-1),
        lambda: set_retention(small_state(), "db", -1),
        lambda: set_table_retention(small_state(), "db", "cpu", -1),
    ]
    for change in refused:
        with pytest.raises(InvalidRequest, match="cannot be negative"):
            change()


def test_removals_fall_due_one_by_one() -> None:
    """H1."""
    state = small_state()
    for name in ("mem", "disk"):
        state = done(state, create_table(state, "db", name, [], []))
    state = done(state, drop_table(state, "db", "cpu", now_ns=0, hard_delete_at_ns=10))
    state = done(state, drop_table(state, "db", "mem", now_ns=0, hard_delete_at_ns=None))

    assert removals_due(state, 9) == []
    assert removals_due(state, 10) == [RemoveTable(DB, CPU)]
    state = done(state, drop_database(state, "db", now_ns=0, hard_delete_at_ns=11))
    assert removals_due(state, 10) == [RemoveTable(DB, CPU)]
    assert removals_due(state, 11) == [RemoveDatabase(DB)]
    assert removals_due(done(state, removals_due(state, 11)), 11) == []


def test_the_moment_of_the_next_removal_is_known() -> None:
    """H1."""
    state = small_state()
    assert next_removal_ns(state, 0) is None
    state = done(state, drop_table(state, "db", "cpu", now_ns=0, hard_delete_at_ns=10))
    state = done(state, create_database(state, "other"))
    state = done(state, drop_database(state, "other", now_ns=0, hard_delete_at_ns=20))

    assert [next_removal_ns(state, after_ns) for after_ns in (0, 9, 10, 19, 20)] == [10, 10, 20, 20, None]


def test_a_node_is_stopped_by_its_own_instance_only() -> None:
    """H1."""
    state = small_state()
    state = done(state, register_node(state, "node0", instance_id="a", modes=["ingest", "query"], core_count=2, now_ns=1))
    assert state.node("node0").modes == ("ingest", "query")

    assert stop_node(state, "node0", instance_id="b", now_ns=2) == []
    state = done(state, stop_node(state, "node0", instance_id="a", now_ns=2))

    assert state.node("node0").state == "stopped"
    assert stop_node(state, "node0", instance_id="a", now_ns=3) == []
