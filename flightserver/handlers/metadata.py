"""What exists, for clients that ask before they query: catalogs, schemas, tables, capabilities."""

from collections.abc import Mapping

import pyarrow as pa
from google.protobuf.message import Message

from engine.requests import NodeLike
from flightserver.flightsql import info
from flightserver.flightsql.commands import optional
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.version import version

_SCHEMAS: Mapping[type[Message], pa.Schema] = {
    sql.CommandGetSqlInfo: info.SQL_INFO,
    sql.CommandGetCatalogs: info.CATALOGS,
    sql.CommandGetDbSchemas: info.DB_SCHEMAS,
    sql.CommandGetTables: info.TABLES,
    sql.CommandGetTableTypes: info.TABLE_TYPES_SCHEMA,
}
_OF_A_DATABASE = (sql.CommandGetDbSchemas, sql.CommandGetTables)


class Metadata:
    def __init__(self, node: NodeLike) -> None:
        self._node = node

    def answers(self, command: Message) -> bool:
        return type(command) in _SCHEMAS

    def needs_database(self, command: Message) -> bool:
        return isinstance(command, _OF_A_DATABASE)

    def schema(self, command: Message) -> pa.Schema:
        if isinstance(command, sql.CommandGetTables) and command.include_schema:
            return info.TABLES_WITH_SCHEMA
        return _SCHEMAS[type(command)]

    def table(self, database: str, command: Message) -> pa.Table:
        match command:
            case sql.CommandGetSqlInfo():
                return info.sql_info(list(command.info), version())
            case sql.CommandGetCatalogs():
                return info.catalogs()
            case sql.CommandGetTableTypes():
                return info.table_types()
            case sql.CommandGetDbSchemas():
                names = {listing.db_schema for listing in self._node.list_tables(database)}
                return info.db_schemas(names, optional(command, "catalog"), optional(command, "db_schema_filter_pattern"))
            case sql.CommandGetTables():
                return info.tables(
                    self._node.list_tables(database),
                    catalog=optional(command, "catalog"),
                    schema_pattern=optional(command, "db_schema_filter_pattern"),
                    name_pattern=optional(command, "table_name_filter_pattern"),
                    kinds=list(command.table_types),
                    include_schema=command.include_schema,
                )
        raise AssertionError(type(command).__name__)
