"""Rows by series and time, out of batches in memory: ranges of rows that are together, taken as slices.

Sorted rows have each series in one place; rows in order of arrival get an order that puts them so. Both are worked out once
for a batch and forgotten with it, so that the next statement finds a series by looking it up.

E1  `selected` yields every row of a batch whose series is wanted and whose time is in range, and no other.
E2  `series_matching` has every series whose tags the predicate lets through, and no other.
E3  `Ranges.newest` and `oldest` are each series' last and first rows of those, or of those with a value.
E4  Who takes each series' last (first) row out of several chunks takes of each chunk only series of which `Sought` knows no
    later (earlier) one. In rows that arrive in order of time these are few, however many chunks there are.

Held by tests/property/test_select.py (E1-E4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from weakref import ref

import pyarrow as pa
import pyarrow.compute as pc

from engine._native import SeriesIndex, find_ranges, series_runs, sort_rows, spread
from engine.batch import int32_array, series_buffer, time_buffer
from engine.buffer.rows import TimeRange
from engine.query.predicate import ALL_TIME, Predicate, Value
from engine.query.texts import all_of

#: up to so many ranges are put together as slices; beyond, taking row by row is cheaper
SLICES = 512


@dataclass(frozen=True, slots=True)
class SeriesSet:
    """Series numbers, those of a condition in ascending order, of the first `of` that there are."""

    numbers: pa.Int32Array
    of: int

    def __len__(self) -> int:
        return len(self.numbers)


def series_matching(index: SeriesIndex, tags: Sequence[str], predicate: Predicate) -> SeriesSet | None:
    """The numbers of the series that can match; None where all can. Others may be added meanwhile."""
    if not (predicate.tags or predicate.without or predicate.tests):
        return None
    count = len(index)
    wanted = {
        number: _wanted(index, number, tags[number], predicate)
        for number in {tags.index(name) for name in (*predicate.tags, *predicate.tests)}
    }
    chosen: pa.Int32Array | None = None
    for number in sorted(wanted, key=lambda number: len(wanted[number])):
        if chosen is None:
            chosen = int32_array(index.having(number, _buffer(wanted[number])))
        else:
            chosen = chosen.filter(pc.is_in(_codes_in(index, number, chosen), value_set=wanted[number]))
    if chosen is None:
        chosen = pa.arange(0, count, 1).cast(pa.int32())
    for name, values in predicate.without.items():
        number = tags.index(name)
        excluded = pc.is_in(_codes_in(index, number, chosen), value_set=_codes(index, number, values))
        chosen = chosen.filter(pc.invert(excluded))
    if len(chosen) and chosen[-1].as_py() >= count:  # in ascending order; they came meanwhile
        chosen = chosen.filter(pc.less(chosen, count))
    return SeriesSet(chosen, count)


def _wanted(index: SeriesIndex, number: int, name: str, predicate: Predicate) -> pa.Int32Array:
    """The codes of the values that a tag may have."""
    listed = _codes(index, number, predicate.tags[name]) if name in predicate.tags else None
    if listed is not None and name not in predicate.tests:
        return listed
    known = pa.array(index.values(number))
    passing = pc.indices_nonzero(all_of(predicate.tests[name], known)).cast(pa.int32())  # each value is looked at once
    return passing if listed is None else listed.filter(pc.is_in(listed, value_set=passing))


def _codes(index: SeriesIndex, number: int, values: frozenset[Value]) -> pa.Int32Array:
    return int32_array(index.find_codes(number, list(values)))


def _codes_in(index: SeriesIndex, number: int, series: pa.Int32Array) -> pa.Int32Array:
    return int32_array(index.codes(number, _buffer(series)))


def selected(
    rows: pa.RecordBatch,
    grouped: bool,
    predicate: Predicate,
    series: SeriesSet | None,
    whole: pa.RecordBatch | None = None,
) -> pa.RecordBatch:
    """The rows of those series in the predicate's times. `grouped`: each series' rows are together, in order of time.
    `whole`: the batch that is kept and asked again, where `rows` has only some of its columns."""
    if series is None and predicate.times == ALL_TIME:
        return rows
    if series is None and not grouped:
        times = rows.column(1).view(pa.int64())
        inside = pc.and_(pc.greater_equal(times, predicate.times.start_ns), pc.less_equal(times, predicate.times.end_ns))
        return rows.filter(inside)
    return ranges_of(rows, rows if whole is None else whole, grouped, predicate, series).rows()


def ranges_of(
    rows: pa.RecordBatch, whole: pa.RecordBatch, grouped: bool, predicate: Predicate, series: SeriesSet | None
) -> Ranges:
    """Where the wanted rows are. `rows`: the batch `whole`, perhaps with some of its columns only."""
    places = _places_of(whole, grouped)
    begins, ends, row_count = find_ranges(
        places.numbers,
        places.starts,
        time_buffer(rows),
        predicate.times.start_ns,
        predicate.times.end_ns,
        None if series is None else _buffer(series.numbers),
        places.ascending,
        None if places.order is None else _buffer(places.order),
    )
    return Ranges(rows, places.order, int32_array(begins), int32_array(ends), row_count)


@dataclass(frozen=True, slots=True)
class Ranges:
    """For each series that has any, from where to where its rows go; in `batch` itself, or in `order`, its row numbers."""

    batch: pa.RecordBatch
    order: pa.Int32Array | None
    begins: pa.Int32Array
    ends: pa.Int32Array
    row_count: int

    def rows(self) -> pa.RecordBatch:
        if self.order is None:
            if self.row_count == self.batch.num_rows:
                return self.batch
            if len(self.begins) <= SLICES:
                pairs = _joined(self.begins.to_pylist(), self.ends.to_pylist())
                slices = [self.batch.slice(begin, end - begin) for begin, end in pairs]
                if len(slices) < 2:
                    return slices[0] if slices else self.batch.slice(0, 0)
                return pa.concat_batches(slices)
        return self.batch.take(self._numbers(int32_array(spread(_buffer(self.begins), _buffer(self.ends)))))

    def in_place(self) -> Ranges:
        """The same rows, each range in one place of the batch."""
        if self.order is None:
            return self
        lengths = pc.subtract(self.ends, self.begins)
        ends = pc.cumulative_sum(lengths)
        return Ranges(self.rows(), None, pc.subtract(ends, lengths), ends, self.row_count)

    def newest(self, count: int, field: str | None = None) -> pa.Int32Array:
        """The row numbers of the last `count` rows of each series; with `field`, of the last one that has a value of it."""
        valid = self._valid(field)
        if valid is None and count == 1:
            return self._numbers(pc.subtract(self.ends, pa.scalar(1, pa.int32())))
        if valid is None:
            begins = pc.max_element_wise(self.begins, pc.subtract(self.ends, pa.scalar(count, pa.int32())))
            return self._numbers(int32_array(spread(_buffer(begins), _buffer(self.ends))))
        before = pc.search_sorted(valid, self.ends)  # so many valid rows lie before the end
        some = pc.greater(before, 0)
        begins, last = self.begins.filter(some), valid.take(pc.subtract(before.filter(some), 1))
        return self._numbers(last.filter(pc.greater_equal(last, begins)))

    def oldest(self, count: int, field: str | None = None) -> pa.Int32Array:
        valid = self._valid(field)
        if valid is None and count == 1:
            return self._numbers(self.begins)
        if valid is None:
            ends = pc.min_element_wise(self.ends, pc.add(self.begins, pa.scalar(count, pa.int32())))
            return self._numbers(int32_array(spread(_buffer(self.begins), _buffer(ends))))
        before = pc.search_sorted(valid, self.begins)
        some = pc.less(before, len(valid))
        ends, first = self.ends.filter(some), valid.take(before.filter(some))
        return self._numbers(first.filter(pc.less(first, ends)))

    def _valid(self, field: str | None) -> pa.Int32Array | None:
        """The positions at which a field has a value; None where it has one everywhere."""
        at = -1 if field is None else self.batch.schema.get_field_index(field)
        if at < 0:
            return None if field is None else pa.array([], pa.int32())
        column = self.batch.column(at)
        if column.null_count == 0:
            return None
        mask = column.is_valid()
        return pc.indices_nonzero(mask if self.order is None else mask.take(self.order)).cast(pa.int32())

    def _numbers(self, positions: pa.Int32Array) -> pa.Int32Array:
        return positions if self.order is None else self.order.take(positions)


class Sought:
    """Of which series the last (first) row may still lie in the next chunk; chunks come from that end of time on (E4)."""

    def __init__(self, series: SeriesSet | None, count: int, times: TimeRange, *, newest: bool) -> None:
        """`series`: those that are wanted, None for all of the first `count`."""
        self._series = series
        self._count = count
        self._times = times
        self._newest = newest
        self._found: list[Sequence[tuple[pa.Int32Array, pa.Int64Array]]] = []

    def found(self, rows: Sequence[pa.RecordBatch]) -> None:
        """In a chunk: for each end that is looked for, each series' row."""
        self._found.append([(each.column(0), each.column(1).view(pa.int64())) for each in rows])

    def within(self, chunk: TimeRange) -> SeriesSet | None:
        """Of which series rows are sought in a chunk of these times; None for all."""
        if self._found and self._series is None:
            self._series = SeriesSet(pa.arange(0, self._count, 1).cast(pa.int32()), self._count)
        unsettled: list[Sequence[tuple[pa.Int32Array, pa.Int64Array]]] = []
        for found in self._found:
            settled = [self._settled(*each, chunk) for each in found]
            self._leave_out(settled)
            if any(len(some) < len(numbers) for some, (numbers, _) in zip(settled, found, strict=True)):
                unsettled.append(found)
        self._found = unsettled
        return self._series

    def _leave_out(self, settled: Sequence[pa.Int32Array]) -> None:
        """Series that are settled at every end."""
        assert self._series is not None
        numbers = self._series.numbers
        known = reduce(pc.and_, [pc.is_in(numbers, value_set=some) for some in settled])
        self._series = SeriesSet(numbers.filter(pc.invert(known)), self._count)

    def _settled(self, numbers: pa.Int32Array, times: pa.Int64Array, chunk: TimeRange) -> pa.Int32Array:
        if self._newest:
            return numbers.filter(pc.greater_equal(times, min(chunk.end_ns, self._times.end_ns)))
        return numbers.filter(pc.less_equal(times, max(chunk.start_ns, self._times.start_ns)))


class _Places:
    """Where each series lies in a batch: in the batch itself when it is grouped, else in `order`."""

    def __init__(self, rows: pa.RecordBatch, grouped: bool) -> None:
        self.order: pa.Int32Array | None = None
        series = rows.column(0)
        if not grouped:
            order, _ = sort_rows(series_buffer(rows), time_buffer(rows))
            if order is not None:
                self.order = int32_array(order)
                series = series.take(self.order)
        self.numbers, self.starts = series_runs(_buffer(series))
        numbers = int32_array(self.numbers)
        self.ascending = bool(pc.all(pc.less(numbers[:-1], numbers[1:]), min_count=0).as_py())


_places: dict[tuple[int, bool], tuple[ref[pa.RecordBatch], _Places]] = {}


def _places_of(rows: pa.RecordBatch, grouped: bool) -> _Places:
    """Worked out once for a batch, and forgotten with it."""
    key = id(rows), grouped
    kept = _places.get(key)
    if kept is not None and kept[0]() is rows:
        return kept[1]
    places = _Places(rows, grouped)
    _places[key] = ref(rows, lambda _: _places.pop(key, None)), places
    return places


def _joined(begins: Sequence[int], ends: Sequence[int]) -> list[tuple[int, int]]:
    """The same ranges, neighbours made one."""
    found: list[tuple[int, int]] = []
    for begin, end in zip(begins, ends, strict=True):
        if found and found[-1][1] == begin:
            found[-1] = found[-1][0], end
        else:
            found.append((begin, end))
    return found


def _buffer(numbers: pa.Int32Array) -> pa.Buffer:
    return numbers.buffers()[1].slice(numbers.offset * 4, len(numbers) * 4)
