"""Queries by the id that their FlightInfo and ticket carry, so that they can be cancelled by name.

X1  Cancelling ends every stream of a query at once, and its planning; a ticket that was not redeemed yet is worth nothing from
    then on.
X2  What is over can not be cancelled, and what nobody knows is not found. The newest KNOWN_MAX queries are remembered.
X3  A query is its caller's: for others than administrators it is one that nobody knows.

Held by tests/integration/flight/test_cancel.py (X1, X2) and tests/integration/flight/test_tokens.py (X3).
Elsewhere: ending one stream (handlers.streams).
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from catalog.access import TOKEN
from catalog.errors import InvalidRequest, NotFound
from catalog.tokens import Identity
from flightserver.errors import Cancelled
from flightserver.flightsql import commands, tickets
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers.actions import Action
from flightserver.handlers.call import Call

KNOWN_MAX = 10_000

_CANCELLED, _NOT_CANCELLABLE = 1, 3


@dataclass(frozen=True, slots=True)
class _Known:
    state: str
    owner: Identity


class Running:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._streams: dict[bytes, list[Callable[[], None]]] = {}

    def issue(self, owner: Identity) -> bytes:
        """The id of a query that has been described, and may be asked for."""
        query_id = secrets.token_bytes(16)
        with self._lock:
            self._note(query_id, "issued", owner)
        return query_id

    def begin(self, query_id: bytes, owner: Identity, cancel: Callable[[], None]) -> None:
        """A stream of the query begins; `cancel` ends it."""
        with self._lock:
            known = self._known.get(query_id)
            if known is not None and known.state == "cancelled":
                raise Cancelled("the query was cancelled")
            self._streams.setdefault(query_id, []).append(cancel)
            self._note(query_id, "running", owner if known is None else known.owner)

    @contextmanager
    def beginning(self, query_id: bytes, owner: Identity, cancel: Callable[[], None]) -> Iterator[None]:
        """Before a stream begins its statement is planned; `cancel` ends that. Without an id it has no name."""
        if not query_id:
            yield
            return
        self.begin(query_id, owner, cancel)
        try:
            yield
        except BaseException:
            self.end(query_id, cancel)
            raise
        with self._lock:
            self._streams[query_id].remove(cancel)

    def end(self, query_id: bytes, cancel: Callable[[], None]) -> None:
        with self._lock:
            streams = self._streams.get(query_id, [])
            if cancel in streams:
                streams.remove(cancel)
            known = self._known.get(query_id)
            over = not streams and self._streams.pop(query_id, None) is not None
            if over and known is not None and known.state == "running":
                self._note(query_id, "done", known.owner)

    def cancel(self, query_id: bytes, caller: Identity) -> int:
        """A CancelStatus."""
        with self._lock:
            known = self._known.get(query_id)
            if known is None or not (caller.is_admin or caller.is_same(known.owner)):
                raise NotFound("no such query: it is over, or was never asked for here")
            if known.state == "done":
                return _NOT_CANCELLABLE
            self._note(query_id, "cancelled", known.owner)
            streams = list(self._streams.get(query_id, ()))
        for cancel in streams:
            cancel()
        return _CANCELLED

    def _note(self, query_id: bytes, state: str, owner: Identity) -> None:
        self._known[query_id] = _Known(state, owner)
        self._known.move_to_end(query_id)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    def actions(self) -> list[Action]:
        def cancel_flight_info(call: Call, body: pa.Buffer) -> Iterable[bytes]:
            request = commands.parse(sql.CancelFlightInfoRequest, body.to_pybytes())
            status = self.cancel(_query_id(request.info), call.identity)
            return [sql.CancelFlightInfoResult(status=status).SerializeToString()]

        def cancel_query(call: Call, body: pa.Buffer) -> Iterable[bytes]:
            request = commands.unpack_as(sql.ActionCancelQueryRequest, body.to_pybytes())
            result = self.cancel(_query_id(commands.parse(sql.FlightInfo, request.info)), call.identity)
            return [commands.pack(sql.ActionCancelQueryResult(result=result))]

        return [
            Action("CancelFlightInfo", "ends the query of a FlightInfo", cancel_flight_info, TOKEN),
            Action("CancelQuery", "Flight SQL: the same, as older clients ask for it", cancel_query, TOKEN),
        ]


def _query_id(info: sql.FlightInfo) -> bytes:
    if info.app_metadata:
        return bytes(info.app_metadata)
    for endpoint in info.endpoint:
        query_id = tickets.query_id_of(endpoint.ticket.ticket)
        if query_id:
            return query_id
    raise InvalidRequest("the FlightInfo names no query of this server")
