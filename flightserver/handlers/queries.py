"""Statements and metadata on their way out: FlightInfo, schema and stream of one and the same result.

Q1  The schema of a FlightInfo, of GetSchema and of the stream are equal.
Q2  A FlightInfo has one endpoint, without location, whose ticket can be redeemed by anyone who may read, without headers.
    Its app_metadata is the id by which the query can be cancelled.
Q3  Describing a statement plans it and runs nothing.
Q4  What this server does not speak (InfluxQL, Substrait, transactions) is refused by name, at every door.

Held by tests/integration/flight/test_statements.py (Q1-Q4).
Elsewhere: what tickets look like (flightsql.tickets), what leaves in batches (flightsql.results), how it leaves (streams).
"""

from collections.abc import Iterator
from functools import partial
from itertools import islice

import pyarrow as pa
import pyarrow.flight as fl
from google.protobuf.message import Message

from catalog.errors import UnsupportedFeature, no_influxql
from engine.requests import NodeLike, Origin, QueryResult
from flightserver.flightsql import commands, tickets
from flightserver.flightsql.inserts import COUNT
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.flightsql.results import plain_schema
from flightserver.flightsql.statements import is_insert, parse_insert
from flightserver.handlers.bound import Bound
from flightserver.handlers.call import Call, table_path
from flightserver.handlers.guarded import GuardedNode
from flightserver.handlers.metadata import Metadata
from flightserver.handlers.prepared import Prepared
from flightserver.handlers.running import Running
from flightserver.handlers.runs import Runs, chained
from flightserver.handlers.streams import Streams
from flightserver.handlers.updates import Updates


class Queries:
    def __init__(self, node: NodeLike, updates: Updates, prepared: Prepared, running: Running, streams: Streams) -> None:
        self._metadata = Metadata(node)
        self._updates = updates
        self._prepared = prepared
        self._running = running
        self._streams = streams

    def info(self, call: Call, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        database, command = self._described(call, descriptor)
        schema = self._schema(call, database, command)
        packed = self._redeemable(descriptor, command)
        return _info(schema, descriptor, database, packed, self._running.issue(call.identity))

    def schema(self, call: Call, descriptor: fl.FlightDescriptor) -> fl.SchemaResult:
        return fl.SchemaResult(self._schema(call, *self._described(call, descriptor)))

    def stream(self, call: Call, ticket: bytes) -> fl.FlightDataStream:
        wanted = tickets.decode(ticket)
        node = call.node
        if isinstance(wanted, tickets.StatementTicket):
            origin = Origin(watched=partial(self._streams.watched, call, wanted.query_id))
            result, query_id = _statement(node, wanted, origin), b""
        else:
            database = wanted.database or self._database(call, wanted.command)
            result, query_id = self._result(call, database, wanted), wanted.query_id
        schema = plain_schema(result.schema)
        return fl.GeneratorStream(schema, self._streams.open(call, node, result, schema, query_id))

    def tables(self, call: Call) -> Iterator[fl.FlightInfo]:
        """Every table as a path [database, table] that GetFlightInfo, GetSchema and DoPut understand."""
        node = call.node
        for database in node.list_databases():
            for table in node.list_tables(database.name):
                if table.db_schema == "iox":
                    descriptor = fl.FlightDescriptor.for_path(database.name, table.name)
                    packed = commands.pack(_select_all(table.name))
                    yield _info(plain_schema(table.schema), descriptor, database.name, packed, b"")

    def _described(self, call: Call, descriptor: fl.FlightDescriptor) -> tuple[str, Message]:
        """What a descriptor asks for, and the database it asks of (none where none is needed)."""
        if descriptor.descriptor_type == fl.DescriptorType.PATH:
            database, table = table_path(descriptor)
            return database, _select_all(table)
        command = commands.unpack(descriptor.command)
        if isinstance(command, sql.CommandStatementQuery | sql.CommandPreparedStatementQuery):
            call.check_language()
        return self._database(call, command), command

    def _database(self, call: Call, command: Message) -> str:
        if isinstance(command, sql.CommandPreparedStatementQuery):
            return self._prepared.bound(call, command.prepared_statement_handle).database
        if self._metadata.answers(command) and not self._metadata.needs_database(command):
            return call.find_database() or ""
        return call.database()

    def _redeemable(self, descriptor: fl.FlightDescriptor, command: Message) -> bytes:
        """The command as a ticket holds it: with all that it needs."""
        if isinstance(command, sql.CommandPreparedStatementQuery):
            handle = self._prepared.whole(command.prepared_statement_handle)
            return commands.pack(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle))
        is_whole = descriptor.descriptor_type == fl.DescriptorType.CMD
        return bytes(descriptor.command) if is_whole else commands.pack(command)

    def _schema(self, call: Call, database: str, command: Message) -> pa.Schema:
        if self._metadata.answers(command):
            return self._metadata.schema(command)
        bound = self._bound(call, database, command)
        if is_insert(bound.query):
            parse_insert(bound.query)
            return COUNT
        return plain_schema(call.node.plan_sql(bound.database, bound.query, bound.first(), self._origin(call)))

    def _origin(self, call: Call, query_id: bytes = b"") -> Origin:
        return call.origin(partial(self._streams.watched, call, query_id))

    def _result(self, call: Call, database: str, wanted: tickets.CommandTicket) -> QueryResult:
        command = wanted.command
        if self._metadata.answers(command):
            table = self._metadata.table(call, database, command)
            return QueryResult(table.schema, iter(table.to_batches()))
        call.check_language()
        bound = self._bound(call, database, command)
        if is_insert(bound.query):
            return self._updates.as_query(call, bound)
        node = call.node
        first = node.query_sql(bound.database, bound.query, bound.first(), self._origin(call, wanted.query_id))
        if bound.rows is None:
            return first
        runs = Runs()
        origin, others = call.origin(runs.watched), islice(bound.each(), 1, None)
        return chained(runs, first, (node.query_sql(bound.database, bound.query, values, origin) for values in others))

    def _bound(self, call: Call, database: str, command: Message) -> Bound:
        match command:
            case sql.CommandStatementQuery():
                if command.transaction_id:
                    raise UnsupportedFeature("transactions are not supported", hint="use autocommit")
                return Bound(database, command.query)
            case sql.CommandPreparedStatementQuery():
                bound = self._prepared.bound(call, command.prepared_statement_handle)
                return Bound(database, bound.query, bound.rows)
        raise unsupported(command)


def _statement(node: GuardedNode, wanted: tickets.StatementTicket, origin: Origin) -> QueryResult:
    if wanted.language == "influxql":
        raise no_influxql()
    return node.query_sql(wanted.database, wanted.text, wanted.params, origin)


def unsupported(command: Message) -> UnsupportedFeature:
    """The sentence about a command that nobody answers here."""
    if isinstance(command, sql.CommandStatementSubstraitPlan):
        return UnsupportedFeature("Substrait plans are not supported", hint="send the statement as SQL")
    return UnsupportedFeature(f"Unsupported FlightSQL message type: {commands.SQL_PREFIX}{type(command).__name__}")


def _select_all(table: str) -> sql.CommandStatementQuery:
    quoted = table.replace('"', '""')
    return sql.CommandStatementQuery(query=f'SELECT * FROM "{quoted}"')


def _info(schema: pa.Schema, descriptor: fl.FlightDescriptor, database: str, command: bytes, query_id: bytes) -> fl.FlightInfo:
    ticket = tickets.encode_command(database, command, query_id)
    return fl.FlightInfo(schema, descriptor, [fl.FlightEndpoint(ticket, [])], -1, -1, app_metadata=query_id)
