"""Prepared statements. A handle holds its statement and its parameters, so a restart breaks no client.

O1  A handle is good for ever, closed or not. What DoPut binds travels in the handle that it answers with.
O2  Clients that go on with the handle they had find their parameters too: those bound last are remembered under the
    statement's own id until it is closed (those bound last, up to BINDINGS_MAX and BINDINGS_BYTES_MAX).
O3  The schema of parameters names them as the statement does ($1, $host), with the types the plan gives, else utf8.
O4  A statement without values for its parameters has the schema that the planner gives it with open ones; with values it is
    planned anew.

Held by tests/integration/flight/test_prepared.py (O1-O4).
Elsewhere: matching values and parameters (flightsql.parameters), running statements (handlers.queries, handlers.updates).
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial

import pyarrow as pa
import pyarrow.flight as fl

from catalog.access import TOKEN
from catalog.errors import InvalidRequest, UnsupportedFeature
from engine.requests import Origin
from flightserver.flightsql import commands, parameters
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.flightsql.results import plain_schema, plain_type
from flightserver.flightsql.statements import is_insert, parse_insert
from flightserver.flightsql.statements import parameters as parameters_of
from flightserver.handlers.actions import Action
from flightserver.handlers.bound import Bound, Rows
from flightserver.handlers.call import Call
from flightserver.handlers.guarded import GuardedNode
from flightserver.handlers.ingest import Ingests, schema_of
from flightserver.handlers.streams import Watcher
from flightserver.handlers.updates import Updates

BINDINGS_MAX = 10_000
BINDINGS_BYTES_MAX = 64 << 20


class Prepared:
    def __init__(self, ingests: Ingests, updates: Updates, watcher: Watcher) -> None:
        self._ingests = ingests
        self._watcher = watcher
        self._updates = updates
        self._bindings = _Bindings()

    def actions(self) -> list[Action]:
        return [
            Action(
                "CreatePreparedStatement",
                "Flight SQL: a handle for a statement, and the schemas around it",
                self._create,
                TOKEN,
            ),
            Action("ClosePreparedStatement", "Flight SQL: a handle that will not be used again", self._close, TOKEN),
        ]

    def bound(self, call: Call, handle: bytes) -> Bound:
        """What a handle stands for, in the database of the call or, failing that, the one it was prepared in."""
        found = self._whole(handle)
        return Bound(call.find_database() or found.database, found.query, _rows(found.parameters))

    def whole(self, handle: bytes) -> bytes:
        """The handle with the parameters that were bound to it, which needs no memory of ours."""
        return self._whole(handle).SerializeToString()

    def bind(self, call: Call, command: sql.CommandPreparedStatementQuery, reader: fl.MetadataRecordBatchReader) -> bytes:
        """The answer to a DoPut of values: the handle to go on with."""
        found = _opened(command.prepared_statement_handle)
        schema = schema_of(reader)
        found.parameters = parameters.encode(self._ingests.batches(call.node, reader), schema)
        if found.parameters:
            Bound(found.database, found.query).places(schema.names)
        self._bindings.keep(found.id, found.parameters)
        return sql.DoPutPreparedStatementResult(prepared_statement_handle=found.SerializeToString()).SerializeToString()

    def update(self, call: Call, command: sql.CommandPreparedStatementUpdate, reader: fl.MetadataRecordBatchReader) -> int:
        """Run with the values that come along, or else with those bound before."""
        bound = self.bound(call, command.prepared_statement_handle)
        schema = schema_of(reader)
        if schema.names:
            bound = Bound(bound.database, bound.query, Rows(schema, self._ingests.batches(call.node, reader)))
        return self._updates.run(call, bound)

    def _whole(self, handle: bytes) -> sql.PreparedStatementHandle:
        found = _opened(handle)
        if not found.parameters:
            found.parameters = self._bindings.find(found.id)
        return found

    def _create(self, call: Call, body: pa.Buffer) -> list[bytes]:
        request = commands.unpack_as(sql.ActionCreatePreparedStatementRequest, body.to_pybytes())
        if request.transaction_id:
            raise UnsupportedFeature("transactions are not supported", hint="use autocommit")
        call.check_language()
        database, query = call.database(), request.query
        names = parameters_of(query)
        is_update = is_insert(query)
        handle = sql.PreparedStatementHandle(query=query, database=database, id=secrets.token_bytes(16))
        origin = call.origin(partial(self._watcher.watching, call.is_cancelled))
        schema = pa.schema([]) if is_update else plain_schema(call.node.plan_sql(database, query, origin=origin))
        types = self._parameter_types(call.node, database, query, origin) if names else {}
        wanted = pa.schema([(f"${name}", plain_type(types.get(name, pa.utf8()))) for name in names])
        result = sql.ActionCreatePreparedStatementResult(
            prepared_statement_handle=handle.SerializeToString(),
            dataset_schema=schema.serialize().to_pybytes(),
            parameter_schema=wanted.serialize().to_pybytes(),
            is_update=is_update,
        )
        if is_update:
            parse_insert(query)
        return [commands.pack(result)]

    def _close(self, call: Call, body: pa.Buffer) -> list[bytes]:
        request = commands.unpack_as(sql.ActionClosePreparedStatementRequest, body.to_pybytes())
        self._bindings.forget(_opened(request.prepared_statement_handle).id)
        return []

    def _parameter_types(self, node: GuardedNode, database: str, query: str, origin: Origin) -> Mapping[str, pa.DataType]:
        try:
            if is_insert(query):
                return self._updates.parameter_types(node, database, query, origin)
            return node.parameter_types(database, query, origin)
        except InvalidRequest:
            return {}


class _Bindings:
    """Parameters by the id of their statement."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bound: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def keep(self, statement_id: bytes, bound: bytes) -> None:
        with self._lock:
            self._bytes += len(bound) - len(self._bound.pop(statement_id, b""))
            self._bound[statement_id] = bound
            while len(self._bound) > BINDINGS_MAX or self._bytes > BINDINGS_BYTES_MAX:
                self._bytes -= len(self._bound.popitem(last=False)[1])

    def find(self, statement_id: bytes) -> bytes:
        with self._lock:
            return self._bound.get(statement_id, b"")

    def forget(self, statement_id: bytes) -> None:
        with self._lock:
            self._bytes -= len(self._bound.pop(statement_id, b""))


def _opened(handle: bytes) -> sql.PreparedStatementHandle:
    found = commands.parse(sql.PreparedStatementHandle, handle)
    if not found.query:
        raise InvalidRequest("not a handle of a prepared statement")
    return found


def _rows(encoded: bytes) -> Rows | None:
    if not encoded:
        return None
    table = parameters.decode(encoded)
    return Rows(table.schema, table.to_batches())
