"""From what a body of rows needs to the ops that give it: schema on write.

    parse against one state ──▶ wanted tables ──▶ plan_schema_changes(newest state) ──▶ ops, none when all is there
                                                         └── SchemaMoved: parse again, another writer was first

R1  Pure, and complete: after the ops have been applied, every wanted table has every wanted column, and is the very table
    that the rows were parsed for.
R2  A plan never bends a wish. Where the newest state says something else than the state of the parser did (another type,
    another series key, a table that has gone or has been made anew), SchemaMoved is raised and nothing is planned.
R3  Two writers who want the same new field, or the same new table with the same series key, do not disturb each other.

Held by tests/unit/catalog/test_growth.py (R1-R3) and tests/property/test_catalog_random.py (R1).
Elsewhere: the parser finds what is new (engine/lineprotocol), ingest calls `Catalog.commit(lambda state: plan_…(state, …))`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from catalog.apply import SoftDeleted
from catalog.errors import Conflict
from catalog.ids import DatabaseId, TableId
from catalog.limits import NO_LIMITS, Limits
from catalog.names import check_database_name, check_table_name
from catalog.ops import AddFields, AddTags, CreateDatabase, CreateTable, Op
from catalog.schema import FIELD_TYPE_BY_KIND, IOX_BY_KIND, Database, FieldType, Table
from catalog.state import CatalogState


@dataclass(frozen=True, slots=True)
class WantedTable:
    """What rows of one table need.

    `known_id` is the table that the parser knew under this name, None when it knew none. `tags` and `fields` are the new
    ones: all of them for a table that is new. Without any, the plan only makes sure that the table is still there.
    `known_tags` is the series key to whose end the parser has put the new tags.
    """

    name: str
    known_id: int | None
    tags: tuple[str, ...] = ()
    fields: tuple[tuple[str, FieldType], ...] = ()
    known_tags: tuple[str, ...] = ()


class SchemaMoved(Conflict):
    """Another writer changed the schema after the rows were parsed; parsing them again finds out what that means for them."""

    code = "schema_moved"

    def __init__(self, conflicts: Sequence[str]) -> None:
        super().__init__(f"the schema changed while rows were being written: {'; '.join(conflicts)}", conflicts=list(conflicts))


def plan_schema_changes(
    state: CatalogState, database_name: str, wanted: Sequence[WantedTable], *, limits: Limits = NO_LIMITS
) -> list[Op]:
    database = state.find_database(database_name)
    if database is None:
        return _plan_new_database(state, database_name, wanted, limits)
    if database.deleted:
        raise SoftDeleted("database", database_name)
    return _plan_tables(state, database, wanted, limits)


def _plan_new_database(state: CatalogState, name: str, wanted: Sequence[WantedTable], limits: Limits) -> list[Op]:
    check_database_name(name)
    limits.check_new_database(state)
    database = Database(state.next_database_id, name)
    return [CreateDatabase(database.id, name), *_plan_tables(state, database, wanted, limits)]


def _plan_tables(state: CatalogState, database: Database, wanted: Sequence[WantedTable], limits: Limits) -> list[Op]:
    pairs = [(table, database.find_table(table.name)) for table in wanted]
    for table, found in pairs:
        if found is not None and found.deleted:
            raise SoftDeleted("table", table.name)
    conflicts = [conflict for table, found in pairs for conflict in _conflicts(table, found)]
    if conflicts:
        raise SchemaMoved(conflicts)
    new = [table for table, found in pairs if found is None]
    limits.check_new_tables(state, len(new))
    return [
        *_plan_new_tables(database, new, limits),
        *(op for table, found in pairs if found is not None for op in _plan_columns(database.id, table, found, limits)),
    ]


def _plan_new_tables(database: Database, new: Sequence[WantedTable], limits: Limits) -> Iterator[Op]:
    for id, table in enumerate(new, start=database.next_table_id):
        check_table_name(table.name)
        limits.check_columns(None, len(table.tags), len(table.fields))
        yield CreateTable(database.id, TableId(id), table.name, table.tags, table.fields)


def _plan_columns(database_id: DatabaseId, wanted: WantedTable, table: Table, limits: Limits) -> Iterator[Op]:
    tags = tuple(tag for tag in wanted.tags if tag not in table.kinds)
    fields = tuple((name, type) for name, type in wanted.fields if name not in table.kinds)
    if tags or fields:
        limits.check_columns(table, len(tags), len(fields))
    if tags:
        yield AddTags(database_id, table.id, tags)
    if fields:
        yield AddFields(database_id, table.id, fields)


def _conflicts(wanted: WantedTable, table: Table | None) -> Iterator[str]:
    if table is None:
        if wanted.known_id is not None:
            yield f"table {wanted.name} is gone"
        return
    if wanted.known_id is None:
        yield from _conflicts_of_new(wanted, table)
    elif wanted.known_id != table.id:
        yield f"table {wanted.name} was made anew"
    else:
        yield from (f"column {tag} of table {wanted.name} exists" for tag in wanted.tags if tag in table.kinds)
        if wanted.tags and wanted.known_tags != table.tags:  # rows say by position which tag a value belongs to
            yield f"table {wanted.name} has got the tags {list(table.tags)} instead of {list(wanted.known_tags)}"
    yield from _conflicts_of_fields(wanted, table)


def _conflicts_of_new(wanted: WantedTable, table: Table) -> Iterator[str]:
    if wanted.tags != table.tags:
        yield f"table {wanted.name} was made with the tags {list(table.tags)} instead of {list(wanted.tags)}"


def _conflicts_of_fields(wanted: WantedTable, table: Table) -> Iterator[str]:
    for name, type in wanted.fields:
        kind = table.kinds.get(name)
        if kind is not None and FIELD_TYPE_BY_KIND.get(kind) is not type:
            yield f"column {name} of table {wanted.name} is {IOX_BY_KIND[kind]} instead of {type.iox}"
