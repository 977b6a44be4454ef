"""A table of a view as DataFusion sees it: a dataset whose fragments are batches in memory and Parquet files.

    filter ─▶ predicate (times, tag values) ─▶ series numbers ─▶ files and chunks that can match ─▶ parts (scan.py, ends.py)
           ─▶ fragments of about the same number of rows, one for each thread

T1  A scan yields the rows of one ReadView and no other, whatever is written meanwhile.
T2  The filter that DataFusion hands down is applied exactly; what it keeps to itself it applies to what we yield.
T3  Pruning leaves out only what cannot match, or what the plan was found not to need (shapes/needs.py).
T4  A file that cannot be read ends the statement with its name; statements that do not need it go on.
T5  A scan ends with its statement's flag (stop.py): every batch passes by it.
T6  Rows before the `floor_ns` of the data have expired: no scan, count or shortcut yields them or tells of them.

Held by tests/integration/engine/test_query.py (T1-T4), tests/integration/engine/test_scans.py (T3),
tests/integration/engine/test_cancelling.py (T5) and tests/integration/engine/test_retention.py (T6).
Elsewhere: what a filter lets through (predicate.py), rows by series and time (select.py), what plans need (shapes/).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.dataset as ds

from catalog.errors import ServiceError
from catalog.schema import Table
from engine._native import SeriesIndex
from engine.buffer.rows import HeldFile, TableData, TimeRange
from engine.files.access import FileAccess
from engine.hydrate import table_schema
from engine.query.dataset import Fragment, TableInPython
from engine.query.decoded import DecodedTable
from engine.query.ends import EndsScan
from engine.query.folded import cells_in, folded_rows
from engine.query.limits import QueryLimits
from engine.query.made import MadeTable
from engine.query.picked import Order, picked_rows
from engine.query.predicate import Predicate, expression_of, read_filter
from engine.query.report import Chunk, ScanReport
from engine.query.scan import Part, Scan, ending
from engine.query.select import series_matching
from engine.query.shapes.conditions import Condition
from engine.query.shapes.folding import Folding, Picking
from engine.query.shapes.needs import ALL_ROWS, End, Needs
from engine.query.stop import Stop

#: is told what ended a scan; DataFusion makes a sentence of its own out of every exception
Failed = Callable[[ServiceError], None]
#: is told of every scan that is planned
Reported = Callable[[ScanReport], None]


class TableDataset(TableInPython):
    """Registered with DataFusion, which asks for fragments with the columns and the filter of a plan."""

    def __init__(
        self,
        table: Table,
        index: SeriesIndex,
        rows: Callable[[], TableData],
        distinct: Callable[[TimeRange], TableData],
        access: FileAccess,
        decoded: DecodedTable,
        failed: Failed,
        limits: QueryLimits,
        reported: Reported,
        stop: Stop,
    ) -> None:
        """`rows`: all of them, as they lie; `distinct`: for readers of these times, who meet no key twice."""
        super().__init__(table_schema(table))
        self.table = table
        #: what the plan was found to need, said before it runs
        self.needs = ALL_ROWS
        #: how many rows any of the scans that have been planned can yield
        self.rows_at_most = 0
        self._index = index
        self._rows = rows
        self._distinct = distinct
        self._access = access
        self._decoded = decoded
        self._failed = failed
        self._limits = limits
        self._stop = stop
        self._reported = reported
        self._ahead: dict[int, Callable[[], Scan]] = {}

    def get_fragments(self, filter: ds.Expression | None = None) -> list[Fragment]:
        """One fragment for each partition; DataFusion gives each a thread."""
        self._stop.check()
        try:
            parts = self.scan(expression_of(filter)).parts()
        except ServiceError as error:
            self._failed(error)
            raise
        self.rows_at_most = max(self.rows_at_most, sum(part.rows for part in parts))
        groups = _balanced(parts, self._limits.threads)
        return [Fragment(self._schema, partial(self._batches, group)) for group in groups]

    def _batches(self, parts: Sequence[Part], columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        return self._stop.checked(self._read(parts, columns, filter))

    def _read(self, parts: Sequence[Part], columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        try:
            for part in parts:
                yield from part.batches(columns, filter)
        except ServiceError as error:
            self._failed(error)
            raise

    def scan(self, filter: ds.Expression | None) -> Scan | EndsScan:
        """What a filter leaves to be read. Raises ServiceError."""
        return self._scanned(read_filter(filter, self.table.tags), self.needs, one_each=self.needs.one_each)

    def rows_about(self, predicate: Predicate) -> int:
        """How many rows a predicate may let through, if they are spread evenly over series and times."""
        series = series_matching(self._index, self.table.tags, predicate)
        share = 1.0 if series is None else len(series) / max(1, len(self._index))
        data = self._rows()
        items: list[Chunk] = [*data.open, *data.runs, *data.files_within(predicate.times)]
        return int(share * sum(_rows_between(item, predicate.times) for item in items))

    def can_hold(self, folding: Folding) -> bool:
        """Whether an aggregate seems to fit into the memory that a statement may have; a plan can spill what does not."""
        return self._cells_about(folding) <= cells_in(self._limits.beside_pool_bytes, folding)

    def _cells_about(self, folding: Folding) -> int:
        """No fewer than there will be, of the series that are known by now: others may lie in files."""
        data, times = self._rows(), folding.predicate.times
        in_memory: list[Chunk] = [*data.open, *data.runs]
        items = [*(item for item in in_memory if item.times.overlaps(times)), *data.files_within(times)]
        if not items:
            return 0
        rows = sum(item.file.rows if isinstance(item, HeldFile) else item.rows.num_rows for item in items)
        start_ns = max(times.start_ns, min(item.times.start_ns for item in items))
        end_ns = min(times.end_ns, max(item.times.end_ns for item in items))
        bins = 1 if folding.bin is None else (end_ns - start_ns) // folding.bin.width_ns + 2
        return min(rows, bins * (len(self._index) if folding.tags else 1))

    def scan_of(self, predicate: Predicate, one_each: Collection[End] = ()) -> Scan:
        """What a predicate leaves to be read; `one_each`: of each series only these rows are wanted. Raises ServiceError."""
        found = self._scanned(predicate, ALL_ROWS, one_each=one_each)
        assert isinstance(found, Scan)
        return found

    def rows(self, predicate: Predicate, rest: Condition | None, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Those that the predicate and `rest` let through, asked for without a plan."""
        handed = predicate if rest is None else replace(predicate, exact=False)
        scan = self._scanned(handed, self.needs, rest, self.needs.one_each)
        for part in scan.parts():
            yield from part.batches(columns, None)

    def made(self, shape: Folding | Picking, schema: pa.Schema, order: Order | None = None) -> pa.RecordBatch:
        """An aggregate of the rows, or one row of each group: in this order of the first tag's values, if any is asked for."""
        return self._made(shape, schema, partial(self._scan_for, shape), order)

    def made_later(self, shape: Folding | Picking, schema: pa.Schema) -> MadeTable:
        """The same, when a plan runs."""
        self._ahead[id(shape)] = scan = partial(self._scan_for, shape)
        return MadeTable(schema, partial(self._made, shape, schema, scan), self._stop, self._failed)

    def look_ahead(self) -> None:
        """Report scans that begin only when their plan runs, for who explains a plan that does not."""
        for scan in tuple(self._ahead.values()):
            scan()

    def _made(
        self, shape: Folding | Picking, schema: pa.Schema, scan: Callable[[], Scan], order: Order | None = None
    ) -> pa.RecordBatch:
        if isinstance(shape, Picking):
            return picked_rows(shape, scan, schema, self._limits.memory_bytes, order)
        room_bytes = self._limits.beside_pool_bytes
        each = cells_in(room_bytes, shape) // max(1, self._cells_about(shape))  # every thread may have all of them
        threads = max(1, min(self._limits.threads, each))
        return folded_rows(shape, scan, self._stop, threads, room_bytes, schema)

    def _scan_for(self, shape: Folding | Picking) -> Scan:
        self._ahead.pop(id(shape), None)
        found = self.scan_of(shape.predicate, [End(shape.newest)] if isinstance(shape, Picking) else ())
        found.report.note = ": added up as they are read" if isinstance(shape, Folding) else ": one row of each group is picked"
        return found

    def _scanned(
        self, handed: Predicate, needs: Needs, rest: Condition | None = None, one_each: Collection[End] = ()
    ) -> Scan | EndsScan:
        report = ScanReport(self.table.name)
        data = self._distinct(handed.both(needs.predicate).times)
        narrower = needs.predicate if data.floor_ns is None else needs.predicate.since(data.floor_ns)
        predicate = handed.both(narrower)
        files = data.files_within(predicate.times)
        if data.files_in_memory:
            files = [held for held in files if held.rows is None]
        report.files.begins(data.stored_files)
        report.files.leaves("time", files)
        self._reported(report)
        # only now: making the rows may have numbered series that lie in files alone
        series = series_matching(self._index, self.table.tags, predicate)
        if series is not None:
            report.series = len(series), len(self._index)
            files = self._decoded.may_hold(files, series)
            report.files.leaves("tags", files)
        if one_each and handed.exact:
            files = ending(files, predicate.times, one_each)
            report.files.leaves("other files with the same series", files)
        self._limits.check_files(len(files))
        self._access.refuse_damaged(held.file for held in files)
        chunks: Sequence[Chunk] = [*data.open, *data.runs, *data.files_in_memory]
        report.chunks.begins(chunks)
        chunks = [chunk for chunk in chunks if chunk.times.overlaps(predicate.times)]
        report.chunks.leaves("time", chunks)
        if series is not None and len(series) == 0:
            chunks = []
            report.chunks.leaves("tags", chunks)
        if needs.ends is not None:
            report.note = f": {_in_words(needs.ends, each=needs.each)}"
        given = self.table, self._schema, self._index, self._access, self._decoded, report
        scan = Scan(*given, predicate, handed.exact, series, chunks, files, narrower, rest)
        report.row_groups = lambda held: self._access.row_groups(held.file, scan.bounds)
        return scan if needs.ends is None else EndsScan(scan, needs.ends, each=needs.each)


def _in_words(ends: Iterable[End], *, each: bool) -> str:
    wanted = sorted(
        f"the {'newest' if end.newest else 'oldest'} {'row' if end.count == 1 else f'{end.count:,} rows'}"
        f"{f' with {end.field}' if end.field else ''}"
        for end in ends
    )
    return f"{' and '.join(wanted)}{' of each series' if each else ''} will do"


def _rows_between(item: Chunk, times: TimeRange) -> float:
    rows = item.file.rows if isinstance(item, HeldFile) else item.rows.num_rows
    own = item.times
    inside = min(own.end_ns, times.end_ns) - max(own.start_ns, times.start_ns) + 1
    return rows * max(0, inside) / (own.end_ns - own.start_ns + 1)


def _balanced(parts: Sequence[Part], threads: int) -> list[list[Part]]:
    """The largest first, each to the group that has the least so far."""
    groups: list[list[Part]] = [[] for _ in range(max(1, min(threads, len(parts))))]
    sizes = [0] * len(groups)
    for part in sorted(parts, key=lambda part: -part.rows):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(part)
        sizes[smallest] += part.rows
    return groups
