"""The Flight server: each RPC is identity, handler, errors, and nothing else.

Held by tests/integration/flight.
Elsewhere: what the calls do (flightserver.handlers), what an error looks like (flightserver.errors).
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow.flight as fl

from catalog.errors import UnsupportedFeature
from engine.requests import NodeLike
from flightserver.audit import Audit
from flightserver.auth import Authorizer, Everyone, Handshake
from flightserver.errors import flight_errors
from flightserver.handlers.actions import Actions, node_actions
from flightserver.handlers.arena import HandoverDirectory
from flightserver.handlers.call import Call, Guard, middleware
from flightserver.handlers.ingest import Ingests
from flightserver.handlers.prepared import Prepared
from flightserver.handlers.puts import Puts
from flightserver.handlers.queries import Queries
from flightserver.handlers.running import Running
from flightserver.handlers.sessions import Sessions
from flightserver.handlers.streams import KEEP_ALIVE_S, Streams, Watcher
from flightserver.handlers.tokens import token_actions
from flightserver.handlers.updates import Updates
from flightserver.handlers.writes import Writes
from flightserver.tokens import TokenKeeper

MESSAGE_BYTES_MAX = 1 << 30


class EngineServer(fl.FlightServerBase):  # type: ignore[misc]  # pyarrow ships no types
    """Serves from construction on; `wait` and `port` are FlightServerBase's."""

    def __init__(
        self,
        node: NodeLike,
        location: str,
        *,
        tls_certificates: Sequence[tuple[bytes, bytes]] | None = None,
        handover_dir: str | Path | None = None,
        max_message_bytes: int = MESSAGE_BYTES_MAX,
        keep_alive_s: float = KEEP_ALIVE_S,
        authorizer: Authorizer | None = None,
        tokens: TokenKeeper | None = None,
        audit: Audit | None = None,
    ) -> None:
        """Without an authorizer everyone may do everything, and there are no tokens."""
        handover = HandoverDirectory(Path(handover_dir)) if handover_dir else None
        self._stopping = threading.Event()
        self._guard = Guard(node, authorizer or Everyone())
        watcher, running = Watcher(), Running()
        self._sessions = Sessions()
        writes = Writes(handover, max_message_bytes, self._stopping.is_set)
        ingests = Ingests(max_message_bytes, self._stopping.is_set)
        updates = Updates(watcher)
        prepared = Prepared(ingests, updates, watcher)
        self._queries = Queries(node, updates, prepared, running, Streams(watcher, running, keep_alive_s))
        self._puts = Puts(writes, ingests, updates, prepared)
        parts = (writes, prepared, running, self._sessions)
        self._actions = Actions(
            [*(action for part in parts for action in part.actions()), *node_actions(), *token_actions(tokens)],
            audit,
        )
        super().__init__(
            location,
            auth_handler=Handshake(),
            tls_certificates=list(tls_certificates or []),
            middleware=middleware(self._guard.authorizer, node.call_ended),
        )

    def _call(self, context: fl.ServerCallContext) -> Call:
        return Call.of(context, self._guard, self._sessions.database_of)

    def list_flights(self, context: fl.ServerCallContext, criteria: bytes) -> Iterator[fl.FlightInfo]:
        call = self._call(context)
        with flight_errors(detailed=call.detailed):
            return iter(list(self._queries.tables(call)))

    def get_flight_info(self, context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        call = self._call(context)
        with flight_errors(detailed=call.detailed):
            return self._queries.info(call, descriptor)

    def get_schema(self, context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.SchemaResult:
        with flight_errors(without_flight_classes=True):
            return self._queries.schema(self._call(context), descriptor)

    def do_get(self, context: fl.ServerCallContext, ticket: fl.Ticket) -> fl.FlightDataStream:
        call = self._call(context)
        with flight_errors(detailed=call.detailed):
            return self._queries.stream(call, ticket.ticket)

    def do_put(
        self,
        context: fl.ServerCallContext,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        call = self._call(context)
        with flight_errors(detailed=call.detailed):
            self._puts.serve(call, descriptor, reader, writer)

    def do_exchange(
        self,
        context: fl.ServerCallContext,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        with flight_errors():
            raise UnsupportedFeature("DoExchange is not supported")

    def do_action(self, context: fl.ServerCallContext, action: fl.Action) -> Iterable[bytes]:
        call = self._call(context)
        with flight_errors(detailed=call.detailed):
            return self._actions.run(call, action.type, action.body)

    def list_actions(self, context: fl.ServerCallContext) -> Iterator[fl.ActionType]:
        return (fl.ActionType(name, description) for name, description in self._actions.names())

    def shutdown(self) -> None:
        """Refuse writes, also on streams that are open, and wait for the calls that run.

        A stream that its client keeps open and idle is such a call: who must end gives this a thread and a deadline.
        """
        self._stopping.set()
        super().shutdown()
