"""Who may do what: every route, RPC, command, action and verb of the command line × every kind of token.

The rows are held against the registries of the product: what is new there and has no row here fails.
"""

import itertools
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from catalog.credentials import MALFORMED
from catalog.tokens import DATABASE_ACTIONS
from flightserver import wire
from flightserver.cli import main as command_line
from flightserver.cli.tree import TREE
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers.actions import Actions
from flightserver.server import EngineServer
from httpapi.app import ROUTES
from httpapi.routes.write import WRITE_PATHS
from tests.conftest import PRODUCT
from tests.helpers.cli import influxdb3
from tests.helpers.secured import Secured, secured
from tests.helpers.servers import Server, running

# ---- callers

NOBODIES = ("nobody", "malformed", "unknown", "expired", "deleted")
ADMINS = frozenset({"operator", "admin"})
EVERY_RIGHT = {action: f"may {action}" for action in DATABASE_ACTIONS}
SOMEBODIES = frozenset({*ADMINS, *EVERY_RIGHT.values(), "all", "all of others", "system"})


def having(*actions: str) -> frozenset[str]:
    """Callers with one of these rights on the database that a row is about."""
    return ADMINS | {"all"} | {EVERY_RIGHT[action] for action in actions}


ANY = SOMEBODIES
OPEN = SOMEBODIES | set(NOBODIES)
SYSTEM = ADMINS | {"system"}
READ, WRITE, UPDATE, DROP = having("read"), having("write"), having("update"), having("drop")
EMPTY, SEE = having("drop", "delete"), having("read", "describe")
CREATE_NEW = ADMINS | {"all"}  # of what does not exist, a wildcard only


@dataclass(frozen=True)
class Visit:
    """One caller in front of one door, about a database of their own that has a table `cpu`."""

    server: Secured
    flight: fl.FlightClient
    database: str
    authorization: str | None

    def http(self, method: str, path: str, **more: Any) -> str:
        headers = {"Authorization": self.authorization} if self.authorization else {}
        answer = self.server.http.open(path.format(db=self.database), method=method, headers=headers, **more)
        if answer.status_code == 400 and MALFORMED.encode() in answer.data:
            return "malformed"
        return {401: "nobody", 403: "forbidden"}.get(answer.status_code, "admitted")

    def rpc(self, call: Callable[[fl.FlightClient, fl.FlightCallOptions], object], **headers: str) -> str:
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        if self.authorization:
            sent.append((b"authorization", self.authorization.encode()))
        try:
            call(self.flight, fl.FlightCallOptions(timeout=60, headers=sent))
        except fl.FlightUnauthenticatedError:
            return "nobody"
        except fl.FlightUnauthorizedError:
            return "forbidden"
        except (pa.ArrowException, OSError) as error:  # GetSchema has no classes of its own for these
            if "Unauthenticated" in str(error):
                return "nobody"
            return "forbidden" if "Permission denied" in str(error) else "admitted"
        return "admitted"

    def act(self, name: str, body: bytes | Mapping[str, Any] = b"") -> str:
        data = body if isinstance(body, bytes) else json.dumps(body).replace("{db}", self.database).encode()
        return self.rpc(lambda flight, options: list(flight.do_action(fl.Action(name, data), options)), database=self.database)

    def put(self, descriptor: fl.FlightDescriptor, *, table: bool = True) -> str:
        batch = pa.record_batch({"v": [1.0], "time": pa.array([1], pa.timestamp("ns"))})
        empty = pa.record_batch({})

        def send(flight: fl.FlightClient, options: fl.FlightCallOptions) -> None:
            rows = batch if table else empty
            writer, reader = flight.do_put(descriptor, rows.schema, options)
            with writer:
                if table:
                    writer.write_batch(rows)
                writer.done_writing()
                while reader.read() is not None:
                    continue

        return self.rpc(send, database=self.database)


Knock = Callable[[Visit], str]
Row = tuple[Knock, frozenset[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("matrix")) as found:
        yield found


@pytest.fixture(scope="module")
def flight(server: Secured) -> Iterator[fl.FlightClient]:
    with fl.FlightClient(server.url) as client:
        yield client


_numbers = itertools.count(1)


def authorization_of(server: Secured, caller: str, database: str) -> str | None:
    match caller:
        case "nobody":
            return None
        case "malformed":
            return f"bearer {server.operator}"
        case "unknown":
            return "Bearer apiv3_unknown"
        case "expired":
            return f"Bearer {server.token('*:*:*', expiry_secs=0)}"
        case "deleted":
            name = f"deleted {next(_numbers)}"
            token = server.token("*:*:*", name=name)
            server.keeper.delete(name)
            return f"Bearer {token}"
        case "operator":
            return f"Bearer {server.operator}"
        case "admin":
            return f"Bearer {server.token('*:*:*')}"
        case "all":
            return f"Bearer {server.token('db:*:*')}"
        case "all of others":
            return f"Bearer {server.token('db:a,b:*')}"
        case "system":
            return f"Bearer {server.token('system:*:read')}"
    right = caller.removeprefix("may ")
    return f"Bearer {server.token(f'db:{database}:{right}')}"


def check(server: Secured, flight: fl.FlightClient, row: Row, *, malformed: str, expired: str) -> None:
    knock, admitted = row
    wrong = {}
    for caller in (*NOBODIES, *sorted(SOMEBODIES)):
        database = f"db{next(_numbers)}"
        server.node.create_table(database, "cpu", ["host"], {"v": "float64"})
        visit = Visit(server, flight, database, authorization_of(server, caller, database))
        refused = {"malformed": malformed, "expired": expired}.get(caller, "nobody") if caller in NOBODIES else "forbidden"
        expected = "admitted" if caller in admitted else refused
        found = knock(visit)
        if found != expected:
            wrong[caller] = f"{found}, expected {expected}"
    assert not wrong


# ---- HTTP


def http(method: str, path: str, **more: Any) -> Knock:
    return lambda visit: visit.http(method, path, **_about(more, visit.database))


def _about(more: Mapping[str, Any], database: str) -> dict[str, Any]:
    found = dict(more)
    if "json" in found:
        found["json"] = json.loads(json.dumps(found["json"]).replace("{db}", database))
    return found


WISH = [{"resource_type": "db", "resource_names": ["a"], "actions": ["read"]}]
TABLE = {"db": "{db}", "table": "new", "tags": [], "fields": []}
LINES = {"data": b"cpu,host=a v=2 2"}

HTTP_ROWS: Mapping[tuple[str, str], Row] = {
    ("POST", "/api/v3/write_lp"): (http("POST", "/api/v3/write_lp?db={db}", **LINES), WRITE),
    ("POST", "/api/v2/write"): (http("POST", "/api/v2/write?bucket={db}", **LINES), WRITE),
    ("POST", "/write"): (http("POST", "/write?db={db}", **LINES), WRITE),
    ("GET", "/health"): (http("GET", "/health"), SYSTEM),
    ("GET", "/api/v1/health"): (http("GET", "/api/v1/health"), SYSTEM),
    ("GET", "/ping"): (http("GET", "/ping"), SYSTEM),
    ("HEAD", "/ping"): (http("HEAD", "/ping"), SYSTEM),
    ("POST", "/ping"): (http("POST", "/ping"), SYSTEM),
    ("GET", "/metrics"): (http("GET", "/metrics"), SYSTEM),
    ("GET", "/ready"): (http("GET", "/ready"), SYSTEM),
    ("GET", "/debug/pprof/heap"): (http("GET", "/debug/pprof/heap"), ADMINS),
    ("POST", "/debug/pprof/heap"): (http("POST", "/debug/pprof/heap"), ADMINS),
    ("GET", "/api/v3/query_sql"): (http("GET", "/api/v3/query_sql?db={db}&q=SELECT+*+FROM+cpu"), READ),
    ("POST", "/api/v3/query_sql"): (http("POST", "/api/v3/query_sql", json={"db": "{db}", "q": "SELECT 1"}), READ),
    # refused as a whole so far, to everybody who is somebody
    ("GET", "/api/v3/query_influxql"): (http("GET", "/api/v3/query_influxql?db={db}&q=SHOW+MEASUREMENTS"), ANY),
    ("POST", "/api/v3/query_influxql"): (http("POST", "/api/v3/query_influxql", json={"db": "{db}", "q": "x"}), ANY),
    ("GET", "/query"): (http("GET", "/query?db={db}&q=SHOW+MEASUREMENTS"), ANY),
    ("POST", "/query"): (http("POST", "/query?db={db}", data={"q": "SHOW MEASUREMENTS"}), ANY),
    # lists hold what the caller sees: tests/integration/http/test_tokens.py
    ("GET", "/api/v3/configure/database"): (http("GET", "/api/v3/configure/database?format=json"), ANY),
    ("POST", "/api/v3/configure/database"): (
        http("POST", "/api/v3/configure/database", json={"db": "{db}new"}),
        CREATE_NEW,
    ),
    ("PUT", "/api/v3/configure/database"): (
        http("PUT", "/api/v3/configure/database", json={"db": "{db}", "retention_period": "9d"}),
        UPDATE,
    ),
    ("DELETE", "/api/v3/configure/database"): (http("DELETE", "/api/v3/configure/database?db={db}"), DROP),
    ("POST", "/api/v3/configure/database/retention_period"): (
        http("POST", "/api/v3/configure/database/retention_period?db={db}&duration=9d"),
        UPDATE,
    ),
    ("DELETE", "/api/v3/configure/database/retention_period"): (
        http("DELETE", "/api/v3/configure/database/retention_period?db={db}"),
        UPDATE,
    ),
    ("POST", "/api/v3/configure/table"): (http("POST", "/api/v3/configure/table", json=TABLE), WRITE),
    ("PUT", "/api/v3/configure/table"): (
        http("PUT", "/api/v3/configure/table", json={"db": "{db}", "table": "cpu", "retention_period": "9d"}),
        UPDATE,
    ),
    ("DELETE", "/api/v3/configure/table"): (http("DELETE", "/api/v3/configure/table?db={db}&table=cpu"), DROP),
    ("POST", "/api/v3/enterprise/configure/table/retention_period"): (
        http("POST", "/api/v3/enterprise/configure/table/retention_period?db={db}&table=cpu&duration=9d"),
        UPDATE,
    ),
    ("DELETE", "/api/v3/enterprise/configure/table/retention_period"): (
        http("DELETE", "/api/v3/enterprise/configure/table/retention_period?db={db}&table=cpu"),
        UPDATE,
    ),
    ("POST", "/api/v3/configure/token/admin"): (http("POST", "/api/v3/configure/token/admin"), OPEN),
    # with a body that is refused, so that the operator's token stays what it is
    ("POST", "/api/v3/configure/token/named_admin"): (
        http("POST", "/api/v3/configure/token/named_admin", json={"token_name": "for {db}"}),
        ADMINS,
    ),
    ("POST", "/api/v3/enterprise/configure/token"): (
        http("POST", "/api/v3/enterprise/configure/token", json={"token_name": "{db}", "permissions": WISH}),
        ADMINS,
    ),
    ("DELETE", "/api/v3/configure/token"): (http("DELETE", "/api/v3/configure/token?token_name=of+{db}"), ADMINS),
}
#: each use takes away the operator's token: tests/integration/http/test_tokens.py asks it of every kind of caller
HTTP_APART = {("POST", "/api/v3/configure/token/admin/regenerate")}
UNROUTED: Mapping[str, Row] = {
    "OPTIONS": (http("OPTIONS", "/anything"), OPEN),
    "an unknown path": (http("GET", "/nowhere"), ANY),
    "a known path with a method that it does not take": (http("PATCH", "/api/v3/write_lp"), ANY),
}


def test_every_route_has_a_row() -> None:
    routes = {(method, rule) for rule, methods, _, _ in ROUTES for method in methods} | {("POST", path) for path in WRITE_PATHS}

    assert routes == set(HTTP_ROWS) | HTTP_APART


@pytest.mark.parametrize("route", HTTP_ROWS, ids=" ".join)
def test_a_route_admits_whom_it_should(server: Secured, flight: fl.FlightClient, route: tuple[str, str]) -> None:
    check(server, flight, HTTP_ROWS[route], malformed="malformed", expired="nobody")


@pytest.mark.parametrize("what", UNROUTED, ids=str)
def test_what_is_no_route_is_told_to_nobody_it_should_not_be_told_to(
    server: Secured, flight: fl.FlightClient, what: str
) -> None:
    check(server, flight, UNROUTED[what], malformed="malformed", expired="nobody")


@pytest.mark.parametrize("caller", [*NOBODIES, *sorted(SOMEBODIES - ADMINS)])
def test_nobody_but_an_administrator_replaces_the_operator_token(server: Secured, flight: fl.FlightClient, caller: str) -> None:
    for path in ("/api/v3/configure/token/admin/regenerate",):
        visit = Visit(server, flight, "a", authorization_of(server, caller, "a"))
        assert visit.http("POST", path) in ("nobody", "forbidden", "malformed")
        assert visit.act(wire.ADMIN + "regenerate_operator_token") in ("nobody", "forbidden")


# ---- Flight


def command(message: Any) -> fl.FlightDescriptor:
    return fl.FlightDescriptor.for_command(commands.pack(message))


def prepared(visit: Visit, query: str) -> bytes:
    return sql.PreparedStatementHandle(query=query, database=visit.database, id=b"0" * 16).SerializeToString()


def asks(message: Callable[[Visit], Any]) -> Knock:
    """GetFlightInfo, and DoGet of the same command as a ticket: both have to say the same."""

    def knock(visit: Visit) -> str:
        descriptor = command(message(visit))
        described = visit.rpc(lambda flight, options: flight.get_flight_info(descriptor, options), database=visit.database)
        given = fl.Ticket(descriptor.command)
        got = visit.rpc(lambda flight, options: flight.do_get(given, options).read_all(), database=visit.database)
        return described if described == got else f"described: {described}, got: {got}"

    return knock


def puts(message: Callable[[Visit], Any], *, table: bool = True) -> Knock:
    return lambda visit: visit.put(command(message(visit)), table=table)


Options = sql.TableDefinitionOptions
INGEST = Options(if_not_exist=Options.IF_NOT_EXIST_CREATE, if_exists=Options.IF_EXISTS_APPEND)
REPLACING = Options(if_not_exist=Options.IF_NOT_EXIST_CREATE, if_exists=Options.IF_EXISTS_REPLACE)
VALUES = "INSERT INTO cpu (host, v, time) VALUES ('b', 1.0, TIMESTAMP '2024-01-01T00:00:00Z')"
COPY = "INSERT INTO cpu SELECT * FROM cpu"


def native(visit: Visit) -> str:
    given = fl.Ticket(json.dumps({"database": visit.database, "sql_query": "SELECT * FROM cpu"}))
    return visit.rpc(lambda flight, options: flight.do_get(given, options).read_all())


def put_json(**more: str) -> Knock:
    return lambda visit: visit.put(
        fl.FlightDescriptor.for_command(json.dumps({"database": visit.database, "table": "put", **more}))
    )


def lane(visit: Visit) -> str:
    """One message, whose author is the caller of the stream; its answer tells."""
    said: list[str] = []

    def talk(flight: fl.FlightClient, options: fl.FlightCallOptions) -> None:
        writer, reader = flight.do_put(fl.FlightDescriptor.for_command(wire.lane_command(None)), pa.schema([]), options)
        with writer:
            writer.write_metadata(wire.encode_write_header(wire.WriteHeader(visit.database)) + b"cpu,host=a v=2 2")
            answer = json.loads(reader.read().to_pybytes())
            said.append(answer.get("error", {}).get("kind", "admitted"))
            writer.done_writing()

    outcome = visit.rpc(talk)
    kinds = {"unauthenticated": "nobody", "invalid": "nobody", "admitted": outcome}
    return kinds.get(said[0], said[0])


FLIGHT_ROWS: Mapping[str, tuple[Knock, frozenset[str]]] = {
    "list_flights": (lambda visit: visit.rpc(lambda flight, options: list(flight.list_flights(options=options))), ANY),
    "list_actions": (lambda visit: visit.rpc(lambda flight, options: list(flight.list_actions(options=options))), ANY),
    "do_exchange": (
        lambda visit: visit.rpc(
            lambda flight, options: flight.do_exchange(fl.FlightDescriptor.for_command(b"x"), options)[1].read_all()
        ),
        ANY,
    ),
    "get_schema": (
        lambda visit: visit.rpc(
            lambda flight, options: flight.get_schema(command(sql.CommandStatementQuery(query="SELECT 1")), options),
            database=visit.database,
        ),
        READ,
    ),
    "get_flight_info": (
        lambda visit: visit.rpc(
            lambda flight, options: flight.get_flight_info(fl.FlightDescriptor.for_path(visit.database, "cpu"), options)
        ),
        READ,
    ),
    "do_get": (native, READ),
    "do_put": (lambda visit: visit.put(fl.FlightDescriptor.for_path(visit.database, "put")), WRITE),
    "do_put, JSON": (put_json(), WRITE),
    "do_put, a lane": (lane, WRITE),
    "do_action": (lambda visit: visit.act("no such action"), ANY),
    "CommandStatementQuery": (asks(lambda visit: sql.CommandStatementQuery(query="SELECT * FROM cpu")), READ),
    "CommandStatementQuery, INSERT": (
        lambda visit: visit.rpc(
            lambda flight, options: flight.do_get(
                fl.Ticket(commands.pack(sql.CommandStatementQuery(query=VALUES))), options
            ).read_all(),
            database=visit.database,
        ),
        WRITE,
    ),
    "CommandPreparedStatementQuery": (
        asks(lambda visit: sql.CommandPreparedStatementQuery(prepared_statement_handle=prepared(visit, "SELECT * FROM cpu"))),
        READ,
    ),
    "CommandPreparedStatementQuery, bound": (
        # values travel in the handle that is answered: nothing of the database is read or written
        puts(lambda visit: sql.CommandPreparedStatementQuery(prepared_statement_handle=prepared(visit, "SELECT $1, $2"))),
        ANY,
    ),
    "CommandPreparedStatementUpdate": (
        puts(lambda visit: sql.CommandPreparedStatementUpdate(prepared_statement_handle=prepared(visit, VALUES)), table=False),
        WRITE,
    ),
    "CommandStatementUpdate": (puts(lambda visit: sql.CommandStatementUpdate(query=VALUES), table=False), WRITE),
    "CommandStatementUpdate, a query": (puts(lambda visit: sql.CommandStatementUpdate(query="SELECT 1"), table=False), READ),
    "CommandStatementUpdate, INSERT of a query": (
        puts(lambda visit: sql.CommandStatementUpdate(query=COPY), table=False),
        ADMINS | {"all"},
    ),
    "CommandStatementIngest": (
        puts(lambda visit: sql.CommandStatementIngest(table="put", table_definition_options=INGEST)),
        WRITE,
    ),
    "CommandStatementIngest, replacing": (
        puts(lambda visit: sql.CommandStatementIngest(table="cpu", table_definition_options=REPLACING)),
        ADMINS | {"all"},
    ),
    "CommandStatementSubstraitPlan": (puts(lambda visit: sql.CommandStatementSubstraitPlan(), table=False), ANY),
    "CommandGetSqlInfo": (asks(lambda visit: sql.CommandGetSqlInfo()), ANY),
    "CommandGetXdbcTypeInfo": (asks(lambda visit: sql.CommandGetXdbcTypeInfo()), ANY),
    "CommandGetCatalogs": (asks(lambda visit: sql.CommandGetCatalogs()), ANY),
    "CommandGetTableTypes": (asks(lambda visit: sql.CommandGetTableTypes()), ANY),
    "CommandGetExportedKeys": (asks(lambda visit: sql.CommandGetExportedKeys(table="cpu")), ANY),
    "CommandGetImportedKeys": (asks(lambda visit: sql.CommandGetImportedKeys(table="cpu")), ANY),
    "CommandGetCrossReference": (asks(lambda visit: sql.CommandGetCrossReference()), ANY),
    "CommandGetDbSchemas": (
        lambda visit: visit.rpc(
            lambda flight, options: flight.do_get(fl.Ticket(commands.pack(sql.CommandGetDbSchemas())), options).read_all(),
            database=visit.database,
        ),
        SEE,
    ),
    "CommandGetTables": (
        lambda visit: visit.rpc(
            lambda flight, options: flight.do_get(
                fl.Ticket(commands.pack(sql.CommandGetTables(include_schema=True))), options
            ).read_all(),
            database=visit.database,
        ),
        SEE,
    ),
    "CommandGetPrimaryKeys": (
        lambda visit: visit.rpc(
            lambda flight, options: flight.do_get(
                fl.Ticket(commands.pack(sql.CommandGetPrimaryKeys(table="cpu"))), options
            ).read_all(),
            database=visit.database,
        ),
        SEE,
    ),
}


def test_every_rpc_has_a_row() -> None:
    served = {name for name in vars(EngineServer) if name.startswith(("do_", "get_", "list_"))}

    assert served <= set(FLIGHT_ROWS)


def test_every_command_of_flight_sql_has_a_row() -> None:
    known = {name for name in sql.DESCRIPTOR.message_types_by_name if name.startswith("Command")}

    assert known <= set(FLIGHT_ROWS)


@pytest.mark.parametrize("call", FLIGHT_ROWS, ids=str)
def test_an_rpc_admits_whom_it_should(server: Secured, flight: fl.FlightClient, call: str) -> None:
    check(server, flight, FLIGHT_ROWS[call], malformed="nobody", expired="nobody" if "lane" in call else "forbidden")


# ---- actions


def action(name: str, body: bytes | Mapping[str, Any] = b"") -> Knock:
    return lambda visit: visit.act(name, body)


def verb(name: str, body: Mapping[str, Any] | None = None) -> tuple[str, Knock]:
    return wire.ADMIN + name, action(wire.ADMIN + name, body or {})


def write_action(visit: Visit) -> str:
    header = wire.encode_write_header(wire.WriteHeader(visit.database))
    return visit.act(wire.WRITE_LP, header + b"cpu,host=a v=2 2")


def packed(message: Any) -> bytes:
    return commands.pack(message)


NEW_TOKEN = {"name": "by {db}", "permissions": [{"kind": "db", "names": ["a"], "actions": ["read"]}]}
ACTION_ROWS: Mapping[str, Row] = {
    wire.WRITE_LP: (write_action, WRITE),
    wire.HEALTH: (action(wire.HEALTH), SYSTEM),
    wire.METRICS: (action(wire.METRICS), SYSTEM),
    wire.READY: (action(wire.READY), SYSTEM),
    wire.IDENTITY: (action(wire.IDENTITY), OPEN),
    wire.AUTHENTICATE: (action(wire.AUTHENTICATE), ANY),
    "CreatePreparedStatement": (
        action("CreatePreparedStatement", packed(sql.ActionCreatePreparedStatementRequest(query="SELECT * FROM cpu"))),
        READ,
    ),
    "ClosePreparedStatement": (
        lambda visit: visit.act(
            "ClosePreparedStatement",
            packed(sql.ActionClosePreparedStatementRequest(prepared_statement_handle=prepared(visit, "SELECT 1"))),
        ),
        ANY,
    ),
    "CancelFlightInfo": (action("CancelFlightInfo"), ANY),
    "CancelQuery": (action("CancelQuery", packed(sql.ActionCancelQueryRequest())), ANY),
    "SetSessionOptions": (action("SetSessionOptions"), ANY),
    "GetSessionOptions": (action("GetSessionOptions"), ANY),
    "CloseSession": (action("CloseSession"), ANY),
    **{
        name: (knock, admitted)
        for (name, knock), admitted in (
            (verb("create_database", {"name": "{db}new"}), CREATE_NEW),
            (verb("drop_database", {"name": "{db}"}), DROP),
            (verb("set_retention", {"name": "{db}", "retention_ns": 9 * 10**15}), UPDATE),
            (verb("list_databases"), ANY),
            (verb("list_tables", {"database": "{db}"}), SEE),
            (verb("create_table", {"database": "{db}", "name": "new", "tags": [], "fields": {}}), WRITE),
            (verb("set_table_retention", {"database": "{db}", "name": "cpu", "retention_ns": 9 * 10**15}), UPDATE),
            (verb("drop_table", {"database": "{db}", "name": "cpu"}), DROP),
            (verb("snapshot"), ADMINS),
            (verb("create_operator_token"), OPEN),
            (verb("create_admin_token", {"name": "of {db}"}), ADMINS),
            (verb("create_resource_token", NEW_TOKEN), ADMINS),
            (verb("delete_token", {"name": "not there"}), ADMINS),
            (verb("list_tokens"), ADMINS),
        )
    },
}
ACTIONS_APART = {wire.ADMIN + "regenerate_operator_token"}
ACTION_VARIANTS: Mapping[str, Row] = {
    "drop_database, data only": (
        action(wire.ADMIN + "drop_database", {"name": "{db}", "data_only": True}),
        EMPTY,
    ),
    "drop_table, data only": (
        action(wire.ADMIN + "drop_table", {"database": "{db}", "name": "cpu", "data_only": True}),
        EMPTY,
    ),
    "authenticate for ping": (action(wire.AUTHENTICATE, {"resource": "ping"}), SYSTEM),
    "CreatePreparedStatement of an INSERT": (
        action("CreatePreparedStatement", packed(sql.ActionCreatePreparedStatementRequest(query=VALUES))),
        ANY,  # nothing of the database is told
    ),
}


def test_every_action_has_a_row(server: Secured) -> None:
    actions: Actions = server.server._actions

    assert {found.name for found in actions.all} == set(ACTION_ROWS) | ACTIONS_APART


@pytest.mark.parametrize("name", [*ACTION_ROWS, *ACTION_VARIANTS])
def test_an_action_admits_whom_it_should(server: Secured, flight: fl.FlightClient, name: str) -> None:
    row = ACTION_ROWS.get(name) or ACTION_VARIANTS[name]

    check(server, flight, row, malformed="nobody", expired="forbidden")


# ---- the command line

#: each verb, and the doors that it knocks at
COMMAND_LINE: Mapping[str, tuple[object, ...]] = {
    "serve": (),
    "completion": (),
    "debug catalog list": (),
    "debug catalog snapshot": (),
    "debug catalog sequence": (),
    "debug verify": (),
    "complete": (),
    "query": ("CommandStatementQuery", "CreatePreparedStatement", "do_get", ("POST", "/api/v3/query_sql")),
    "write": (("POST", "/api/v3/write_lp"), wire.WRITE_LP),
    "create database": (("POST", "/api/v3/configure/database"), wire.ADMIN + "create_database"),
    "create table": (("POST", "/api/v3/configure/table"), wire.ADMIN + "create_table"),
    "create token": (
        *(("POST", "/api/v3/configure/token/admin"), ("POST", "/api/v3/configure/token/named_admin")),
        *(("POST", "/api/v3/enterprise/configure/token"), wire.ADMIN + "create_operator_token"),
    ),
    "delete database": (("DELETE", "/api/v3/configure/database"), wire.ADMIN + "drop_database"),
    "delete table": (("DELETE", "/api/v3/configure/table"), wire.ADMIN + "drop_table"),
    "delete token": (("DELETE", "/api/v3/configure/token"), wire.ADMIN + "delete_token"),
    "update database": (("PUT", "/api/v3/configure/database"), wire.ADMIN + "set_retention"),
    "update table": (("PUT", "/api/v3/configure/table"), wire.ADMIN + "set_table_retention"),
    "show databases": (("GET", "/api/v3/configure/database"), wire.ADMIN + "list_databases"),
    "show tokens": (("POST", "/api/v3/query_sql"), "do_get"),
    "show retention": (("POST", "/api/v3/query_sql"), "do_get"),
    "show nodes": (("POST", "/api/v3/query_sql"), "do_get"),
    "show system summary": (("POST", "/api/v3/query_sql"), "do_get"),
    "show system table": (("POST", "/api/v3/query_sql"), "do_get"),
    "show system table_list": (("POST", "/api/v3/query_sql"), "do_get"),
}


def test_every_verb_of_the_command_line_has_a_row_and_knocks_at_known_doors() -> None:
    present = {words for words, found in TREE.commands.items() if found.absent is None}

    assert present == set(COMMAND_LINE)
    doors = {*HTTP_ROWS, *FLIGHT_ROWS, *ACTION_ROWS}
    assert {door for asked in COMMAND_LINE.values() for door in asked} <= doors


#: each verb as it is typed, in an order in which they all succeed for an administrator
TYPED: Mapping[str, str] = {
    "create token": "create token --admin --name {caller}",
    "create database": "create database new",
    "create table": "create table --database a --tags t --fields v:float64 made",
    "write": "write --database a cpu,host=a\\ v=1",
    "query": "query --database a SELECT\\ *\\ FROM\\ cpu",
    "update database": "update database --database a --retention-period 9y",
    "update table": "update table --database a --retention-period 9y cpu",
    "show databases": "show databases",
    "show tokens": "show tokens",
    "show retention": "show retention",
    "show nodes": "show nodes",
    "show system summary": "show system --database a summary",
    "show system table": "show system --database a table queries",
    "show system table_list": "show system --database a table-list",
    "delete table": "delete table --database a --yes made",
    "delete token": "delete token --yes --token-name {caller}",
    "delete database": "delete database --yes new",
}
REFUSALS = ("not authenticated", "unauthorized to perform", "Permission denied", "Unauthenticated")
READING = {"query", "show databases", "show system summary", "show system table", "show system table_list"}


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("real"), command=PRODUCT, with_tokens=True) as found:
        yield found


@pytest.fixture(scope="module")
def tokens(real_server: Server) -> Mapping[str, str]:
    """The texts of an operator's and a reader's token, made by the command line."""

    def made(*arguments: str) -> str:
        done = influxdb3("create", "token", "--format", "json", *arguments, url=real_server.url)
        return str(json.loads(done.out)["token"])

    operator = made("--admin")
    influxdb3("write", "--database", "a", "--token", operator, "cpu,host=a v=1", url=real_server.url)
    return {"operator": operator, "reader": made("--permission", "db:a:read", "--name", "reader", "--token", operator)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # commands leave sockets to their process
@pytest.mark.parametrize(
    ("caller", "admitted"),
    [("nobody", set()), ("reader", READING), ("operator", set(TYPED))],
    ids=["nobody", "reader", "operator"],
)
def test_the_command_line_is_told_the_same(
    real_server: Server,
    tokens: Mapping[str, str],
    capfd: pytest.CaptureFixture[str],
    caller: str,
    admitted: set[str],
) -> None:
    refused = {}
    for words, typed in TYPED.items():
        given = ["--token", tokens[caller]] if caller in tokens else []
        command_line.main([*shlex.split(typed.format(caller=caller)), "--host", real_server.url, *given])
        said = "".join(capfd.readouterr())
        if any(refusal in said for refusal in REFUSALS):
            refused[words] = said

    assert set(TYPED) - set(refused) == admitted, refused


def test_every_verb_that_asks_a_server_is_typed() -> None:
    assert set(TYPED) == {words for words, doors in COMMAND_LINE.items() if doors}
