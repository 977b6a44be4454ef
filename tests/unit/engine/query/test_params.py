"""Parameters: names, numbers, question marks and quoted ones, and what becomes of their values."""

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.query.messages import QueryRefused
from engine.query.params import bind, left_open, placeholders
from tests.helpers.sql import ask, column, context_of, rows

CPU = rows(
    {"host": "a", "time": "2024-01-01", "busy": 1, "count": 1, "usage": 0.5, "note": "it's", "on": True},
    {"host": "b", "time": "2024-01-02", "busy": -2, "count": 2, "usage": 1.5},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT $b, $a, $b", ["$b", "$a"]),
        ("SELECT $2, $10, $1", ["$1", "$2", "$10"]),
        ("SELECT ?, ?, 'x?', \"?\" -- ?", ["$1", "$2"]),
        ("SELECT $a, $1", ["$1", "$a"]),
        ("SELECT '$a', $$ $b $$", []),
        ("SELECT 1", []),
    ],
)
def test_placeholders_are_listed_in_the_order_of_values_in_a_row(text: str, expected: list[str]) -> None:
    """P3."""
    assert placeholders(text) == expected


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("SELECT host FROM cpu WHERE host = $host", {"host": "a"}, ["a"]),
        ("SELECT host FROM cpu WHERE host = $host", {"$host": "a"}, ["a"]),
        ("SELECT host FROM cpu WHERE host = '$host'", {"host": "a"}, ["a"]),
        ("SELECT host FROM cpu WHERE host = $1 AND busy = $2", {"1": "b", "2": -2}, ["b"]),
        ("SELECT host FROM cpu WHERE busy = $2 AND host = $1", ["b", -2], ["b"]),
        ("SELECT host FROM cpu WHERE host = ? AND busy < ?", ["b", 0], ["b"]),
        ("SELECT host FROM cpu WHERE host = ? AND busy < ?", {"1": "b", "2": 0}, ["b"]),
        ("SELECT host FROM cpu WHERE host = $h AND busy < $n", ["b", 0], ["b"]),
        ("SELECT host FROM cpu WHERE usage > $low AND usage < $high", {"low": 1, "high": 2.0}, ["b"]),
        ('SELECT host FROM cpu WHERE "on" = $on', {"on": True}, ["a"]),
        ("SELECT host FROM cpu WHERE count = $n", {"n": 2}, ["b"]),
        ("SELECT host FROM cpu WHERE note = $note", {"note": "it's"}, ["a"]),
        (
            "SELECT host FROM cpu WHERE time >= $from AND time < $to",
            {"from": "2024-01-02", "to": "2024-01-03T00:00:00Z"},
            ["b"],
        ),
        ("SELECT host FROM cpu WHERE host IN ($1, $2) ORDER BY host", ["a", "b"], ["a", "b"]),
        ("SELECT host FROM cpu WHERE host LIKE $1", ["%b%"], ["b"]),
        ("SELECT host FROM cpu WHERE host ~ $1", ["^b$"], ["b"]),
        ("SELECT host FROM cpu WHERE note IS NOT DISTINCT FROM $1", [None], ["b"]),
        ("SELECT host FROM cpu ORDER BY host LIMIT $1 OFFSET $2", [1, 1], ["b"]),
        ("SELECT host FROM cpu WHERE host = $h AND '$h' = $h", {"h": "a"}, ["a"]),
    ],
)
def test_a_value_is_found_by_name_by_number_and_by_position(text: str, given: Any, expected: list[str]) -> None:
    """P2-P4."""
    assert column(context_of(cpu=CPU), text, given) == expected


@pytest.mark.parametrize(
    ("value", "kind", "read"),
    [
        (None, pa.null(), None),
        (True, pa.bool_(), True),
        (0, pa.uint64(), 0),
        (2**64 - 1, pa.uint64(), 2**64 - 1),
        (-1, pa.int64(), -1),
        (-(2**63), pa.int64(), -(2**63)),
        (1.5, pa.float64(), 1.5),
        ("x", pa.utf8(), "x"),
        ("", pa.utf8(), ""),
        (Decimal("1.25"), pa.decimal128(3, 2), Decimal("1.25")),
        (pa.scalar(7, pa.int16()), pa.int16(), 7),
    ],
)
def test_every_kind_of_value_is_bound_as_itself(value: object, kind: pa.DataType, read: object) -> None:
    bound = bind("SELECT $1 AS x", [value])

    assert bound.values is not None
    assert bound.values["1"].type == kind
    assert ask(context_of(), "SELECT $1 AS x", [value]) == [{"x": read}]


@settings(max_examples=60)
@given(st.text(max_size=30))
def test_no_text_is_ever_read_as_sql(text: str) -> None:
    """P1."""
    assert column(context_of(), "SELECT $x || '|' AS x", {"x": text}) == [text + "|"]
    assert column(context_of(), "SELECT '$x' AS x", {"x": text}) == [text]


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        ("SELECT $host", {}, "No value found for placeholder with name $host"),
        ("SELECT $host", {"not_host": 1}, "No value found for placeholder with name $host"),
        ("SELECT $a, $b", {"a": 1}, "No value found for placeholder with name $b"),
        ("SELECT ?", {}, "No value found for placeholder with name $1"),
        ("SELECT 1", {"x": 1}, "the statement has no placeholder $x, a value was given for it"),
        ("SELECT $a", {"a": 1, "b": 2}, "the statement has no placeholder $b, a value was given for it"),
        ("SELECT ?, ?", [1], "the statement has 2 parameters and was given 1 value"),
        ("SELECT 1", [1], "the statement has no parameters and was given 1 value"),
        ("SELECT $a", {"a": [1]}, "JSON arrays are not supported as query parameters"),
        ("SELECT $a", {"a": {"b": 1}}, "JSON objects are not supported as query parameters"),
        ("SELECT $a", {"a": 2**64}, "the value of parameter $a does not fit into 64 bits"),
    ],
)
def test_what_is_missing_too_much_or_unfit_is_named(text: str, given: Any, said: str) -> None:
    """P2."""
    with pytest.raises(QueryRefused, match=said.replace("$", r"\$")):
        bind(text, given)


def test_a_quoted_name_without_a_value_is_a_text() -> None:
    """P4."""
    assert column(context_of(), "SELECT '$host' AS x", {}) == ["$host"]


def test_nothing_else_is_a_parameter() -> None:
    text = "SELECT 'a$b', 'why?', \"$x\", `$y`, $$ $z $$ -- $w ?"

    assert bind(text, {}) == (text, {})


def test_parameters_may_wait_for_their_values() -> None:
    assert left_open("SELECT ?, ? + 1") == ("SELECT $1, $2 + 1", None)
    assert left_open("SELECT 1") == ("SELECT 1", {})
