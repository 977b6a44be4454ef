"""Handshake as C++, Go, JDBC and InfluxDB's own client do it; credentials of every kind are ignored."""

import base64
import json

import adbc_driver_flightsql.dbapi as flight_sql
import grpc  # type: ignore[import-untyped]  # ships no types
import pyarrow.flight as fl
import pytest

from tests.helpers.memory_node import MemoryNode

HANDSHAKE = "/arrow.flight.protocol.FlightService/Handshake"


def handshake(url: str, messages: list[bytes], authorization: str | None = None) -> tuple[list[bytes], dict[str, str]]:
    """The replies and the headers of a raw Handshake."""
    metadata = [("authorization", authorization)] if authorization else []
    with grpc.insecure_channel(url.removeprefix("grpc://")) as channel:
        call = channel.stream_stream(HANDSHAKE)(iter(messages), metadata=metadata, timeout=60)
        replies = list(call)
        return replies, {key: str(value) for key, value in call.initial_metadata()}


def payload(data: bytes) -> bytes:
    """HandshakeRequest with field 2."""
    return b"\x12" + bytes([len(data)]) + data


@pytest.mark.parametrize("messages", [[], [b""], [payload(b"0123456789abcdef")]], ids=["none", "empty", "payload"])
def test_every_form_succeeds_and_the_payload_comes_back(url: str, messages: list[bytes]) -> None:
    """U1."""
    replies, _ = handshake(url, messages)

    assert replies == (messages or [b""])


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        ("Basic " + base64.b64encode(b"any:secret").decode(), "Bearer secret"),
        ("Basic " + base64.b64encode(b"any:token").decode().rstrip("="), "Bearer token"),
        ("Bearer abc", "Bearer abc"),
        ("Token abc", "Bearer abc"),
        ("Basic %%%", None),
        ("rubbish", None),
        (None, None),
    ],
)
def test_the_reply_carries_the_token_to_use_from_then_on(url: str, authorization: str | None, expected: str | None) -> None:
    """U2."""
    _, headers = handshake(url, [], authorization)

    assert headers.get("authorization") == expected


def test_pyarrow_gets_its_bearer_token(flight: fl.FlightClient) -> None:
    """U2."""
    assert flight.authenticate_basic_token("any", "secret") == (b"authorization", b"Bearer secret")


def test_adbc_connects_with_user_and_password(url: str, node: MemoryNode) -> None:
    """U1, U2."""
    node.create_database("db")
    options = {"username": "any", "password": "none", "adbc.flight.sql.rpc.call_header.database": "db"}

    with flight_sql.connect(url, db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS one")

        assert cursor.fetchall() == [(1,)]


@pytest.mark.parametrize("authorization", ["Token none", "Bearer none", "Bearer", "Basic !!!", "Digest x", ""])
def test_rubbish_credentials_are_ignored(flight: fl.FlightClient, node: MemoryNode, authorization: str) -> None:
    """U3."""
    node.create_database("db")
    options = fl.FlightCallOptions(headers=[(b"authorization", authorization.encode())])
    ticket = fl.Ticket(json.dumps({"database": "db", "sql_query": "SELECT 1 AS one"}))

    assert flight.do_get(ticket, options).read_all().to_pylist() == [{"one": 1}]
