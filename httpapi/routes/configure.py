"""Databases and tables are made, listed and dropped.

    /api/v3/configure/database                    GET lists, POST creates, PUT sets the retention period, DELETE drops
    /api/v3/configure/database/retention_period   POST sets, DELETE clears
    /api/v3/configure/table                       POST creates, PUT sets the retention period, DELETE drops
    /api/v3/enterprise/configure/table/retention_period   POST sets, DELETE clears

K1  A request is translated into one admin verb of the engine, which decides; nothing is looked up here.
K2  A deletion always says when the data goes for good: by default, unless the request says something else.

Held by tests/integration/http/test_configure.py (K1, K2).
Elsewhere: what `hard_delete_at` may say (catalog/deletion.py).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from catalog.access import TOKEN
from catalog.durations import parse_duration_ns
from catalog.errors import DatabaseNotFound, InvalidRequest, NotFound, TableNotFound
from catalog.schema import FieldType
from httpapi.calls import Call, Routes
from httpapi.formats import FORMAT_NAMES
from httpapi.parameters import Document, boolean, one_of, query_parameters, require, told_as
from httpapi.replies import NO_CONTENT, OK, Reply
from httpapi.routes.query import accepted_or_named, rows_reply

FIELD_TYPES = ("utf8", "int64", "uint64", "float64", "bool")


def list_databases(call: Call) -> Reply:
    """Lists the databases as rows of one column, `iox::database`. Parameters: `format`, `show_deleted`."""
    asked = _asked(call, "format", optional=("show_deleted",))
    with told_as("serde error: {}"):
        show_deleted = boolean(asked.get("show_deleted", "false"))
        name = one_of(asked["format"], FORMAT_NAMES)
    wanted = accepted_or_named(name, call.accept)
    found = call.gateway.admin("list_databases", {"show_deleted": show_deleted}, call.authorization)["databases"]
    found.sort(key=lambda database: (database["deleted"], database["name"]))
    columns: dict[str, Any] = {"iox::database": pa.array([database["name"] for database in found], pa.string())}
    if show_deleted:
        columns["deleted"] = pa.array([database["deleted"] for database in found], pa.bool_())
    return rows_reply(pa.table(columns), wanted)


def create_database(call: Call) -> Reply:
    """Makes a database. JSON: `db`, `retention_period` (such as `30d`; absent: rows are kept for ever)."""
    asked = Document(call.json_body())
    payload = {"name": asked.text("db"), "retention_ns": _retention_ns(asked)}
    call.gateway.admin("create_database", payload, call.authorization)
    return OK


def update_database(call: Call) -> Reply:
    """Sets how long a database keeps its rows. JSON: `db`, `retention_period` (`none`: for ever)."""
    asked = Document(call.json_body())
    name = asked.text("db")
    with _as_resource(name):
        call.gateway.admin("set_retention", {"name": name, "retention_ns": _retention_ns(asked)}, call.authorization)
    return OK


def drop_database(call: Call) -> Reply:
    """Deletes a database. Parameters: `db`, `hard_delete_at` (`never`, `now`, a time), `data_only`, `remove_tables`."""
    asked = _asked(call, "db", optional=("hard_delete_at", "data_only", "remove_tables"))
    payload = {"name": asked["db"], **_removal(asked, "data_only", "remove_tables")}
    with _as_resource(asked["db"]):
        call.gateway.admin("drop_database", payload, call.authorization)
    return OK


def set_retention(call: Call) -> Reply:
    """Sets how long a database keeps its rows. Parameters: `db`, `duration`."""
    asked = _asked(call, "db", "duration")
    retention_ns = _period_ns(asked["duration"])
    with _as_resource(asked["db"]):
        call.gateway.admin("set_retention", {"name": asked["db"], "retention_ns": retention_ns}, call.authorization)
    return NO_CONTENT


def clear_retention(call: Call) -> Reply:
    """Lets a database keep its rows for ever. Parameter: `db`."""
    asked = _asked(call, "db")
    with _as_resource(asked["db"]):
        call.gateway.admin("set_retention", {"name": asked["db"], "retention_ns": None}, call.authorization)
    return NO_CONTENT


def create_table(call: Call) -> Reply:
    """Makes a table. JSON: `db`, `table`, `tags` (a list), `fields` (a list of `name` and `type`), `retention_period`."""
    asked = Document(call.json_body())
    fields: dict[str, str] = {}
    for field in asked.documents("fields"):
        name, kind = field.text("name"), field.text("type")
        with told_as("serde json error: {}"):
            one_of(kind, FIELD_TYPES)
        if name in fields:
            existing = FieldType.from_api_name(fields[name]).iox
            raise InvalidRequest(f"cannot add column {name} because it already exists with type {existing}")
        fields[name] = kind
    payload = {
        "database": asked.text("db"),
        "name": asked.text("table"),
        "tags": asked.texts("tags"),
        "fields": fields,
        "retention_ns": _retention_ns(asked),
    }
    call.gateway.admin("create_table", payload, call.authorization)
    return OK


def update_table(call: Call) -> Reply:
    """Sets how long a table keeps its rows. JSON: `db`, `table`, `retention_period` (`none`: as the database says)."""
    asked = Document(call.json_body())
    _retain_table(call, asked.text("db"), asked.text("table"), _retention_ns(asked))
    return OK


def drop_table(call: Call) -> Reply:
    """Deletes a table. Parameters: `db`, `table`, `hard_delete_at`, `data_only`."""
    asked = _asked(call, "db", "table", optional=("hard_delete_at", "data_only"))
    payload = {"database": asked["db"], "name": asked["table"], **_removal(asked, "data_only")}
    with _as_table(asked["db"], asked["table"]):
        call.gateway.admin("drop_table", payload, call.authorization)
    return OK


def set_table_retention(call: Call) -> Reply:
    """Sets how long a table keeps its rows. Parameters: `db`, `table`, `duration`."""
    asked = _asked(call, "db", "table", "duration")
    _retain_table(call, asked["db"], asked["table"], _period_ns(asked["duration"]))
    return NO_CONTENT


def clear_table_retention(call: Call) -> Reply:
    """Lets a table keep its rows as its database says. Parameters: `db`, `table`."""
    asked = _asked(call, "db", "table")
    _retain_table(call, asked["db"], asked["table"], None)
    return NO_CONTENT


def _retain_table(call: Call, database: str, table: str, retention_ns: int | None) -> None:
    payload = {"database": database, "name": table, "retention_ns": retention_ns}
    with _as_table(database, table):
        call.gateway.admin("set_table_retention", payload, call.authorization)


@contextmanager
def _as_resource(name: str) -> Iterator[None]:
    try:
        yield
    except DatabaseNotFound:
        raise NotFound(f"the requested resource was not found: {name}") from None


@contextmanager
def _as_table(database: str, table: str) -> Iterator[None]:
    try:
        yield
    except DatabaseNotFound:
        raise NotFound(f"Database not found {database}") from None
    except TableNotFound:
        raise NotFound(f"Table {table} not in DB schema for {database}") from None


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


def _period_ns(text: str) -> int:
    try:
        return parse_duration_ns(text)
    except ValueError as error:
        raise InvalidRequest(f"Cannot parse the given human time: {error}") from None


def _removal(asked: Mapping[str, str], *scopes: str) -> dict[str, Any]:
    """When and how much: K2."""
    with told_as("serde error: {}"):
        chosen = {scope: boolean(asked[scope]) for scope in scopes if scope in asked}
    return {"hard_delete_at": asked.get("hard_delete_at", "default"), **chosen}


ROUTES: Routes = (
    ("/api/v3/configure/database", ["GET"], list_databases, TOKEN),
    ("/api/v3/configure/database", ["POST"], create_database, TOKEN),
    ("/api/v3/configure/database", ["PUT"], update_database, TOKEN),
    ("/api/v3/configure/database", ["DELETE"], drop_database, TOKEN),
    ("/api/v3/configure/database/retention_period", ["POST"], set_retention, TOKEN),
    ("/api/v3/configure/database/retention_period", ["DELETE"], clear_retention, TOKEN),
    ("/api/v3/configure/table", ["POST"], create_table, TOKEN),
    ("/api/v3/configure/table", ["PUT"], update_table, TOKEN),
    ("/api/v3/configure/table", ["DELETE"], drop_table, TOKEN),
    ("/api/v3/enterprise/configure/table/retention_period", ["POST"], set_table_retention, TOKEN),
    ("/api/v3/enterprise/configure/table/retention_period", ["DELETE"], clear_table_retention, TOKEN),
)
