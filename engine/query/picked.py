"""The newest (oldest) row of each group by tags, picked from the ends of series when its plan runs (shapes/folding.py).

    chunks and pieces of files ─▶ each series' last row ─▶ the last of each group, by series numbers ─▶ hydrated once
    files that are read as they lie ─▶ their last rows, by the values of tags

P1  For each group by tags that has rows, one of its rows with the newest (oldest) time.
P2  They come in the order of the first tag's values, where that is asked for.
P3  Rows that may yet be picked take no more memory than they may: what would need more ends the statement, whose plan would
    have to hold these rows, too, and more.

Held by tests/property/test_sql_against_duckdb.py (P1), tests/unit/engine/query/shapes/test_outline.py (P2) and
tests/integration/engine/test_query_limits.py (P3).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from catalog.names import TIME_COLUMN
from engine._native import series_runs, sort_rows
from engine.batch import concatenated, int32_array, series_buffer, time_buffer
from engine.buffer.rows import HeldFile
from engine.hydrate import hydrated
from engine.query.limits import TooMuchMemory
from engine.query.scan import Rows, Scan, from_end
from engine.query.select import SeriesSet
from engine.query.shapes.folding import Picking


class Order(Protocol):
    """By the values of the first tag."""

    @property
    def ascending(self) -> bool: ...
    @property
    def nulls_first(self) -> bool: ...


def picked_rows(
    picking: Picking, scan_of: Callable[[], Scan], schema: pa.Schema, room_bytes: int, order: Order | None = None
) -> pa.RecordBatch:
    scan = scan_of()
    names = [*picking.tags, *picking.columns]
    columns = list(dict.fromkeys([*names, TIME_COLUMN]))
    ends = _Ends(room_bytes)
    found: list[pa.Table] = []
    sought = scan.sought(newest=picking.newest)
    for chunk in from_end(scan.chunks, newest=picking.newest):
        series = sought.within(chunk.times)
        if series is not None and not len(series):
            break
        rows_of_chunk = _ends_of(chunk, scan, picking, columns, series)
        sought.found([rows_of_chunk])
        ends.add(rows_of_chunk)
    for held in scan.files:
        pieces = None if _has_tails(held, scan) else scan.pieces(held, columns)
        if pieces is not None:
            for piece in pieces:
                ends.add(_ends_of(piece, scan, picking, columns))
            continue
        found.extend(_of_file(held, scan, picking, columns))
        if len(found) > 1:
            found = [_picked(pa.concat_tables(found).unify_dictionaries(), picking)]
        ends.leave_room(found[0].nbytes if found else 0)
    if not found:
        rows = None if not ends.rows else hydrated(_of_series(ends.rows, scan, picking, order), scan.table, scan.index, names)
        return pa.RecordBatch.from_pylist([], schema) if rows is None else _announced(rows.columns, schema)
    if ends.rows:
        rows = hydrated(_of_series(ends.rows, scan, picking, None), scan.table, scan.index, columns)
        found = [_picked(pa.concat_tables([*found, pa.Table.from_batches([rows])]).unify_dictionaries(), picking)]
    made = _announced([_one(found[0].column(name)) for name in names], schema)
    return made if order is None else _in_order(made, order)


def _announced(arrays: Sequence[pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    kinds = schema.types
    return pa.RecordBatch.from_arrays(
        [array if array.type == kind else array.cast(kind) for array, kind in zip(arrays, kinds, strict=True)], schema=schema
    )


class _Ends:
    """Rows that may yet be picked, within their room (P3)."""

    def __init__(self, room_bytes: int) -> None:
        self._room_bytes = room_bytes
        self._taken_bytes = 0
        self.rows: list[pa.RecordBatch] = []

    def add(self, rows: pa.RecordBatch) -> None:
        self._taken_bytes += rows.nbytes
        self.leave_room(0)
        if rows.num_rows:
            self.rows.append(rows)

    def leave_room(self, more_bytes: int) -> None:
        if self._taken_bytes + more_bytes > self._room_bytes:
            raise TooMuchMemory(self._room_bytes)


# rows that know their series


def _ends_of(
    chunk: Rows, scan: Scan, picking: Picking, columns: Sequence[str], series: SeriesSet | None = None
) -> pa.RecordBatch:
    ranges = scan.ranges(chunk, columns, series)
    rows = ranges.batch.take(ranges.newest(1) if picking.newest else ranges.oldest(1))
    scan.counted(chunk, rows.num_rows)
    return rows


def _of_series(ends: Sequence[pa.RecordBatch], scan: Scan, picking: Picking, order: Order | None) -> pa.RecordBatch:
    rows = concatenated(ends)
    tags = [scan.table.tags.index(tag) for tag in picking.tags]
    by = (None, False) if order is None else (order.ascending, order.nulls_first)
    numbers = scan.index.pick(tags, series_buffer(rows), time_buffer(rows), picking.newest, *by)
    return rows if numbers is None else rows.take(int32_array(numbers))


# rows as they lie in files


def _has_tails(held: HeldFile, scan: Scan) -> bool:
    """Whether the last rows of the whole file are known, or soon told."""
    return scan.predicate.times.covers(held.times)


def _of_file(held: HeldFile, scan: Scan, picking: Picking, columns: Sequence[str]) -> list[pa.Table]:
    """The rows of a file that may be picked, of each of its row groups."""
    tails = scan.tails(held, columns, newest=picking.newest)
    if tails is not None:
        scan.report.counted(held, tails.num_rows)
        return [_picked(tails, picking)] if tails.num_rows else []
    found: list[pa.Table] = []
    for batch in scan.stored(held, columns, None):
        scan.report.counted(held, batch.num_rows)
        if batch.num_rows:
            found.append(_picked(pa.Table.from_batches([batch]), picking))
    return found


def _picked(rows: pa.Table, picking: Picking) -> pa.Table:
    """One row of each group."""
    codes = _codes(rows, picking.tags)
    return rows.take(_last(codes, _one(rows.column(TIME_COLUMN)), picking))


def _in_order(rows: pa.RecordBatch, order: Order) -> pa.RecordBatch:
    texts = rows.column(0).cast(pa.utf8())
    nulls = "at_start" if order.nulls_first else "at_end"
    return rows.take(pc.array_sort_indices(texts, "ascending" if order.ascending else "descending", null_placement=nulls))


def _codes(rows: pa.Table, tags: Sequence[str]) -> pa.Int32Array:
    """A number for each combination of values."""
    codes: pa.Int32Array | None = None
    for tag in tags:
        own = pc.add(_one(rows.column(tag)).indices.fill_null(-1), pa.scalar(1, pa.int32()))
        if codes is None:
            codes = own
        else:
            wide = pc.bit_wise_or(pc.shift_left(codes.cast(pa.int64()), 32), own.cast(pa.int64()))
            codes = wide.dictionary_encode().indices
    assert codes is not None  # there is a tag in every picking
    return codes


def _last(codes: pa.Int32Array, times: pa.TimestampArray, picking: Picking) -> pa.Int32Array:
    """For each code the row with the newest (oldest) time."""
    moments = times.view(pa.int64()) if picking.newest else pc.bit_wise_not(times.view(pa.int64()))
    numbers = _compact(codes)
    order, _ = sort_rows(numbers.buffers()[1], _compact(moments).buffers()[1])
    positions = pa.arange(0, len(codes), 1).cast(pa.int32()) if order is None else int32_array(order)
    _, starts = series_runs(_compact(numbers.take(positions)).buffers()[1])
    ends = pa.concat_arrays([int32_array(starts)[1:], pa.array([len(codes)], pa.int32())])
    return positions.take(pc.subtract(ends, pa.scalar(1, pa.int32())))


def _compact(column: pa.Array) -> pa.Array:
    """With a buffer that holds its values and nothing else."""
    width = column.type.bit_width // 8
    fits = column.offset == 0 and column.buffers()[1].size == len(column) * width
    return (
        column
        if fits
        else pa.Array.from_buffers(
            column.type, len(column), [None, column.buffers()[1].slice(column.offset * width, len(column) * width)]
        )
    )


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
