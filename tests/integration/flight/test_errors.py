"""What a foreign client sees of an error: the right code, one line, no traceback."""

import json
import logging
from collections.abc import Callable

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from catalog.errors import (
    Conflict,
    Damaged,
    DatabaseNotFound,
    Forbidden,
    InvalidRequest,
    LimitReached,
    ServiceError,
    TableNotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedFeature,
    decode_error,
)
from flightserver import wire
from tests.helpers.memory_node import MemoryNode

DETAILED = fl.FlightCallOptions(headers=[(wire.ERROR_DETAILS_HEADER.encode(), b"1"), (b"database", b"db")])
PLAIN = fl.FlightCallOptions(headers=[(b"database", b"db")])
TICKET = fl.Ticket(json.dumps({"database": "db", "sql_query": "SELECT 1"}))
STATEMENT = fl.FlightDescriptor.for_path("db", "cpu")

CODES = [
    (InvalidRequest("no good"), pa.ArrowInvalid),
    (Conflict("no good"), pa.ArrowInvalid),
    (TooLarge("no good"), pa.ArrowInvalid),
    (LimitReached("no good"), pa.ArrowInvalid),
    (TableNotFound("no good", "cpu"), pa.ArrowKeyError),
    (DatabaseNotFound("no good"), fl.FlightInternalError),
    (UnsupportedFeature("no good"), pa.ArrowNotImplementedError),
    (Unauthenticated("no good"), fl.FlightUnauthenticatedError),
    (Forbidden("no good"), fl.FlightUnauthorizedError),
    (Unavailable("no good"), fl.FlightUnavailableError),
    (Damaged("no good"), fl.FlightInternalError),
    (ServiceError("no good"), fl.FlightInternalError),
]
CALLS: dict[str, Callable[[fl.FlightClient, fl.FlightCallOptions], object]] = {
    "DoGet": lambda flight, options: flight.do_get(TICKET, options).read_all(),
    "GetFlightInfo": lambda flight, options: flight.get_flight_info(STATEMENT, options),
    "DoAction": lambda flight, options: list(
        flight.do_action(fl.Action("flightline.admin.create_database", b'{"name":"x"}'), options)
    ),
    "DoPut": lambda flight, options: flight.do_put(STATEMENT, pa.schema([("v", pa.int64())]), options)[0].close(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("error", "expected"), CODES, ids=lambda value: type(value).__name__)
def test_the_code_follows_the_kind_of_the_error(
    flight: fl.FlightClient,
    node: MemoryNode,
    call: Callable[[fl.FlightClient, fl.FlightCallOptions], object],
    error: ServiceError,
    expected: type[Exception],
) -> None:
    """F2."""
    node.fail_with = error

    with pytest.raises(expected, match="no good") as caught:
        call(flight, PLAIN)

    assert type(caught.value) is expected
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_our_own_clients_get_the_error_whole(
    flight: fl.FlightClient, node: MemoryNode, call: Callable[[fl.FlightClient, fl.FlightCallOptions], object]
) -> None:
    """F3."""
    node.fail_with = Conflict("it is there already", hint="take another", name="x")

    with pytest.raises(fl.FlightError) as caught:
        call(flight, DETAILED)

    assert decode_error(caught.value.extra_info) == Conflict("it is there already", hint="take another", name="x")


def test_foreign_clients_get_no_details_that_their_library_would_misread(flight: fl.FlightClient, node: MemoryNode) -> None:
    node.fail_with = Unavailable("no good")

    with pytest.raises(fl.FlightUnavailableError) as caught:
        flight.do_get(TICKET).read_all()

    assert caught.value.extra_info == b""


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_nobody_planned_is_an_internal_error_and_stands_in_the_log(
    flight: fl.FlightClient,
    node: MemoryNode,
    call: Callable[[fl.FlightClient, fl.FlightCallOptions], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F4."""
    node.fail_with = ZeroDivisionError("a secret")

    with caplog.at_level(logging.ERROR), pytest.raises(fl.FlightInternalError, match="internal error") as caught:
        call(flight, PLAIN)

    assert "a secret" not in str(caught.value)
    assert "ZeroDivisionError: a secret" in caplog.text


@pytest.mark.parametrize("options", [PLAIN, DETAILED], ids=["plain", "detailed"])
@pytest.mark.parametrize("letter", ["x", "é", "\n"])
def test_a_long_text_is_cut_so_that_it_arrives(
    flight: fl.FlightClient, node: MemoryNode, options: fl.FlightCallOptions, letter: str
) -> None:
    """F1."""
    node.fail_with = InvalidRequest("begin" + letter * 100_000 + "end", details="y" * 100_000)

    with pytest.raises((pa.ArrowInvalid, fl.FlightInternalError), match="begin") as caught:
        flight.do_get(TICKET, options).read_all()

    text = str(caught.value).split(". Detail", maxsplit=1)[0].partition("begin")[2]
    assert len(text.encode()) <= 1000
    assert "\n" not in text


def test_an_error_late_in_a_stream_is_as_clean(flight: fl.FlightClient, node: MemoryNode) -> None:
    """F1, F2."""
    node.create_database("db")
    ticket = {"database": "db", "sql_query": "SELECT 1 / (value - 20000) FROM generate_series(0, 30000)"}
    stream = flight.do_get(fl.Ticket(json.dumps(ticket)))

    with pytest.raises(pa.ArrowInvalid, match="Divide by zero") as caught:
        stream.read_all()

    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidRequest("no good"), pa.ArrowInvalid),
        (TableNotFound("no good", "cpu"), pa.ArrowKeyError),
        (DatabaseNotFound("no good"), pa.ArrowException),
        (UnsupportedFeature("no good"), pa.ArrowNotImplementedError),
        (Unavailable("no good"), pa.ArrowException),
        (ZeroDivisionError("a secret"), pa.ArrowException),
    ],
    ids=lambda value: type(value).__name__,
)
def test_get_schema_sends_no_traceback_either(
    flight: fl.FlightClient, node: MemoryNode, error: Exception, expected: type[Exception]
) -> None:
    """F1, F2."""
    node.fail_with = error

    with pytest.raises(expected) as caught:
        flight.get_schema(STATEMENT)

    assert "Traceback" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_list_flights_sends_no_traceback_either(flight: fl.FlightClient, node: MemoryNode) -> None:
    """F1."""
    node.fail_with = Unavailable("no good")

    with pytest.raises(fl.FlightUnavailableError, match="no good") as caught:
        list(flight.list_flights())

    assert "Traceback" not in str(caught.value)


def test_an_exchange_is_refused_without_a_traceback(flight: fl.FlightClient) -> None:
    """F1, F2."""
    writer, _ = flight.do_exchange(STATEMENT)

    with pytest.raises(pa.ArrowNotImplementedError, match="DoExchange is not supported") as caught:
        writer.close()

    assert "Traceback" not in str(caught.value)


def test_an_unknown_action_is_unimplemented(flight: fl.FlightClient) -> None:
    """F2."""
    with pytest.raises(pa.ArrowNotImplementedError, match="unknown action: nonsense"):
        list(flight.do_action(fl.Action("nonsense", b"")))
