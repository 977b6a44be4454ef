"""Statements through tickets and Flight SQL commands, as pyarrow, ADBC, pandas, polars and influxdb3-python send them."""

import json
from collections.abc import Callable
from typing import Any

import adbc_driver_manager.dbapi as adbc
import grpc  # type: ignore[import-untyped]  # ships no types
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from influxdb_client_3 import InfluxDBClient3

from engine.node import Node
from engine.requests import WriteRequest
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.flightsql.results import BATCH_BYTES_MAX
from flightserver.server import EngineServer
from tests.helpers.flight_process import within
from tests.helpers.memory_node import MemoryNode

DATABASE = fl.FlightCallOptions(headers=[(b"database", b"db")])


@pytest.fixture(autouse=True)
def rows(node: MemoryNode) -> None:
    node.write_lp(WriteRequest("db", b"cpu,host=a usage=1 1\ncpu,host=b usage=2 2\ncpu,host=a usage=3 3\n", 4))


def statement(query: str) -> fl.FlightDescriptor:
    return fl.FlightDescriptor.for_command(commands.pack(sql.CommandStatementQuery(query=query)))


def ticket(query: str, **more: Any) -> fl.Ticket:
    return fl.Ticket(json.dumps({"database": "db", "sql_query": query, **more}))


def test_info_schema_and_stream_agree_and_the_ticket_needs_no_header(flight: fl.FlightClient) -> None:
    """Q1, Q2."""
    query = statement("SELECT arrow_cast(host, 'Dictionary(Int32, Utf8)') AS host, usage, 'x' AS view FROM cpu ORDER BY time")

    info = flight.get_flight_info(query, DATABASE)
    schema = flight.get_schema(query, DATABASE).schema
    table = flight.do_get(info.endpoints[0].ticket).read_all()

    assert info.schema == schema == table.schema
    assert schema.types == [pa.utf8(), pa.float64(), pa.utf8()]
    assert table.column("usage").to_pylist() == [1.0, 2.0, 3.0]
    assert (len(info.endpoints), info.endpoints[0].locations, info.total_records) == (1, [], -1)
    assert info.descriptor == query


def test_a_bare_command_is_a_ticket_too(flight: fl.FlightClient) -> None:
    bare = fl.Ticket(commands.pack(sql.CommandStatementQuery(query="SELECT count(*) AS n FROM cpu")))

    assert flight.do_get(bare, DATABASE).read_all().to_pylist() == [{"n": 3}]


def test_read_info_is_a_ticket_bare_and_wrapped(flight: fl.FlightClient) -> None:
    info = sql.ReadInfo(database="db", sql_query="SELECT $n + 1 AS n", params=[sql.QueryParam(name="n", int64=1)])

    for data in (info.SerializeToString(), commands.pack_read_info(info)):
        assert flight.do_get(fl.Ticket(data)).read_all().to_pylist() == [{"n": 2}]


def test_json_tickets_bind_parameters_of_every_kind(flight: fl.FlightClient) -> None:
    query = "SELECT $s AS s, $i AS i, $f AS f, $b AS b, $z IS NULL AS z"

    found = flight.do_get(ticket(query, params={"s": "x", "i": -1, "f": 1.5, "b": True, "z": None})).read_all()

    assert found.to_pylist() == [{"s": "x", "i": -1, "f": 1.5, "b": True, "z": True}]


def test_influxql_is_refused_by_name_on_every_door(flight: fl.FlightClient) -> None:
    """Q4."""
    influxql = fl.FlightCallOptions(headers=[(b"database", b"db"), (b"x-influxdata-query-language", b"InfluxQL")])

    with pytest.raises(pa.ArrowNotImplementedError, match="InfluxQL is not part of this version yet"):
        flight.do_get(ticket("SHOW MEASUREMENTS", query_type="influxql")).read_all()
    read_info = sql.ReadInfo(database="db", sql_query="SHOW MEASUREMENTS", query_type=2)
    with pytest.raises(pa.ArrowNotImplementedError, match="InfluxQL is not part of this version yet"):
        flight.do_get(fl.Ticket(read_info.SerializeToString())).read_all()
    for ask in (flight.get_flight_info, flight.get_schema):
        with pytest.raises(pa.ArrowNotImplementedError, match="InfluxQL is not part of this version yet"):
            ask(statement("SHOW MEASUREMENTS"), influxql)
    prepare = commands.pack(sql.ActionCreatePreparedStatementRequest(query="SHOW MEASUREMENTS"))
    with pytest.raises(pa.ArrowNotImplementedError, match="InfluxQL is not part of this version yet"):
        list(flight.do_action(fl.Action("CreatePreparedStatement", prepare), influxql))
    described = flight.get_flight_info(statement("SELECT 1 AS n"), fl.FlightCallOptions(headers=[(b"database", b"db")]))
    with pytest.raises(pa.ArrowNotImplementedError, match="InfluxQL is not part of this version yet"):
        flight.do_get(described.endpoints[0].ticket, influxql).read_all()
    update = fl.FlightDescriptor.for_command(commands.pack(sql.CommandStatementUpdate(query="DELETE FROM m")))
    writer, _ = flight.do_put(update, pa.schema([]), influxql)
    with pytest.raises(pa.ArrowNotImplementedError, match="InfluxQL is not part of this version yet"):
        writer.close()


def test_polling_is_unimplemented(url: str) -> None:
    """Q4: Flight's library answers for us, and says so."""
    with grpc.insecure_channel(url.removeprefix("grpc://")) as channel:
        poll = channel.unary_unary("/arrow.flight.protocol.FlightService/PollFlightInfo")

        with pytest.raises(grpc.RpcError) as caught:
            poll(statement("SELECT 1").serialize(), metadata=[("database", "db")], timeout=5)

    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_statement_needs_a_database(flight: fl.FlightClient) -> None:
    with pytest.raises(pa.ArrowInvalid, match="no 'database' header in request"):
        flight.get_flight_info(statement("SELECT 1"))
    with pytest.raises(fl.FlightInternalError, match="database not found: other"):
        flight.get_flight_info(statement("SELECT 1"), fl.FlightCallOptions(headers=[(b"bucket-name", b"other")]))


def test_planning_errors_carry_the_planners_words(flight: fl.FlightClient) -> None:
    wrong = statement("SELECT * FROM nothing")
    words = r"table 'public\.iox\.nothing' not found"

    with pytest.raises(pa.ArrowInvalid, match=words):
        flight.do_get(ticket("SELECT * FROM nothing")).read_all()
    with pytest.raises(pa.ArrowInvalid, match=words):
        flight.get_flight_info(wrong, DATABASE)
    with pytest.raises(pa.ArrowInvalid, match=words):
        flight.get_schema(wrong, DATABASE)


def test_tables_are_listed_as_paths_that_can_be_read(flight: fl.FlightClient) -> None:
    listed = list(flight.list_flights())

    assert [info.descriptor.path for info in listed] == [[b"db", b"cpu"]]
    assert flight.do_get(listed[0].endpoints[0].ticket).read_all().num_rows == 3
    info = flight.get_flight_info(fl.FlightDescriptor.for_path("db", "cpu"))
    assert info.schema == flight.get_schema(fl.FlightDescriptor.for_path("db", "cpu")).schema
    with pytest.raises(pa.ArrowInvalid, match="the path of a table"):
        flight.get_flight_info(fl.FlightDescriptor.for_path("cpu"))


def test_actions_are_listed(flight: fl.FlightClient) -> None:
    names = {action.type for action in flight.list_actions()}

    assert {
        "CreatePreparedStatement",
        "ClosePreparedStatement",
        "CancelFlightInfo",
        "CancelQuery",
        "SetSessionOptions",
        "GetSessionOptions",
        "CloseSession",
        "flightline.write_lp",
        "flightline.health",
    } <= names
    assert "BeginTransaction" not in names


def test_batches_stay_below_two_mebibytes(flight: fl.FlightClient) -> None:
    stream = flight.do_get(ticket("SELECT value, repeat('x', 1000) AS text FROM generate_series(1, 8192)"))

    sizes = [chunk.data.nbytes for chunk in stream]

    assert len(sizes) >= 4
    assert max(sizes) < BATCH_BYTES_MAX


def test_a_client_that_leaves_ends_the_query(flight: fl.FlightClient, node: MemoryNode) -> None:
    stream = flight.do_get(ticket("SELECT value FROM generate_series(0, 100000000)"))
    stream.read_chunk()

    stream.cancel()

    within(60, lambda: node.closed_results == 1)


def test_adbc_prepares_executes_and_fetches(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT host, usage FROM cpu ORDER BY time")
        assert cursor.fetchall() == [("a", 1.0), ("b", 2.0), ("a", 3.0)]

        cursor.execute("SELECT count(*) AS n FROM cpu")
        assert cursor.fetch_arrow_table().to_pylist() == [{"n": 3}]


def test_adbc_describes_a_statement_without_running_it(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor:
        schema = cursor.adbc_execute_schema("SELECT host, usage FROM cpu")

    assert schema == pa.schema([("host", pa.utf8()), ("usage", pa.float64())])


def test_adbc_reports_errors_without_a_traceback(connection: adbc.Connection) -> None:
    with connection.cursor() as cursor, pytest.raises(connection.Error, match="nothing' not found") as caught:
        cursor.execute("SELECT * FROM nothing")

    assert "Traceback" not in str(caught.value)


def test_describing_a_statement_runs_nothing(flight: fl.FlightClient, node: MemoryNode) -> None:
    """Q3."""
    query = statement("SELECT * FROM cpu")

    flight.get_flight_info(query, DATABASE)
    flight.get_schema(query, DATABASE)
    request = commands.pack(sql.ActionCreatePreparedStatementRequest(query="SELECT * FROM cpu"))
    list(flight.do_action(fl.Action("CreatePreparedStatement", request), DATABASE))

    assert node.opened_results == 0


def test_a_query_is_named_in_its_info(flight: fl.FlightClient) -> None:
    """Q2."""
    one, two = (flight.get_flight_info(statement("SELECT 1"), DATABASE) for _ in range(2))

    assert len({one.app_metadata, two.app_metadata, b""}) == 3


def test_substrait_plans_are_refused_by_name_at_every_door(flight: fl.FlightClient) -> None:
    """Q4."""
    plan = commands.pack(sql.CommandStatementSubstraitPlan(plan=sql.SubstraitPlan(plan=b"x", version="0.1")))
    descriptor = fl.FlightDescriptor.for_command(plan)
    prepare = commands.pack(sql.ActionCreatePreparedSubstraitPlanRequest(plan=sql.SubstraitPlan(plan=b"x")))
    doors: list[Callable[[], object]] = [
        lambda: flight.get_flight_info(descriptor, DATABASE),
        lambda: flight.get_schema(descriptor, DATABASE),
        lambda: flight.do_get(fl.Ticket(plan), DATABASE).read_all(),
        lambda: flight.do_put(descriptor, pa.schema([]), DATABASE)[0].close(),
        lambda: list(flight.do_action(fl.Action("CreatePreparedSubstraitPlan", prepare), DATABASE)),
    ]

    for door in doors:
        with pytest.raises(pa.ArrowNotImplementedError, match="Substrait plans are not supported"):
            door()


@pytest.mark.parametrize("name", ["BeginTransaction", "EndTransaction", "BeginSavepoint", "EndSavepoint"])
def test_transactions_are_refused_by_name(flight: fl.FlightClient, name: str) -> None:
    """Q4."""
    with pytest.raises(pa.ArrowNotImplementedError, match=r"transactions are not supported: .*\(use autocommit\)"):
        list(flight.do_action(fl.Action(name, b""), DATABASE))


def test_a_statement_within_a_transaction_is_refused(flight: fl.FlightClient) -> None:
    """Q4."""
    within_one = commands.pack(sql.CommandStatementQuery(query="SELECT 1", transaction_id=b"t"))
    without = commands.pack(sql.CommandStatementQuery(query="SELECT 1", transaction_id=b""))

    with pytest.raises(pa.ArrowNotImplementedError, match="transactions are not supported"):
        flight.get_flight_info(fl.FlightDescriptor.for_command(within_one), DATABASE)
    assert flight.get_flight_info(fl.FlightDescriptor.for_command(without), DATABASE).schema.names


def test_a_computed_column_is_not_marked_as_what_it_was_made_of(real_node: Node, real_server: EngineServer) -> None:
    """Q1: a cast keeps the mark of its column, and clients would believe it."""
    real_node.write_lp(WriteRequest("db", b"cpu,host=a usage=1 1\n", 4))
    query = "SELECT host, CAST(usage AS INT) AS n, usage, time FROM cpu"

    with fl.FlightClient(f"grpc://127.0.0.1:{real_server.port}") as client:
        table = client.do_get(ticket(query)).read_all()

    marks = {field.name: (field.metadata or {}).get(b"iox::column::type") for field in table.schema}
    assert marks == {
        "host": b"iox::column_type::tag",
        "n": None,
        "usage": b"iox::column_type::field::float",
        "time": b"iox::column_type::timestamp",
    }


def test_pandas_and_polars_read_through_adbc(connection: adbc.Connection) -> None:
    query = "SELECT host, usage FROM cpu ORDER BY time"

    assert pd.read_sql(query, connection)["usage"].to_list() == [1.0, 2.0, 3.0]
    assert pl.read_database(query, connection)["host"].to_list() == ["a", "b", "a"]


def test_influxdb3_python_queries_in_every_mode(url: str) -> None:
    with InfluxDBClient3(host=url.replace("grpc://", "http://"), token="none", database="db") as client:
        assert client.query("SELECT usage FROM cpu ORDER BY time").to_pydict() == {"usage": [1.0, 2.0, 3.0]}
        assert client.query("SELECT usage FROM cpu", mode="pandas").shape == (3, 1)
        parameters = {"host": "b"}
        found = client.query("SELECT usage FROM cpu WHERE host = $host", query_parameters=parameters)
        assert found.to_pydict() == {"usage": [2.0]}
        with pytest.raises(Exception, match="nothing' not found"):
            client.query("SELECT * FROM nothing")
