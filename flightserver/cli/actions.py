"""The same administration where only the gRPC port can be reached: requests of HTTP as Flight actions, rows over Flight SQL.

B1  A command prints the same over both doors; the server's words are the same, and an error's kind becomes HTTP's status.

Held by tests/integration/cli/test_grpc.py (B1).
Elsewhere: the actions (flightserver.handlers.actions), the requests (cli.remote).
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pyarrow as pa

from catalog.durations import parse_duration_ns
from catalog.errors import DatabaseNotFound, LinesRejected, ServiceError, TableNotFound
from flightserver import wire
from flightserver.cli.answers import Answer, Query, Refused, Unreachable, reason_of
from flightserver.cli.console import CommandError
from flightserver.cli.doors import Outcome
from flightserver.cli.flight import Connection, Failed, Statement
from flightserver.cli.parsing import Given
from flightserver.cli.refused import RefusedLine
from flightserver.cli.sources import Source
from flightserver.cli.splitting import Body
from flightserver.client import EngineClient, EngineUnreachable
from httpapi.formats import FORMATS

Asked = Mapping[str, Any]

_STATUS_BY_KIND = {
    "invalid": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "limit": 422,
    "unavailable": 503,
}


def _retention_ns(asked: Asked) -> int | None:
    period = asked.get("retention_period")
    return None if period is None else parse_duration_ns(period)


def _database(asked: Asked) -> Asked:
    return {"name": asked["db"], "retention_ns": _retention_ns(asked)}


def _table(asked: Asked) -> Asked:
    fields = {field["name"]: field["type"] for field in asked["fields"]}
    made = {"database": asked["db"], "name": asked["table"], "tags": asked["tags"], "fields": fields}
    return made if _retention_ns(asked) is None else {**made, "retention_ns": _retention_ns(asked)}


def _table_retention(asked: Asked) -> Asked:
    return {"database": asked["db"], "name": asked["table"], "retention_ns": _retention_ns(asked)}


def _removal(asked: Asked) -> Asked:
    named = {"database": asked["db"], "name": asked["table"]} if "table" in asked else {"name": asked["db"]}
    return named | {key: asked[key] for key in ("hard_delete_at", "data_only", "remove_tables") if asked.get(key) is not None}


def _token(asked: Asked) -> Asked:
    return {"name": asked["token_name"], "expiry_secs": asked["expiry_secs"]}


def _resource_token(asked: Asked) -> Asked:
    permissions = [
        {"kind": each["resource_type"], "names": each["resource_names"], "actions": each["actions"]}
        for each in asked["permissions"]
    ]
    return {**_token(asked), "permissions": permissions}


def _nothing(asked: Asked) -> Asked:
    return {}


VERBS: Mapping[tuple[str, str], tuple[str, Callable[[Asked], Asked]]] = {
    ("GET", "/api/v3/configure/database"): ("list_databases", lambda asked: {"show_deleted": bool(asked.get("show_deleted"))}),
    ("POST", "/api/v3/configure/database"): ("create_database", _database),
    ("PUT", "/api/v3/configure/database"): ("set_retention", _database),
    ("DELETE", "/api/v3/configure/database"): ("drop_database", _removal),
    ("POST", "/api/v3/configure/table"): ("create_table", _table),
    ("PUT", "/api/v3/configure/table"): ("set_table_retention", _table_retention),
    ("DELETE", "/api/v3/configure/table"): ("drop_table", _removal),
    ("POST", "/api/v3/configure/token/admin"): ("create_operator_token", _nothing),
    ("POST", "/api/v3/configure/token/admin/regenerate"): ("regenerate_operator_token", _nothing),
    ("POST", "/api/v3/configure/token/named_admin"): ("create_admin_token", _token),
    ("POST", "/api/v3/enterprise/configure/token"): ("create_resource_token", _resource_token),
    ("DELETE", "/api/v3/configure/token"): ("delete_token", lambda asked: {"name": asked["token_name"]}),
}


class GrpcServer:
    def __init__(self, given: Given) -> None:
        self._connection = Connection(given)

    def call(self, method: str, path: str, query: Query | None = None, document: object = None) -> bytes:
        verb, payload_of = VERBS[method, path]
        asked: Asked = {**(query or {}), **(document if isinstance(document, dict) else {})}
        try:
            answer = self._connection.action(wire.ADMIN + verb, orjson.dumps(payload_of(asked)))
        except Failed as failed:
            raise _as_http(failed, path) from None
        if verb != "list_databases":
            return answer
        rows = sorted(orjson.loads(answer)["databases"], key=lambda row: (row["deleted"], row["name"]))
        columns = {"iox::database": [row["name"] for row in rows]}
        if asked.get("show_deleted"):
            columns["deleted"] = [row["deleted"] for row in rows]
        table = pa.table(columns)
        return b"".join(FORMATS[str(asked["format"])].encode(table.schema, iter(table.to_batches())))

    def rows(self, database: str, statement: str, name: str) -> bytes:
        asked = Statement(self._connection, database, statement, "sql")
        try:
            schema = asked.schema(_no_hurry)
            return b"".join(FORMATS[name].encode(schema, asked.batches(_no_hurry)))
        except Failed as failed:
            raise _as_http(failed) from None


class GrpcDoor:
    """Line protocol as messages of a write lane."""

    def __init__(self, given: Given) -> None:
        token = given.find("--token")
        self._given = given
        self._client: EngineClient | None = None
        self._authorization = None if token is None else f"Bearer {token}"

    def write(self, body: Body, source: Source) -> Outcome:
        if self._client is None:
            door = Connection(self._given)
            try:
                door.action(wire.IDENTITY, b"")  # a lane that cannot be opened does not say why
            except CommandError as error:
                return Outcome(error=error)
            self._client = EngineClient(door.location, tls_root_certs=door.roots, tls_verify=door.verifies)
        try:
            report = self._client.write_lp(
                db=self._given.text("--database"),
                body=body.data,
                precision=self._given.find("--precision") or "auto",
                accept_partial=self._given.find("--accept-partial") != "false",
                no_sync="--no-sync" in self._given,
                authorization=self._authorization,
            )
        except LinesRejected as error:
            lines = _refused(error.details["rejected"], body, source)
            return Outcome(lines, _as_http(Failed(error.message, error)))
        except EngineUnreachable as error:
            return Outcome(error=Unreachable("DoPut", self._given.text("--host"), error.message))
        except ServiceError as error:
            return Outcome(error=_as_http(Failed(error.message, error)))
        return Outcome(_refused(report["rejected"], body, source))


def _refused(lines: Any, body: Body, source: Source) -> list[RefusedLine]:
    return [
        RefusedLine(body.line + line["line_number"] - 1, line["error_message"], line["original_line"], source.name)
        for line in lines
    ]


def _as_http(failed: Failed, path: str = "") -> CommandError:
    """The same words as over HTTP."""
    error = failed.error
    if error is None:
        return failed
    document = {"error": _missing(error, path) or error.message} | ({"hint": error.hint} if error.hint else {})
    status = _STATUS_BY_KIND.get(error.kind, 500)
    return Refused(Answer(status, reason_of(status), orjson.dumps(document)))


def _missing(error: ServiceError, path: str) -> str | None:
    """What HTTP's endpoint says about a name that is not there."""
    match error:
        case DatabaseNotFound() if path.endswith("/database"):
            return f"the requested resource was not found: {error.details['name']}"
        case DatabaseNotFound() if path.endswith("/table"):
            return f"Database not found {error.details['name']}"
        case TableNotFound():
            return f"Table {error.details['table']} not in DB schema for {error.details['database']}"
    return None


def _no_hurry() -> None:
    """Nobody is told that it takes a while."""
