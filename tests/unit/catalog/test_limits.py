import pytest

from catalog.apply import apply_all
from catalog.changes import create_database, create_table, drop_database, drop_table
from catalog.errors import LimitReached
from catalog.ids import INTERNAL_DATABASE_ID, TableId
from catalog.limits import NO_LIMITS, Limits
from catalog.ops import CreateTable
from catalog.schema import FieldType, Table
from catalog.state import EMPTY, CatalogState

F = FieldType.FLOAT


def state_of(**tables: int) -> CatalogState:
    """Databases by name, each with so many tables."""
    state = EMPTY
    for database, count in tables.items():
        state = apply_all(create_database(state, database), state)
        for number in range(count):
            state = apply_all(create_table(state, database, f"t{number}", ["a"], [("f", F)]), state)
    return state


def test_nothing_is_limited_unless_somebody_says_so() -> None:
    NO_LIMITS.check_new_database(state_of(a=1, b=1))
    NO_LIMITS.check_new_tables(state_of(a=1), 1_000_000)
    NO_LIMITS.check_columns(None, 5_000, 1_000_000)


def test_the_database_limit_counts_neither_internal_nor_deleted_ones() -> None:
    """L1."""
    limits, state = Limits(databases=2), state_of(a=0, b=0)

    with pytest.raises(LimitReached, match=r"^Adding a new database would exceed limit of 2 databases$"):
        limits.check_new_database(state)

    limits.check_new_database(apply_all(drop_database(state, "a", now_ns=0, hard_delete_at_ns=None), state))


def test_the_table_limit_counts_all_databases_and_no_deleted_tables() -> None:
    """L1."""
    limits, state = Limits(tables=4), state_of(a=2, b=2)
    text = (
        r"^Update to schema would exceed number of tables limit: attempted to create table "
        r"but already have 4 table\(s\) \(limit: 4\)$"
    )

    with pytest.raises(LimitReached, match=text):
        limits.check_new_tables(state, 1)
    limits.check_new_tables(state, 0)

    without_one = apply_all(drop_table(state, "a", "t0", now_ns=0, hard_delete_at_ns=None), state)
    limits.check_new_tables(without_one, 1)
    without_database = apply_all(drop_database(state, "b", now_ns=0, hard_delete_at_ns=None), state)
    limits.check_new_tables(without_database, 2)
    with pytest.raises(LimitReached):
        limits.check_new_tables(without_database, 3)


def test_the_table_limit_counts_no_tables_of_ours() -> None:
    """L1."""
    table = CreateTable(INTERNAL_DATABASE_ID, TableId(0), "logs", (), ())

    Limits(tables=1).check_new_tables(apply_all([table], EMPTY), 1)


def test_the_column_limit_does_not_count_time() -> None:
    """L1."""
    table = Table.create(0, "cpu", ["host"], [("usage", F)])

    Limits(columns=3).check_columns(table, 0, 1)
    with pytest.raises(LimitReached, match=r"^Update to schema would exceed number of columns per table limit of 3 columns$"):
        Limits(columns=3).check_columns(table, 1, 1)


def test_the_tag_limit_lets_fields_through() -> None:
    table = Table.create(0, "cpu", ["host", "region"], [])

    Limits(tags=1).check_columns(table, 0, 5)
    with pytest.raises(
        LimitReached, match=r"^Update to schema would exceed number of tag columns per table limit of 2 columns$"
    ):
        Limits(tags=2).check_columns(table, 1, 0)


def test_a_change_beyond_a_limit_is_not_planned() -> None:
    """L2."""
    state = state_of(a=1)

    with pytest.raises(LimitReached):
        create_database(state, "b", limits=Limits(databases=1))
    with pytest.raises(LimitReached):
        create_table(state, "b", "t", [], [], limits=Limits(databases=1))
    with pytest.raises(LimitReached):
        create_table(state, "a", "t", [], [], limits=Limits(tables=1))
    with pytest.raises(LimitReached):
        create_table(state, "a", "t", ["x"], [("y", F)], limits=Limits(columns=1))
