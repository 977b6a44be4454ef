"""Filling gaps, against a model that does it row by row."""

import math
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.query.functions import fill
from engine.query.functions.bounds import Cover
from engine.query.functions.fill import Bins, Output, filled
from engine.query.messages import QueryRefused

NS = pa.timestamp("ns")
FLOAT = pa.float64()
HOUR = 3_600_000_000_000


def bins_of(first: int, last: int, stride: int = 10) -> Bins:
    return Bins.of(Cover(stride, 0, first, last), None, by_wallclock=False)


def table(rows: list[tuple[Any, ...]], kind: pa.DataType = FLOAT) -> pa.Table:
    """Rows of (time, host, value), sorted as they come from the plan."""
    ordered = sorted(rows, key=lambda row: (row[1] is None, row[1] or "", row[0] is None, row[0] or 0))
    return pa.table(
        {
            "t": pa.array([row[0] for row in ordered], NS),
            "host": pa.array([row[1] for row in ordered]).dictionary_encode(),
            "v": pa.array([row[2] for row in ordered], kind),
        }
    )


def fill_all(rows: pa.Table, bins: Bins, *how: str, empty: int | None = None) -> list[tuple[Any, ...]]:
    outputs = [Output("t", 0), Output("host", 1), *(Output(each, 2, each, empty) for each in how)]  # type: ignore[arg-type]
    kind = rows.schema.field(2).type
    schema = pa.schema([("t", NS), ("host", rows.schema.field(1).type), *((each, kind) for each in how)])
    batches = list(filled(rows, bins, 1, outputs, schema))
    found = pa.Table.from_batches(batches, schema)
    times = found.column("t").cast(pa.int64()).to_pylist()
    return list(zip(times, *(found.column(name).to_pylist() for name in found.column_names[1:]), strict=True))


def model(rows: list[tuple[Any, ...]], first: int, last: int, stride: int) -> list[tuple[Any, ...]]:
    """(time, host, plain, locf, interpolated) of every series that has a row."""
    expected: list[tuple[Any, ...]] = []
    hosts = sorted({row[1] for row in rows}, key=lambda host: (host is None, host or ""))
    for host in hosts:
        there = {row[0]: row[2] for row in rows if row[1] == host}
        known = sorted(time for time, value in there.items() if value is not None)
        for time in range(first // stride * stride, last + 1, stride):
            before = max((each for each in known if each <= time), default=None)
            after = min((each for each in known if each >= time), default=None)
            carried = None if before is None else there[before]
            line: float | None = None
            if before is not None and after is not None:
                low, high = there[before], there[after]
                line = low if before == after else low + (high - low) * ((time - before) / (after - before))
            expected.append((time, host, there.get(time), carried, line))
    return expected


histories = st.lists(
    st.tuples(
        st.integers(0, 12).map(lambda number: number * 10),
        st.sampled_from(["a", "b", "c", None]),
        st.none() | st.integers(-50, 50).map(float),
    ),
    max_size=20,
    unique_by=lambda row: row[:2],
)


@settings(max_examples=120, deadline=None)
@given(histories, st.sampled_from([1, 3, 7, 1000]))
def test_every_bin_of_every_series_is_what_it_should_be(rows: list[tuple[Any, ...]], piece: int) -> None:
    """F1, F2: whatever size the pieces have."""
    original, fill.PIECE = fill.PIECE, piece
    try:
        found = fill_all(table(rows), bins_of(0, 125), "plain", "locf", "interpolate")
    finally:
        fill.PIECE = original

    expected = model(rows, 0, 125, 10)
    assert [row[:4] for row in found] == [row[:4] for row in expected]
    assert [row[4] for row in found] == pytest.approx([row[4] for row in expected])


def test_nothing_comes_of_nothing() -> None:
    """F1: a series without a row is none."""
    assert fill_all(table([]), bins_of(0, 100), "plain") == []


def test_a_missing_count_is_zero_and_all_else_is_null() -> None:
    found = fill_all(table([(0, "a", 3), (30, "a", 4)], pa.int64()), bins_of(0, 30), "plain", empty=0)

    assert [row[2] for row in found] == [3, 0, 0, 4]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.int64(), (0, 5), [0, 1, 3, 5]),
        (pa.int64(), (0, -5), [0, -1, -3, -5]),
        (pa.uint64(), (10, 0), [10, 6, 3, 0]),
        (pa.int64(), (2**62 + 1, 2**62 + 1), [2**62 + 1, 2**62, 2**62, 2**62 + 1]),
        (pa.float64(), (0.0, 3.0), [0.0, 1.0, 2.0, 3.0]),
    ],
)
def test_whole_numbers_between_are_cut_towards_zero_and_those_there_are_kept(
    kind: pa.DataType, values: tuple[Any, Any], expected: list[Any]
) -> None:
    """F1, F2."""
    found = fill_all(table([(0, "a", values[0]), (30, "a", values[1])], kind), bins_of(0, 30), "interpolate")

    assert [row[2] for row in found] == pytest.approx(expected, rel=1e-15)


def test_of_a_selector_only_the_value_lies_on_the_line() -> None:
    """F2."""
    kind = pa.struct([("value", pa.float64()), ("time", NS)])
    rows = table([(10, "a", {"value": 1.0, "time": 11}), (30, "a", {"value": 3.0, "time": 33}), (40, "a", None)], kind)

    found = fill_all(rows, bins_of(0, 50), "interpolate", "locf")

    assert [row[2] and row[2]["value"] for row in found] == [None, 1.0, 2.0, 3.0, None, None]
    assert [row[2] and row[2]["time"] and row[2]["time"].value for row in found] == [None, 11, None, 33, None, None]
    assert [row[3] and row[3]["time"].value for row in found] == [None, 11, 11, 33, 33, 33]


def test_a_selector_without_a_value_gets_one_and_nothing_else() -> None:
    """F2: where its row is there, as where it is not."""
    kind = pa.struct([("value", pa.float64()), ("time", NS)])
    rows = table(
        [(10, "a", {"value": 1.0, "time": 11}), (20, "a", {"value": None, "time": 22}), (30, "a", {"value": 3.0, "time": 33})],
        kind,
    )

    found = fill_all(rows, bins_of(10, 39), "interpolate")

    assert [(row[2]["value"], row[2]["time"] and row[2]["time"].value) for row in found] == [(1.0, 11), (2.0, None), (3.0, 33)]


def test_rows_without_a_time_are_handed_on() -> None:
    """F1."""
    found = fill_all(table([(None, "a", 9.0), (0, "a", 1.0)]), bins_of(0, 10), "plain")

    assert found == [(0, "a", 1.0), (10, "a", None), (None, "a", 9.0)]


def test_series_are_told_apart_by_all_their_columns() -> None:
    """F1: null is like null, NaN like NaN."""
    nan = math.nan
    rows = pa.table(
        {
            "t": pa.array([0, 10, 0, 0, 10, 0, 10], NS),
            "x": pa.array([1.0, 1.0, 2.0, nan, nan, None, None]),
            "y": pa.array(["p", "p", "p", "p", "p", "p", "p"]),
            "n": pa.array([1, 2, 3, 4, 5, 6, 7]),
        }
    )
    outputs = [Output("x", 1), Output("n", 3)]
    schema = pa.schema([("x", pa.float64()), ("n", pa.int64())])

    found = pa.Table.from_batches(filled(rows, bins_of(0, 10), 2, outputs, schema), schema)

    assert found.column("n").to_pylist() == [1, 2, 3, None, 4, 5, 6, 7]


def test_many_bins_between_few_rows_take_little_memory() -> None:
    """F3."""
    rows = table([(0, "a", 0.0), (1_000_000, "a", 1_000_000.0)])
    outputs = [Output("t", 0), Output("i", 2, "interpolate")]
    schema = pa.schema([("t", NS), ("i", pa.float64())])
    before = pa.total_allocated_bytes()

    largest = count = 0
    for batch in filled(rows, bins_of(0, 1_000_000, 1), 1, outputs, schema):
        largest = max(largest, pa.total_allocated_bytes() - before)
        count += batch.num_rows
        assert batch.column(1)[-1].as_py() == pytest.approx(batch.column(0)[-1].value)

    assert count == 1_000_001
    assert largest < 4 << 20


def test_too_many_bins_are_refused() -> None:
    with pytest.raises(QueryRefused, match=r"would make 1,000,000,000,000,000,001 rows for each series"):
        bins_of(0, 10**18, 1)


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [("2024-03-30T23:00", "Europe/Berlin", [24 - 1, 24]), ("2024-10-26T22:00", "Europe/Berlin", [25, 24])],
)
def test_days_by_the_wall_clock_are_as_long_as_they_are(day: str, zone: str, hours: list[int]) -> None:
    """F1."""
    start = pa.scalar(day, pa.utf8()).cast(NS).cast(pa.int64()).as_py()
    bins = Bins.of(Cover(24 * HOUR, 0, start + 5 * HOUR, start + 50 * HOUR), zone, by_wallclock=True)

    starts = bins.starts(pa.array(range(bins.count))).to_pylist()

    assert starts[0] == start
    assert [(later - earlier) // HOUR for earlier, later in pairwise(starts)] == hours


def test_an_empty_range_has_no_bins() -> None:
    assert Bins.of(Cover(10, 0, 50, 40), None, by_wallclock=False).count == 0
    assert Bins.of(Cover(10, empty=True), "Europe/Berlin", by_wallclock=True).count == 0
