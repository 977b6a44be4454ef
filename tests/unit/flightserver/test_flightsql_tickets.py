"""Tickets of every kind, and those that are none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidRequest
from flightserver.flightsql import commands, tickets
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.flightsql.tickets import CommandTicket, StatementTicket


def decode(**entries: Any) -> Any:
    return tickets.decode(json.dumps(entries).encode())


@pytest.mark.parametrize("alias", ["database", "namespace_name", "bucket", "bucket-name"])
def test_a_database_goes_by_four_names(alias: str) -> None:
    """T1."""
    assert decode(**{alias: "db", "sql_query": "SELECT 1"}) == StatementTicket("db", "SELECT 1")


def test_language_parameters_and_unknown_keys() -> None:
    """T1."""
    found = decode(
        database="db", sql_query="q", query_type="influxql", params={"a": None, "b": 1.5}, is_debug=True, other="ignored"
    )

    assert found == StatementTicket("db", "q", "influxql", {"a": None, "b": 1.5})
    assert decode(database="db", sql_query="q", query_type=None).language == "sql"


@pytest.mark.parametrize(
    "entries",
    [
        {"sql_query": "q"},
        {"database": "db"},
        {"database": "db", "bucket": "db", "sql_query": "q"},
        {"database": 1, "sql_query": "q"},
        {"database": "db", "sql_query": 1},
        {"database": "db", "sql_query": "q", "query_type": "SQL"},
        {"database": "db", "sql_query": "q", "query_type": ["sql"]},
        {"database": "db", "sql_query": "q", "params": None},
        {"database": "db", "sql_query": "q", "params": {"a": [1]}},
        {"database": "db", "sql_query": "q", "params": {"a": {}}},
    ],
)
def test_a_json_ticket_that_breaks_a_rule_is_invalid(entries: dict[str, Any]) -> None:
    """T2."""
    with pytest.raises(InvalidRequest, match=r"^Invalid ticket\. Error: Invalid ticket$"):
        decode(**entries)


@pytest.mark.parametrize(
    "info",
    [
        sql.ReadInfo(sql_query="q"),
        sql.ReadInfo(database="db", sql_query="q", query_type=9),
        sql.ReadInfo(database="db", sql_query="q", query_type=1, flightsql_command=b"x"),
        sql.ReadInfo(database="db", sql_query="q", query_type=3, flightsql_command=b"x"),
        sql.ReadInfo(database="db", query_type=3),
    ],
)
def test_a_read_info_that_breaks_a_rule_is_invalid(info: sql.ReadInfo) -> None:
    """T2."""
    with pytest.raises(InvalidRequest, match="Invalid ticket"):
        tickets.decode(info.SerializeToString())


def test_read_info_carries_statement_and_parameters() -> None:
    params = [
        sql.QueryParam(name="n", null=0),
        sql.QueryParam(name="b", boolean=True),
        sql.QueryParam(name="u", u_int64=2**63),
        sql.QueryParam(name="i", int64=-1),
        sql.QueryParam(name="f", float64=0.5),
        sql.QueryParam(name="s", string="x"),
        sql.QueryParam(name="nothing"),
    ]
    info = sql.ReadInfo(database="db", sql_query="q", query_type=2, params=params)
    wanted = {"n": None, "b": True, "u": 2**63, "i": -1, "f": 0.5, "s": "x", "nothing": None}

    for data in (info.SerializeToString(), commands.pack_read_info(info)):
        assert tickets.decode(data) == StatementTicket("db", "q", "influxql", wanted)


def test_the_ticket_of_a_flight_info_carries_all_it_needs() -> None:
    """T3."""
    command = sql.CommandGetTables(catalog="public")

    found = tickets.decode(tickets.encode_command("db", commands.pack(command)))

    assert found == CommandTicket("db", command)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_ticket_or_refused(data: bytes) -> None:
    """T2."""
    try:
        tickets.decode(data)
    except InvalidRequest:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_json_is_a_ticket_or_refused(value: object) -> None:
    """T2."""
    try:
        tickets.decode(json.dumps({"database": "db", "sql_query": value, "params": value}).encode())
    except InvalidRequest:
        return


def test_a_json_ticket_nested_without_end_is_invalid() -> None:
    """T2."""
    with pytest.raises(InvalidRequest, match="Invalid ticket"):
        tickets.decode(b'{"database":' + b"[" * 200_000)
