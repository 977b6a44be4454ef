"""Statements and metadata on their way out."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.flight as fl

from catalog.errors import UnsupportedFeature
from engine.requests import NodeLike, QueryResult
from flightserver.errors import flight_errors
from flightserver.flightsql import tickets
from flightserver.flightsql.results import plain_batches, plain_schema
from flightserver.handlers.call import Call


class Queries:
    def __init__(self, node: NodeLike) -> None:
        self._node = node

    def stream(self, call: Call, ticket: bytes) -> fl.FlightDataStream:
        """What DoGet answers."""
        wanted = tickets.decode(ticket)
        if isinstance(wanted, tickets.StatementTicket):
            return _stream(call, self._statement(wanted))
        raise UnsupportedFeature("not a statement")

    def _statement(self, wanted: tickets.StatementTicket) -> QueryResult:
        if wanted.language == "influxql":
            raise UnsupportedFeature("InfluxQL is not supported by this version", hint="use SQL")
        return self._node.query_sql(wanted.database, wanted.text, wanted.params)


def _stream(call: Call, result: QueryResult) -> fl.FlightDataStream:
    schema = plain_schema(result.schema)
    return fl.GeneratorStream(schema, _batches(result, schema, call.detailed))


def _batches(result: QueryResult, schema: pa.Schema, detailed: bool) -> Iterator[pa.RecordBatch]:
    try:
        with flight_errors(detailed=detailed):
            yield from plain_batches(result, schema)
    finally:
        result.close()
