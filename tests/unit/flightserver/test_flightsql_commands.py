"""Flight SQL's messages in their envelope."""

import pytest
from google.protobuf import any_pb2
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidRequest, UnsupportedFeature
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql


@pytest.mark.parametrize("name", sorted(commands.COMMANDS))
def test_every_message_travels_under_the_standards_name(name: str) -> None:
    """M1."""
    message = commands.COMMANDS[name]()

    packed = commands.pack(message)

    assert commands.open_any(packed)[0] == f"type.googleapis.com/arrow.flight.protocol.sql.{name}"
    assert commands.unpack(packed) == message


def test_absent_and_empty_are_told_apart() -> None:
    """M1."""
    absent = commands.unpack(commands.pack(sql.CommandGetTables()))
    empty = commands.unpack(commands.pack(sql.CommandGetTables(catalog="")))

    assert commands.optional(absent, "catalog") is None
    assert commands.optional(empty, "catalog") == ""


def test_an_ingest_reads_as_the_standard_writes_it() -> None:
    """M1: field numbers by hand, as another implementation sends them."""
    by_hand = (
        bytes.fromhex("0a04 0801 1002".replace(" ", "")) + b"\x12\x03cpu" + b"\x1a\x03iox" + b"\x22\x06public" + b"\x28\x01"
    )
    by_hand += b"\x32\x02tx" + b"\xc2\x3e\x0b" + b"\x0a\x04tags\x12\x03a,b"
    envelope = any_pb2.Any(type_url="type.googleapis.com/arrow.flight.protocol.sql.CommandStatementIngest", value=by_hand)

    found = commands.unpack(envelope.SerializeToString())

    assert isinstance(found, sql.CommandStatementIngest)
    assert (found.table_definition_options.if_not_exist, found.table_definition_options.if_exists) == (1, 2)
    assert (found.table, found.schema, found.catalog, found.temporary) == ("cpu", "iox", "public", True)
    assert (found.transaction_id, dict(found.options)) == (b"tx", {"tags": "a,b"})


def test_an_unknown_message_is_refused_by_its_type_url() -> None:
    """M2."""
    for url in ("type.googleapis.com/arrow.flight.protocol.sql.CommandDance", "type.googleapis.com/other.Message", ""):
        with pytest.raises(UnsupportedFeature, match=f"Unsupported FlightSQL message type: {url}"):
            commands.unpack(any_pb2.Any(type_url=url).SerializeToString())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    """M2."""
    try:
        commands.unpack(data)
    except InvalidRequest:
        return
