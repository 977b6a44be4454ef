"""Queries cancelled by the FlightInfo that describes them."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from tests.helpers.flight_process import within
from tests.helpers.memory_node import MemoryNode, wait_until_closed

DATABASE = fl.FlightCallOptions(headers=[(b"database", b"db")])
CANCELLED, NOT_CANCELLABLE = 1, 3


@pytest.fixture(autouse=True)
def database(node: MemoryNode) -> None:
    node.create_database("db")


def described(flight: fl.FlightClient, query: str = "SELECT 1 AS one") -> fl.FlightInfo:
    command = commands.pack(sql.CommandStatementQuery(query=query))
    return flight.get_flight_info(fl.FlightDescriptor.for_command(command), DATABASE)


def cancel_flight_info(flight: fl.FlightClient, info: fl.FlightInfo) -> int:
    """As arrow-go, arrow-java and C++ send it: nothing is wrapped."""
    request = b"\x0a" + _varint(len(info.serialize())) + info.serialize()
    (result,) = flight.do_action(fl.Action("CancelFlightInfo", request))
    return commands.parse(sql.CancelFlightInfoResult, result.body.to_pybytes()).status


def cancel_query(flight: fl.FlightClient, info: fl.FlightInfo) -> int:
    """As older Flight SQL clients send it: both ways in Any."""
    request = commands.pack(sql.ActionCancelQueryRequest(info=info.serialize()))
    (result,) = flight.do_action(fl.Action("CancelQuery", request))
    return commands.unpack_as(sql.ActionCancelQueryResult, result.body.to_pybytes()).result


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


Cancel = Callable[[fl.FlightClient, fl.FlightInfo], int]
WAYS = pytest.mark.parametrize("cancel", [cancel_flight_info, cancel_query])


@WAYS
def test_a_running_query_ends_at_once(flight: fl.FlightClient, node: MemoryNode, cancel: Cancel) -> None:
    """X1."""
    node.before_batch = wait_until_closed
    info = described(flight)
    streams = [flight.do_get(info.endpoints[0].ticket) for _ in range(2)]
    within(60, lambda: node.opened_results == 2)

    assert cancel(flight, info) == CANCELLED

    for stream in streams:
        with pytest.raises(fl.FlightUnavailableError, match="the query was cancelled"):
            stream.read_all()
    within(60, lambda: node.closed_results == 2)
    assert cancel(flight, info) == CANCELLED


@WAYS
def test_a_query_that_has_not_begun_never_will(flight: fl.FlightClient, node: MemoryNode, cancel: Cancel) -> None:
    """X1."""
    info = described(flight)

    assert cancel(flight, info) == CANCELLED

    with pytest.raises(fl.FlightUnavailableError, match="the query was cancelled"):
        flight.do_get(info.endpoints[0].ticket).read_all()
    within(60, lambda: node.closed_results == node.opened_results)


@WAYS
def test_a_query_that_is_over_can_not_be_cancelled(flight: fl.FlightClient, node: MemoryNode, cancel: Cancel) -> None:
    """X2."""
    info = described(flight)
    flight.do_get(info.endpoints[0].ticket).read_all()
    within(60, lambda: node.closed_results == 1)

    assert cancel(flight, info) == NOT_CANCELLABLE
    assert flight.do_get(info.endpoints[0].ticket).read_all().to_pylist() == [{"one": 1}], "but asked for again"


@WAYS
def test_an_unknown_query_is_not_found(flight: fl.FlightClient, cancel: Cancel) -> None:
    """X2."""
    info = described(flight)
    foreign = fl.FlightInfo(info.schema, info.descriptor, info.endpoints, -1, -1, app_metadata=b"0123456789abcdef")
    nameless = fl.FlightInfo(info.schema, info.descriptor, [], -1, -1)

    with pytest.raises(pa.ArrowKeyError, match="no such query"):
        cancel(flight, foreign)
    with pytest.raises(pa.ArrowInvalid, match="names no query of this server"):
        cancel(flight, nameless)


def test_the_ticket_alone_names_the_query(flight: fl.FlightClient, node: MemoryNode) -> None:
    """X1."""
    info = described(flight)
    bare = fl.FlightInfo(info.schema, info.descriptor, info.endpoints, -1, -1)

    assert info.app_metadata != b""
    assert cancel_flight_info(flight, bare) == CANCELLED


def test_an_insert_is_cancelled_like_any_query(flight: fl.FlightClient, node: MemoryNode) -> None:
    """X1."""
    node.before_batch = wait_until_closed
    info = described(flight, "INSERT INTO cpu SELECT 1.5 AS usage, 5 AS time")
    stream = flight.do_get(info.endpoints[0].ticket)
    within(60, lambda: node.opened_results == 1)

    cancel_flight_info(flight, info)

    with pytest.raises(fl.FlightUnavailableError):
        stream.read_all()
    within(60, lambda: node.closed_results == 1)
    assert "cpu" not in node.databases["db"]


def test_rubbish_is_refused(flight: fl.FlightClient) -> None:
    for name in ("CancelFlightInfo", "CancelQuery"):
        with pytest.raises(pa.ArrowInvalid, match="Invalid protobuf"):
            list(flight.do_action(fl.Action(name, b"\xff\xff\xff")))
