"""Tokens at the Flight door: who is let in, to what, and for how long."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from adbc_driver_flightsql import DatabaseOptions

from catalog.errors import Forbidden, NotFound, Unauthenticated
from flightserver import wire
from flightserver.client import EngineClient
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from tests.helpers.secured import SQL, Secured, act, ask, options, secured, ticket

DENIED = r"(?i)permission denied"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with secured(tmp_path_factory.mktemp("secured")) as found:
        yield found


@pytest.fixture
def flight(server: Secured) -> Iterator[fl.FlightClient]:
    with fl.FlightClient(server.url) as client:
        yield client


@pytest.fixture
def client(server: Secured) -> Iterator[EngineClient]:
    client = EngineClient(server.url)
    yield client
    client.close()


def connect(server: Secured, token: str, database: str = "a") -> adbc.Connection:
    given = {
        DatabaseOptions.AUTHORIZATION_HEADER.value: f"Bearer {token}",
        f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database": database,
    }
    return flight_sql.connect(server.url, db_kwargs=given, autocommit=True)


def put(flight: fl.FlightClient, token: str | None, database: str = "a", table: str = "cpu", **more: object) -> None:
    batch = pa.record_batch({"host": ["x"], "v": [2.0], "time": pa.array([5], pa.timestamp("ns"))})
    descriptor = fl.FlightDescriptor.for_command(json.dumps({"database": database, "table": table, "tags": ["host"], **more}))
    writer, _ = flight.do_put(descriptor, batch.schema, options(token))
    with writer:
        writer.write_batch(batch)
        writer.done_writing()


def statement(query: str) -> fl.FlightDescriptor:
    return fl.FlightDescriptor.for_command(commands.pack(sql.CommandStatementQuery(query=query)))


# ---- who is let in


CALLS: dict[str, Callable[[fl.FlightClient, str | None], object]] = {
    "do_get": lambda flight, token: ask(flight, token),
    "get_flight_info": lambda flight, token: flight.get_flight_info(statement(SQL), options(token, {"database": "a"})),
    "get_schema": lambda flight, token: flight.get_schema(statement(SQL), options(token, {"database": "a"})),
    "list_flights": lambda flight, token: list(flight.list_flights(options=options(token))),
    "list_actions": lambda flight, token: list(flight.list_actions(options=options(token))),
    "do_put": lambda flight, token: put(flight, token),
    "do_action": lambda flight, token: act(flight, token, wire.ADMIN + "list_databases"),
    "unknown action": lambda flight, token: act(flight, token, "no such action"),
    "do_exchange": lambda flight, token: flight.do_exchange(fl.FlightDescriptor.for_command(b"x"), options(token))[
        1
    ].read_all(),
}


@pytest.mark.parametrize("call", CALLS, ids=str)
@pytest.mark.parametrize("token", [None, "", "apiv3_unknown", "two words"], ids=repr)
def test_no_call_is_answered_to_strangers(flight: fl.FlightClient, call: str, token: str | None) -> None:
    """U4, K2."""
    with pytest.raises((fl.FlightUnauthenticatedError, OSError), match="Unauthenticated"):  # pyarrow's GetSchema: OSError
        CALLS[call](flight, token)


@pytest.mark.parametrize("header", ["bearer {}", "Bearer  {}", "{}", "Digest {}", "Bearer {} more"])
def test_a_malformed_header_is_no_token(server: Secured, flight: fl.FlightClient, header: str) -> None:
    given = fl.FlightCallOptions(headers=[(b"authorization", header.format(server.operator).encode())])

    with pytest.raises(fl.FlightUnauthenticatedError):
        flight.do_get(ticket("a", SQL), given).read_all()


@pytest.mark.parametrize("scheme", ["Bearer", "Token"])
def test_a_token_opens_the_door(server: Secured, flight: fl.FlightClient, scheme: str) -> None:
    given = fl.FlightCallOptions(headers=[(b"authorization", f"{scheme} {server.operator}".encode())])

    assert flight.do_get(ticket("b", SQL), given).read_all().num_rows == 1


def test_a_user_name_and_the_token_as_password_open_it_too(server: Secured, flight: fl.FlightClient) -> None:
    header = flight.authenticate_basic_token("any", server.operator)

    assert header == (b"authorization", f"Bearer {server.operator}".encode())
    assert flight.do_get(ticket("b", SQL), fl.FlightCallOptions(headers=[header])).read_all().num_rows == 1
    with flight_sql.connect(
        server.url, db_kwargs={"username": "any", "password": server.operator}, autocommit=True
    ) as connection:
        assert connection.adbc_get_info()["vendor_name"]


def test_a_bad_ticket_is_told_from_a_bad_token_before_anybody_is_asked(flight: fl.FlightClient) -> None:
    with pytest.raises(pa.ArrowInvalid, match="Invalid ticket"):
        flight.do_get(fl.Ticket(b'{"database": 1}'), options(None)).read_all()


def test_strangers_learn_the_identity_that_http_shows_and_no_more(server: Secured, flight: fl.FlightClient) -> None:
    """A3."""
    assert act(flight, None, wire.IDENTITY) == {"cluster_uuid": server.node.cluster_uuid}
    assert act(flight, server.operator, wire.IDENTITY).keys() > {"node_id", "instance_id"}


def test_what_was_wrong_is_in_our_log_without_the_token(
    server: Secured, flight: fl.FlightClient, caplog: pytest.LogCaptureFixture
) -> None:
    """U5."""
    caplog.set_level(logging.INFO)
    token = server.token("db:a:read", name="the reader", expiry_secs=0)
    time.sleep(1.1)  # each kind is told once a second

    for wrong in (None, "apiv3_secret", token):
        with pytest.raises((fl.FlightUnauthenticatedError, fl.FlightUnauthorizedError)):
            ask(flight, wrong)

    assert "missing token to authenticate" in caplog.text
    assert "token provided is not present in catalog" in caplog.text
    assert "token has expired" in caplog.text
    assert "the reader" in caplog.text
    assert "apiv3_" not in caplog.text


# ---- for how long


def test_a_deleted_token_opens_nothing_any_more_on_the_same_connection(server: Secured, flight: fl.FlightClient) -> None:
    """U4."""
    token = server.token("db:a:read", name="doomed")
    assert ask(flight, token).num_rows

    server.keeper.delete("doomed")

    with pytest.raises(fl.FlightUnauthenticatedError):
        ask(flight, token)


def test_an_expired_token_is_denied(server: Secured, flight: fl.FlightClient) -> None:
    """U4."""
    token = server.token("db:a:read", expiry_secs=3600)
    ask(flight, token)

    server.clock.ahead_s = 3601
    try:
        with pytest.raises(fl.FlightUnauthorizedError, match="Permission denied"):
            ask(flight, token)
    finally:
        server.clock.ahead_s = 0


def test_a_regenerated_operator_token_replaces_the_old_one(tmp_path: Path) -> None:
    """U4, W1."""
    with secured(tmp_path) as server, fl.FlightClient(server.url) as flight:
        made = act(flight, server.operator, wire.ADMIN + "regenerate_operator_token")

        assert (made["name"], made["id"]) == ("_admin", 0)
        assert ask(flight, made["token"], "b").num_rows == 1
        with pytest.raises(fl.FlightUnauthenticatedError):
            ask(flight, server.operator, "b")


def test_a_stream_ends_when_its_token_does(server: Secured, flight: fl.FlightClient) -> None:
    """U4, V5, Z5."""
    token = server.token("db:a:read", name="streaming")
    query = "SELECT a.value, b.value FROM generate_series(1, 4000) a, generate_series(1, 4000) b"
    reader = flight.do_get(ticket("a", query), options(token))
    while not reader.read_chunk().data.num_rows:  # on a busy machine the first batches keep the stream alive
        continue

    server.keeper.delete("streaming")

    with pytest.raises(fl.FlightUnauthenticatedError):
        reader.read_all()


def test_rows_on_their_way_in_stop_with_their_token(server: Secured, flight: fl.FlightClient) -> None:
    """U4, V5."""
    token = server.token("db:a:write", name="loading")
    batch = pa.record_batch({"v": [1.0], "time": pa.array([1], pa.timestamp("ns"))})
    descriptor = fl.FlightDescriptor.for_path("a", "loaded")
    writer, answers = flight.do_put(descriptor, batch.schema, options(token))
    writer.write_batch(batch)
    assert json.loads(answers.read().to_pybytes()) == {"rows": 1, "batch": 0}

    server.keeper.delete("loading")
    writer.write_batch(batch)

    assert "error" in json.loads(answers.read().to_pybytes())
    with pytest.raises(fl.FlightUnauthenticatedError):
        writer.close()
    assert ask(flight, server.operator, "a", "SELECT count(*) AS n FROM loaded").to_pylist() == [{"n": 1}]


def test_each_message_of_a_lane_is_its_authors(server: Secured, client: EngineClient) -> None:
    """L3, U4."""
    writer, reader = server.token("db:a:write", name="lane"), server.token("db:a:read")

    def write(token: str | None) -> int:
        given = None if token is None else f"Bearer {token}"
        return client.write_lp(db="a", body=b"lane v=1 1", authorization=given)["rows"]

    assert write(writer) == 1
    with pytest.raises(Forbidden):
        write(reader)
    with pytest.raises(Unauthenticated):
        write(None)
    assert write(writer) == 1
    server.keeper.delete("lane")
    with pytest.raises(Unauthenticated):
        write(writer)


# ---- to what


def test_reading_needs_read(server: Secured, flight: fl.FlightClient) -> None:
    """K2."""
    token = server.token("db:a:read")

    assert ask(flight, token, "a").num_rows >= 1
    for database in ("b", "_internal", "nowhere"):
        with pytest.raises(fl.FlightUnauthorizedError, match="Permission denied"):
            ask(flight, token, database, "SELECT 1")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM cpu x JOIN cpu y ON x.host = y.host",
        "WITH c AS (SELECT * FROM cpu) SELECT * FROM c",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.columns",
        "SELECT * FROM system.queries",
        "SELECT * FROM system.parquet_files",
        "SELECT 1",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM cpu",
    ],
)
def test_no_statement_reaches_a_database_that_is_closed(server: Secured, flight: fl.FlightClient, query: str) -> None:
    token = server.token("db:a:read")

    ask(flight, token, "a", query)
    with pytest.raises(fl.FlightUnauthorizedError):
        ask(flight, token, "b", query)


@pytest.mark.parametrize("name", ["b.iox.cpu", '"b"."iox"."cpu"', "b.cpu", "public.b.cpu", "_internal.system.tokens"])
def test_no_name_in_a_statement_leads_out_of_its_database(server: Secured, flight: fl.FlightClient, name: str) -> None:
    token = server.token("db:a:read")

    with pytest.raises(pa.ArrowInvalid, match="not found"):
        ask(flight, token, "a", f"SELECT * FROM {name}")


def test_information_schema_and_lists_show_the_callers_databases(server: Secured, flight: fl.FlightClient) -> None:
    token = server.token("db:a:describe")

    (listed,) = act(flight, token, wire.ADMIN + "list_databases")["databases"]
    flights = list(flight.list_flights(options=options(token)))

    assert listed["name"] == "a"
    assert {info.descriptor.path[0] for info in flights} == {b"a"}
    assert [found["name"] for found in act(flight, server.operator, wire.ADMIN + "list_databases")["databases"]] == [
        "_internal",
        "a",
        "b",
    ]


def test_statements_of_closed_databases_are_not_shown(server: Secured, flight: fl.FlightClient) -> None:
    """K5."""
    token = server.token("db:a:read")
    ask(flight, server.operator, "b", "SELECT 'on b' FROM cpu")
    ask(flight, token, "a", "SELECT 'on a' FROM cpu")

    mine = ask(flight, token, "a", "SELECT query_text FROM system.queries")["query_text"].to_pylist()
    all_of_them = ask(flight, server.operator, "a", "SELECT query_text FROM system.queries")["query_text"].to_pylist()

    mine += ask(flight, token, "a", "SELECT query_text FROM system.queries")["query_text"].to_pylist()
    assert "SELECT 'on a' FROM cpu" in mine
    assert "SELECT 'on b' FROM cpu" not in mine
    assert "SELECT 'on b' FROM cpu" in all_of_them


def test_no_token_is_in_a_row_of_a_system_table(server: Secured, flight: fl.FlightClient) -> None:
    """K4."""
    token = server.token("db:a:read", name="in tables")
    with pytest.raises(pa.ArrowInvalid):
        ask(flight, token, "a", f"SELECT '{token}' FROM nowhere")

    tokens = ask(flight, server.operator, "_internal", "SELECT * FROM system.tokens WHERE name = 'in tables'").to_pylist()
    queries = ask(flight, server.operator, "_internal", "SELECT * FROM system.query_log").to_pylist()

    assert tokens[0]["permissions"] == "db:a:read"
    assert len(tokens[0]["hash"]) == 9
    assert token not in str(queries)
    assert token not in str(tokens)


def test_metadata_of_a_closed_database_is_not_told(server: Secured) -> None:
    """E5."""
    with connect(server, server.token("db:a:describe"), "a") as connection:
        assert connection.adbc_get_table_schema("cpu", db_schema_filter="iox").names == ["host", "time", "v"]
    with (
        connect(server, server.token("db:a:read"), "b") as connection,
        pytest.raises(adbc.Error, match=DENIED),
    ):
        connection.adbc_get_objects(depth="tables").read_all()


def test_writing_needs_write(server: Secured, flight: fl.FlightClient) -> None:
    writer, reader = server.token("db:a:write"), server.token("db:a:read")

    put(flight, writer)
    for token, database in ((reader, "a"), (writer, "b"), (writer, "nowhere")):
        with pytest.raises(fl.FlightUnauthorizedError):
            put(flight, token, database)
    with pytest.raises(fl.FlightUnauthorizedError):
        ask(flight, writer)


def test_a_write_makes_its_database_where_a_wildcard_allows_it(server: Secured, flight: fl.FlightClient) -> None:
    put(flight, server.token("db:*:write"), "madebyawrite")

    assert ask(flight, server.token("db:*:read"), "madebyawrite").num_rows == 1


def test_replacing_a_table_needs_the_right_to_empty_it(server: Secured, flight: fl.FlightClient) -> None:
    put(flight, server.operator, table="replaced")

    with pytest.raises(fl.FlightUnauthorizedError):
        put(flight, server.token("db:a:read,write"), table="replaced", if_exists="replace")
    put(flight, server.token("db:a:write,delete"), table="replaced", if_exists="replace")


def test_insert_needs_write_and_a_query_in_it_needs_read(server: Secured) -> None:
    with connect(server, server.token("db:a:write")) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO inserted (host, v, time) VALUES ('x', 1.0, TIMESTAMP '2024-01-01T00:00:00Z')")
        cursor.executemany("INSERT INTO inserted (host, v, time) VALUES (?, ?, TIMESTAMP '2024-01-02T00:00:00Z')", [("y", 2.0)])
        for reading in ("SELECT * FROM cpu", "VALUES ((SELECT max(v) FROM cpu))"):
            with pytest.raises(adbc.Error, match=DENIED):
                cursor.execute(f"INSERT INTO inserted {reading}")
    with connect(server, server.token("db:a:read")) as connection, connection.cursor() as cursor:
        with pytest.raises(adbc.Error, match=DENIED):
            cursor.execute("INSERT INTO inserted SELECT * FROM inserted")
        cursor.execute("SELECT count(*) FROM inserted")
        assert cursor.fetchone() == (2,)


def test_bulk_ingest_needs_write(server: Secured) -> None:
    table = pa.table({"v": [1.0], "time": pa.array([1], pa.timestamp("ns"))})

    with connect(server, server.token("db:a:write")) as connection, connection.cursor() as cursor:
        assert cursor.adbc_ingest("bulk", table, mode="create_append") == 1
    with (
        connect(server, server.token("db:a:read")) as connection,
        connection.cursor() as cursor,
        pytest.raises(adbc.Error, match=DENIED),
    ):
        cursor.adbc_ingest("bulk", table, mode="create_append")


def test_a_prepared_handle_is_worth_what_its_bearer_may(server: Secured, flight: fl.FlightClient) -> None:
    request = commands.pack(sql.ActionCreatePreparedStatementRequest(query=SQL))
    (made,) = flight.do_action(
        fl.Action("CreatePreparedStatement", request), options(server.token("db:a:read"), {"database": "a"})
    )
    result = commands.unpack_as(sql.ActionCreatePreparedStatementResult, made.body.to_pybytes())
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=result.prepared_statement_handle)
    descriptor = fl.FlightDescriptor.for_command(commands.pack(command))

    found = flight.get_flight_info(descriptor, options(server.operator))
    assert flight.do_get(found.endpoints[0].ticket, options(server.operator)).read_all().num_rows >= 1
    other = options(server.token("db:b:read"))
    with pytest.raises(fl.FlightUnauthorizedError):
        flight.get_flight_info(descriptor, other)
    with pytest.raises(fl.FlightUnauthorizedError):
        flight.do_get(found.endpoints[0].ticket, other).read_all()
    with pytest.raises(fl.FlightUnauthenticatedError):
        flight.do_get(found.endpoints[0].ticket, options(None)).read_all()


def test_a_query_is_cancelled_by_its_caller_or_an_administrator(server: Secured, flight: fl.FlightClient) -> None:
    """X3."""
    mine, other = server.token("db:a:read"), server.token("db:a:read")

    def cancel(info: fl.FlightInfo, token: str) -> object:
        body = sql.CancelFlightInfoRequest(info=sql.FlightInfo(app_metadata=info.app_metadata)).SerializeToString()
        (answer,) = flight.do_action(fl.Action("CancelFlightInfo", body), options(token))
        return sql.CancelFlightInfoResult.FromString(answer.body.to_pybytes()).status

    def described() -> fl.FlightInfo:
        return flight.get_flight_info(statement(SQL), options(mine, {"database": "a"}))

    info = described()
    with pytest.raises(KeyError, match="no such query"):
        cancel(info, other)
    assert cancel(info, mine) == 1
    assert cancel(described(), server.operator) == 1


def test_a_session_is_its_callers_and_opens_nothing(server: Secured, flight: fl.FlightClient) -> None:
    """B5."""
    mine, other = server.token("db:a:read"), server.token("db:a,b:read")
    cookies: list[str] = []

    class Cookies(fl.ClientMiddleware):  # type: ignore[misc]
        def received_headers(self, headers: dict[str, list[str]]) -> None:
            cookies.extend(headers.get("set-cookie", []))

    class Jar(fl.ClientMiddlewareFactory):  # type: ignore[misc]
        def start_call(self, info: object) -> fl.ClientMiddleware:
            return Cookies()

    def set_database(client: fl.FlightClient, name: str) -> int:
        request = sql.SetSessionOptionsRequest()
        request.session_options["database"].string_value = name
        (answer,) = client.do_action(fl.Action("SetSessionOptions", request.SerializeToString()), options(mine))
        return sql.SetSessionOptionsResult.FromString(answer.body.to_pybytes()).errors["database"].value

    with fl.FlightClient(server.url, middleware=[Jar()]) as client:
        assert set_database(client, "b") == set_database(client, "nowhere") != 0
        assert set_database(client, "a") == 0
    cookie = cookies[0].partition(";")[0]

    flight.get_flight_info(statement(SQL), options(mine, {"cookie": cookie}))
    with pytest.raises(pa.ArrowInvalid, match="no 'database' header"):
        flight.get_flight_info(statement(SQL), options(other, {"cookie": cookie}))
    with pytest.raises(fl.FlightUnauthenticatedError):
        flight.get_flight_info(statement(SQL), options(None, {"cookie": cookie}))


# ---- tokens themselves


def test_the_first_token_is_made_once_by_whoever_comes(tmp_path: Path) -> None:
    """W2."""
    with (
        secured(tmp_path) as server,
        fl.FlightClient(server.url) as flight,
        pytest.raises(pa.ArrowInvalid, match="token name already exists, _admin"),
    ):
        act(flight, None, wire.ADMIN + "create_operator_token")


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("regenerate_operator_token", {}),
        ("create_admin_token", {"name": "mine"}),
        ("create_resource_token", {"name": "mine", "permissions": [{"kind": "db", "names": ["a"], "actions": ["read"]}]}),
        ("delete_token", {"name": "_admin"}),
        ("list_tokens", {}),
        ("snapshot", {}),
    ],
)
def test_tokens_and_the_node_are_for_administrators(server: Secured, flight: fl.FlightClient, verb: str, body: Any) -> None:
    """A3, W2."""
    for token in (server.token("db:*:*"), server.token("system:*:read")):
        with pytest.raises(fl.FlightUnauthorizedError):
            act(flight, token, wire.ADMIN + verb, body)
    with pytest.raises(fl.FlightUnauthenticatedError):
        act(flight, None, wire.ADMIN + verb, body)


def test_an_administrator_makes_lists_and_deletes_tokens(server: Secured, flight: fl.FlightClient) -> None:
    """W1."""
    wish = {"kind": "db", "names": ["a", "b"], "actions": ["write", "read"]}
    made = act(
        flight,
        server.operator,
        wire.ADMIN + "create_resource_token",
        {"name": "made", "permissions": [wish], "expiry_secs": 60},
    )
    listed = {found["name"]: found for found in act(flight, server.operator, wire.ADMIN + "list_tokens")["tokens"]}

    assert made["token"].startswith("apiv3_")
    assert listed["made"]["permissions"] == ["db:a,b:read,write"]
    assert made["hash"].startswith(listed["made"]["hash"])
    assert listed["made"]["expiry"] == made["expiry"] is not None
    assert made["token"] not in json.dumps(listed)
    assert ask(flight, made["token"], "b").num_rows == 1
    assert act(flight, server.operator, wire.ADMIN + "delete_token", {"name": "made"}) == {}
    with pytest.raises(KeyError, match="the requested resource was not found: made"):
        act(flight, server.operator, wire.ADMIN + "delete_token", {"name": "made"})


def test_the_typed_client_hears_the_same(server: Secured, client: EngineClient) -> None:
    client.authenticate(f"Bearer {server.operator}", "ping")
    client.authenticate(f"Bearer {server.token('system:ping:read')}", "ping")
    with pytest.raises(Forbidden):
        client.authenticate(f"Bearer {server.token('db:a:read')}", "ping")
    with pytest.raises(Unauthenticated):
        client.authenticate(None)
    with pytest.raises(NotFound):
        client.admin("delete_token", {"name": "nobody"}, f"Bearer {server.operator}")
