"""Statements and metadata on their way out: FlightInfo, schema and stream of one and the same result.

Q1  The schema of a FlightInfo, of GetSchema and of the stream are equal.
Q2  A FlightInfo has one endpoint, without location, whose ticket can be redeemed by anyone who may read, without headers.
Q3  A result that is left early is closed; one that fails late fails with the error of its cause.

Held by tests/integration/flight/test_statements.py (Q1-Q3).
Elsewhere: what tickets look like (flightsql.tickets), what leaves in batches (flightsql.results).
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.flight as fl
from google.protobuf.message import Message

from catalog.errors import UnsupportedFeature
from engine.requests import NodeLike, QueryResult
from flightserver.errors import flight_errors
from flightserver.flightsql import commands, tickets
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.flightsql.results import plain_batches, plain_schema
from flightserver.handlers.call import Call, table_path
from flightserver.handlers.metadata import Metadata
from flightserver.handlers.prepared import statement_of

LANGUAGE_HEADER = "x-influxdata-query-language"


class Queries:
    def __init__(self, node: NodeLike) -> None:
        self._node = node
        self._metadata = Metadata(node)

    def info(self, call: Call, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        database, command = self._described(call, descriptor)
        ticket = tickets.encode_command(database, commands.pack(command))
        return _info(self._schema(database, command), descriptor, ticket)

    def schema(self, call: Call, descriptor: fl.FlightDescriptor) -> fl.SchemaResult:
        return fl.SchemaResult(self._schema(*self._described(call, descriptor)))

    def schema_of(self, database: str, statement: str) -> pa.Schema:
        return self._schema(database, sql.CommandStatementQuery(query=statement))

    def stream(self, call: Call, ticket: bytes) -> fl.FlightDataStream:
        wanted = tickets.decode(ticket)
        if isinstance(wanted, tickets.StatementTicket):
            result = self._statement(wanted.database, wanted.text, wanted.language, wanted.params)
        else:
            result = self._result(wanted.database or self._database(call, wanted.command), wanted.command)
        schema = plain_schema(result.schema)
        return fl.GeneratorStream(schema, _batches(result, schema, call.detailed))

    def tables(self) -> Iterator[fl.FlightInfo]:
        """Every table as a path [database, table] that GetFlightInfo, GetSchema and DoPut understand."""
        for database in self._node.list_databases():
            for table in self._node.list_tables(database.name):
                if table.db_schema == "iox":
                    command = commands.pack(_select_all(table.name))
                    descriptor = fl.FlightDescriptor.for_path(database.name, table.name)
                    yield _info(plain_schema(table.schema), descriptor, tickets.encode_command(database.name, command))

    def _described(self, call: Call, descriptor: fl.FlightDescriptor) -> tuple[str, Message]:
        """What a descriptor asks for, and the database it asks of (none where none is needed)."""
        if descriptor.descriptor_type == fl.DescriptorType.PATH:
            database, table = table_path(descriptor)
            return database, _select_all(table)
        command = commands.unpack(descriptor.command)
        if isinstance(command, sql.CommandStatementQuery) and (call.header(LANGUAGE_HEADER) or "sql").lower() != "sql":
            raise _no_influxql()
        return self._database(call, command), command

    def _database(self, call: Call, command: Message) -> str:
        if self._metadata.answers(command) and not self._metadata.needs_database(command):
            return call.find_database() or ""
        return call.database()

    def _schema(self, database: str, command: Message) -> pa.Schema:
        if self._metadata.answers(command):
            return self._metadata.schema(command)
        result = self._result(database, command)
        result.close()
        return plain_schema(result.schema)

    def _result(self, database: str, command: Message) -> QueryResult:
        match command:
            case sql.CommandStatementQuery():
                if command.HasField("transaction_id"):
                    raise UnsupportedFeature("transactions are not supported", hint="use autocommit")
                return self._node.query_sql(database, command.query)
            case sql.CommandPreparedStatementQuery():
                return self._node.query_sql(database, statement_of(command.prepared_statement_handle))
            case _ if self._metadata.answers(command):
                table = self._metadata.table(database, command)
                return QueryResult(table.schema, iter(table.to_batches()))
        raise UnsupportedFeature(f"Unsupported FlightSQL message type: {commands.SQL_PREFIX}{type(command).__name__}")

    def _statement(self, database: str, text: str, language: str, params: Mapping[str, tickets.Scalar]) -> QueryResult:
        if language == "influxql":
            raise _no_influxql()
        return self._node.query_sql(database, text, params)


def _no_influxql() -> UnsupportedFeature:
    return UnsupportedFeature("InfluxQL is not supported by this version", hint="use SQL")


def _select_all(table: str) -> sql.CommandStatementQuery:
    quoted = table.replace('"', '""')
    return sql.CommandStatementQuery(query=f'SELECT * FROM "{quoted}"')


def _info(schema: pa.Schema, descriptor: fl.FlightDescriptor, ticket: bytes) -> fl.FlightInfo:
    return fl.FlightInfo(schema, descriptor, [fl.FlightEndpoint(ticket, [])], -1, -1)


def _batches(result: QueryResult, schema: pa.Schema, detailed: bool) -> Iterator[pa.RecordBatch]:
    try:
        with flight_errors(detailed=detailed):
            yield from plain_batches(result, schema)
    finally:
        result.close()
