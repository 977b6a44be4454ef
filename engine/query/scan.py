"""What one scan reads: parts of chunks in memory and of files, each by itself. Files are read as pieces (decoded.py), which
are chunks like those in memory, or, once a scan has had its share of these, as they lie.

K1  A part yields the rows of its chunk or file that the filter keeps, each once.
K2  A chunk's rows pay for the columns that are asked for and for those of the filter, and for no others.
K3  Rows that are only counted are not looked at where their number is known.
K4  Files that are left out because others have the same series hold no series' last (first) row.

Held by tests/property/test_sql_against_duckdb.py (K1), tests/integration/engine/test_scans.py (K2, K3) and
tests/unit/engine/query/test_ending.py (K4).
Elsewhere: which chunks and files (tables.py), the ends of series alone (ends.py).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import and_

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from catalog.names import TIME_COLUMN
from catalog.schema import Table
from engine._native import SeriesIndex
from engine.buffer.rows import HeldFile, OpenBatch, TimeRange
from engine.files.access import FileAccess
from engine.files.footers import Bounds
from engine.hydrate import hydrated
from engine.query.dataset import Batches
from engine.query.decoded import DecodedTable, Piece
from engine.query.predicate import ALL_TIME, Predicate, columns_in, expression_for
from engine.query.report import Chunk, ScanReport
from engine.query.select import Ranges, SeriesSet, Sought, ranges_of, selected, series_matching
from engine.query.shapes.conditions import Condition
from engine.query.shapes.needs import End
from engine.query.texts import all_of

_ROW = "\0row"
#: so many parts at most are made of files, however many these are
_FILE_PARTS = 16
Rows = Chunk | Piece


@dataclass(frozen=True, slots=True)
class Part:
    """So many rows at most, and how to get them."""

    rows: int
    batches: Batches


class Scan:
    def __init__(
        self,
        table: Table,
        schema: pa.Schema,
        index: SeriesIndex,
        access: FileAccess,
        decoded: DecodedTable,
        report: ScanReport,
        predicate: Predicate,
        exact: bool,
        series: SeriesSet | None,
        chunks: Sequence[Chunk],
        files: Sequence[HeldFile],
        narrower: Predicate,
        rest: Condition | None = None,
    ) -> None:
        """`exact`: the filter that was handed down says no more than the predicate does; `narrower` is what the predicate
        says beyond that filter. `rest`: what is asked for beyond the predicate, where there is no filter. `series`: those that
        can match, of those known by now."""
        self.table = table
        self.schema = schema
        self.index = index
        self.access = access
        self.report = report
        self.predicate = predicate
        self.exact = exact
        self.series = series
        self._decoded = decoded
        self._share = decoded.share()
        self._known = 0 if series is None else series.of
        self.chunks = chunks
        self.files = files
        self.narrower = narrower
        self.rest = rest

    def parts(self) -> list[Part]:
        few = min(len(self.files), _FILE_PARTS)
        return [*map(self._of_chunk, self.chunks), *(self._of_files(self.files[at::few]) for at in range(few))]

    def pieces(self, held: HeldFile, columns: Collection[str]) -> list[Piece] | None:
        """A file that is not in memory as pieces with the fields among `columns`; None where it is to be read as it lies."""
        return self._decoded.pieces(held, self.bounds, columns, self._share)

    def _series_now(self, chunk: Rows) -> SeriesSet | None:
        """Those that match, also of series that nobody had heard of before the chunk was read."""
        count = len(self.index)
        if self.series is not None and count > self._known and isinstance(chunk, Piece):
            self.series = series_matching(self.index, self.table.tags, self.predicate)
            self._known = count
        return self.series

    def _of_chunk(self, chunk: Chunk) -> Part:
        return Part(rows_of(chunk).num_rows, partial(self.of_rows, chunk))

    def of_rows(self, chunk: Rows, columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        if not columns and self.exact:
            count = self.ranges(chunk, ()).row_count if self.is_cut(chunk) else rows_of(chunk).num_rows
            self.counted(chunk, count)
            yield counted(count)
            return
        rows = self.rows(chunk, columns, filter)
        self.counted(chunk, rows.num_rows)
        if rows.num_rows:
            yield hydrated(rows, self.table, self.index, columns)

    def counted(self, chunk: Rows, count: int) -> None:
        self.report.counted(chunk.held if isinstance(chunk, Piece) else chunk, count)

    def _of_files(self, files: Sequence[HeldFile]) -> Part:
        def batches(columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
            read = files
            if not columns and self.exact:
                read = [held for held in files if self.is_cut(held)]
                whole = files if not read else [held for held in files if not self.is_cut(held)]
                self.report.whole.append(whole)
                yield counted(sum(held.file.rows for held in whole))
            for held in read:
                yield from self.of_file(held, columns, filter)

        return Part(sum(held.file.rows for held in files), batches)

    def of_file(self, held: HeldFile, columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        pieces = self.pieces(held, {*columns, *self._columns_of(filter)})
        if pieces is not None:
            for piece in pieces:
                yield from self.of_rows(piece, columns, filter)
            return
        for batch in self.stored(held, columns, filter):
            self.report.counted(held, batch.num_rows)
            yield batch

    def _columns_of(self, filter: ds.Expression | None) -> frozenset[str]:
        """Those that are asked about, row by row."""
        if self.rest is not None:
            return self.rest.columns
        return frozenset() if filter is None or self.exact else columns_in(filter, self.schema.names)

    def stored(
        self, held: HeldFile, columns: Sequence[str], filter: ds.Expression | None, more: ds.Expression | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a file that is not in memory: those that the filter, the predicate and `more` let through."""
        parts = [more] if self.exact else [filter, expression_for(self.narrower), more]
        if self.rest is not None:
            parts = [expression_for(self.predicate), self.rest.expression, more]
        given = [part for part in parts if part is not None]
        both = reduce(and_, given) if given else None
        reading = dict.fromkeys(columns)
        if both is not None:
            reading |= dict.fromkeys(columns_in(both, self.schema.names))
        own = self._tested(held) if self.exact else []
        found = [*columns, *(name for name in own if name not in columns)]
        for batch in self.access.batches(held.file, self.schema, found, both, reading=[*reading, *own], bounds=self.bounds):
            kept = self._kept(batch, own)
            if kept.num_rows:
                yield kept.select(columns)

    def _tested(self, held: HeldFile) -> list[str]:
        """The columns by which the predicate may leave out rows of a file."""
        times, own = self.predicate.times, held.times
        is_cut = own.start_ns < times.start_ns or times.end_ns < own.end_ns
        return [*self.predicate.tested, *([TIME_COLUMN] if is_cut else [])]

    def _kept(self, batch: pa.RecordBatch, tested: Sequence[str]) -> pa.RecordBatch:
        """The rows that the predicate lets through: by the codes of tags, not by their texts."""
        masks: list[pa.BooleanArray] = []
        for name in tested:
            column = batch.column(name)
            if name == TIME_COLUMN:
                times = column.view(pa.int64())
                masks.append(pc.greater_equal(times, self.predicate.times.start_ns))
                masks.append(pc.less_equal(times, self.predicate.times.end_ns))
                continue
            if name in self.predicate.tags:
                masks.append(_is_one_of(column, self.predicate.tags[name]))
            if name in self.predicate.without:
                masks.append(pc.invert(_is_one_of(column, self.predicate.without[name])))
            if name in self.predicate.tests:
                passing = all_of(self.predicate.tests[name], column.dictionary)
                masks.append(passing.take(column.indices).fill_null(False))
        return batch.filter(reduce(pc.and_, masks)) if masks else batch

    def tails(self, held: HeldFile, columns: Sequence[str], *, newest: bool) -> pa.Table | None:
        """Each wanted series' last (first) row in a file that is not in memory; None where the predicate's times cut it."""
        times, own = self.predicate.times, held.times
        if own.start_ns < times.start_ns or times.end_ns < own.end_ns:
            return None
        rows = self.access.tails(held.file, self.schema, self.table.tags, newest=newest)
        filter = expression_for(replace(self.predicate, times=ALL_TIME))
        return (rows if filter is None else rows.filter(filter)).select(columns)

    @property
    def bounds(self) -> Bounds:
        times = self.predicate.times
        return Bounds(times.start_ns, times.end_ns, self.predicate.tags)

    def is_cut(self, item: Rows) -> bool:
        """Whether the predicate may leave out rows of it."""
        times, own = self.predicate.times, item.times
        return self.series is not None or own.start_ns < times.start_ns or times.end_ns < own.end_ns

    def ranges(self, chunk: Rows, fields: Collection[str], series: SeriesSet | None = None) -> Ranges:
        """`series`: of those that match, the ones that are wanted of this chunk; None for all."""
        rows, whole = with_fields(chunk, fields), rows_of(chunk)
        wanted = self._series_now(chunk) if series is None else series
        return ranges_of(rows, whole, is_grouped(chunk), self.predicate, wanted)

    def sought(self, *, newest: bool) -> Sought:
        """For who looks through chunks in memory, from one end of time on."""
        return Sought(self.series, len(self.index), self.predicate.times, newest=newest)

    def rows(self, chunk: Rows, columns: Sequence[str], filter: ds.Expression | None) -> pa.RecordBatch:
        """The rows that the filter keeps, with the fields that `columns` and the filter want."""
        whole, of_filter = rows_of(chunk), self._columns_of(filter)
        rows = with_fields(chunk, {*columns, *of_filter})
        if self.is_cut(chunk):
            rows = selected(rows, is_grouped(chunk), self.predicate, self._series_now(chunk), whole)
        if not rows.num_rows or (self.rest is None and (filter is None or self.exact)):
            return rows
        return self._filtered(rows, of_filter, filter)

    def _filtered(self, rows: pa.RecordBatch, of_filter: frozenset[str], filter: ds.Expression | None) -> pa.RecordBatch:
        needed = [name for name in self.schema.names if name in of_filter]
        wide = hydrated(rows, self.table, self.index, needed)
        if self.rest is not None:
            return rows.filter(self.rest.holds(wide))
        numbered = pa.Table.from_arrays([*wide.columns, pa.arange(0, rows.num_rows, 1).cast(pa.int32())], names=[*needed, _ROW])
        kept = numbered.filter(filter).column(_ROW)
        return rows if len(kept) == rows.num_rows else rows.take(kept.combine_chunks())


def from_end(items: Iterable[Chunk], *, newest: bool) -> list[Chunk]:
    """Those with the newest rows first, or with the oldest."""
    return sorted(items, key=lambda item: -item.times.end_ns if newest else item.times.start_ns)


def ending(files: Sequence[HeldFile], times: TimeRange, ends: Collection[End]) -> list[HeldFile]:
    """The files in which each series' last (first) row within `times` can be. Files with the same series tell of each other:
    where all of these have rows in one, none of them ends before it."""
    found: dict[int, HeldFile] = {}
    for newest in {end.newest for end in ends}:
        reached: dict[str, int] = {}
        for held in files:
            if held.file.series and times.covers(held.times):
                at = held.times.start_ns if newest else -held.times.end_ns
                reached[held.file.series] = max(at, reached.get(held.file.series, at))
        for held in files:
            at = held.times.end_ns if newest else -held.times.start_ns
            if at >= reached.get(held.file.series, at):
                found[id(held)] = held
    return [held for held in files if id(held) in found]


def _is_one_of(column: pa.DictionaryArray, values: frozenset[str | None]) -> pa.BooleanArray:
    texts = pa.array([value for value in values if value is not None], pa.utf8())
    return pc.is_in(column.dictionary, value_set=texts).take(column.indices).fill_null(None in values)


def rows_of(chunk: Rows) -> pa.RecordBatch:
    """Series, time and, but for pieces, all fields: what is kept, and asked again."""
    assert chunk.rows is not None  # a file's rows, while they are in memory, are a chunk
    return chunk.rows


def is_grouped(chunk: Rows) -> bool:
    """Whether each series' rows are together, in order of time."""
    return not isinstance(chunk, OpenBatch)


def with_fields(chunk: Rows, names: Collection[str]) -> pa.RecordBatch:
    """Series, time, and those fields."""
    if isinstance(chunk, Piece):
        return chunk.with_fields(names)
    rows = rows_of(chunk)
    wanted = [at for at, name in enumerate(rows.schema.names) if at < 2 or name in names]
    return rows if len(wanted) == rows.num_columns else rows.select(wanted)


def counted(count: int) -> pa.RecordBatch:
    """So many rows without columns."""
    return pa.record_batch([pa.nulls(count)], names=["n"]).select([])
