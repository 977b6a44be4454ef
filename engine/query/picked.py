"""The newest (oldest) row of each group by tags, picked from the ends of series when its plan runs (shapes/folding.py).

    chunks and files ─▶ each series' last row ─▶ the last of each group ─▶ hydrated once

P1  For each group by tags that has rows, one of its rows with the newest (oldest) time.
P2  Rows that may yet be picked take no more memory than they may: what would need more ends the statement, whose plan would
    have to hold these rows, too, and more.

Held by tests/property/test_sql_against_duckdb.py (P1) and tests/integration/engine/test_query_limits.py (P2).
"""

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from catalog.names import TIME_COLUMN
from engine._native import series_runs, sort_rows
from engine.batch import concatenated, int32_array
from engine.buffer.rows import HeldFile
from engine.hydrate import hydrated
from engine.query.limits import TooMuchMemory
from engine.query.scan import Rows, Scan, from_end
from engine.query.select import SeriesSet
from engine.query.shapes.folding import Picking


def picked_rows(picking: Picking, scan_of: Callable[[], Scan], schema: pa.Schema, room_bytes: int) -> pa.RecordBatch:
    scan = scan_of()
    columns = list(dict.fromkeys([*picking.tags, *picking.columns, TIME_COLUMN]))
    found: list[pa.Table] = []
    rows: list[pa.RecordBatch] = []
    sought = scan.sought(newest=picking.newest)
    for chunk in from_end(scan.chunks, newest=picking.newest):
        series = sought.within(chunk.times)
        if series is not None and not len(series):
            break
        ends = _ends_of(chunk, scan, picking, columns, series)
        if ends.num_rows:
            sought.found([ends])
            rows.append(ends)
            _check(rows, room_bytes)
    if rows:
        found.append(_picked(_hydrated(_last_of_series(rows, picking), scan, columns), picking))
    for held in scan.files:
        found.extend(_of_file(held, scan, picking, columns))
        if len(found) > 1:
            found = [_picked(pa.concat_tables(found).unify_dictionaries(), picking)]
        _check(found, room_bytes)
    if not found:
        return pa.RecordBatch.from_pylist([], schema)
    names = [*picking.tags, *picking.columns]
    arrays = [_one(found[0].column(name)) for name in names]
    return pa.record_batch(
        [array if array.type == field.type else array.cast(field.type) for array, field in zip(arrays, schema, strict=True)],
        schema=schema,
    )


def _check(found: Sequence[pa.RecordBatch | pa.Table], room_bytes: int) -> None:
    """P2."""
    if sum(each.nbytes for each in found) > room_bytes:
        raise TooMuchMemory(room_bytes)


def _ends_of(
    chunk: Rows, scan: Scan, picking: Picking, columns: Sequence[str], series: SeriesSet | None = None
) -> pa.RecordBatch:
    ranges = scan.ranges(chunk, columns, series)
    rows = ranges.batch.take(ranges.newest(1) if picking.newest else ranges.oldest(1))
    scan.counted(chunk, rows.num_rows)
    return rows


def _last_of_series(rows: Sequence[pa.RecordBatch], picking: Picking) -> pa.RecordBatch:
    """Of rows from several chunks, the one of each series that is nearest to the end."""
    if len(rows) == 1:
        return rows[0]
    together = concatenated(rows)
    return together.take(_last(together.column(0), together.column(1), picking))


def _hydrated(rows: pa.RecordBatch, scan: Scan, columns: Sequence[str]) -> pa.Table:
    return pa.Table.from_batches([hydrated(rows, scan.table, scan.index, columns)])


def _picked(rows: pa.Table, picking: Picking) -> pa.Table:
    """One row of each group."""
    codes = _codes(rows, picking.tags)
    return rows.take(_last(codes, _one(rows.column(TIME_COLUMN)), picking))


def _of_file(held: HeldFile, scan: Scan, picking: Picking, columns: Sequence[str]) -> list[pa.Table]:
    """The rows of a file that may be picked, of each of its row groups."""
    tails = scan.tails(held, columns, newest=picking.newest)
    if tails is not None:
        scan.report.counted(held, tails.num_rows)
        return [_picked(tails, picking)] if tails.num_rows else []
    pieces = scan.pieces(held, columns)
    if pieces is not None:
        ends = [_ends_of(piece, scan, picking, columns) for piece in pieces]
        return [_picked(_hydrated(rows, scan, columns), picking) for rows in ends if rows.num_rows]
    found: list[pa.Table] = []
    for batch in scan.stored(held, columns, None):
        scan.report.counted(held, batch.num_rows)
        if batch.num_rows:
            found.append(_picked(pa.Table.from_batches([batch]), picking))
    return found


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
