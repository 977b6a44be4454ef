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
from flightserver.auth import Handshake
from flightserver.errors import flight_errors
from flightserver.handlers.actions import Actions, node_actions
from flightserver.handlers.arena import HandoverDirectory
from flightserver.handlers.call import MIDDLEWARE, Call
from flightserver.handlers.ingest import Ingests
from flightserver.handlers.prepared import prepared_actions
from flightserver.handlers.puts import Puts
from flightserver.handlers.queries import Queries
from flightserver.handlers.writes import Writes

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
    ) -> None:
        handover = HandoverDirectory(Path(handover_dir)) if handover_dir else None
        self._queries = Queries(node)
        self._stopping = threading.Event()
        writes = Writes(node, handover, max_message_bytes, self._stopping.is_set)
        self._puts = Puts(writes, Ingests(node, max_message_bytes, self._stopping.is_set))
        self._actions = Actions([*writes.actions(), *prepared_actions(self._queries.schema_of), *node_actions(node)])
        super().__init__(
            location, auth_handler=Handshake(), tls_certificates=list(tls_certificates or []), middleware=dict(MIDDLEWARE)
        )

    def list_flights(self, context: fl.ServerCallContext, criteria: bytes) -> Iterator[fl.FlightInfo]:
        with flight_errors(detailed=Call.of(context).detailed):
            return iter(list(self._queries.tables()))

    def get_flight_info(self, context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.FlightInfo:
        call = Call.of(context)
        with flight_errors(detailed=call.detailed):
            return self._queries.info(call, descriptor)

    def get_schema(self, context: fl.ServerCallContext, descriptor: fl.FlightDescriptor) -> fl.SchemaResult:
        with flight_errors(without_flight_classes=True):
            return self._queries.schema(Call.of(context), descriptor)

    def do_get(self, context: fl.ServerCallContext, ticket: fl.Ticket) -> fl.FlightDataStream:
        call = Call.of(context)
        with flight_errors(detailed=call.detailed):
            return self._queries.stream(call, ticket.ticket)

    def do_put(
        self,
        context: fl.ServerCallContext,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        call = Call.of(context)
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
        call = Call.of(context)
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
