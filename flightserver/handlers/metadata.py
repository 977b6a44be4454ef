"""What exists, for clients that ask before they query: catalogs, schemas, tables, keys, types, capabilities.

E1  The tables of the database are those of the catalog at this moment; what stands beside them (system, information_schema)
    is what the engine itself lists.
E2  The schema of a table is the one that SELECT * has on the wire: tags are plain strings.
E3  The header x-influxdata-base-table-type: TABLE makes `BASE TABLE` a `TABLE`, for clients that know no other word.
E4  An unknown database is NOT_FOUND: a client that asks before its first write takes it for "no such table yet".
E5  Of a database that a caller may neither read nor describe, nothing is told.

Held by tests/integration/flight/test_metadata.py (E1-E4) and tests/integration/flight/test_tokens.py (E5).
Elsewhere: filters and schemas (flightsql.info), GetSqlInfo (flightsql.sql_info).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
from google.protobuf.message import Message

from catalog.errors import DatabaseNotFound, InvalidRequest, NotFound
from engine.requests import NodeLike, Origin, TableListing
from flightserver.flightsql import info
from flightserver.flightsql.commands import optional
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.flightsql.sql_info import SQL_INFO, sql_info
from flightserver.handlers.call import Call
from flightserver.handlers.guarded import GuardedNode
from flightserver.version import version

BASE_TABLE_HEADER = "x-influxdata-base-table-type"

_SCHEMAS: Mapping[type[Message], pa.Schema] = {
    sql.CommandGetSqlInfo: SQL_INFO,
    sql.CommandGetXdbcTypeInfo: info.TYPES,
    sql.CommandGetCatalogs: info.CATALOGS,
    sql.CommandGetDbSchemas: info.DB_SCHEMAS,
    sql.CommandGetTables: info.TABLES,
    sql.CommandGetTableTypes: info.TABLE_TYPES_SCHEMA,
    sql.CommandGetPrimaryKeys: info.PRIMARY_KEYS,
    sql.CommandGetExportedKeys: info.FOREIGN_KEYS,
    sql.CommandGetImportedKeys: info.FOREIGN_KEYS,
    sql.CommandGetCrossReference: info.FOREIGN_KEYS,
}
_OF_A_DATABASE = (sql.CommandGetDbSchemas, sql.CommandGetTables, sql.CommandGetPrimaryKeys)
_BESIDE = "SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema = 'information_schema'"


class Metadata:
    def __init__(self, node: NodeLike) -> None:
        self._bare_node = node
        self._beside: tuple[TableListing, ...] | None = None

    def answers(self, command: Message) -> bool:
        return type(command) in _SCHEMAS

    def needs_database(self, command: Message) -> bool:
        return isinstance(command, _OF_A_DATABASE)

    def schema(self, command: Message) -> pa.Schema:
        if isinstance(command, sql.CommandGetTables) and command.include_schema:
            return info.TABLES_WITH_SCHEMA
        return _SCHEMAS[type(command)]

    def table(self, call: Call, database: str, command: Message) -> pa.Table:
        match command:
            case sql.CommandGetSqlInfo():
                return sql_info(list(command.info), version())
            case sql.CommandGetXdbcTypeInfo():
                return info.types(command.data_type if command.HasField("data_type") else None)
            case sql.CommandGetCatalogs():
                return info.catalogs()
            case sql.CommandGetTableTypes():
                return info.table_types((_base_table(call), "VIEW"))
            case sql.CommandGetDbSchemas():
                names = {listing.db_schema for listing in self._listings(call.node, database)}
                return info.db_schemas(names, optional(command, "catalog"), optional(command, "db_schema_filter_pattern"))
            case sql.CommandGetTables():
                return self._tables(call, database, command)
            case sql.CommandGetPrimaryKeys():
                listings = self._own(call.node, database)
                place = {"catalog": optional(command, "catalog"), "db_schema": optional(command, "db_schema")}
                return info.primary_keys(listings, command.table, **place)
        return info.no_foreign_keys()

    def _tables(self, call: Call, database: str, command: sql.CommandGetTables) -> pa.Table:
        base_table = _base_table(call)
        listings = [
            replace(listing, kind=base_table) if listing.kind == "BASE TABLE" else listing
            for listing in self._listings(call.node, database)
        ]
        return info.tables(
            listings,
            catalog=optional(command, "catalog"),
            schema_pattern=optional(command, "db_schema_filter_pattern"),
            name_pattern=optional(command, "table_name_filter_pattern"),
            kinds=list(command.table_types),
            include_schema=command.include_schema,
        )

    def _listings(self, node: GuardedNode, database: str) -> Sequence[TableListing]:
        listed = self._listed(node, database)
        if self._beside is None:
            self._beside = self._list_beside(database)
        return [*listed, *self._beside]

    def _own(self, node: GuardedNode, database: str) -> list[TableListing]:
        return [listing for listing in self._listed(node, database) if listing.db_schema == info.DEFAULT_SCHEMA]

    def _listed(self, node: GuardedNode, database: str) -> Sequence[TableListing]:
        try:
            return node.list_tables(database)
        except DatabaseNotFound:
            raise NotFound(f"Database '{database}' not found") from None

    def _list_beside(self, database: str) -> tuple[TableListing, ...]:
        """The same in every database and for everyone for as long as the server runs, so it is asked for once."""
        found = pa.Table.from_batches(list(self._bare_node.query_sql(database, _BESIDE, origin=Origin(logged=False))))
        return tuple(
            TableListing(schema, name, kind, self._bare_node.plan_sql(database, f'SELECT * FROM "{schema}"."{name}"'))
            for schema, name, kind in zip(*(column.to_pylist() for column in found.columns), strict=True)
        )


def _base_table(call: Call) -> str:
    wanted = call.header(BASE_TABLE_HEADER) or "BASE TABLE"
    if wanted.upper() not in ("BASE TABLE", "TABLE"):
        raise InvalidRequest(f"Invalid base table type: '{wanted}'. Valid values are 'BASE TABLE' or 'TABLE'")
    return wanted.upper()
