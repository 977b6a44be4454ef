"""Rows put together, in order, each key once. Pure functions over Arrow record batches of one table.

A row batch has `series` (int32) and `time` (timestamp[ns]) as its first two columns, neither ever null, and fields after
them: any subset of the table's, in any order. Columns are found by position, then by name: a field may be called `series`.

M1  A key is (series, time). In merged rows each key stands once.
M2  Of a key's values of a field the last one that is not null stands, in order of arrival; null only if all were null.
M3  Merged rows are in order of (series, time), or of (rank[series], time) when a rank is given.
M4  A row is neither lost nor made: the keys that come out are those that went in.
M5  Rows that are in order and have no duplicates are not copied.

Held by tests/property/test_merge.py (M1-M4) and tests/unit/engine/test_merge.py (M5, text beyond 2 GiB).
Elsewhere: how rows are ordered fast (engine/native/rows.cpp), which rows can be duplicates at all (SeriesIndex.arrive).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import TooLarge
from engine import _native

SERIES = pa.field("series", pa.int32(), nullable=False)
TIME = pa.field("time", pa.timestamp("ns"), nullable=False)
FIRST_FIELD = 2
TEXT_LIMIT_BYTES = 2**31 - 1  # what the 32-bit offsets of one string array can address


def row_schema(fields: pa.Schema) -> pa.Schema:
    """The schema of rows that have all of `fields`."""
    return pa.schema([SERIES, TIME, *fields])


def unify(batches: Sequence[pa.RecordBatch], fields: pa.Schema) -> pa.Table:
    """All rows in the order given, one chunk per batch, nothing copied. Fields a batch lacks are null, others are left out."""
    schema = row_schema(fields)
    return pa.Table.from_batches([_widened(batch, schema) for batch in batches], schema)


def merged(batches: Sequence[pa.RecordBatch], fields: pa.Schema, rank: pa.Int32Array | None = None) -> pa.RecordBatch:
    """All rows of `batches`, which come in order of arrival, as one batch: M1, M2, M3."""
    parts = merged_parts(batches, fields, rank)
    if len(parts) > 1:
        raise TooLarge("the rows have more than 2 GiB of text in one column and do not fit one batch")
    return parts[0]


def merged_parts(
    batches: Sequence[pa.RecordBatch], fields: pa.Schema, rank: pa.Int32Array | None = None
) -> list[pa.RecordBatch]:
    """As `merged`, cut into consecutive parts where the text of a column exceeds what one batch can hold; usually one part."""
    rows = unify(batches, fields)
    series, times = _combined(rows.column(0)), _combined(rows.column(1))
    indices, starts = _native.sort_rows(_values(series), _values(times), None if rank is None else _values(rank))
    if starts is not None:
        last = _index_array(_native.last_valid(len(series), indices, starts, None, 0))
    elif indices is not None:
        last = _index_array(indices)
    else:
        last = None
    columns = [_taken(series, last), _taken(times, last)]
    places = _native.inverse(indices) if indices is not None and starts is None else None
    del series, times
    for field in range(FIRST_FIELD, rows.num_columns):
        if places is not None and _is_placeable(rows.column(field)):
            columns.append(_placed(rows.column(field), places))
            continue
        column = _combined(rows.column(field))
        chosen = last
        if starts is not None and column.null_count:
            chosen = _index_array(_native.last_valid(len(column), indices, starts, column.buffers()[0], column.offset))
        columns.append(_taken(column, chosen))
    return _parts(columns, rows.schema)


def repeats_keys(batches: Sequence[pa.RecordBatch]) -> bool:
    """Whether any two rows have the same series and time."""
    rows = unify([batch.select([0, 1]) for batch in batches], pa.schema([]))
    _, starts = _native.sort_rows(_values(_combined(rows.column(0))), _values(_combined(rows.column(1))), None)
    return starts is not None


def sorted_by_rank(batch: pa.RecordBatch, rank: pa.Int32Array) -> pa.RecordBatch:
    """The rows in order of (rank[series], time); equal keys stay as they are."""
    indices, _ = _native.sort_rows(_values(batch.column(0)), _values(batch.column(1)), _values(rank))
    if indices is None:
        return batch
    order = _index_array(indices)
    return pa.RecordBatch.from_arrays([_taken(column, order) for column in batch.columns], schema=batch.schema)


@dataclass(frozen=True, slots=True)
class SeriesSlices:
    """Where each series lies in rows that are grouped by series: those of `numbers[i]` begin at row `starts[i]`."""

    numbers: memoryview
    starts: memoryview
    row_count: int

    @classmethod
    def of(cls, series: pa.Int32Array) -> "SeriesSlices":
        numbers, starts = _native.series_runs(_values(series))
        return cls(numbers.cast("i"), starts.cast("i"), len(series))

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """(series, first row, row after the last)"""
        return zip(self.numbers, self.starts, chain(self.starts[1:], (self.row_count,)), strict=False)

    def find(self, series: int) -> tuple[int, int] | None:
        """(first row, row after the last) of a series, None if it has no rows. For rows in order of series, not of rank."""
        at = bisect_left(self.numbers, series)
        if at == len(self.numbers) or self.numbers[at] != series:
            return None
        return self.starts[at], self.starts[at + 1] if at + 1 < len(self.starts) else self.row_count


def series_slices(batch: pa.RecordBatch) -> SeriesSlices:
    """The slices of a batch in order of (series, time) or of (rank[series], time)."""
    return SeriesSlices.of(batch.column(0))


def _widened(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    at = {name: column for column, name in enumerate(batch.schema.names) if column >= FIRST_FIELD}
    columns = [batch.column(0), batch.column(1)]
    for field in list(schema)[FIRST_FIELD:]:
        known = field.name in at
        columns.append(batch.column(at[field.name]) if known else pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _combined(column: pa.ChunkedArray) -> pa.Array:
    """One array; of large_string when the text is more than a string array can hold."""
    if pa.types.is_string(column.type) and column.nbytes > TEXT_LIMIT_BYTES:
        column = column.cast(pa.large_string())
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _is_placeable(column: pa.ChunkedArray) -> bool:
    """Numbers in several chunks, and no nulls: they need not be put together before they are put in order."""
    return column.num_chunks > 1 and column.null_count == 0 and column.type in (pa.int64(), pa.float64(), pa.uint64())


def _placed(column: pa.ChunkedArray, places: memoryview) -> pa.Array:
    out = pa.allocate_buffer(8 * len(column))
    _native.scatter([_values(chunk) for chunk in column.chunks], places, out)
    return pa.Array.from_buffers(column.type, len(column), [None, out])


def _parts(columns: list[pa.Array], schema: pa.Schema) -> list[pa.RecordBatch]:
    """One batch, or its halves, their halves and so on until the text of each column fits."""
    large = [pa.types.is_large_string(column.type) for column in columns]
    if any(is_large and _text_bytes(column) > TEXT_LIMIT_BYTES for column, is_large in zip(columns, large, strict=True)):
        half = len(columns[0]) // 2
        halves = [column.slice(0, half) for column in columns], [column.slice(half) for column in columns]
        return [part for half_columns in halves for part in _parts(half_columns, schema)]
    # concat_arrays copies a slice to offsets that begin at 0, without which the cast would refuse it
    fitting = [
        pa.concat_arrays([column]).cast(pa.string()) if is_large else column
        for column, is_large in zip(columns, large, strict=True)
    ]
    return [pa.RecordBatch.from_arrays(fitting, schema=schema)]


def _text_bytes(column: pa.LargeStringArray) -> int:
    return pc.sum(pc.binary_length(column)).as_py() or 0


def _values(array: pa.Array) -> pa.Buffer:
    """The bytes of a fixed-width array's values, whatever slice of its buffer it is."""
    width = array.type.bit_width // 8
    return array.buffers()[1].slice(array.offset * width, len(array) * width)


def _index_array(numbers: memoryview) -> pa.Int32Array:
    return pa.Int32Array.from_buffers(pa.int32(), numbers.nbytes // 4, [None, pa.py_buffer(numbers)])


def _taken(array: pa.Array, indices: pa.Int32Array | None) -> pa.Array:
    return array if indices is None else pc.take(array, indices, boundscheck=False)  # our own indices: in range
