"""Line protocol comes in: three doors, one road.

    POST /api/v3/write_lp   db, precision (auto), accept_partial (true), no_sync (false)
    POST /api/v2/write      bucket (or db), precision (nanosecond); all or nothing
    POST /write             db, rp, precision (nanosecond); all or nothing

W1  A door only translates: what a line means, and whether it is taken, is decided in the engine.
W2  Nothing is sent to the engine before the whole body has arrived.
W3  A parameter that an endpoint knows appears at most once and has a value that the endpoint knows; others are ignored.

These are called by httpapi.app without Flask between (figures there). A client sends the same query string with every
request, so what it means is remembered.

Held by tests/unit/httpapi/test_write_parameters.py (W3) and tests/integration/http/test_write.py (W1, W2).
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from catalog.errors import InvalidRequest, ServiceError
from catalog.names import check_database_name, check_namespace_name, with_retention_policy
from flightserver.client import Room
from flightserver.wire import WriteHeader, WriteReportDict
from httpapi.admission import CREDENTIAL_KEY
from httpapi.bodies import BodyReader, Environ
from httpapi.errors import Family, rejected_reply, write_error_reply
from httpapi.gateway import Gateway
from httpapi.parameters import boolean, one_of, query_parameters, require, told_as
from httpapi.replies import NO_CONTENT, Reply

_REMEMBERED_QUERY_STRINGS = 1024
_REMEMBERED_CHARACTERS = 512  # a longer one is no client's habit

_PRECISIONS = {
    "second": "second",
    "s": "second",
    "millisecond": "millisecond",
    "ms": "millisecond",
    "microsecond": "microsecond",
    "us": "microsecond",
    "u": "microsecond",
    "nanosecond": "nanosecond",
    "ns": "nanosecond",
    "n": "nanosecond",
}
_PRECISIONS_V3 = {"auto": "auto"} | _PRECISIONS

_COMMA_FOR_AMPERSAND = re.compile(r"\b((?:db|bucket)=[^&,]*),(?=precision=)")


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how the lines of a request are written: all that its query string says."""

    door: Family
    db: str
    precision: str
    accept_partial: bool = False
    no_sync: bool = False

    def header(self, authorization: str | None) -> WriteHeader:
        return WriteHeader(self.db, self.precision, self.accept_partial, self.no_sync, self.door.value, authorization)


def write(environ: Environ, gateway: Gateway, bodies: BodyReader) -> Reply:
    """Take one body to the engine and turn its report into the answer that this door's clients expect."""
    target = parse_target(environ["PATH_INFO"], environ["QUERY_STRING"])
    with (
        gateway.room_for(bodies.straight_bytes(environ)) as room,
        bodies.read(environ, None if room is None else room.memory) as body,
    ):
        return reply_to(target, partial(_stored, target.header(environ[CREDENTIAL_KEY]), body, gateway, room))


def reply_to(target: Target, report: Callable[[], WriteReportDict]) -> Reply:
    """The answer of this door to what `report` returns or raises."""
    try:
        found = report()
    except ServiceError as error:
        return write_error_reply(target.door, error)
    if found["rejected"]:
        return rejected_reply(target.door, found["rejected"], stored=True)
    return NO_CONTENT


def _stored(header: WriteHeader, body: memoryview, gateway: Gateway, room: Room | None) -> WriteReportDict:
    if not body:
        raise InvalidRequest("incoming write was empty")
    return gateway.write_lp(header, body, room)


def parse_target(path: str, query_string: str) -> Target:
    """A query string that may hold a token is not remembered."""
    is_habit = len(query_string) <= _REMEMBERED_CHARACTERS and "p=" not in query_string
    return (_remembered_target if is_habit else _target)(path, query_string)


def _target(path: str, query_string: str) -> Target:
    """Older documentation prints `db=mydb,precision=ns`. No database name has a comma, so it is read as an ampersand there."""
    return WRITE_PATHS[path](_COMMA_FOR_AMPERSAND.sub(r"\1&", query_string))


_remembered_target = lru_cache(_REMEMBERED_QUERY_STRINGS)(_target)


def _target_v3(query_string: str) -> Target:
    """Stores line protocol. Parameters: `db`, `precision` (`auto`), `accept_partial` (`true`), `no_sync` (`false`)."""
    if not query_string:
        raise InvalidRequest("missing query parameter 'db'")
    found = {"precision": "auto", "accept_partial": "true", "no_sync": "false"}
    with told_as("serde error: {}"):
        for name, value in query_parameters(query_string, ("db", *found)):
            found[name] = value
            if name == "precision":
                one_of(value, _PRECISIONS_V3)
            elif name != "db":
                boolean(value)
        require(found, "db")
    check_database_name(found["db"])
    return Target(
        door=Family.V3,
        db=found["db"],
        precision=_PRECISIONS_V3[found["precision"]],
        accept_partial=boolean(found["accept_partial"]),
        no_sync=boolean(found["no_sync"]),
    )


def _target_v2(query_string: str) -> Target:
    """Stores line protocol, all of it or nothing. Parameters: `bucket`, `precision` (`ns`)."""
    if not query_string:
        raise InvalidRequest("no org/bucket destination provided")
    with told_as("failed to deserialize org/bucket/precision in request: {}"):
        found = _found(query_string, ("bucket", "precision"), {"db": "bucket"})
        require(found, "bucket")
        precision = _old_precision(found)
    bucket = found["bucket"]
    if not bucket:
        raise InvalidRequest("missing bucket value")
    check_namespace_name(bucket)
    check_database_name(bucket)
    return Target(Family.V2, bucket, precision)


def _target_v1(query_string: str) -> Target:
    """Stores line protocol, all of it or nothing. Parameters: `db`, `rp`, `precision` (`ns`)."""
    if not query_string:
        raise InvalidRequest("no db destination provided")
    with told_as("failed to deserialize db/rp/precision in request: {}"):
        found = _found(query_string, ("db", "rp", "precision"), {})
        require(found, "db")
        precision = _old_precision(found)
    db = with_retention_policy(found["db"], found.get("rp"))
    check_namespace_name(db)
    check_database_name(db)
    return Target(Family.V1, db, precision)


WRITE_PATHS = {"/api/v3/write_lp": _target_v3, "/api/v2/write": _target_v2, "/write": _target_v1}


def _found(query_string: str, known: Collection[str], aliases: Mapping[str, str]) -> dict[str, str]:
    return dict(query_parameters(query_string, known, aliases))


def _old_precision(found: Mapping[str, str]) -> str:
    """What v1 and v2 clients mean; some of them send the parameter empty, and one writes µ (as one of two characters)."""
    word = found.get("precision", "").replace("\u00b5", "u").replace("\u03bc", "u") or "ns"
    return _PRECISIONS[one_of(word, _PRECISIONS)]
