"""Filling the gaps of an aggregate's rows: for each series, one row per bin of the range.

The rows come sorted by series and bin. Every output row has a number, series × bins + bin; a row that exists has its place
among them, and all else is arithmetic on places. So the output is made in pieces of any size, however far rows lie apart.

F1  Each series that has a row has one row per bin, in the order of time; rows that exist keep their values.
F2  A value is carried forward (locf) or put on the line between its neighbours (interpolate) within its series only; before the
    first, and for interpolate after the last, there is none.
F3  What is held beyond the rows themselves does not grow with the number of bins.

Held by tests/unit/engine/query/test_fill.py (F1-F3).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from engine.query.functions.bounds import Cover
from engine.query.functions.wallclock import fixed_offset_ns, wallclock_bins
from engine.query.messages import planning

#: rows of a piece of output
PIECE = 65_536
#: bins of one series; a smaller stride over a longer range is a mistake
MOST_BINS = 100_000_000
_QUARTER_NS = 15 * 60 * 1_000_000_000

How = Literal["plain", "locf", "interpolate"]


@dataclass(frozen=True, slots=True)
class Output:
    """A column of the result: which column of the rows it comes from, and what stands where a bin has no row."""

    name: str
    source: int
    how: How = "plain"
    empty: int | None = None


class Bins:
    """The starts of the bins of a range: evenly spread, or listed where a clock is set in between."""

    def __init__(self, first_ns: int, stride_ns: int, count: int, starts: pa.Int64Array | None = None) -> None:
        self.first_ns = first_ns
        self.stride_ns = stride_ns
        self.count = count
        self._starts = starts

    @classmethod
    def of(cls, cover: Cover, zone: str | None, *, by_wallclock: bool) -> "Bins":
        if cover.empty or cover.first_ns is None or cover.last_ns is None or cover.first_ns > cover.last_ns:
            return cls(0, cover.stride_ns, 0)
        _check_count((cover.last_ns - cover.first_ns) // cover.stride_ns + 1)
        offset_ns = fixed_offset_ns(zone) if by_wallclock else 0
        if offset_ns is not None:
            origin_ns = cover.origin_ns - offset_ns
            first, last = ((end - origin_ns) // cover.stride_ns for end in (cover.first_ns, cover.last_ns))
            return cls(first * cover.stride_ns + origin_ns, cover.stride_ns, last - first + 1)
        return cls._listed(cover, cover.first_ns, cover.last_ns, zone)

    @classmethod
    def _listed(cls, cover: Cover, first_ns: int, last_ns: int, zone: str | None) -> "Bins":
        """Asked for at every instant where a bin can begin: clocks are set on a quarter of an hour."""
        ends = wallclock_bins(pa.array([first_ns, last_ns], pa.int64()), cover.stride_ns, zone, cover.origin_ns)
        first_ns, last_ns = ends[0].as_py(), ends[1].as_py()
        step = min(cover.stride_ns, _QUARTER_NS)
        found = [ends]
        for begin in range(first_ns, last_ns, step * PIECE):
            asked = pa.arange(begin, min(begin + step * PIECE, last_ns), step).cast(pa.int64())
            found.append(pc.unique(wallclock_bins(asked, cover.stride_ns, zone, cover.origin_ns)))
        starts = pc.unique(pa.chunked_array(found))
        starts = starts.filter(pc.and_(pc.greater_equal(starts, first_ns), pc.less_equal(starts, last_ns)))
        listed = starts.take(pc.sort_indices(starts))
        return cls(first_ns, cover.stride_ns, len(listed), listed)

    def starts(self, numbers: pa.Int64Array) -> pa.Int64Array:
        if self._starts is not None:
            return self._starts.take(numbers)
        return pc.add(pc.multiply(numbers, self.stride_ns), self.first_ns)

    def numbers(self, starts: pa.Int64Array) -> pa.Int64Array:
        """Which bin begins at each instant; null where none does."""
        if self._starts is not None:
            return pc.index_in(starts, self._starts).cast(pa.int64())
        numbers = pc.divide(pc.subtract(starts, self.first_ns), self.stride_ns)
        there = pc.and_(
            pc.equal(self.starts(numbers), starts), pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, self.count))
        )
        return pc.if_else(there, numbers, pa.scalar(None, pa.int64()))


def filled(rows: pa.Table, bins: Bins, keys: int, outputs: Sequence[Output], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """`rows` have the bin's start first, then `keys` columns that tell series apart, then values. F1-F3."""
    if rows.num_rows == 0:
        return
    if any(output.source <= keys and output.how != "plain" for output in outputs):
        raise planning("only aggregates are filled")
    starts = rows.column(0).combine_chunks().cast(pa.int64())
    numbers = bins.numbers(starts)
    on_grid = pc.is_valid(numbers)
    if pc.any(on_grid).as_py():
        yield from _Grid(rows.filter(on_grid), numbers.drop_null(), bins, keys, outputs, schema).pieces()
    if not pc.all(on_grid).as_py():
        apart = rows.filter(pc.invert(on_grid))
        arrays = [apart.column(output.source).combine_chunks() for output in outputs]
        yield pa.record_batch([array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema)


class _Grid:
    def __init__(
        self, rows: pa.Table, numbers: pa.Int64Array, bins: Bins, keys: int, outputs: Sequence[Output], schema: pa.Schema
    ) -> None:
        self._columns = [column.combine_chunks() for column in rows.columns]
        self._bins = bins
        self._keys = keys
        self._outputs = outputs
        self._schema = schema
        self._series = _series_numbers(self._columns[1 : keys + 1], rows.num_rows)
        self._places = pc.add(pc.multiply(self._series, bins.count), numbers)
        self._first_rows = pc.indices_nonzero(
            pc.not_equal(self._series, pa.concat_arrays([pa.array([-1], pa.int64()), self._series[:-1]]))
        ).cast(pa.int64())
        self._known = {
            output.source: pc.indices_nonzero(_is_known(self._columns[output.source])).cast(pa.int64())
            for output in outputs
            if output.how != "plain"
        }

    def pieces(self) -> Iterator[pa.RecordBatch]:
        total = len(self._first_rows) * self._bins.count
        for start in range(0, total, PIECE):
            yield self._piece(start, min(start + PIECE, total))

    def _piece(self, start: int, stop: int) -> pa.RecordBatch:
        places = pa.arange(start, stop, 1).cast(pa.int64())
        series = pc.divide(places, self._bins.count)
        times = self._bins.starts(pc.subtract(places, pc.multiply(series, self._bins.count)))
        first, last = _find(self._places, start), _find(self._places, stop)
        rows = _scattered(pa.arange(first, last, 1).cast(pa.int64()), self._places[first:last], start, stop)
        arrays: list[pa.Array] = []
        for output, field in zip(self._outputs, self._schema, strict=True):
            column = self._columns[output.source]
            if output.source == 0:
                array = times.cast(field.type)
            elif output.source <= self._keys:
                array = column.take(self._first_rows.take(series))
            elif output.how == "plain":
                array = column.take(rows)
                if output.empty is not None:
                    array = array.fill_null(pa.scalar(output.empty, array.type))
            else:
                array = self._carried(output, rows, series, times, start, stop)
            arrays.append(array)
        return pa.record_batch(arrays, schema=self._schema)

    def _carried(
        self, output: Output, rows: pa.Int64Array, series: pa.Int64Array, times: pa.Int64Array, start: int, stop: int
    ) -> pa.Array:
        column = self._columns[output.source]
        before = self._neighbours(output.source, series, start, stop, forward=True)
        if output.how == "locf":
            return column.take(before)
        after = self._neighbours(output.source, series, start, stop, forward=False)
        values = pc.struct_field(column, "value") if pa.types.is_struct(column.type) else column
        exact = pc.fill_null(pc.equal(before, rows), False)
        line = self._line(values, before, after, times)
        if pa.types.is_struct(column.type):
            return _merged_structs(column.take(rows), line, exact)
        return pc.if_else(exact, values.take(before), line)

    def _neighbours(self, source: int, series: pa.Int64Array, start: int, stop: int, *, forward: bool) -> pa.Int64Array:
        """For each place the row, here or on that side and of the same series, in which the column has a value."""
        known = self._known[source]
        known_places = self._places.take(known)
        first, last = _find(known_places, start), _find(known_places, stop)
        spread = _scattered(known[first:last], known_places[first:last], start, stop)
        if forward:
            edge = known[first - 1 : first] if first else pa.nulls(1, pa.int64())
            found = pc.fill_null_forward(pa.concat_arrays([edge, spread]))[1:]
        else:
            edge = known[last : last + 1] if last < len(known) else pa.nulls(1, pa.int64())
            found = pc.fill_null_backward(pa.concat_arrays([spread, edge]))[:-1]
        same = pc.equal(self._series.take(found), series)
        return pc.if_else(same, found, pa.scalar(None, pa.int64()))

    def _line(self, values: pa.Array, before: pa.Int64Array, after: pa.Int64Array, times: pa.Int64Array) -> pa.Array:
        starts = self._columns[0].cast(pa.int64())
        from_ns = starts.take(before)
        span = pc.subtract(starts.take(after), from_ns).cast(pa.float64())
        share = pc.divide(pc.subtract(times, from_ns).cast(pa.float64()), span)
        numbers = values.cast(pa.float64(), safe=False)
        low, high = numbers.take(before), numbers.take(after)
        line = pc.add(low, pc.multiply(pc.subtract(high, low), share))
        return line if pa.types.is_float64(values.type) else _whole(line, values.type)


def _series_numbers(keys: Sequence[pa.Array], count: int) -> pa.Int64Array:
    """Rows of one series stand together: a new one begins where a key differs from that of the row before, null like null."""
    changed = pa.nulls(count - 1, pa.bool_()).fill_null(False)
    for key in keys:
        changed = pc.or_(changed, _differs(key[1:], key[:-1]))
    return pc.cumulative_sum(pa.concat_arrays([pa.array([False]), changed]).cast(pa.int64()))


def _differs(left: pa.Array, right: pa.Array) -> pa.BooleanArray:
    if pa.types.is_dictionary(left.type):
        left, right = left.cast(left.type.value_type), right.cast(right.type.value_type)
    try:
        different = pc.fill_null(pc.not_equal(left, right), True)
    except pa.ArrowNotImplementedError:  # lists, structs and other kinds that few group by
        return pa.array([not one.equals(other) for one, other in zip(left, right, strict=True)], pa.bool_())
    alike = pc.and_(pc.is_null(left, nan_is_null=True), pc.is_null(right, nan_is_null=True))
    return pc.and_not(different, pc.and_(alike, pc.equal(pc.is_null(left), pc.is_null(right))))


def _is_known(column: pa.Array) -> pa.BooleanArray:
    known = pc.is_valid(column)
    if pa.types.is_struct(column.type) and column.type.get_field_index("value") >= 0:
        return pc.and_(known, pc.is_valid(pc.struct_field(column, "value")))
    return known


def _scattered(values: pa.Int64Array, places: pa.Int64Array, start: int, stop: int) -> pa.Int64Array:
    """An array for the places [start, stop) with each value at its place and null elsewhere."""
    if not len(values):
        return pa.nulls(stop - start, pa.int64())
    positions = pc.inverse_permutation(pc.subtract(places, start), max_index=stop - start - 1, output_type=pa.int64())
    return values.take(positions)


def _find(ordered: pa.Int64Array, value: int) -> int:
    return bisect_left(range(len(ordered)), value, key=lambda index: ordered[index].as_py())


def _whole(line: pa.Array, kind: pa.DataType) -> pa.Array:
    return pc.trunc(line).cast(kind, safe=False)


def _merged_structs(there: pa.StructArray, line: pa.Array, exact: pa.BooleanArray) -> pa.StructArray:
    """Rows that exist as they are; elsewhere the value alone, and no struct where there is none."""
    kind: pa.StructType = there.type
    children = []
    for index in range(kind.num_fields):
        child = pc.struct_field(there, [index])
        other = line if kind.field(index).name == "value" else pa.scalar(None, child.type)
        children.append(pc.if_else(exact, child, other))
    nothing = pc.and_(pc.invert(exact), pc.is_null(line))
    return pa.StructArray.from_arrays(children, fields=[kind.field(index) for index in range(kind.num_fields)], mask=nothing)


def _check_count(count: int) -> None:
    if count > MOST_BINS:
        raise planning(f"gap filling would make {count:,} rows for each series: choose longer bins or a shorter range of time")
