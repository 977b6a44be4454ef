"""Who calls and what they said beside the message: gRPC's headers, kept for the handlers.

K1  The database of a Flight SQL call is the value of the one database header sent, or the one value of several that agree;
    without any it is the one that the caller's session has chosen.

Held by tests/unit/flightserver/test_call.py (K1).
Elsewhere: what a token may do (flightserver.auth).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow.flight as fl

from catalog.errors import InvalidRequest, UnsupportedFeature
from engine.requests import Origin
from flightserver import wire
from flightserver.auth import bearer_of

DATABASE_HEADERS = ("database", "bucket", "bucket-name", "iox-namespace-name")
LANGUAGE_HEADER = "x-influxdata-query-language"
_KEY = "headers"

Headers = Mapping[str, Sequence[str]]


def _never() -> bool:
    return False


def _unheard(name: str, value: str) -> None:
    """A reply's header, where there is no reply."""


@dataclass(frozen=True, slots=True)
class Call:
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    is_cancelled: Callable[[], bool] = _never
    reply_header: Callable[[str, str], None] = _unheard
    session_database: str | None = None

    @classmethod
    def of(cls, context: fl.ServerCallContext, database_of: Callable[[Headers], str | None] = lambda _: None) -> "Call":
        """`context` is gone with its call: nothing may keep what is made of it for longer."""
        headers: Headers = context.get_middleware(_KEY).headers
        return cls(headers, context.is_cancelled, context.add_header, database_of(headers))

    def header(self, name: str) -> str | None:
        values = self.headers.get(name)
        return values[0] if values else None

    def check_language(self) -> None:
        """Statements are SQL, whatever else the call says that they are."""
        if (self.header(LANGUAGE_HEADER) or "sql").lower() != "sql":
            raise no_influxql()

    def origin(self, text: str | None = None) -> Origin:
        """What the log of queries says of a Flight SQL statement of this call."""
        return Origin("flightsql", text, self._trace_id())

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
        return self.header_database() or self.session_database

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


def no_influxql() -> UnsupportedFeature:
    return UnsupportedFeature("InfluxQL is not supported by this version", hint="use SQL")


def table_path(descriptor: fl.FlightDescriptor) -> tuple[str, str]:
    """(database, table) of a path descriptor."""
    path = [part.decode() for part in descriptor.path]
    if len(path) != 2:
        raise InvalidRequest("the path of a table is [database, table]")
    return path[0], path[1]


class KeptHeaders(fl.ServerMiddleware):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, headers: Mapping[str, Sequence[str]], reply: Mapping[str, str]) -> None:
        super().__init__()
        self.headers = headers
        self._reply = reply

    def sending_headers(self) -> Mapping[str, str]:
        return self._reply


class HeaderKeeper(fl.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
    def start_call(self, info: fl.CallInfo, headers: Mapping[str, Sequence[str]]) -> KeptHeaders:
        is_handshake = info.method == fl.FlightMethod.HANDSHAKE
        token = bearer_of(next(iter(headers.get("authorization", ())), None)) if is_handshake else None
        return KeptHeaders(headers, {"authorization": f"Bearer {token}"} if token else {})


MIDDLEWARE: Mapping[str, fl.ServerMiddlewareFactory] = {_KEY: HeaderKeeper()}
