"""Headers, lanes and names as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidRequest
from flightserver import wire
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql

headers = st.builds(
    wire.WriteHeader,
    db=st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    precision=st.sampled_from(sorted(wire.PRECISIONS)),
    accept_partial=st.booleans(),
    no_sync=st.booleans(),
    door=st.sampled_from(wire.DOORS),
    authorization=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    arena_bytes=st.none() | st.integers(0, wire.ARENA_BYTES),
)


@given(headers, st.binary())
def test_a_header_comes_out_as_it_went_in(header: wire.WriteHeader, lines: bytes) -> None:
    """P1."""
    found, rest = wire.decode_write(memoryview(wire.encode_write_header(header) + lines))

    assert found == header
    assert bytes(rest) == lines


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", "begins with one line of JSON"),
        (b'{"db":"x"}', "begins with one line of JSON"),
        (b"x" * 10_000 + b"\n", "begins with one line of JSON"),
        (b"nonsense\n", "not JSON"),
        (b"[]\n", "not a JSON object"),
        (b"{}\n", "names no database"),
        (b'{"db":1}\n', "unusable entry in a write's header: db"),
        (b'{"db":"x","arena_bytes":true}\n', "unusable entry in a write's header: arena_bytes"),
        (b'{"db":"x","colour":"red"}\n', "unusable entry in a write's header: colour"),
        (b'{"db":"x","precision":"parsec"}\n', "unknown precision or door: parsec"),
        (b'{"db":"x","door":"v9"}\n', "unknown precision or door: auto, v9"),
    ],
)
def test_a_message_that_is_no_write_is_refused(message: bytes, expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected):
        wire.decode_write(memoryview(message))


def test_a_lane_may_bring_an_arena() -> None:
    name = wire.new_arena_name()

    assert wire.is_lane_command(wire.lane_command(name))
    assert wire.arena_of_lane(wire.lane_command(name)) == name
    assert wire.arena_of_lane(wire.lane_command(None)) is None
    assert not wire.is_lane_command(b'{"database":"db"}')


@pytest.mark.parametrize("name", ["", "a" * 31, "a" * 33, "../" + "a" * 29, "A" * 32, "a" * 32 + "\n", "g" * 32])
def test_no_other_name_is_an_arenas(name: str) -> None:
    """P2."""
    assert not wire.is_arena_name(name)
    with pytest.raises(InvalidRequest, match="not an arena's name"):
        wire.arena_of_lane(wire.lane_command(name))


@pytest.mark.parametrize("body", [b"{", b"[1]", b"1", b'"x"', b"\xff"])
def test_only_objects_are_objects(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        wire.decode_object(body)
    assert wire.decode_object(b"") == {}


def test_a_cancel_names_its_query() -> None:
    """As the library of protobuf reads it."""
    request = commands.parse(sql.CancelFlightInfoRequest, wire.encode_cancel(b"by this name"))

    assert request.info == sql.FlightInfo(app_metadata=b"by this name")
