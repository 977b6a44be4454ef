"""A scan of which the ends are enough: the newest or oldest rows, of each series or of all (shapes/needs.py says when).

Rows of all places are looked at in one part, from the end of time backwards, so that what lies before the newest rows found so
far is not even opened.

D1  Of the rows that the filter keeps, at least those are yielded that `needs` asks for, wherever they lie.
D2  Chunks and files that cannot hold one of them are not read.

Held by tests/property/test_sql_against_duckdb.py (D1) and tests/integration/engine/test_scans.py (D1, D2).
Elsewhere: each series' last and first rows in a chunk (select.py).
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from catalog.names import TIME_COLUMN
from engine.buffer.rows import HeldFile, TimeRange
from engine.hydrate import hydrated
from engine.query.decoded import Piece
from engine.query.report import Chunk
from engine.query.scan import Part, Rows, Scan, from_end, with_fields
from engine.query.select import Sought
from engine.query.shapes.needs import End


class EndsScan:
    def __init__(self, scan: Scan, ends: frozenset[End], *, each: bool) -> None:
        self._scan = scan
        self._ends = ends
        self._each = each

    def parts(self) -> list[Part]:
        rows = sum(held.file.rows for held in self._scan.files)
        if self._each and not self._scan.exact:  # which row is a series' last one is known only after the filter
            return self._scan.parts()
        for chunk in self._scan.chunks:
            rows += 0 if chunk.rows is None else chunk.rows.num_rows
        return [Part(rows, self._batches)]

    def _batches(self, columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        frontier = None if self._each else _Frontier(self._ends)
        newest_first = any(end.newest for end in self._ends)
        is_single = self._each and all(end.count == 1 and end.newest == newest_first for end in self._ends)
        sought = self._scan.sought(newest=newest_first) if is_single else None
        for item in from_end([*self._scan.chunks, *self._scan.files], newest=newest_first):
            if frontier is not None and not frontier.reaches(item.times):
                continue
            for batch in self._of(item, columns, filter, frontier, sought):
                if batch.num_rows:
                    self._scan.report.counted(item, batch.num_rows)
                    yield batch

    def _of(
        self,
        item: Chunk,
        columns: Sequence[str],
        filter: ds.Expression | None,
        frontier: "_Frontier | None",
        sought: Sought | None,
    ) -> Iterator[pa.RecordBatch]:
        only_times = all(name == TIME_COLUMN for name in columns) and all(end.count == 1 for end in self._ends)
        if frontier is not None and only_times and self._scan.exact and not self._scan.is_cut(item):
            times = pa.array([item.times.start_ns, item.times.end_ns], pa.timestamp("ns"))
            frontier.add(times)
            schema = pa.schema([self._scan.schema.field(name) for name in columns])
            yield pa.record_batch([times for _ in columns], schema=schema)
        elif isinstance(item, HeldFile) and item.rows is None:
            yield from self._of_stored(item, columns, filter, frontier)
        else:
            rows = self._of_rows(item, columns, filter, frontier, sought)
            yield hydrated(rows, self._scan.table, self._scan.index, columns)

    def _of_rows(
        self,
        chunk: Rows,
        columns: Sequence[str],
        filter: ds.Expression | None,
        frontier: "_Frontier | None",
        sought: Sought | None = None,
    ) -> pa.RecordBatch:
        if not self._scan.exact:
            rows = self._scan.rows(chunk, columns, filter)
        else:
            fields = {*columns, *(end.field for end in self._ends if end.field is not None)}
            series = None if sought is None else sought.within(chunk.times)
            if series is not None and not len(series):
                return with_fields(chunk, fields).slice(0, 0)
            ranges = self._scan.ranges(chunk, fields, series)
            found = [
                ranges.newest(end.count, end.field) if end.newest else ranges.oldest(end.count, end.field) for end in self._ends
            ]
            if sought is not None:
                sought.found([ranges.batch.select([0, 1]).take(rows) for rows in found])
            numbers = found[0] if len(found) == 1 else pc.unique(pa.concat_arrays(found))
            few = len(numbers) * 2 < ranges.batch.num_rows
            rows = ranges.batch.take(numbers) if few else ranges.rows()
        return rows if frontier is None else rows.filter(frontier.kept(rows.column(1)))

    def _of_stored(
        self, held: HeldFile, columns: Sequence[str], filter: ds.Expression | None, frontier: "_Frontier | None"
    ) -> Iterator[pa.RecordBatch]:
        if frontier is None:
            yield from self._of_each_stored(held, columns, filter)
            return
        pieces = self._pieces(held, columns)
        if pieces is not None:
            yield from self._of_pieces(pieces, columns, filter, frontier)
            return
        for times in self._scan.stored(held, [TIME_COLUMN], filter):
            if times.num_rows:
                frontier.add(times.column(0))
        reached = pa.scalar(frontier.begins_ns, pa.timestamp("ns")), pa.scalar(frontier.ends_ns, pa.timestamp("ns"))
        near = (ds.field(TIME_COLUMN) >= reached[0]) | (ds.field(TIME_COLUMN) <= reached[1])
        yield from self._scan.stored(held, columns, filter, near)

    def _of_each_stored(self, held: HeldFile, columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        only = next(iter(self._ends)) if len(self._ends) == 1 else None  # tails of both ends may be one and the same row
        known = only is not None and only.count == 1 and only.field is None
        tails = self._scan.tails(held, columns, newest=only.newest) if only is not None and known else None
        pieces = None if tails is not None else self._pieces(held, columns)
        if tails is not None:
            yield from tails.to_batches()
        elif pieces is not None:
            yield from self._of_pieces(pieces, columns, filter, None)
        else:
            yield from self._scan.stored(held, columns, filter)

    def _pieces(self, held: HeldFile, columns: Sequence[str]) -> list[Piece] | None:
        return self._scan.pieces(held, {*columns, *(end.field for end in self._ends if end.field is not None)})

    def _of_pieces(
        self, pieces: Sequence[Piece], columns: Sequence[str], filter: ds.Expression | None, frontier: "_Frontier | None"
    ) -> Iterator[pa.RecordBatch]:
        for piece in pieces:
            if frontier is None or frontier.reaches(piece.times):
                rows = self._of_rows(piece, columns, filter, frontier)
                yield hydrated(rows, self._scan.table, self._scan.index, columns)


class _Frontier:
    """How far the rows found so far reach from the ends of time: what lies further in is not wanted."""

    def __init__(self, ends: Iterable[End]) -> None:
        counts = [(end.count if end.newest else 0, 0 if end.newest else end.count) for end in ends]
        self._newest_count = max(newest for newest, _ in counts)
        self._oldest_count = max(oldest for _, oldest in counts)
        self._newest: list[int] = []  # heaps: the least wanted time first
        self._oldest: list[int] = []

    @property
    def begins_ns(self) -> int:
        """From here on rows are among the newest."""
        if not self._newest_count:
            return 2**63 - 1
        return self._newest[0] if len(self._newest) == self._newest_count else -(2**63)

    @property
    def ends_ns(self) -> int:
        """Up to here rows are among the oldest."""
        if not self._oldest_count:
            return -(2**63)
        return -self._oldest[0] if len(self._oldest) == self._oldest_count else 2**63 - 1

    def reaches(self, times: TimeRange) -> bool:
        newest = self._newest_count > 0 and times.end_ns >= self.begins_ns
        return newest or (self._oldest_count > 0 and times.start_ns <= self.ends_ns)

    def add(self, times: pa.TimestampArray) -> None:
        values = times.view(pa.int64())
        if self._newest_count:
            _merge(self._newest, self._newest_count, _largest(values, self._newest_count))
        if self._oldest_count:
            _merge(self._oldest, self._oldest_count, [-time for time in _smallest(values, self._oldest_count)])

    def kept(self, times: pa.TimestampArray) -> pa.BooleanArray:
        """Which of the rows reach further than what is known by then, these included; those of one time all or none."""
        self.add(times)
        values = times.view(pa.int64())
        newest = pc.greater_equal(values, self.begins_ns) if self._newest_count else False
        oldest = pc.less_equal(values, self.ends_ns) if self._oldest_count else False
        if newest is False:
            return oldest
        return newest if oldest is False else pc.or_(newest, oldest)


def _merge(heap: list[int], count: int, times: Iterable[int]) -> None:
    for time in times:
        if len(heap) < count:
            heapq.heappush(heap, time)
        elif time > heap[0]:
            heapq.heapreplace(heap, time)


def _largest(values: pa.Int64Array, count: int) -> list[int]:
    return list(values.take(pc.select_k_unstable(values, count, [("", "descending")])).to_pylist())


def _smallest(values: pa.Int64Array, count: int) -> list[int]:
    return list(values.take(pc.select_k_unstable(values, count, [("", "ascending")])).to_pylist())
