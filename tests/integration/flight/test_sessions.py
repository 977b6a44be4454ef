"""Sessions, as clients with cookies have them."""

from collections.abc import Iterator
from typing import Any

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import pyarrow as pa
import pyarrow.flight as fl
import pytest

from engine.requests import WriteRequest
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers import sessions
from tests.helpers.memory_node import MemoryNode

INVALID_NAME, INVALID_VALUE = 1, 2


@pytest.fixture(autouse=True)
def rows(node: MemoryNode) -> None:
    node.write_lp(WriteRequest("first", b"cpu,host=a usage=1 1\n", 4))
    node.write_lp(WriteRequest("second", b"mem,host=a free=2 1\n", 4))


class Cookies(fl.ClientMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
    """A client that keeps its cookie."""

    def __init__(self) -> None:
        super().__init__()
        self.received: list[str] = []

    def start_call(self, info: fl.CallInfo) -> fl.ClientMiddleware:
        return _Cookie(self)


class _Cookie(fl.ClientMiddleware):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, cookies: Cookies) -> None:
        super().__init__()
        self._cookies = cookies

    def sending_headers(self) -> dict[str, str]:
        last = self._cookies.received[-1:]
        return {"cookie": f"other=1; {last[0].partition(';')[0]}"} if last else {}

    def received_headers(self, headers: dict[str, list[str]]) -> None:
        self._cookies.received += headers.get("set-cookie", [])


@pytest.fixture
def cookies() -> Cookies:
    return Cookies()


@pytest.fixture
def client(url: str, cookies: Cookies) -> Iterator[fl.FlightClient]:
    with fl.FlightClient(url, middleware=[cookies]) as client:
        yield client


def set_options(client: fl.FlightClient, header: tuple[bytes, bytes] | None = None, **options: Any) -> dict[str, int]:
    """Faults by name."""
    request = sql.SetSessionOptionsRequest()
    for name, value in options.items():
        field = {str: "string_value", bool: "bool_value", int: "int64_value"}.get(type(value))
        if field is None:
            request.session_options[name].SetInParent()
        else:
            setattr(request.session_options[name], field, value)
    action = fl.Action("SetSessionOptions", request.SerializeToString())
    (result,) = client.do_action(action, fl.FlightCallOptions(headers=[header] if header else []))
    found = commands.parse(sql.SetSessionOptionsResult, result.body.to_pybytes())
    return {name: error.value for name, error in found.errors.items()}


def get_options(client: fl.FlightClient) -> dict[str, str]:
    (result,) = client.do_action(fl.Action("GetSessionOptions", b""))
    found = commands.parse(sql.GetSessionOptionsResult, result.body.to_pybytes())
    return {name: value.string_value for name, value in found.session_options.items()}


def tables(client: fl.FlightClient) -> list[str]:
    command = commands.pack(sql.CommandGetTables(db_schema_filter_pattern="iox"))
    info = client.get_flight_info(fl.FlightDescriptor.for_command(command))
    found: list[str] = client.do_get(info.endpoints[0].ticket).read_all().column("table_name").to_pylist()
    return found


@pytest.mark.parametrize("name", ["catalog", "database"])
def test_the_chosen_database_is_that_of_later_calls(client: fl.FlightClient, name: str) -> None:
    """B1."""
    with pytest.raises(pa.ArrowInvalid, match="no 'database' header"):
        tables(client)

    assert set_options(client, None, **{name: "second"}) == {}

    assert tables(client) == ["mem"]
    assert get_options(client)[name] == "second"
    assert set_options(client, None, **{name: "first"}) == {}
    assert tables(client) == ["cpu"]


def test_a_cookie_comes_with_the_first_option_only(client: fl.FlightClient, cookies: Cookies) -> None:
    """B1."""
    assert get_options(client) == {"catalog": "public", "schema": "iox"}
    assert cookies.received == []

    set_options(client, catalog="public")
    set_options(client, schema="iox")

    assert len(cookies.received) == 1
    assert cookies.received[0].startswith("arrow_flight_session_id=")


def test_catalog_and_database_are_one_choice(client: fl.FlightClient) -> None:
    set_options(client, catalog="first")
    set_options(client, database="second")
    assert (tables(client), get_options(client)["catalog"]) == (["mem"], "public")

    set_options(client, catalog="first")
    assert (tables(client), get_options(client)["database"]) == (["cpu"], "first")


def test_an_option_is_unset_by_an_empty_value(client: fl.FlightClient) -> None:
    set_options(client, catalog="first")

    assert set_options(client, catalog=None) == {}

    assert get_options(client)["catalog"] == "public"
    with pytest.raises(pa.ArrowInvalid, match="no 'database' header"):
        tables(client)


def test_what_can_not_be_set_is_named_and_the_rest_is_set(client: fl.FlightClient) -> None:
    """B2."""
    faults = set_options(client, catalog="nothing", schema="system", timezone="UTC", database="first")

    assert faults == {"catalog": INVALID_VALUE, "schema": INVALID_VALUE, "timezone": INVALID_NAME}
    assert tables(client) == ["cpu"]
    assert set_options(client, catalog=5, database=True) == {"catalog": INVALID_VALUE, "database": INVALID_VALUE}


def test_the_header_counts_and_must_not_be_contradicted(client: fl.FlightClient) -> None:
    """B3."""
    header = (b"database", b"first")

    assert set_options(client, header, catalog="second") == {"catalog": INVALID_VALUE}
    assert set_options(client, header, catalog="first") == {}
    set_options(client, catalog="second")
    command = fl.FlightDescriptor.for_command(commands.pack(sql.CommandStatementQuery(query="SELECT usage FROM cpu")))
    assert client.get_flight_info(command, fl.FlightCallOptions(headers=[header])).schema.names == ["usage"]


def test_a_closed_session_is_forgotten(client: fl.FlightClient, cookies: Cookies) -> None:
    set_options(client, catalog="first")

    (result,) = client.do_action(fl.Action("CloseSession", b""))

    assert commands.parse(sql.CloseSessionResult, result.body.to_pybytes()).status == 1
    assert "Max-Age=0" in cookies.received[-1]
    assert get_options(client) == {"catalog": "public", "schema": "iox"}
    assert [result.body.to_pybytes() for result in client.do_action(fl.Action("CloseSession", b""))] == [b"\x08\x01"]


def test_only_the_sessions_used_last_are_kept(url: str, monkeypatch: pytest.MonkeyPatch, client: fl.FlightClient) -> None:
    """B4."""
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 2)
    set_options(client, catalog="first")
    others = [fl.FlightClient(url, middleware=[Cookies()]) for _ in range(2)]

    set_options(others[0], catalog="first")
    assert tables(client) == ["cpu"]
    set_options(others[1], catalog="second")

    assert tables(client) == ["cpu"]
    with pytest.raises(pa.ArrowInvalid, match="no 'database' header"):
        tables(others[0])
    assert tables(others[1]) == ["mem"]
    for other in others:
        other.close()


@pytest.mark.parametrize("cookie", [b"arrow_flight_session_id=unknown", b"arrow_flight_session_id", b"rubbish;;=;", b""])
def test_foreign_cookies_are_no_session(flight: fl.FlightClient, cookie: bytes) -> None:
    """B1."""
    command = fl.FlightDescriptor.for_command(commands.pack(sql.CommandStatementQuery(query="SELECT 1")))

    with pytest.raises(pa.ArrowInvalid, match="no 'database' header"):
        flight.get_flight_info(command, fl.FlightCallOptions(headers=[(b"cookie", cookie)]))


def test_adbc_with_cookies_chooses_its_catalog(url: str) -> None:
    options = {"adbc.flight.sql.rpc.with_cookie_middleware": "true"}
    with flight_sql.connect(url, db_kwargs=options, autocommit=True) as connection:
        connection.adbc_current_catalog = "second"

        assert connection.adbc_current_catalog == "second"
        assert connection.adbc_current_db_schema == "iox"
        with connection.cursor() as cursor:
            cursor.execute("SELECT free FROM mem")
            assert cursor.fetchall() == [(2.0,)]
        with pytest.raises(adbc.Error):
            connection.adbc_current_catalog = "nothing"
