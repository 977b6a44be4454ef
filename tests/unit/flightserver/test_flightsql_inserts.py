"""Rows of an INSERT on their way to the columns of a table."""

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest
from flightserver.flightsql.inserts import as_inserted, inserted_names
from flightserver.flightsql.statements import parse_insert

TAG = {b"iox::column::type": b"iox::column_type::tag"}
FLOAT = {b"iox::column::type": b"iox::column_type::field::float"}
CPU = pa.schema(
    [
        pa.field("host", pa.utf8(), metadata=TAG),
        pa.field("time", pa.timestamp("ns"), nullable=False),
        pa.field("usage", pa.float64(), metadata=FLOAT),
    ]
)


@pytest.mark.parametrize(
    ("text", "source", "table", "expected"),
    [
        ("INSERT INTO cpu (usage, host) VALUES (1, 'a')", ["column1", "column2"], CPU, ("usage", "host")),
        ("INSERT INTO cpu VALUES ('a', 1, 2)", ["column1", "column2", "column3"], CPU, ("host", "time", "usage")),
        ("INSERT INTO cpu SELECT usage, host, time FROM x", ["usage", "host", "time"], CPU, ("usage", "host", "time")),
        ("INSERT INTO cpu SELECT usage, host FROM x", ["usage", "host"], CPU, ("usage", "host")),
        ("INSERT INTO cpu SELECT a, b, c FROM x", ["a", "b", "c"], CPU, ("host", "time", "usage")),
        ("INSERT INTO new SELECT a, b FROM x", ["a", "b"], None, ("a", "b")),
        ("INSERT INTO new (x, y) VALUES (1, 2)", ["column1", "column2"], None, ("x", "y")),
        ("INSERT INTO cpu (host, idle) VALUES ('a', 2)", ["column1", "column2"], CPU, ("host", "idle")),
    ],
)
def test_columns_go_where_the_insert_says(text: str, source: list[str], table: Any, expected: tuple[str, ...]) -> None:
    """W1."""
    assert inserted_names(parse_insert(text), source, table) == expected


@pytest.mark.parametrize(
    ("text", "source", "table", "words"),
    [
        ("INSERT INTO new VALUES (1)", ["column1"], None, "does not exist yet: name its columns"),
        ("INSERT INTO cpu (host) VALUES ('a', 1)", ["column1", "column2"], CPU, r"about 1 columns \(host\), its rows have 2"),
        ("INSERT INTO cpu VALUES ('a')", ["column1"], CPU, r"about 3 columns \(host, time, usage\), its rows have 1"),
        ("INSERT INTO cpu SELECT a FROM x", ["a"], CPU, "about 3 columns"),
    ],
)
def test_rows_that_fit_no_columns_are_refused(text: str, source: list[str], table: Any, words: str) -> None:
    """W1."""
    with pytest.raises(InvalidRequest, match=words):
        inserted_names(parse_insert(text), source, table)


def fitted(column: pa.Array, name: str) -> pa.Array:
    return as_inserted(pa.record_batch([column], names=["column1"]), [name], "cpu", CPU).column(name)


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("usage", pa.array([1, None]), pa.array([1.0, None])),
        ("usage", pa.array(["1.5", None]), pa.array([1.5, None])),
        ("usage", pa.array([None]), pa.array([None], pa.float64())),
        ("host", pa.array([1, 2]), pa.array(["1", "2"])),
        ("host", pa.array(["a"]).dictionary_encode(), pa.array(["a"])),
        ("host", pa.array(["a"], pa.string_view()), pa.array(["a"])),
        ("time", pa.array([5]), pa.array([5])),
    ],
)
def test_values_become_the_columns_type(name: str, column: pa.Array, expected: pa.Array) -> None:
    """W2."""
    assert fitted(column, name) == expected


@pytest.mark.parametrize("text", ["2024-01-01T12:00:00Z", "2024-01-01 13:00:00+01:00", "2024-01-01 12:00:00"])
def test_times_may_be_text(text: str) -> None:
    """W2."""
    assert fitted(pa.array([text]), "time").cast(pa.timestamp("us")).to_pylist() == [dt.datetime(2024, 1, 1, 12)]


@pytest.mark.parametrize(
    ("name", "column"), [("usage", pa.array(["abc"])), ("time", pa.array(["yesterday"])), ("usage", pa.array([[1]]))]
)
def test_what_does_not_fit_is_refused_with_the_columns_name(name: str, column: pa.Array) -> None:
    """W2."""
    with pytest.raises(InvalidRequest, match=f"column '{name}' of cpu"):
        fitted(column, name)


def test_nothing_is_rounded() -> None:
    """W2."""
    table = pa.schema([("n", pa.int64())])

    with pytest.raises(InvalidRequest, match=r"column 'n' of cpu: .*1\.5"):
        as_inserted(pa.record_batch({"n": [1.5]}), ["n"], "cpu", table)


def test_values_that_arrive_as_unions_become_one_column() -> None:
    """W2."""
    union = pa.UnionArray.from_dense(
        pa.array([1, 0], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([2.5]), pa.array([1])]
    )
    mixed = pa.UnionArray.from_dense(
        pa.array([1, 0], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array(["a"]), pa.array([1])]
    )

    assert fitted(union, "usage").to_pylist() == [1.0, 2.5]
    with pytest.raises(InvalidRequest, match="of different kinds"):
        fitted(mixed, "usage")


def test_a_time_that_arrives_in_a_union_keeps_its_nanoseconds() -> None:
    times = pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns"))
    union = pa.UnionArray.from_dense(pa.array([0, 0], pa.int8()), pa.array([0, 1], pa.int32()), [times])

    assert fitted(union, "time").equals(times)


def test_tags_stay_tags_in_a_new_table_and_other_marks_are_left_behind() -> None:
    """W3."""
    schema = pa.schema([pa.field("host", pa.utf8(), metadata=TAG), pa.field("n", pa.int32(), metadata=FLOAT)])
    batch = pa.record_batch([pa.array(["a"]), pa.array([1], pa.int32())], schema=schema)

    found = as_inserted(batch, ["h", "n"], "new", None)

    assert found.schema.field("h").metadata == TAG
    assert found.schema.field("n").metadata is None
    assert found.schema.types == [pa.utf8(), pa.int32()]
