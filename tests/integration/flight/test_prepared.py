"""Prepared statements, with every habit that clients have of naming, typing and binding parameters."""

import datetime as dt
from decimal import Decimal
from typing import Any

import adbc_driver_manager.dbapi as adbc
import pyarrow as pa
import pyarrow.flight as fl
import pytest

from engine.requests import WriteRequest
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers import prepared
from tests.helpers.memory_node import MemoryNode

DATABASE = fl.FlightCallOptions(headers=[(b"database", b"db")])
LINES = b"cpu,host=a usage=1 1\ncpu,host=b usage=2 2\ncpu,host=a usage=3 3\n"


@pytest.fixture(autouse=True)
def rows(node: MemoryNode) -> None:
    node.write_lp(WriteRequest("db", LINES, 4))


def prepare(
    flight: fl.FlightClient, query: str, options: fl.FlightCallOptions = DATABASE
) -> sql.ActionCreatePreparedStatementResult:
    request = commands.pack(sql.ActionCreatePreparedStatementRequest(query=query))
    (created,) = flight.do_action(fl.Action("CreatePreparedStatement", request), options)
    return commands.unpack_as(sql.ActionCreatePreparedStatementResult, created.body.to_pybytes())


def bind(flight: fl.FlightClient, handle: bytes, batch: pa.RecordBatch) -> bytes:
    """The handle that the answer names; exactly one answer comes."""
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    writer, reader = flight.do_put(fl.FlightDescriptor.for_command(commands.pack(command)), batch.schema, DATABASE)
    writer.write_batch(batch)
    writer.done_writing()
    answer = reader.read()
    assert answer is None or reader.read() is None
    writer.close()
    return bytes(commands.parse(sql.DoPutPreparedStatementResult, answer.to_pybytes()).prepared_statement_handle)


def query_info(flight: fl.FlightClient, handle: bytes, options: fl.FlightCallOptions = DATABASE) -> fl.FlightInfo:
    command = sql.CommandPreparedStatementQuery(prepared_statement_handle=handle)
    return flight.get_flight_info(fl.FlightDescriptor.for_command(commands.pack(command)), options)


def run(flight: fl.FlightClient, handle: bytes) -> list[dict[str, Any]]:
    info = query_info(flight, handle)
    table = flight.do_get(info.endpoints[0].ticket).read_all()
    assert table.schema == info.schema
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def close(flight: fl.FlightClient, handle: bytes) -> None:
    request = sql.ActionClosePreparedStatementRequest(prepared_statement_handle=handle)
    assert list(flight.do_action(fl.Action("ClosePreparedStatement", commands.pack(request)), DATABASE)) == []


def schema_of(data: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(data))


BY_HOST = "SELECT usage FROM cpu WHERE host = $1 ORDER BY time"


def test_the_new_handle_carries_its_values_and_needs_no_memory(flight: fl.FlightClient, node: MemoryNode, url: str) -> None:
    """O1."""
    created = prepare(flight, BY_HOST)
    bound = bind(flight, created.prepared_statement_handle, pa.record_batch({"1": ["a"]}))
    again = bind(flight, bound, pa.record_batch({"1": ["b"]}))

    close(flight, created.prepared_statement_handle)

    assert run(flight, bound) == [{"usage": 1.0}, {"usage": 3.0}]
    assert run(flight, again) == [{"usage": 2.0}]


def test_the_old_handle_finds_the_values_bound_last(flight: fl.FlightClient) -> None:
    """O2."""
    handle = prepare(flight, BY_HOST).prepared_statement_handle

    bind(flight, handle, pa.record_batch({"param_0": ["b"]}))
    assert run(flight, handle) == [{"usage": 2.0}]
    bind(flight, handle, pa.record_batch({"param_0": ["a"]}))
    assert run(flight, handle) == [{"usage": 1.0}, {"usage": 3.0}]

    info = query_info(flight, handle)
    close(flight, handle)
    assert flight.do_get(info.endpoints[0].ticket).read_all().num_rows == 2, "the ticket has all it needs"
    with pytest.raises(pa.ArrowInvalid, match=r"\$1"):
        flight.do_get(query_info(flight, handle).endpoints[0].ticket).read_all()


def test_equal_statements_of_two_clients_keep_their_values_apart(flight: fl.FlightClient) -> None:
    """O2."""
    one, two = (prepare(flight, BY_HOST).prepared_statement_handle for _ in range(2))

    bind(flight, one, pa.record_batch({"1": ["a"]}))
    bind(flight, two, pa.record_batch({"1": ["b"]}))

    assert (len(run(flight, one)), len(run(flight, two))) == (2, 1)


def test_only_the_bindings_made_last_are_remembered(flight: fl.FlightClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """O2."""
    monkeypatch.setattr(prepared, "BINDINGS_MAX", 1)
    one, two = (prepare(flight, BY_HOST).prepared_statement_handle for _ in range(2))

    kept = bind(flight, one, pa.record_batch({"1": ["a"]}))
    bind(flight, two, pa.record_batch({"1": ["b"]}))

    assert run(flight, two) == [{"usage": 2.0}]
    assert len(run(flight, kept)) == 2
    with pytest.raises(pa.ArrowInvalid):
        run(flight, one)


def test_values_are_unbound_by_a_batch_without_columns(flight: fl.FlightClient) -> None:
    """O2."""
    handle = prepare(flight, "SELECT count(*) AS n FROM cpu WHERE host = $1").prepared_statement_handle
    bind(flight, handle, pa.record_batch({"1": ["a"]}))
    nothing = pa.RecordBatch.from_struct_array(pa.array([], pa.struct([])))

    bind(flight, handle, nothing)

    with pytest.raises(pa.ArrowInvalid, match=r"\$1"):
        flight.do_get(query_info(flight, handle).endpoints[0].ticket).read_all()


def test_a_statement_runs_in_the_database_it_was_prepared_in_unless_told_otherwise(
    flight: fl.FlightClient, node: MemoryNode
) -> None:
    """O1."""
    node.write_lp(WriteRequest("other", b"cpu,host=z usage=9 1\n", 4))
    handle = prepare(flight, "SELECT host FROM cpu ORDER BY time LIMIT 1").prepared_statement_handle

    def host(*options: fl.FlightCallOptions) -> str:
        info = query_info(flight, handle, *options)
        found: str = flight.do_get(info.endpoints[0].ticket).read_all().column("host")[0].as_py()
        return found

    assert host(fl.FlightCallOptions()) == "a"
    assert host(fl.FlightCallOptions(headers=[(b"database", b"other")])) == "z"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT usage FROM cpu WHERE host = $h AND usage > $1", {"$1": pa.float64(), "$h": pa.utf8()}),
        ("SELECT * FROM cpu WHERE time > ? LIMIT ?", {"$1": pa.timestamp("ns"), "$2": pa.int64()}),
        ("SELECT $1 AS x", {"$1": pa.utf8()}),
        ("SELECT 1", {}),
        (
            "INSERT INTO cpu (time, usage, host) VALUES (?, ?, ?)",
            {"$1": pa.timestamp("ns"), "$2": pa.float64(), "$3": pa.utf8()},
        ),
        ("INSERT INTO new (a) VALUES ($1)", {"$1": pa.utf8()}),
        ("INSERT INTO new (a) SELECT usage FROM cpu WHERE usage > ?", {"$1": pa.float64()}),
    ],
)
def test_parameters_are_described(flight: fl.FlightClient, query: str, expected: dict[str, pa.DataType]) -> None:
    """O3."""
    created = prepare(flight, query)

    assert schema_of(created.parameter_schema) == pa.schema(list(expected.items()))
    assert created.HasField("is_update")
    assert created.is_update == query.startswith("INSERT")
    assert (len(schema_of(created.dataset_schema)) == 0) == created.is_update


def test_the_schema_of_a_result_follows_the_values(flight: fl.FlightClient) -> None:
    """O4."""
    created = prepare(flight, "SELECT $1 AS x")
    assert schema_of(created.dataset_schema).field("x").type == pa.null()

    bound = bind(flight, created.prepared_statement_handle, pa.record_batch({"0": [1.5]}))

    assert query_info(flight, bound).schema.field("x").type == pa.float64()
    assert run(flight, bound) == [{"x": 1.5}]


NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5),
        (-5, -5),
        (pa.scalar(2**64 - 1, pa.uint64()), 2**64 - 1),
        (1.5, 1.5),
        (True, True),
        ("it's", "it's"),
        (b"\x00\xff", b"\x00\xff"),
        (None, None),
        (Decimal("1.25"), Decimal("1.25")),
        (dt.date(2024, 1, 1), dt.date(2024, 1, 1)),
        (pa.scalar(NOON, pa.timestamp("ns", "UTC")), NOON),
    ],
    ids=str,
)
def test_values_of_every_kind_are_bound(flight: fl.FlightClient, value: Any, expected: Any) -> None:
    handle = prepare(flight, "SELECT $1 AS x").prepared_statement_handle

    scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
    bound = bind(flight, handle, pa.record_batch([pa.array([scalar.as_py()], scalar.type)], names=["0"]))

    ((found,),) = (row.values() for row in run(flight, bound))
    assert found == expected


def test_several_rows_of_values_are_several_runs(flight: fl.FlightClient) -> None:
    handle = prepare(flight, BY_HOST).prepared_statement_handle

    bound = bind(flight, handle, pa.record_batch({"0": ["b", "a", "nobody"]}))

    assert run(flight, bound) == [{"usage": 2.0}, {"usage": 1.0}, {"usage": 3.0}]


def test_no_row_of_values_is_refused(flight: fl.FlightClient) -> None:
    handle = prepare(flight, BY_HOST).prepared_statement_handle
    bound = bind(flight, handle, pa.record_batch([pa.array([], pa.utf8())], names=["0"]))

    with pytest.raises(pa.ArrowInvalid, match="no row of values"):
        run(flight, bound)


def test_values_that_do_not_match_are_refused_when_they_are_bound(flight: fl.FlightClient) -> None:
    handle = prepare(flight, BY_HOST).prepared_statement_handle

    with pytest.raises(pa.ArrowInvalid, match=r"1 parameter \(\$1\), 2 values were bound"):
        bind(flight, handle, pa.record_batch({"0": ["a"], "1": ["b"]}))
    with pytest.raises(pa.ArrowInvalid, match="more than"):
        bind(flight, handle, pa.record_batch({"0": ["x" * 2_000_000]}))


@pytest.mark.parametrize("handle", [b"\xff\xff", b"", b"\x12\x02db"])
def test_a_foreign_handle_is_refused(flight: fl.FlightClient, handle: bytes) -> None:
    """O1."""
    with pytest.raises(pa.ArrowInvalid):
        query_info(flight, handle)
    with pytest.raises(pa.ArrowInvalid):
        bind(flight, handle, pa.record_batch({"0": ["a"]}))


def test_a_statement_that_can_not_be_planned_is_not_prepared(flight: fl.FlightClient) -> None:
    for query, words in [
        ("SELECT * FROM nothing WHERE x = $1", "nothing' not found"),
        ("SELEC 1", "SELEC"),
        ("DELETE FROM cpu", "DML not supported"),
        ("INSERT INTO cpu", "needs VALUES or a query"),
    ]:
        with pytest.raises(pa.ArrowInvalid, match=words):
            prepare(flight, query)


def test_transactions_are_refused(flight: fl.FlightClient) -> None:
    request = sql.ActionCreatePreparedStatementRequest(query="SELECT 1", transaction_id=b"t")

    with pytest.raises(pa.ArrowNotImplementedError, match="transactions are not supported"):
        list(flight.do_action(fl.Action("CreatePreparedStatement", commands.pack(request)), DATABASE))


@pytest.mark.parametrize(
    ("query", "values", "expected"),
    [
        ("SELECT usage FROM cpu WHERE host = ? AND usage > ?", ("a", 1.5), [(3.0,)]),
        ("SELECT usage FROM cpu WHERE host = $1 AND usage > $2", ("a", 1), [(3.0,)]),
        ("SELECT usage FROM cpu WHERE usage > $2 AND host = $1", ("a", 1), [(3.0,)]),
        ("SELECT usage FROM cpu WHERE host = $host AND usage > $min", ("a", 1), [(3.0,)]),
        ("SELECT host FROM cpu WHERE time > ?", (dt.datetime(1970, 1, 1, tzinfo=dt.UTC),), [("a",), ("b",), ("a",)]),
        ("SELECT ? AS a, ? AS b, ? AS c", (1, "x", None), [(1, "x", None)]),
        ("SELECT host FROM cpu ORDER BY time LIMIT ?", (1,), [("a",)]),
        ("SELECT host FROM cpu WHERE host IN (?, ?) AND host LIKE ? ORDER BY time", ("a", "z", "%a%"), [("a",), ("a",)]),
    ],
)
def test_adbc_binds_by_position(connection: adbc.Connection, query: str, values: tuple[Any, ...], expected: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query, values)

        assert cursor.fetchall() == expected


def test_adbc_binds_arrow_columns_by_name(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT usage FROM cpu WHERE host = $host AND usage > $min", pa.record_batch({"min": [1.5], "host": ["a"]})
        )

        assert cursor.fetchall() == [(3.0,)]
