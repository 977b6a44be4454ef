"""How one state becomes the next: pure, one named function per op.

A1  An op either applies as a whole or raises and nothing has changed: the state it was given is still what it was.
A2  Applying the same ops to the same state gives the same state, on every node and after every restart.
A3  What an op may not do is refused here, whoever planned it: a column twice, a name twice, an id out of turn, a change to
    something deleted.

Held by tests/unit/catalog/test_apply.py (A1, A3) and tests/property/test_catalog_random.py (A2).
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import singledispatch

from catalog.errors import AlreadyDeleted, AlreadyExists, InvalidRequest, NotFound, ServiceError
from catalog.ids import INTERNAL_DATABASE_ID
from catalog.ops import (
    AddFields,
    AddTags,
    CreateDatabase,
    CreateTable,
    CreateToken,
    DeleteToken,
    DropDatabase,
    DropTable,
    FoundCluster,
    Op,
    RegisterNode,
    RemoveDatabase,
    RemoveTable,
    ReplaceToken,
    SetRetention,
    SetTableRetention,
    StopNode,
)
from catalog.schema import Database, Table
from catalog.state import NODE_RUNNING, NODE_STOPPED, CatalogState, Node
from catalog.tokens import Token


class ImpossibleChange(ServiceError):
    """An op that no planner makes: a log of another catalog, or a mistake of ours."""

    code = "impossible_change"


class SoftDeleted(InvalidRequest):
    """What was asked for has been deleted and is waiting for its removal."""

    code = "soft_deleted"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"cannot write to soft-deleted {what} '{name}' - it is marked for deletion", name=name)


def apply_all(ops: Iterable[Op], state: CatalogState) -> CatalogState:
    for op in ops:
        state = apply(op, state)
    return state


@singledispatch
def apply(op: Op, state: CatalogState) -> CatalogState:
    raise ImpossibleChange(f"no change is called {type(op).__name__}")


@apply.register
def found_cluster(op: FoundCluster, state: CatalogState) -> CatalogState:
    if state.uuid:
        raise ImpossibleChange(f"the catalog has the identity {state.uuid} already")
    return replace(state, uuid=op.uuid)


@apply.register
def register_node(op: RegisterNode, state: CatalogState) -> CatalogState:
    known = state.find_node(op.node_id)
    number = state.next_node_number if known is None else known.number
    return state.with_node(
        Node(number, op.node_id, op.instance_id, op.modes, op.core_count, NODE_RUNNING, op.time_ns, op.cli_params)
    )


@apply.register
def stop_node(op: StopNode, state: CatalogState) -> CatalogState:
    return state.with_node(replace(state.node(op.node_id), state=NODE_STOPPED, updated_at_ns=op.time_ns))


@apply.register
def create_database(op: CreateDatabase, state: CatalogState) -> CatalogState:
    _expect_id("database", op.id, state.next_database_id)
    if op.name in state.database_ids:
        raise AlreadyExists(op.name)
    return state.with_new_database(Database(op.id, op.name, op.retention_ns))


@apply.register
def create_table(op: CreateTable, state: CatalogState) -> CatalogState:
    database = _living_database(state, op.database_id)
    _expect_id("table", op.id, database.next_table_id)
    if op.name in database.table_ids:
        raise AlreadyExists(op.name)
    return state.with_database(database.with_new_table(Table.create(op.id, op.name, op.tags, op.fields, op.retention_ns)))


@apply.register
def add_fields(op: AddFields, state: CatalogState) -> CatalogState:
    """Columns are only ever added, so every stored file stays readable."""
    database, table = _living_table(state, op.database_id, op.table_id)
    return state.with_database(database.with_table(table.with_fields(op.fields)))


@apply.register
def add_tags(op: AddTags, state: CatalogState) -> CatalogState:
    """At the end of the series key: rows that are stored have null there."""
    database, table = _living_table(state, op.database_id, op.table_id)
    return state.with_database(database.with_table(table.with_tags(op.tags)))


@apply.register
def set_retention(op: SetRetention, state: CatalogState) -> CatalogState:
    database = _living_database(state, op.database_id)
    _refuse_internal(database, "modify")
    return state.with_database(replace(database, retention_ns=op.retention_ns))


@apply.register
def set_table_retention(op: SetTableRetention, state: CatalogState) -> CatalogState:
    database, table = _living_table(state, op.database_id, op.table_id)
    return state.with_database(database.with_table(replace(table, retention_ns=op.retention_ns)))


@apply.register
def drop_database(op: DropDatabase, state: CatalogState) -> CatalogState:
    """Its tables keep their names: they went with it, and can be read under its new name until it is removed."""
    database = state.database_by_id(op.database_id)
    _refuse_internal(database, "delete")
    if database.deleted:
        return state.with_database(replace(database, hard_delete_at_ns=op.hard_delete_at_ns))
    if op.deleted_name in state.database_ids:
        raise AlreadyExists(op.deleted_name)
    return state.with_renamed_database(
        replace(database, name=op.deleted_name, deleted_at_ns=op.deleted_at_ns, hard_delete_at_ns=op.hard_delete_at_ns)
    )


@apply.register
def drop_table(op: DropTable, state: CatalogState) -> CatalogState:
    database = state.database_by_id(op.database_id)
    table = database.table_by_id(op.table_id)
    if table.deleted:
        return state.with_database(database.with_table(replace(table, hard_delete_at_ns=op.hard_delete_at_ns)))
    if op.deleted_name in database.table_ids:
        raise AlreadyExists(op.deleted_name)
    gone = replace(table, name=op.deleted_name, deleted_at_ns=op.deleted_at_ns, hard_delete_at_ns=op.hard_delete_at_ns)
    return state.with_database(database.with_deleted_table(gone))


@apply.register
def remove_database(op: RemoveDatabase, state: CatalogState) -> CatalogState:
    database = state.database_by_id(op.database_id)
    if not database.deleted:
        raise ImpossibleChange(f"database {database.name} is not deleted, so it cannot be removed")
    return state.without_database(database)


@apply.register
def remove_table(op: RemoveTable, state: CatalogState) -> CatalogState:
    database = state.database_by_id(op.database_id)
    table = database.table_by_id(op.table_id)
    if not table.deleted:
        raise ImpossibleChange(f"table {table.name} of database {database.name} is not deleted, so it cannot be removed")
    return state.with_database(database.without_deleted_table(table))


def _living_database(state: CatalogState, id: int) -> Database:
    database = state.database_by_id(id)
    if database.deleted:
        raise SoftDeleted("database", database.name)
    return database


def _living_table(state: CatalogState, database_id: int, table_id: int) -> tuple[Database, Table]:
    database = _living_database(state, database_id)
    table = database.table_by_id(table_id)
    if table.deleted:
        raise AlreadyDeleted(table.name)
    return database, table


@apply.register
def create_token(op: CreateToken, state: CatalogState) -> CatalogState:
    _expect_id("token", op.id, state.tokens.next_id)
    if op.name in state.tokens.by_name or op.hash in state.tokens.by_hash:
        raise AlreadyExists(op.name)
    token = Token(
        op.id, op.name, op.hash, op.created_at_ms, op.expiry_ms, op.permissions, op.created_by, description=op.description
    )
    return replace(state, tokens=state.tokens.with_token(token))


@apply.register
def replace_token(op: ReplaceToken, state: CatalogState) -> CatalogState:
    token = _known_token(state, op.name)
    if op.hash in state.tokens.by_hash:
        raise AlreadyExists(op.name)
    replaced = replace(token, hash=op.hash, updated_at_ms=op.updated_at_ms, updated_by=op.updated_by)
    return replace(state, tokens=state.tokens.with_token(replaced))


@apply.register
def delete_token(op: DeleteToken, state: CatalogState) -> CatalogState:
    return replace(state, tokens=state.tokens.without(_known_token(state, op.name)))


def _known_token(state: CatalogState, name: str) -> Token:
    token = state.tokens.by_name.find(name)
    if token is None:
        raise NotFound(f"the requested resource was not found: {name}", name=name)
    return token


def _refuse_internal(database: Database, verb: str) -> None:
    if database.id == INTERNAL_DATABASE_ID:
        raise InvalidRequest(f"cannot {verb} internal db")


def _expect_id(what: str, given: int, expected: int) -> None:
    if given != expected:
        raise ImpossibleChange(f"the next {what} has id {expected}, not {given}")
