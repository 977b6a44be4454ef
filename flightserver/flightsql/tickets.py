"""What a DoGet ticket asks for: the JSON ticket, ReadInfo bare or in Any, and the tickets of our own FlightInfos. Pure.

T1  A JSON ticket names one database (under one of its aliases), a statement and a language; parameters are scalars.
T2  A ticket that is none of these, or breaks a rule of its kind, is refused with one text.
T3  The ticket of a FlightInfo carries command, database and the query's id: redeeming it needs no header and no state.

Held by tests/unit/flightserver/test_flightsql_tickets.py (T1-T3).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import Message

from catalog.errors import InvalidRequest
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql

Scalar = None | bool | int | float | str

_DATABASE_KEYS = ("database", "namespace_name", "bucket", "bucket-name")
_SQL, _INFLUXQL, _COMMAND = 1, 2, 3
_LANGUAGES = {0: "sql", _SQL: "sql", _INFLUXQL: "influxql"}


@dataclass(frozen=True, slots=True)
class StatementTicket:
    """A statement to run. `query_id`: by which planning it can be cancelled, where the sender gave it one."""

    database: str
    text: str
    language: str = "sql"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    query_id: bytes = b""


@dataclass(frozen=True, slots=True)
class CommandTicket:
    """A Flight SQL command to run. `database` is empty for commands that need none, `query_id` for foreign tickets."""

    database: str
    command: Message
    query_id: bytes = b""


def _invalid() -> InvalidRequest:
    return InvalidRequest("Invalid ticket. Error: Invalid ticket")


def encode_command(database: str, command: bytes, query_id: bytes = b"") -> bytes:
    """A FlightInfo's ticket. `command` is the Any that says what to do."""
    info = sql.ReadInfo(database=database, query_type=_COMMAND, flightsql_command=command, query_id=query_id)
    return commands.pack_read_info(info)


def query_id_of(ticket: bytes) -> bytes:
    """The id in a ticket of ours; empty in all others."""
    try:
        found = decode(ticket)
    except InvalidRequest:
        return b""
    return found.query_id if isinstance(found, CommandTicket) else b""


def decode(ticket: bytes) -> StatementTicket | CommandTicket:
    if ticket.lstrip()[:1] == b"{":
        return _from_json(ticket)
    try:
        type_url, value = commands.open_any(ticket)
    except InvalidRequest:
        type_url, value = "", b""
    if type_url.startswith(commands.SQL_PREFIX):
        return CommandTicket("", commands.unpack(ticket))
    try:
        read_info = commands.parse(sql.ReadInfo, value if type_url == commands.READ_INFO_URL else ticket)
    except InvalidRequest:
        raise _invalid() from None
    return _from_read_info(read_info)


def _from_json(ticket: bytes) -> StatementTicket:
    try:
        found = json.loads(ticket)
    except (ValueError, RecursionError):
        raise _invalid() from None
    databases = [found[key] for key in _DATABASE_KEYS if key in found]
    text = found.get("sql_query")
    language = found.get("query_type") or "sql"
    params = found.get("params", {})
    query_id = found.get("query_id")
    if len(databases) != 1 or not isinstance(databases[0], str) or not isinstance(text, str):
        raise _invalid()
    if language not in ("sql", "influxql") or not isinstance(params, dict):
        raise _invalid()
    if not all(isinstance(value, Scalar) for value in params.values()):
        raise _invalid()
    return StatementTicket(databases[0], text, language, params, query_id.encode() if isinstance(query_id, str) else b"")


def _from_read_info(info: sql.ReadInfo) -> StatementTicket | CommandTicket:
    if info.query_type == _COMMAND:
        if info.sql_query or not info.flightsql_command:
            raise _invalid()
        return CommandTicket(info.database, commands.unpack(info.flightsql_command), info.query_id)
    if info.query_type not in _LANGUAGES or info.flightsql_command or not info.database:
        raise _invalid()
    params = {param.name: _param(param) for param in info.params}
    return StatementTicket(info.database, info.sql_query, _LANGUAGES[info.query_type], params)


def _param(param: sql.QueryParam) -> Scalar:
    kind = param.WhichOneof("value")
    value: Scalar = None if kind in (None, "null") else getattr(param, kind)
    return value
