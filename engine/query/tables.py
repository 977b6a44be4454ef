"""A table of a view as DataFusion sees it: a dataset whose fragments are batches in memory and Parquet files.

    filter ─▶ predicate (times, tag values) ─▶ series numbers ─▶ files and batches that can match
           ─▶ in each batch the slices of those series and times ─▶ hydrated columns ─▶ what is left of the filter

T1  A scan yields the rows of one ReadView and no other, whatever is written meanwhile.
T2  The filter that DataFusion hands down is applied exactly; what it keeps to itself it applies to what we yield.
T3  Pruning leaves out only what cannot match.
T4  A file that cannot be read ends the statement with its name; statements that do not need it go on.
T5  A scan ends with its statement's flag (stop.py): every batch passes by it.
T6  Rows before the `floor_ns` of the data have expired: no scan, count or shortcut yields them or tells of them.

Held by tests/integration/engine/test_query.py (T1-T4), tests/integration/engine/test_cancelling.py (T5) and
tests/integration/engine/test_retention.py (T6).
Elsewhere: what a filter lets through (predicate.py), rows by series and time (select.py).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from catalog.errors import ServiceError
from catalog.names import TIME_COLUMN
from catalog.schema import Table
from engine._native import SeriesIndex
from engine.buffer.rows import HeldFile, OpenBatch, TableData
from engine.files.access import FileAccess
from engine.hydrate import hydrated, table_schema
from engine.query.limits import QueryLimits
from engine.query.predicate import Predicate, expression_of, read_filter
from engine.query.report import Chunk, ScanReport
from engine.query.select import SeriesSet, selected, series_matching
from engine.query.stop import Stop

Part = Callable[[list[str], ds.Expression | None], Iterator[pa.RecordBatch]]
#: is told what ended a scan; DataFusion makes a sentence of its own out of every exception
Failed = Callable[[ServiceError], None]
#: is told of every scan that is planned
Reported = Callable[[ScanReport], None]


class TableDataset(ds.Dataset):  # type: ignore[misc]
    """Registered with DataFusion, which asks for fragments with the columns and the filter of a plan."""

    def __init__(
        self,
        table: Table,
        index: SeriesIndex,
        rows: Callable[[], TableData],
        access: FileAccess,
        failed: Failed,
        limits: QueryLimits,
        reported: Reported,
        stop: Stop,
    ) -> None:
        """`rows` is called when the plan wants them: no key twice."""
        self._stop = stop
        #: how many rows any of the scans that have been planned can yield
        self.rows_at_most = 0
        self._table = table
        self._index = index
        self._rows = rows
        self._access = access
        self._failed = failed
        self._limits = limits
        self._reported = reported
        self._schema = table_schema(table)

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None, **_: Any) -> "_Scan":
        return _Scan(_projected(self._schema, columns), iter(()))

    def get_fragments(self, filter: ds.Expression | None = None) -> list["_Fragment"]:
        """One fragment for each partition; DataFusion gives each a thread."""
        self._stop.check()
        predicate = read_filter(expression_of(filter), self._table.tags)
        report = ScanReport(self._table.name, row_groups=partial(self._row_groups, filter=expression_of(filter)))
        try:
            data = self._rows()
            if data.floor_ns is not None:
                predicate = predicate.since(data.floor_ns)
            stored = [held for held in data.files if held.rows is None]
            wanted = [held for held in stored if held.times.overlaps(predicate.times)]
            report.files.begins(stored)
            report.files.leaves("time", wanted)
            self._reported(report)
            self._limits.check_files(len(wanted))
            self._access.refuse_damaged(held.file for held in wanted)
        except ServiceError as error:
            self._failed(error)
            raise
        # only now: making the rows may have numbered series that lie in files alone
        series = series_matching(self._index, self._table.tags, predicate)
        if series is not None:
            report.series = len(series), len(self._index)
        files = ((held.file.rows, self._file_part(held, report, data.floor_ns)) for held in wanted)
        parts = [*self._in_memory(data, predicate, series, report), *files]
        self.rows_at_most = max(self.rows_at_most, sum(rows for rows, _ in parts))
        parts.sort(key=lambda part: -part[0])
        groups: list[list[Part]] = [[] for _ in range(max(1, min(self._limits.threads, len(parts))))]
        sizes = [0] * len(groups)
        for rows, part in parts:
            smallest = sizes.index(min(sizes))
            groups[smallest].append(part)
            sizes[smallest] += rows
        return [_Fragment(self._schema, group, self._stop) for group in groups]

    def _in_memory(
        self, data: TableData, predicate: Predicate, series: SeriesSet | None, report: ScanReport
    ) -> list[tuple[int, Part]]:
        chunks: list[Chunk] = [*data.open, *data.runs, *(held for held in data.files if held.rows is not None)]
        report.chunks.begins(chunks)
        chunks = [chunk for chunk in chunks if chunk.times.overlaps(predicate.times)]
        report.chunks.leaves("time", chunks)
        if series is not None and len(series) == 0:
            chunks = []
            report.chunks.leaves("tags", chunks)
        return [
            (chunk.rows.num_rows, self._memory_part(chunk, chunk.rows, predicate, series, report))
            for chunk in chunks
            if chunk.rows is not None
        ]

    def _memory_part(
        self, chunk: Chunk, rows: pa.RecordBatch, predicate: Predicate, series: SeriesSet | None, report: ScanReport
    ) -> Part:
        grouped = not isinstance(chunk, OpenBatch)

        def batches(columns: list[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
            chosen = selected(rows, grouped, predicate, series)
            report.counted(chunk, chosen.num_rows)
            if chosen.num_rows == 0:
                return
            if filter is None or predicate.exact:
                yield hydrated(chosen, self._table, self._index, columns)
                return
            text = str(filter)
            needed = columns + [name for name in self._schema.names if name not in columns and name in text]
            wide = pa.Table.from_batches([hydrated(chosen, self._table, self._index, needed)])
            yield from wide.filter(filter).select(columns).to_batches()

        return batches

    def _file_part(self, held: HeldFile, report: ScanReport, floor_ns: int | None) -> Part:
        def batches(columns: list[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
            if floor_ns is not None and held.times.start_ns < floor_ns:
                kept = pc.field(TIME_COLUMN) >= pa.scalar(floor_ns, pa.timestamp("ns"))
                filter = kept if filter is None else kept & filter
            try:
                for batch in self._access.batches(held.file, self._schema, columns, filter):
                    report.counted(held, batch.num_rows)
                    yield batch
            except ServiceError as error:
                self._failed(error)
                raise

        return batches

    def _row_groups(self, held: HeldFile, filter: ds.Expression | None) -> tuple[int, int]:
        return self._access.row_groups(held.file, self._schema, filter)


class _Fragment:
    """One partition of the plan: parts of memory and files, one after another."""

    def __init__(self, schema: pa.Schema, parts: Sequence[Part], stop: Stop) -> None:
        self._schema = schema
        self._parts = parts
        self._stop = stop

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: ds.Expression | None = None,
        batch_size: int | None = None,
        **_: Any,
    ) -> "_Scan":
        wanted, condition = self._schema.names if columns is None else list(columns), expression_of(filter)
        batches = (batch for part in self._parts for batch in part(wanted, condition))
        return _Scan(_projected(self._schema, columns), self._stop.checked(batches))


class _Scan:
    """What DataFusion asks of a scanner."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.projected_schema = schema
        self._batches = batches

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches


def _projected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
