"""Who calls and what they said beside the message: gRPC's headers, kept for the handlers, and the node as they reach it.

K1  The database of a Flight SQL call is the value of the one database header sent, or the one value of several that agree;
    without any it is the one that the caller's session has chosen.

K2  A handler has no other way to data than `Call.node`, which knows who calls. Whoever is nobody is told so the first time
    that a handler asks for it; calls that can not bring tokens of their own are refused before a handler sees them.

Held by tests/unit/flightserver/test_call.py (K1) and tests/integration/flight/test_tokens.py (K2).
Elsewhere: who a caller is (flightserver.auth), what they may do (handlers.guarded).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.flight as fl

from catalog.access import Access
from catalog.errors import InvalidRequest, ServiceError, no_influxql
from catalog.tokens import Identity
from engine._native import keep_thread_state
from engine.requests import NodeLike, Origin, Watched
from flightserver import wire
from flightserver.auth import Authorizer, Everyone, bearer_of
from flightserver.errors import flight_error
from flightserver.handlers.counting import Counted, Ended
from flightserver.handlers.guarded import GuardedNode

DATABASE_HEADERS = ("database", "bucket", "bucket-name", "iox-namespace-name")
LANGUAGE_HEADER = "x-influxdata-query-language"
_KEY = "headers"

Headers = Mapping[str, Sequence[str]]


def _never() -> bool:
    return False


def _unheard(name: str, value: str) -> None:
    """A reply's header, where there is no reply."""


def _no_session(headers: Headers, identity: Identity) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Guard:
    """What is behind all calls of a server."""

    bare_node: NodeLike
    authorizer: Authorizer = field(default_factory=Everyone)

    def node_for(self, identity: Identity) -> GuardedNode:
        return GuardedNode(self.bare_node, self.authorizer, identity)


@dataclass(frozen=True, slots=True)
class Call:
    guard: Guard
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_cancelled: Callable[[], bool] = _never
    reply_header: Callable[[str, str], None] = _unheard
    database_of: Callable[[Headers, Identity], str | None] = _no_session

    @classmethod
    def of(
        cls, context: fl.ServerCallContext, guard: Guard, database_of: Callable[[Headers, Identity], str | None] = _no_session
    ) -> "Call":
        """`context` is gone with its call: nothing may keep what is made of it for longer."""
        headers: Headers = context.get_middleware(_KEY).headers
        return cls(guard, headers, context.is_cancelled, context.add_header, database_of)

    @property
    def identity(self) -> Identity:
        """Who calls. Raises for nobody."""
        return self.guard.authorizer.identify(self.header("authorization"))

    @property
    def node(self) -> GuardedNode:
        return self.guard.node_for(self.identity)

    def node_for(self, authorization: str | None) -> GuardedNode:
        """The node as the author of one message reaches it, who may be another than whoever opened the stream."""
        return self.node if authorization is None else self.guard.node_for(self.guard.authorizer.identify(authorization))

    def admit(self, access: Access) -> None:
        """Raises unless the caller meets what is declared."""
        if not access.is_open(self.guard.authorizer.released):
            access.check(self.identity)

    def header(self, name: str) -> str | None:
        values = self.headers.get(name)
        return values[0] if values else None

    def check_language(self) -> None:
        """Statements are SQL, whatever else the call says that they are."""
        if (self.header(LANGUAGE_HEADER) or "sql").lower() != "sql":
            raise no_influxql()

    def origin(self, watched: Watched, text: str | None = None) -> Origin:
        """What the log of queries says of a Flight SQL statement of this call."""
        return Origin("flightsql", text, self._trace_id(), watched=watched)

    def _trace_id(self) -> str | None:
        """That of the caller's own tracing: W3C `version-trace-span-flags`, or Jaeger's `trace:span:parent:flags`."""
        told = self.header("traceparent")
        if told is not None:
            return told.partition("-")[2].partition("-")[0] or None
        return (self.header("uber-trace-id") or "").partition(":")[0] or None

    @property
    def detailed(self) -> bool:
        return wire.ERROR_DETAILS_HEADER in self.headers

    def find_database(self) -> str | None:
        return self.header_database() or self.database_of(self.headers, self.identity)

    def header_database(self) -> str | None:
        sent = {name: value for name in DATABASE_HEADERS if (value := self.header(name))}
        if len(set(sent.values())) > 1:
            names = ", ".join(f'"{name}"' for name in sent)
            raise InvalidRequest(f"More than one headers are found in request: [{names}]. Please include only one of them")
        return next(iter(sent.values()), None)

    def database(self) -> str:
        found = self.find_database()
        if found is None:
            raise InvalidRequest("no 'database' header in request")
        return found


def table_path(descriptor: fl.FlightDescriptor) -> tuple[str, str]:
    """(database, table) of a path descriptor."""
    path = [part.decode() for part in descriptor.path]
    if len(path) != 2:
        raise InvalidRequest("the path of a table is [database, table]")
    return path[0], path[1]


class KeptHeaders(fl.ServerMiddleware):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, headers: Mapping[str, Sequence[str]], reply: Mapping[str, str], counted: Counted) -> None:
        super().__init__()
        self.headers = headers
        self._reply = reply
        self._counted = counted

    def sending_headers(self) -> Mapping[str, str]:
        return self._reply

    def call_completed(self, exception: pa.ArrowException | None) -> None:
        self._counted.end(exception)


#: Handshake checks nothing; a ticket is read before its bearer is looked at; lanes bring a token with each message; some
#: actions are open
_ASKED_LATER = (fl.FlightMethod.HANDSHAKE, fl.FlightMethod.DO_GET, fl.FlightMethod.DO_PUT, fl.FlightMethod.DO_ACTION)


class HeaderKeeper(fl.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
    """The one middleware there is: each is one more reason to come to Python, at the beginning and at the end of a call."""

    def __init__(self, authorizer: Authorizer, ended: Ended) -> None:
        super().__init__()
        self._authorizer = authorizer
        self._ended = ended

    def start_call(self, info: fl.CallInfo, headers: Mapping[str, Sequence[str]]) -> KeptHeaders:
        keep_thread_state()
        counted = Counted(info.method, self._ended)
        authorization = next(iter(headers.get("authorization", ())), None)
        if info.method not in _ASKED_LATER:
            try:
                self._authorizer.identify(authorization)
            except ServiceError as error:
                raise flight_error(error, detailed=wire.ERROR_DETAILS_HEADER in headers) from None
        token = bearer_of(authorization) if info.method == fl.FlightMethod.HANDSHAKE else None
        return KeptHeaders(headers, {"authorization": f"Bearer {token}"} if token else {}, counted)


def middleware(authorizer: Authorizer, ended: Ended) -> dict[str, fl.ServerMiddlewareFactory]:
    return {_KEY: HeaderKeeper(authorizer, ended)}
