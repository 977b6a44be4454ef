"""Prepared statements. A handle holds its statement, so the server keeps nothing and a restart breaks no client.

Held by tests/integration/flight/test_prepared.py.
"""

from collections.abc import Callable

import pyarrow as pa

from catalog.errors import InvalidRequest, UnsupportedFeature
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers.actions import Action
from flightserver.handlers.call import Call

SchemaOf = Callable[[str, str], pa.Schema]
"""The schema of a statement's result: (database, statement)."""


def prepared_actions(schema_of: SchemaOf) -> list[Action]:
    def create(call: Call, body: pa.Buffer) -> list[bytes]:
        request = _unpack(body, sql.ActionCreatePreparedStatementRequest)
        if request.HasField("transaction_id"):
            raise UnsupportedFeature("transactions are not supported", hint="use autocommit")
        result = sql.ActionCreatePreparedStatementResult(
            prepared_statement_handle=sql.PreparedStatementHandle(query=request.query).SerializeToString(),
            dataset_schema=schema_of(call.database(), request.query).serialize().to_pybytes(),
            parameter_schema=pa.schema([]).serialize().to_pybytes(),
            is_update=False,
        )
        return [commands.pack(result)]

    def close(call: Call, body: pa.Buffer) -> list[bytes]:
        _unpack(body, sql.ActionClosePreparedStatementRequest)
        return []

    return [
        Action("CreatePreparedStatement", "Flight SQL: a handle for a statement, and the schema of its result", create),
        Action("ClosePreparedStatement", "Flight SQL: a handle that will not be used again", close),
    ]


def statement_of(handle: bytes) -> str:
    query = commands.parse(sql.PreparedStatementHandle, handle).query
    if not query:
        raise InvalidRequest("not a handle of a prepared statement")
    return query


def _unpack(body: pa.Buffer, kind: type[commands.M]) -> commands.M:
    message = commands.unpack(body.to_pybytes())
    if not isinstance(message, kind):
        raise InvalidRequest(f"expected {kind.__name__}, got {type(message).__name__}")
    return message
