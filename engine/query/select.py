"""Rows by series and time, out of batches in memory: slices where rows are grouped by series, a mask where they are not.

E1  `selected` yields every row of a batch whose series is wanted and whose time is in range, and no other.
E2  `series_matching` has every series whose tags the predicate lets through, and no other.

Held by tests/property/test_select.py (E1, E2).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from weakref import ref

import pyarrow as pa
import pyarrow.compute as pc

from engine._native import SeriesIndex, series_runs
from engine.batch import int32_array, series_buffer
from engine.query.predicate import ALL_TIME, Predicate, Value

#: up to so many series a run is cut into slices; beyond, one pass over its series numbers is cheaper
SLICED_SERIES = 256


@dataclass(frozen=True, slots=True)
class SeriesSet:
    """Series numbers in ascending order."""

    numbers: pa.Int32Array

    def __len__(self) -> int:
        return len(self.numbers)


def series_matching(index: SeriesIndex, tags: Sequence[str], predicate: Predicate) -> SeriesSet | None:
    """The numbers of the series that can match; None where all can."""
    matching: pa.BooleanArray | None = None
    for number, name in enumerate(tags):
        if name in predicate.tags:
            here = _has_one_of(index, number, predicate.tags[name])
            matching = here if matching is None else pc.and_(matching, here)
    return None if matching is None else SeriesSet(pc.indices_nonzero(matching).cast(pa.int32()))


def selected(rows: pa.RecordBatch, grouped: bool, predicate: Predicate, series: SeriesSet | None) -> pa.RecordBatch:
    """The rows of those series in the predicate's times. `grouped`: each series' rows are together, in order of time."""
    if grouped and series is not None and len(series) <= SLICED_SERIES:
        return _sliced(rows, series.numbers.to_pylist(), predicate)
    mask: pa.BooleanArray | None = None
    if series is not None:
        mask = pc.is_in(rows.column(0), value_set=series.numbers)
    if predicate.times != ALL_TIME:
        times = rows.column(1).view(pa.int64())
        inside = pc.and_(pc.greater_equal(times, predicate.times.start_ns), pc.less_equal(times, predicate.times.end_ns))
        mask = inside if mask is None else pc.and_(mask, inside)
    return rows if mask is None else rows.filter(mask)


def _sliced(rows: pa.RecordBatch, wanted: Sequence[int], predicate: Predicate) -> pa.RecordBatch:
    places = _places_of(rows)
    times = memoryview(rows.column(1).buffers()[1]).cast("B").cast("q")[rows.column(1).offset :]
    found: list[pa.RecordBatch] = []
    for number in wanted:
        place = places.find(number)
        if place is None:
            continue
        start = bisect_left(times, predicate.times.start_ns, *place)
        end = bisect_right(times, predicate.times.end_ns, start, place[1])
        if end > start:
            found.append(rows.slice(start, end - start))
    if not found:
        return rows.slice(0, 0)
    return found[0] if len(found) == 1 else pa.concat_batches(found)


class _Places:
    """Where each series lies in grouped rows, in whatever order the groups come."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        numbers, starts = series_runs(series_buffer(rows))
        order = pc.sort_indices(int32_array(numbers))
        self._numbers = _items(int32_array(numbers).take(order), "i")
        self._order = _items(order, "Q")
        self._starts = _items(int32_array(starts), "i")
        self._row_count = rows.num_rows

    def find(self, number: int) -> tuple[int, int] | None:
        at = bisect_left(self._numbers, number)
        if at == len(self._numbers) or self._numbers[at] != number:
            return None
        group = self._order[at]
        end = self._starts[group + 1] if group + 1 < len(self._starts) else self._row_count
        return self._starts[group], end


def _items(array: pa.Array, code: Literal["i", "Q"]) -> memoryview[int]:
    return memoryview(array.buffers()[1]).cast("B").cast(code)[array.offset : array.offset + len(array)]


_places: dict[int, tuple[ref[pa.RecordBatch], _Places]] = {}


def _places_of(rows: pa.RecordBatch) -> _Places:
    """Worked out once for a batch, and forgotten with it."""
    key = id(rows)
    kept = _places.get(key)
    if kept is not None and kept[0]() is rows:
        return kept[1]
    places = _Places(rows)
    _places[key] = ref(rows, lambda _: _places.pop(key, None)), places
    return places


def _has_one_of(index: SeriesIndex, tag: int, values: frozenset[Value]) -> pa.BooleanArray:
    codes = int32_array(index.codes(tag))
    known = pa.array(index.values(tag))
    wanted = pc.index_in(pa.array([value for value in values if value is not None], pa.utf8()), value_set=known)
    if None in values:
        wanted = pa.concat_arrays([wanted.cast(pa.int32()), pa.array([-1], pa.int32())])
    return pc.is_in(codes, value_set=wanted.drop_null().cast(pa.int32()))
