"""Flight SQL's messages inside google.protobuf.Any: names to classes and back. Pure.

M1  A message that was packed is unpacked to an equal one; the type URL is the standard's, whatever our .proto calls it.
M2  Bytes that are no Any, or name a message we do not know, are refused with the type URL they carry.

Held by tests/unit/flightserver/test_flightsql_commands.py (M1, M2).
Elsewhere: the messages (proto/flightsql.proto), what they do (flightserver.handlers).
"""

from typing import TypeVar

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message

from catalog.errors import InvalidRequest, UnsupportedFeature
from flightserver.flightsql.proto import flightsql_pb2 as sql

M = TypeVar("M", bound=Message)

SQL_PREFIX = "type.googleapis.com/arrow.flight.protocol.sql."
READ_INFO_URL = "type.googleapis.com/influxdata.iox.querier.v1.ReadInfo"

COMMANDS: dict[str, type[Message]] = {
    name: getattr(sql, name)
    for name in (
        "CommandStatementQuery",
        "TicketStatementQuery",
        "CommandStatementSubstraitPlan",
        "CommandPreparedStatementQuery",
        "CommandPreparedStatementUpdate",
        "CommandStatementUpdate",
        "CommandStatementIngest",
        "CommandGetSqlInfo",
        "CommandGetXdbcTypeInfo",
        "CommandGetCatalogs",
        "CommandGetDbSchemas",
        "CommandGetTables",
        "CommandGetTableTypes",
        "CommandGetPrimaryKeys",
        "CommandGetExportedKeys",
        "CommandGetImportedKeys",
        "CommandGetCrossReference",
        "ActionCreatePreparedStatementRequest",
        "ActionCreatePreparedSubstraitPlanRequest",
        "ActionCreatePreparedStatementResult",
        "ActionClosePreparedStatementRequest",
        "ActionBeginTransactionRequest",
        "ActionEndTransactionRequest",
        "ActionBeginSavepointRequest",
        "ActionEndSavepointRequest",
        "ActionCancelQueryRequest",
        "ActionCancelQueryResult",
    )
}


def pack(message: Message) -> bytes:
    """The message in an Any under the standard's type URL."""
    return _pack(SQL_PREFIX + type(message).__name__, message)


def pack_read_info(message: Message) -> bytes:
    return _pack(READ_INFO_URL, message)


def _pack(type_url: str, message: Message) -> bytes:
    packed = any_pb2.Any(type_url=type_url, value=message.SerializeToString())
    return bytes(packed.SerializeToString())


def unpack(data: bytes) -> Message:
    """The message that an Any holds."""
    type_url, value = open_any(data)
    name = type_url.removeprefix(SQL_PREFIX)
    if name == type_url or name not in COMMANDS:
        raise UnsupportedFeature(f"Unsupported FlightSQL message type: {type_url}")
    return parse(COMMANDS[name], value)


def unpack_as(kind: type[M], data: bytes) -> M:
    """The message that an Any holds, which must be of this kind."""
    message = unpack(data)
    if not isinstance(message, kind):
        raise InvalidRequest(f"expected {kind.__name__}, got {type(message).__name__}")
    return message


def open_any(data: bytes) -> tuple[str, bytes]:
    envelope = parse(any_pb2.Any, data)
    return envelope.type_url, envelope.value


def parse(kind: type[M], data: bytes) -> M:
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"Invalid protobuf: {error}") from None
    return message


def optional(message: Message, name: str) -> str | None:
    """A field with presence: absent is None, and not the same as empty."""
    return getattr(message, name) if message.HasField(name) else None
