"""The calls of Grafana's two data sources, made with a gRPC client of its kind: 4 MiB a message, one endpoint, plain columns.

The InfluxDB data source in SQL mode asks GetFlightInfo and DoGet with the headers database and authorization; the Flight SQL
data source shakes hands first and browses with GetTables and GetSqlInfo.
"""

from collections.abc import Iterator, Mapping

import grpc  # type: ignore[import-untyped]  # ships no types
import pyarrow as pa
import pyarrow.flight as fl
import pytest

from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from tests.helpers.filled import Filled

SERVICE = "/arrow.flight.protocol.FlightService/"
GO_MESSAGE_BYTES_MAX = 4 * 1024 * 1024
PLAIN = (pa.types.is_string, pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_timestamp)


class Grafana:
    def __init__(self, database: Filled, **headers: str) -> None:
        options = [("grpc.max_receive_message_length", GO_MESSAGE_BYTES_MAX)]
        self._channel = grpc.insecure_channel(f"{database.host}:{database.port}", options)
        self.headers = {"database": database.name, **headers}

    def close(self) -> None:
        self._channel.close()

    def handshake(self, authorization: str) -> str:
        call = self._channel.stream_stream(SERVICE + "Handshake")(iter(()), metadata=[("authorization", authorization)])
        list(call)
        return str(dict(call.initial_metadata())["authorization"])

    def ask(self, command: object) -> pa.Table:
        """GetFlightInfo, then DoGet of its one endpoint."""
        info = self.info(command)
        (endpoint,) = info.endpoints
        assert endpoint.locations == []
        found = pa.ipc.open_stream(b"".join(self._messages(endpoint.ticket))).read_all()
        assert found.schema.remove_metadata() == info.schema.remove_metadata()
        return found

    def info(self, command: object) -> fl.FlightInfo:
        descriptor = fl.FlightDescriptor.for_command(commands.pack(command))  # type: ignore[arg-type]  # any message
        reply = self._channel.unary_unary(SERVICE + "GetFlightInfo")(
            descriptor.serialize(), metadata=self._metadata, timeout=20
        )
        return fl.FlightInfo.deserialize(reply)

    def _messages(self, ticket: fl.Ticket) -> Iterator[bytes]:
        """The answer as the IPC stream that it is."""
        for data in self._channel.unary_stream(SERVICE + "DoGet")(ticket.serialize(), metadata=self._metadata, timeout=20):
            parts = dict(_fields(data))
            header = parts[2] + bytes(-len(parts[2]) % 8)
            yield b"\xff\xff\xff\xff" + len(header).to_bytes(4, "little") + header + parts.get(1000, b"")

    @property
    def _metadata(self) -> list[tuple[str, str]]:
        return list(self.headers.items())


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        size, at = _varint(message, at)
        assert key & 7 == 2
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while message[at] & 128:
        number |= (message[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return number | message[at] << shift, at + 1


@pytest.fixture
def grafana(database: Filled) -> Iterator[Grafana]:
    client = Grafana(database, authorization="Bearer none")
    yield client
    client.close()


def statement(query: str) -> sql.CommandStatementQuery:
    return sql.CommandStatementQuery(query=query)


def test_the_health_check(grafana: Grafana) -> None:
    assert grafana.ask(statement("select 1")).num_rows == 1


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            "SELECT DISTINCT TABLE_SCHEMA from information_schema.TABLES"
            " where TABLE_TYPE != 'SYSTEM VIEW' ORDER BY TABLE_SCHEMA",
            {"table_schema": ["information_schema", "iox"]},
        ),
        (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY table_name",
            {"table_name": ["cpu", "cpu_total"]},
        ),
        (
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'iox' AND table_name = 'cpu' ORDER BY column_name",
            {"column_name": ["host", "time", "usage"]},
        ),
    ],
)
def test_the_query_builder_finds_schemas_tables_and_columns(
    grafana: Grafana, query: str, expected: Mapping[str, list[str]]
) -> None:
    found = grafana.ask(statement(query)).to_pydict()

    for name, values in expected.items():
        assert set(values) <= set(found[name])
        assert found[name] == sorted(found[name])


def test_a_panel_with_every_macro_spelled_out(grafana: Grafana) -> None:
    table = grafana.ask(
        statement(
            "SELECT date_bin(interval '60 second', time, timestamp '1970-01-01T00:00:00Z') AS time, host, avg(usage) AS usage"
            " FROM cpu WHERE time >= cast('1970-01-01T00:00:00Z' as timestamp)"
            " AND time <= cast('2030-01-01T00:00:00Z' as timestamp) AND datepart('minute', time) >= 0"
            " AND time > cast('2030-01-01T00:00:00Z' as timestamp) - interval '3600000000 second'"
            " GROUP BY 1, host ORDER BY 1, host"
        )
    )

    assert table.select(["host", "usage"]).to_pydict() == {"host": ["a", "b"], "usage": [2.0, 2.0]}
    assert pa.types.is_timestamp(table.schema.field("time").type)


def test_every_column_is_of_a_type_that_frames_are_made_of(grafana: Grafana, database: Filled) -> None:
    database.write('kinds,t=a f=1.5,i=2i,u=3u,s="x",b=true 1')

    table = grafana.ask(statement("SELECT *, count(*) OVER () AS n FROM kinds"))

    assert all(any(is_kind(field.type) for is_kind in PLAIN) for field in table.schema), table.schema
    assert table.schema.field("time").nullable is False
    assert table.schema.field("f").nullable is True


def test_a_big_panel_comes_in_messages_that_go_accepts(grafana: Grafana) -> None:
    query = "SELECT value, repeat('x', 2000) AS text FROM generate_series(1, 10000)"

    assert grafana.ask(statement(query)).num_rows == 10_000


@pytest.mark.parametrize(
    ("query", "headers", "code", "words"),
    [
        ("SELECT * FROM nothing", {}, grpc.StatusCode.INVALID_ARGUMENT, "nothing' not found"),
        ("SELEC 1", {}, grpc.StatusCode.INVALID_ARGUMENT, "SELEC"),
        ("SELECT 1", {"database": "unknown"}, grpc.StatusCode.INTERNAL, "database not found: unknown"),
        ("SELECT 1", {"database": ""}, grpc.StatusCode.INVALID_ARGUMENT, "no 'database' header in request"),
    ],
)
def test_errors_have_the_codes_that_become_http_codes(
    grafana: Grafana, query: str, headers: dict[str, str], code: grpc.StatusCode, words: str
) -> None:
    grafana.headers |= headers

    with pytest.raises(grpc.RpcError) as caught:
        grafana.ask(statement(query))

    assert caught.value.code() == code
    assert words in caught.value.details()
    assert "Traceback" not in caught.value.details()


def test_the_flight_sql_data_source_shakes_hands_and_browses(database: Filled) -> None:
    client = Grafana(database)
    client.headers["authorization"] = client.handshake("Basic YW55Om5vbmU")
    assert client.headers["authorization"] == "Bearer none"

    tables = client.ask(sql.CommandGetTables(table_types=["BASE TABLE", "table"]))
    (columns,) = client.ask(sql.CommandGetTables(table_name_filter_pattern="cpu", include_schema=True)).to_pylist()
    facts = client.ask(sql.CommandGetSqlInfo())
    client.close()

    assert {"cpu", "cpu_total"} <= set(tables.column("table_name").to_pylist())
    assert pa.ipc.read_schema(pa.py_buffer(columns["table_schema"])).types == [pa.utf8(), pa.timestamp("ns"), pa.float64()]
    assert facts.num_rows > 80
