"""Databases and tables are made, listed and dropped.

    /api/v3/configure/database                    GET lists, POST creates, PUT sets the retention period, DELETE drops
    /api/v3/configure/database/retention_period   POST sets, DELETE clears
    /api/v3/configure/table                       POST creates, DELETE drops

K1  A request is translated into one admin verb of the engine, which decides; nothing is looked up here.
K2  A deletion always says when the data goes for good: after 72 hours unless the request says something else.

Held by tests/integration/http/test_configure.py (K1, K2).
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from catalog.access import TOKEN
from catalog.durations import SECOND_NS, parse_duration_ns
from catalog.errors import DatabaseNotFound, InvalidRequest, NotFound, TableNotFound
from httpapi.calls import Call, Routes
from httpapi.formats import FORMAT_NAMES
from httpapi.parameters import Document, boolean, one_of, query_parameters, require, told_as
from httpapi.replies import NO_CONTENT, OK, Reply
from httpapi.routes.query import accepted_or_named, rows_reply

FIELD_TYPES = ("utf8", "int64", "uint64", "float64", "bool")

_HARD_DELETE_DEFAULT_NS = 72 * 3600 * SECOND_NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def list_databases(call: Call) -> Reply:
    asked = _asked(call, "format", optional=("show_deleted",))
    with told_as("serde error: {}"):
        show_deleted = boolean(asked.get("show_deleted", "false"))
        name = one_of(asked["format"], FORMAT_NAMES)
    wanted = accepted_or_named(name, call.accept)
    found = call.gateway.admin("list_databases", {"show_deleted": show_deleted}, call.authorization)["databases"]
    columns: dict[str, Any] = {"iox::database": pa.array([database["name"] for database in found], pa.string())}
    if show_deleted:
        columns["deleted"] = pa.array([database["deleted"] for database in found], pa.bool_())
    return rows_reply(pa.table(columns), wanted)


def create_database(call: Call) -> Reply:
    asked = Document(call.json_body())
    payload = {"name": asked.text("db"), "retention_ns": _retention_ns(asked)}
    call.gateway.admin("create_database", payload, call.authorization)
    return OK


def update_database(call: Call) -> Reply:
    asked = Document(call.json_body())
    call.gateway.admin("set_retention", {"name": asked.text("db"), "retention_ns": _retention_ns(asked)}, call.authorization)
    return OK


def drop_database(call: Call) -> Reply:
    asked = _asked(call, "db", optional=("hard_delete_at",))
    payload = {"name": asked["db"], "hard_delete_at_ns": _hard_delete_at_ns(asked.get("hard_delete_at", "default"))}
    try:
        call.gateway.admin("drop_database", payload, call.authorization)
    except DatabaseNotFound:
        raise NotFound(f"the requested resource was not found: {asked['db']}") from None
    return OK


def set_retention(call: Call) -> Reply:
    asked = _asked(call, "db", "duration")
    try:
        retention_ns = parse_duration_ns(asked["duration"])
    except ValueError as error:
        raise InvalidRequest(f"Cannot parse the given human time: {error}") from None
    call.gateway.admin("set_retention", {"name": asked["db"], "retention_ns": retention_ns}, call.authorization)
    return NO_CONTENT


def clear_retention(call: Call) -> Reply:
    asked = _asked(call, "db")
    call.gateway.admin("set_retention", {"name": asked["db"], "retention_ns": None}, call.authorization)
    return NO_CONTENT


def create_table(call: Call) -> Reply:
    asked = Document(call.json_body())
    fields: dict[str, str] = {}
    for field in asked.documents("fields"):
        name, kind = field.text("name"), field.text("type")
        with told_as("serde json error: {}"):
            one_of(kind, FIELD_TYPES)
        if name in fields:
            raise InvalidRequest(f"cannot add column {name} because it already exists with type {fields[name]}")
        fields[name] = kind
    payload = {"database": asked.text("db"), "name": asked.text("table"), "tags": asked.texts("tags"), "fields": fields}
    call.gateway.admin("create_table", payload, call.authorization)
    return OK


def drop_table(call: Call) -> Reply:
    asked = _asked(call, "db", "table", optional=("hard_delete_at",))
    payload = {
        "database": asked["db"],
        "name": asked["table"],
        "hard_delete_at_ns": _hard_delete_at_ns(asked.get("hard_delete_at", "default")),
    }
    try:
        call.gateway.admin("drop_table", payload, call.authorization)
    except DatabaseNotFound:
        raise NotFound(f"Database not found {asked['db']}") from None
    except TableNotFound:
        raise NotFound(f"Table {asked['table']} not in DB schema for {asked['db']}") from None
    return OK


def _asked(call: Call, *needed: str, optional: tuple[str, ...] = ()) -> dict[str, str]:
    with told_as("serde error: {}"):
        asked = dict(query_parameters(call.query_string, (*needed, *optional)))
        require(asked, *needed)
    return asked


def _retention_ns(asked: Document) -> int | None:
    text = asked.optional_text("retention_period")
    if text is None or text == "none":
        return None
    try:
        return parse_duration_ns(text)
    except ValueError as error:
        raise InvalidRequest(f"serde json error: {error}") from None


def _hard_delete_at_ns(text: str) -> int | None:
    if text == "never":
        return None
    if text == "now":
        return time.time_ns()
    if text == "default":
        return time.time_ns() + _HARD_DELETE_DEFAULT_NS
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(f"Cannot parse the timestamp: {error}") from None
    if moment.tzinfo is None:
        raise InvalidRequest(f"Cannot parse the timestamp: {text} has no time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


ROUTES: Routes = (
    ("/api/v3/configure/database", ["GET"], list_databases, TOKEN),
    ("/api/v3/configure/database", ["POST"], create_database, TOKEN),
    ("/api/v3/configure/database", ["PUT"], update_database, TOKEN),
    ("/api/v3/configure/database", ["DELETE"], drop_database, TOKEN),
    ("/api/v3/configure/database/retention_period", ["POST"], set_retention, TOKEN),
    ("/api/v3/configure/database/retention_period", ["DELETE"], clear_retention, TOKEN),
    ("/api/v3/configure/table", ["POST"], create_table, TOKEN),
    ("/api/v3/configure/table", ["DELETE"], drop_table, TOKEN),
)
