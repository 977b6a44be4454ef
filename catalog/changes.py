"""From what somebody asks for to the ops that do it: databases, tables, retention, nodes.

H1  Pure: each function reads one state and returns ops for `Catalog.commit`.
H2  What people can get wrong is refused here with the text they know; apply.py then refuses nothing.
H3  A deletion frees the name: the thing is called NAME-YYYYMMDDTHHMMSS (UTC) from then on, with `-ID` behind it when that
    is taken. Deleting it again under that name changes the time of its removal and nothing else.
H4  To delete the data of a table and keep the table is to delete it and make one like it, at once: the rows wait for their
    removal under the other name.

Held by tests/unit/catalog/test_changes.py (H1-H4).
Elsewhere: what a write needs (growth.py), removing the files of a deleted thing before its entry (engine).
"""

from collections.abc import Container, Sequence
from datetime import UTC, datetime

from catalog.apply import SoftDeleted
from catalog.errors import AlreadyDeleted, AlreadyExists, InvalidRequest
from catalog.ids import INTERNAL_DATABASE_ID, TableId
from catalog.limits import NO_LIMITS, Limits
from catalog.names import check_database_name, check_table_name
from catalog.ops import (
    CreateDatabase,
    CreateTable,
    DropDatabase,
    DropTable,
    Op,
    RegisterNode,
    RemoveDatabase,
    RemoveTable,
    SetRetention,
    SetTableRetention,
    StopNode,
)
from catalog.schema import Database, Fields, Table
from catalog.state import NODE_STOPPED, CatalogState


def create_database(state: CatalogState, name: str, *, retention_ns: int | None = None, limits: Limits = NO_LIMITS) -> list[Op]:
    check_database_name(name)
    _check_retention(retention_ns)
    if name in state.database_ids:
        raise AlreadyExists(name)
    limits.check_new_database(state)
    return [CreateDatabase(state.next_database_id, name, retention_ns)]


def create_table(
    state: CatalogState,
    database_name: str,
    name: str,
    tags: Sequence[str],
    fields: Fields,
    *,
    retention_ns: int | None = None,
    limits: Limits = NO_LIMITS,
) -> list[Op]:
    """In a database that is made with it when it does not exist."""
    database = state.find_database(database_name)
    if database is not None and database.id == INTERNAL_DATABASE_ID:
        raise InvalidRequest("cannot modify internal db")
    if database is not None and database.deleted:
        raise SoftDeleted("database", database_name)
    if database is not None and name in database.table_ids:
        raise AlreadyExists(name)
    check_table_name(name)
    _check_retention(retention_ns)
    limits.check_new_tables(state, 1)
    limits.check_columns(None, len(tags), len(fields))
    ops: list[Op] = []
    if database is None:
        ops += create_database(state, database_name, limits=limits)
        database = Database(state.next_database_id, database_name)
    table = Table.create(database.next_table_id, name, tags, fields)  # refuses a column twice and reserved ones
    return [*ops, CreateTable(database.id, table.id, name, tuple(tags), tuple(fields), retention_ns)]


def drop_database(state: CatalogState, name: str, *, now_ns: int, hard_delete_at_ns: int | None) -> list[Op]:
    database = state.database(name)
    if database.id == INTERNAL_DATABASE_ID:
        raise InvalidRequest("cannot delete internal db")
    if database.deleted:
        _refuse_same_deletion(database, hard_delete_at_ns)
    deleted_name = name if database.deleted else _deleted_name(name, now_ns, database.id, state.database_ids)
    return [DropDatabase(database.id, deleted_name, now_ns, hard_delete_at_ns)]


def drop_table(state: CatalogState, database_name: str, name: str, *, now_ns: int, hard_delete_at_ns: int | None) -> list[Op]:
    database = state.database(database_name)
    table = database.table(name)
    if table.deleted:
        _refuse_same_deletion(table, hard_delete_at_ns)
    deleted_name = name if table.deleted else _deleted_name(name, now_ns, table.id, database.table_ids)
    return [DropTable(database.id, table.id, deleted_name, now_ns, hard_delete_at_ns)]


def empty_database(
    state: CatalogState, name: str, *, keep_tables: bool, now_ns: int, hard_delete_at_ns: int | None
) -> list[Op]:
    """Delete the data of a database that stays: its tables go with their rows, or begin anew."""
    database = state.database(name)
    if database.id == INTERNAL_DATABASE_ID:
        raise InvalidRequest("cannot delete internal db")
    if database.deleted:
        raise AlreadyDeleted(name)
    ops: list[Op] = []
    taken = {table.name for table in database.tables}
    next_id = database.next_table_id
    for table in database.tables:
        if table.deleted:
            continue
        deleted_name = _deleted_name(table.name, now_ns, table.id, taken)
        taken.add(deleted_name)
        ops.append(DropTable(database.id, table.id, deleted_name, now_ns, hard_delete_at_ns))
        if keep_tables:
            ops.append(_table_like(database, table, next_id))
            next_id = TableId(next_id + 1)
    return ops


def empty_table(state: CatalogState, database_name: str, name: str, *, now_ns: int, hard_delete_at_ns: int | None) -> list[Op]:
    """Delete the data of a table that stays."""
    database = state.database(database_name)
    table = database.table(name)
    if database.deleted or table.deleted:
        raise AlreadyDeleted(name)
    ops = drop_table(state, database_name, name, now_ns=now_ns, hard_delete_at_ns=hard_delete_at_ns)
    return [*ops, _table_like(database, table, database.next_table_id)]


def _table_like(database: Database, table: Table, id: TableId) -> CreateTable:
    return CreateTable(database.id, id, table.name, table.tags, tuple(table.fields.items()), table.retention_ns)


def set_table_retention(state: CatalogState, database_name: str, name: str, retention_ns: int | None) -> list[Op]:
    """None leaves it to the database."""
    database = state.database(database_name)
    table = database.table(name)
    if database.id == INTERNAL_DATABASE_ID:
        raise InvalidRequest("cannot modify internal db")
    if database.deleted or table.deleted:
        raise AlreadyDeleted(name)
    _check_retention(retention_ns)
    return [SetTableRetention(database.id, table.id, retention_ns)]


def set_retention(state: CatalogState, name: str, retention_ns: int | None) -> list[Op]:
    """None keeps rows for ever. Always an op: that it is so already may be what another writer has just changed."""
    database = state.database(name)
    if database.id == INTERNAL_DATABASE_ID:
        raise InvalidRequest("cannot modify internal db")
    if database.deleted:
        raise AlreadyDeleted(name)
    _check_retention(retention_ns)
    return [SetRetention(database.id, retention_ns)]


def removals_due(state: CatalogState, now_ns: int) -> list[Op]:
    """Ops that remove what was to be removed by now. The caller has seen to the files, of all tables for a database."""
    ops: list[Op] = []
    for database in state.databases:
        if _due(database, now_ns):
            ops.append(RemoveDatabase(database.id))
        elif database.deleted_table_count:
            ops += [RemoveTable(database.id, table.id) for table in database.tables if _due(table, now_ns)]
    return ops


def next_removal_ns(state: CatalogState, after_ns: int) -> int | None:
    """The first moment after `after_ns` at which something is to be removed."""
    moments = [database.hard_delete_at_ns for database in state.databases if database.deleted]
    for database in state.databases:
        if database.deleted_table_count:
            moments += [table.hard_delete_at_ns for table in database.tables if table.deleted]
    return min((moment for moment in moments if moment is not None and moment > after_ns), default=None)


def register_node(
    state: CatalogState,
    node_id: str,
    *,
    instance_id: str,
    modes: Sequence[str],
    core_count: int,
    now_ns: int,
    cli_params: str | None = None,
) -> list[Op]:
    return [RegisterNode(node_id, instance_id, tuple(modes), core_count, now_ns, cli_params)]


def stop_node(state: CatalogState, node_id: str, *, instance_id: str, now_ns: int) -> list[Op]:
    """Nothing when another instance has taken the node over: it is that one's to stop."""
    node = state.node(node_id)
    if node.instance_id != instance_id or node.state == NODE_STOPPED:
        return []
    return [StopNode(node_id, now_ns)]


def _refuse_same_deletion(thing: Database | Table, hard_delete_at_ns: int | None) -> None:
    if thing.hard_delete_at_ns == hard_delete_at_ns:
        raise AlreadyDeleted(thing.name)


def _check_retention(retention_ns: int | None) -> None:
    if retention_ns is not None and retention_ns < 0:
        raise InvalidRequest("a retention period cannot be negative")


def _deleted_name(name: str, now_ns: int, id: int, taken: Container[str]) -> str:
    second = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC)
    candidate = f"{name}-{second:%Y%m%dT%H%M%S}"
    while candidate in taken:
        candidate += f"-{id}"
    return candidate


def _due(thing: Database | Table, now_ns: int) -> bool:
    return thing.deleted and thing.hard_delete_at_ns is not None and thing.hard_delete_at_ns <= now_ns
