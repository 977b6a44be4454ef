"""Rows put together: shapes that the property test does not reach."""

import pyarrow as pa
import pytest

from catalog.errors import TooLarge
from engine import merge
from engine.merge import merged, merged_parts, row_schema, series_slices, sorted_by_rank, unify

FIELDS = pa.schema([("usage", pa.int64()), ("state", pa.string())])


def rows(*values: tuple[int, int, int | None, str | None]) -> pa.RecordBatch:
    columns = list(zip(*values, strict=True)) or [()] * 4
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, row_schema(FIELDS), strict=True)],
        schema=row_schema(FIELDS),
    )


def values(batch: pa.RecordBatch) -> list[tuple[object, ...]]:
    times = batch.column(1).view(pa.int64())
    columns = [batch.column(0), times, *batch.columns[2:]]
    return list(zip(*[column.to_pylist() for column in columns], strict=True))


def test_rows_in_order_without_duplicates_are_not_copied() -> None:
    """M5."""
    batch = rows((0, 1, 5, "a"), (0, 2, 6, "b"), (1, 1, 7, "c"))

    result = merged([batch], FIELDS)

    assert [column.buffers()[-1].address for column in result.columns] == [
        column.buffers()[-1].address for column in batch.columns
    ]


def test_no_batches_and_no_rows_merge_to_no_rows() -> None:
    assert merged([], FIELDS).schema == row_schema(FIELDS)
    assert merged([rows()], FIELDS).num_rows == 0


def test_a_field_may_be_called_series() -> None:
    fields = pa.schema([("series", pa.float64())])
    batch = pa.RecordBatch.from_arrays(
        [pa.array([1, 0], pa.int32()), pa.array([5, 5], pa.timestamp("ns")), pa.array([1.5, 2.5])], schema=row_schema(fields)
    )

    assert values(merged([batch], fields)) == [(0, 5, 2.5), (1, 5, 1.5)]


def test_a_slice_of_a_batch_merges_as_what_it_shows() -> None:
    batch = rows((9, 9, 9, "not shown"), (0, 1, 5, "a"), (0, 1, None, None), (0, 1, None, "b"), (9, 9, 9, "not shown"))

    assert values(merged([batch.slice(1, 3)], FIELDS)) == [(0, 1, 5, "b")]


def test_fields_that_are_not_asked_for_are_left_out_and_unknown_ones_read_null() -> None:
    fields = pa.schema([("idle", pa.float64()), ("state", pa.string())])

    assert values(merged([rows((1, 1, 5, "a"), (0, 1, 6, "b"))], fields)) == [(0, 1, None, "b"), (1, 1, None, "a")]


def test_unify_copies_nothing_and_keeps_the_order() -> None:
    first, second = rows((5, 1, 1, "a")), rows((2, 1, 2, "b"))

    table = unify([first, second], FIELDS)

    assert table.column(2).to_pylist() == [1, 2]
    assert table.column(2).chunk(1).buffers()[1].address == second.column(2).buffers()[1].address


def test_text_beyond_what_one_batch_holds_comes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "TEXT_LIMIT_BYTES", 40)
    late_first = [rows((0, at, at, "x" * 9)) for at in range(9, -1, -1)]

    parts = merged_parts(late_first, FIELDS)

    assert [row for part in parts for row in values(part)] == [(0, at, at, "x" * 9) for at in range(10)]
    assert len(parts) > 1
    assert all(part.schema == row_schema(FIELDS) for part in parts)
    with pytest.raises(TooLarge):
        merged(late_first, FIELDS)


def test_a_rank_decides_the_order_of_series() -> None:
    batch = rows((0, 1, 1, "a"), (0, 2, 2, "b"), (1, 1, 3, "c"), (2, 7, 4, "d"))
    rank = pa.array([2, 0, 1], pa.int32())

    assert [row[0] for row in values(sorted_by_rank(batch, rank))] == [1, 2, 0, 0]
    assert merged([batch], FIELDS, rank).equals(sorted_by_rank(batch, rank))


def test_slices_of_series_are_found_by_number() -> None:
    slices = series_slices(rows((1, 1, 1, "a"), (1, 2, 2, "b"), (4, 1, 3, "c")))

    assert [slices.find(series) for series in (0, 1, 2, 4, 5)] == [None, (0, 2), None, (2, 3), None]
    assert list(slices) == [(1, 0, 2), (4, 2, 3)]
    assert len(slices) == 2
