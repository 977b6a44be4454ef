"""The node as one caller reaches it: every path of a handler to data goes through here, and is checked here.

    query, plan                read                         create a database          create
    write, ingest, INSERT      write                        set a retention period     update
    make a table               write                        drop a database or table   drop
    list or describe tables    read or describe             empty it, or replace it    drop or delete
    list databases             those with read or describe  settle now                 administrators

V1  A method of the node that has no line here can not be called by a handler: what is new is closed until somebody opens it.
V2  Rights are looked up for the database that the name stands for at that moment. One that does not exist is covered by
    wildcards only, so whoever may not know gets the same answer whether it exists or not.
V3  `_internal` is read by administrators only, and stands in nobody else's lists.
V4  A write makes the database and the table that it needs; to make a database its right must be a wildcard.
V5  What goes on for long asks again: before each batch, the token must still be valid (check_again).

Held by tests/unit/flightserver/test_guarded.py (V1-V4) and tests/integration/flight/test_tokens.py (V5).
Elsewhere: what a token may do (catalog.tokens), which calls come this far at all (catalog.access).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from catalog.credentials import NotPermitted
from catalog.tokens import CREATE, DELETE, DESCRIBE, DROP, READ, UPDATE, WRITE, Identity
from engine.requests import (
    FROM_SQL,
    DatabaseListing,
    IngestOptions,
    IngestSession,
    Keep,
    NodeLike,
    Origin,
    QueryResult,
    StartedWrite,
    TableDescription,
    TableListing,
    WriteReport,
    WriteRequest,
)
from flightserver.auth import Authorizer

#: either is enough to make rows go: who may drop what holds them, and who may delete them
_TO_EMPTY = (DROP, DELETE)


class GuardedNode:
    def __init__(self, node: NodeLike, authorizer: Authorizer, identity: Identity) -> None:
        self._node = node
        self._authorizer = authorizer
        self._identity = identity

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def cluster_uuid(self) -> str:
        return self._node.cluster_uuid

    @property
    def node_id(self) -> str:
        return self._node.node_id

    @property
    def instance_id(self) -> str:
        return self._node.instance_id

    def check_again(self) -> None:
        """V5."""
        self._authorizer.check_again(self._identity)

    def needs(self, database: str, *actions: str) -> None:
        """Raises NotPermitted unless one of the actions is permitted on the database."""
        if self._identity.token is None:
            return
        if not self._identity.may_any(actions, self._authorizer.database_id(database)):
            raise self._forbidden(f"{' or '.join(actions)} on database {database!r}")

    def needs_admin(self, what: str) -> None:
        if not self._identity.is_admin:
            raise self._forbidden(what)

    # rows

    def write_lp(self, request: WriteRequest) -> WriteReport:
        return self.start_lp(request).finish()

    def start_lp(self, request: WriteRequest) -> StartedWrite:
        self.needs(request.database, WRITE)
        return self._node.start_lp(request)

    def start_together(self, request: WriteRequest, line_counts: Sequence[int]) -> Sequence[StartedWrite] | None:
        self.needs(request.database, WRITE)
        return self._node.start_together(request, line_counts)

    def ingest(self, database: str, table: str, schema: pa.Schema, options: IngestOptions) -> IngestSession:
        self.needs(database, WRITE)
        if options.if_exists == "replace":
            self.needs(database, *_TO_EMPTY)
        return self._node.ingest(database, table, schema, options)

    def table_to_write(self, database: str, table: str) -> pa.Schema | None:
        """The columns of a table that rows are to be inserted into; None if it is not there yet."""
        self.needs(database, WRITE)
        listed = (found for found in self._node.list_tables(database) if (found.db_schema, found.name) == ("iox", table))
        return next((found.schema for found in listed), None)

    def values_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> QueryResult:
        """VALUES on their way into a table: they are the caller's own and read nothing."""
        self.needs(database, WRITE)
        return self._node.query_sql(database, sql, params, self._of_caller(origin))

    def values_parameter_types(self, database: str, sql: str, origin: Origin = FROM_SQL) -> Mapping[str, pa.DataType]:
        self.needs(database, WRITE)
        return self._node.parameter_types(database, sql, self._of_caller(origin))

    def query_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> QueryResult:
        self.needs(database, READ)
        return self._node.query_sql(database, sql, params, self._of_caller(origin))

    def plan_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> pa.Schema:
        self.needs(database, READ)
        return self._node.plan_sql(database, sql, params, self._of_caller(origin))

    def parameter_types(self, database: str, sql: str, origin: Origin = FROM_SQL) -> Mapping[str, pa.DataType]:
        self.needs(database, READ)
        return self._node.parameter_types(database, sql, self._of_caller(origin))

    def _of_caller(self, origin: Origin) -> Origin:
        return origin if self._identity is origin.caller else replace(origin, caller=self._identity)

    def snapshot_now(self) -> int:
        self.needs_admin("settling")
        return self._node.snapshot_now()

    # names

    def list_databases(self, *, show_deleted: bool = False) -> Sequence[DatabaseListing]:
        listed = self._node.list_databases(show_deleted=show_deleted)
        return [database for database in listed if self.sees(database.name)]

    def sees(self, database: str) -> bool:
        """Whether the database exists as far as the caller is told (V3)."""
        if self._identity.token is None:
            return True
        id = self._authorizer.database_id(database)
        return id is not None and self._identity.sees(id)

    def list_tables(self, database: str) -> Sequence[TableListing]:
        self.needs(database, READ, DESCRIBE)
        return self._node.list_tables(database)

    def describe_tables(self, database: str, *, show_deleted: bool = False) -> Sequence[TableDescription]:
        self.needs(database, READ, DESCRIBE)
        return self._node.describe_tables(database, show_deleted=show_deleted)

    def create_database(self, name: str, retention_ns: int | None = None) -> None:
        self.needs(name, CREATE)
        self._node.create_database(name, retention_ns)

    def set_retention(self, name: str, retention_ns: int | None) -> None:
        self.needs(name, UPDATE)
        self._node.set_retention(name, retention_ns)

    def drop_database(self, name: str, hard_delete_at_ns: int | None = None, keep: Keep = "nothing") -> None:
        self.needs(name, *_TO_EMPTY if keep == "tables" else (DROP,))
        self._node.drop_database(name, hard_delete_at_ns, keep)

    def create_table(
        self, database: str, name: str, tags: Sequence[str], fields: Mapping[str, str], retention_ns: int | None = None
    ) -> None:
        self.needs(database, WRITE)
        if retention_ns is not None:
            self.needs(database, UPDATE)
        self._node.create_table(database, name, tags, fields, retention_ns)

    def set_table_retention(self, database: str, name: str, retention_ns: int | None) -> None:
        self.needs(database, UPDATE)
        self._node.set_table_retention(database, name, retention_ns)

    def drop_table(self, database: str, name: str, hard_delete_at_ns: int | None = None, *, keep_table: bool = False) -> None:
        self.needs(database, *_TO_EMPTY if keep_table else (DROP,))
        self._node.drop_table(database, name, hard_delete_at_ns, keep_table=keep_table)

    def removal_time_ns(self, text: str) -> int | None:
        return self._node.removal_time_ns(text)

    # itself: who may ask is declared beside the actions

    def health(self) -> dict[str, object]:
        return self._node.health()

    def readiness(self) -> Sequence[str]:
        return self._node.readiness()

    def metrics_text(self) -> bytes:
        return self._node.metrics_text()

    def _forbidden(self, what: str) -> NotPermitted:
        self._authorizer.tell(self._identity, what)
        return NotPermitted()
