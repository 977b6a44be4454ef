"""The calls of the Flight SQL JDBC driver in its order, for where the driver itself can not be had (test_jdbc.py).

Every statement is prepared. Values are bound in columns named and typed as the parameters were described. The answer to a
DoPut is read if there are parameters, and its handle is the one to go on with. Cookies are kept.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from tests.helpers.filled import Filled


class CookieJar(fl.ClientMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self) -> None:
        super().__init__()
        self.cookies: dict[str, str] = {}

    def start_call(self, info: fl.CallInfo) -> fl.ClientMiddleware:
        return _Kept(self.cookies)


class _Kept(fl.ClientMiddleware):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, cookies: dict[str, str]) -> None:
        super().__init__()
        self._cookies = cookies

    def sending_headers(self) -> dict[str, str]:
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())} if self._cookies else {}

    def received_headers(self, headers: dict[str, list[str]]) -> None:
        for cookie in headers.get("set-cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value


class Driver:
    """One connection with `catalog=` in its URL, a user and a password."""

    def __init__(self, database: Filled) -> None:
        self._client = fl.FlightClient(database.flight_url, middleware=[CookieJar()])
        self._options = fl.FlightCallOptions(headers=[self._client.authenticate_basic_token("any", "none")])
        request = sql.SetSessionOptionsRequest()
        request.session_options["catalog"].string_value = database.name
        (result,) = self._act("SetSessionOptions", request.SerializeToString())
        assert result == b""

    def close(self) -> None:
        self._act("CloseSession", b"")
        self._client.close()

    def query(self, text: str, *values: Any) -> list[dict[str, Any]]:
        created = self._prepare(text)
        assert created.HasField("is_update")
        assert not created.is_update
        handle = created.prepared_statement_handle
        if values:
            answer = self._put(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle), created, values)
            handle = commands.parse(sql.DoPutPreparedStatementResult, answer).prepared_statement_handle
        self._info(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle))
        rows = self.read(sql.CommandPreparedStatementQuery(prepared_statement_handle=handle))
        self._close(handle)
        return rows

    def update(self, text: str, *values: Any) -> int:
        created = self._prepare(text)
        assert created.is_update
        assert _schema(created.dataset_schema).names == []
        handle = created.prepared_statement_handle
        answer = self._put(sql.CommandPreparedStatementUpdate(prepared_statement_handle=handle), created, values)
        self._close(handle)
        return commands.parse(sql.DoPutUpdateResult, answer).record_count

    def read(self, command: Any) -> list[dict[str, Any]]:
        info = self._info(command)
        rows = [self._client.do_get(endpoint.ticket, self._options).read_all().to_pylist() for endpoint in info.endpoints]
        return [row for part in rows for row in part]

    def _prepare(self, text: str) -> sql.ActionCreatePreparedStatementResult:
        request = commands.pack(sql.ActionCreatePreparedStatementRequest(query=text))
        (result,) = self._act("CreatePreparedStatement", request)
        return commands.unpack_as(sql.ActionCreatePreparedStatementResult, result)

    def _close(self, handle: bytes) -> None:
        request = sql.ActionClosePreparedStatementRequest(prepared_statement_handle=handle)
        assert self._act("ClosePreparedStatement", commands.pack(request)) == []

    def _put(self, command: Any, created: sql.ActionCreatePreparedStatementResult, values: tuple[Any, ...]) -> bytes:
        schema = _schema(created.parameter_schema)
        assert len(schema) == len(values)
        descriptor = fl.FlightDescriptor.for_command(commands.pack(command))
        writer, reader = self._client.do_put(descriptor, schema, self._options)
        if values:
            writer.write_batch(pa.record_batch([[value] for value in values], schema=schema))
        writer.done_writing()
        answer = reader.read()
        writer.close()
        return bytes(answer.to_pybytes())

    def _info(self, command: Any) -> fl.FlightInfo:
        return self._client.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)), self._options)

    def _act(self, name: str, body: bytes) -> list[bytes]:
        return [result.body.to_pybytes() for result in self._client.do_action(fl.Action(name, body), self._options)]


def _schema(data: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(data))


@pytest.fixture
def jdbc(database: Filled) -> Iterator[Driver]:
    driver = Driver(database)
    yield driver
    driver.close()


def test_statements_with_and_without_values(jdbc: Driver) -> None:
    assert jdbc.query("SELECT host, usage FROM cpu ORDER BY time LIMIT 1") == [{"host": "a", "usage": 1.0}]
    assert jdbc.query("SELECT usage FROM cpu WHERE host = ? AND usage > ? LIMIT ?", "a", 1.5, 10) == [{"usage": 3.0}]
    assert jdbc.query("SELECT ? AS x", "untyped") == [{"x": "untyped"}]


def test_updates_with_and_without_values(jdbc: Driver) -> None:
    assert jdbc.update("INSERT INTO cpu (host, usage, time) VALUES ('jdbc', 7.5, 700)") == 1
    assert jdbc.update("INSERT INTO cpu (host, usage, time) VALUES (?, ?, ?)", "jdbc", 8.5, 800) == 1

    assert jdbc.query("SELECT usage FROM cpu WHERE host = 'jdbc' ORDER BY time") == [{"usage": 7.5}, {"usage": 8.5}]


def test_what_database_tools_browse(jdbc: Driver) -> None:
    """Names arrive as patterns whose `_` is escaped by what GetSqlInfo says escapes."""
    facts = {row["info_name"]: row["value"] for row in jdbc.read(sql.CommandGetSqlInfo())}
    escape = facts[513]

    (table,) = jdbc.read(sql.CommandGetTables(catalog="public", table_name_filter_pattern=f"cpu{escape}_total"))
    keys = jdbc.read(sql.CommandGetPrimaryKeys(table="cpu", db_schema="iox"))

    assert (facts[3], facts[8], facts[504], facts[532]) == (False, 0, '"', True)
    assert table["table_name"] == "cpu_total"
    assert [key["column_name"] for key in keys] == ["host", "time"]
    assert jdbc.read(sql.CommandGetImportedKeys(table="cpu")) == []
    assert jdbc.read(sql.CommandGetCatalogs()) == [{"catalog_name": "public"}]
    assert {"iox", "information_schema"} <= {row["db_schema_name"] for row in jdbc.read(sql.CommandGetDbSchemas())}
