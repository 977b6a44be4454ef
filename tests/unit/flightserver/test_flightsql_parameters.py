"""Values for parameters, as each client names and types them."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest, TooLarge
from flightserver.flightsql.parameters import BOUND_BYTES_MAX, decode, encode, positions, values


@pytest.mark.parametrize(
    ("names", "columns", "expected"),
    [
        (("1", "2"), ("0", "1"), {"1": 0, "2": 1}),
        (("1", "2"), ("param_0", "param_1"), {"1": 0, "2": 1}),
        (("1", "2"), ("$2", "$1"), {"1": 1, "2": 0}),
        (("1", "2"), ("2", "1"), {"1": 1, "2": 0}),
        (("host", "min"), ("min", "host"), {"host": 1, "min": 0}),
        (("host", "min"), ("$host", "$min"), {"host": 0, "min": 1}),
        (("host", "min"), ("0", "1"), {"host": 0, "min": 1}),
        (("1", "host"), ("a", "b"), {"1": 0, "host": 1}),
        (("1", "3"), ("a", "b", "c"), {"1": 0, "3": 2}),
        (("2", "5"), ("a", "b"), {"2": 0, "5": 1}),
        (("1",), ("",), {"1": 0}),
        (("1", "2"), ("x", "x"), {"1": 0, "2": 1}),
        ((), (), {}),
    ],
)
def test_columns_are_bound_by_name_and_then_by_position(
    names: tuple[str, ...], columns: tuple[str, ...], expected: dict[str, int]
) -> None:
    """R1."""
    assert positions(names, columns) == expected


def test_a_parameter_in_quotes_is_bound_by_name_only() -> None:
    """R1."""
    assert positions(("1",), ("host", "1"), frozenset({"host"})) == {"host": 0, "1": 1}
    assert positions(("1",), ("0",), frozenset({"host"})) == {"1": 0}
    with pytest.raises(InvalidRequest, match="2 values were bound"):
        positions(("1",), ("0", "1"), frozenset({"host"}))


@pytest.mark.parametrize(
    ("names", "columns", "words"),
    [
        (("1", "2"), ("0",), r"2 parameters \(\$1, \$2\), 1 value was bound"),
        (("host",), ("0", "1"), r"1 parameter \(\$host\), 2 values were bound"),
        ((), ("0",), "no parameters, 1 value was bound"),
        (("1",), (), r"1 parameter \(\$1\), 0 values were bound"),
        (("0", "1"), ("a",), r"2 parameters \(\$0, \$1\), 1 value was bound"),
    ],
)
def test_too_few_and_too_many_are_named(names: tuple[str, ...], columns: tuple[str, ...], words: str) -> None:
    """R2."""
    with pytest.raises(InvalidRequest, match=words):
        positions(names, columns)


NOON = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
UNION = pa.UnionArray.from_dense(
    pa.array([0, 1, 2], pa.int8()),
    pa.array([0, 0, 0], pa.int32()),
    [pa.array(["a"]), pa.array([5]), pa.array([None], pa.float64())],
)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", None]), ["a", None]),
        (pa.array(["a"], pa.string_view()), ["a"]),
        (pa.array([1, None], pa.int16()), [1, None]),
        (pa.array([1.5, True], pa.float64()), [1.5, 1.0]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["a", None]).dictionary_encode(), ["a", None]),
        (UNION, ["a", 5, None]),
        (pa.array([None]), [None]),
    ],
)
def test_a_value_arrives_as_it_was_sent(column: pa.Array, expected: list[Any]) -> None:
    """R3."""
    batch = pa.record_batch([column], names=["0"])

    found = [values(batch, row, {"1": 0})["1"] for row in range(len(column))]

    assert [scalar.as_py() for scalar in found] == expected
    assert not any(pa.types.is_union(scalar.type) or pa.types.is_dictionary(scalar.type) for scalar in found)


@pytest.mark.parametrize(
    "scalar",
    [
        pa.scalar(NOON, pa.timestamp("ns", "UTC")),
        pa.scalar(Decimal("1.25")),
        pa.scalar(b"\x00"),
        pa.scalar(dt.date(2024, 1, 1)),
        pa.scalar(2**64 - 1, pa.uint64()),
    ],
    ids=lambda scalar: str(scalar.type),
)
def test_a_value_keeps_its_type_and_so_does_a_null(scalar: pa.Scalar) -> None:
    """R3."""
    batch = pa.record_batch([pa.array([scalar.as_py(), None], scalar.type)], names=["0"])

    assert values(batch, 0, {"1": 0})["1"] == scalar
    assert values(batch, 1, {"1": 0})["1"].type == scalar.type
    assert not values(batch, 1, {"1": 0})["1"].is_valid


def test_bound_rows_survive_the_handle() -> None:
    """R3, R4."""
    batch = pa.record_batch([UNION, pa.array(["x", "y", None]).dictionary_encode()], names=["param_0", "param_1"])

    assert decode(encode([batch, batch], batch.schema)).to_batches()[1].to_pylist() == batch.to_pylist()
    assert encode([], pa.schema([])) == b""


def test_more_than_a_handle_can_carry_is_refused() -> None:
    """R4."""
    batch = pa.record_batch({"0": ["x" * 100_000]})

    with pytest.raises(TooLarge, match=str(BOUND_BYTES_MAX)):
        encode(iter([batch] * 20), batch.schema)


@pytest.mark.parametrize("data", [b"rubbish", b"\xff\xff\xff\xff\x10\x00\x00\x00", b""])
def test_a_damaged_handle_is_refused(data: bytes) -> None:
    """R4."""
    with pytest.raises(InvalidRequest, match="can not be read"):
        decode(data)
