"""A table of a view as DataFusion sees it: a dataset whose fragments are batches in memory and Parquet files.

    filter ─▶ predicate (times, tag values) ─▶ series numbers ─▶ files and batches that can match
           ─▶ in each batch the slices of those series and times ─▶ hydrated columns ─▶ what is left of the filter

T1  A scan yields the rows of one ReadView and no other, whatever is written meanwhile.
T2  The filter that DataFusion hands down is applied exactly; what it keeps to itself it applies to what we yield.
T3  Pruning leaves out only what cannot match.
T4  A file that cannot be read ends the statement with its name; statements that do not need it go on.
T5  A scan ends with its statement's flag (stop.py): every batch passes by it.

Held by tests/integration/engine/test_query.py (T1-T4) and tests/integration/engine/test_cancelling.py (T5).
Elsewhere: what a filter lets through (predicate.py), rows by series and time (select.py).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from catalog.errors import ServiceError
from catalog.schema import Table
from engine._native import SeriesIndex
from engine.buffer.rows import HeldFile, TableData
from engine.files.access import FileAccess
from engine.hydrate import hydrated, table_schema
from engine.query.limits import QueryLimits
from engine.query.predicate import Predicate, expression_of, read_filter
from engine.query.select import SeriesSet, selected, series_matching
from engine.query.stop import Stop

Part = Callable[[list[str], ds.Expression | None], Iterator[pa.RecordBatch]]
#: is told what ended a scan; DataFusion makes a sentence of its own out of every exception
Failed = Callable[[ServiceError], None]


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
        try:
            data = self._rows()
            wanted = [held for held in data.files if held.rows is None and held.times.overlaps(predicate.times)]
            self._limits.check_files(len(wanted))
            self._access.refuse_damaged(held.file for held in wanted)
        except ServiceError as error:
            self._failed(error)
            raise
        # only now: making the rows may have numbered series that lie in files alone
        series = series_matching(self._index, self._table.tags, predicate)
        parts = [*self._in_memory(data, predicate, series), *((held.file.rows, self._file_part(held)) for held in wanted)]
        self.rows_at_most = max(self.rows_at_most, sum(rows for rows, _ in parts))
        parts.sort(key=lambda part: -part[0])
        groups: list[list[Part]] = [[] for _ in range(max(1, min(self._limits.threads, len(parts))))]
        sizes = [0] * len(groups)
        for rows, part in parts:
            smallest = sizes.index(min(sizes))
            groups[smallest].append(part)
            sizes[smallest] += rows
        return [_Fragment(self._schema, group, self._stop) for group in groups]

    def _in_memory(self, data: TableData, predicate: Predicate, series: SeriesSet | None) -> list[tuple[int, Part]]:
        if series is not None and len(series) == 0:
            return []
        ranged = [
            *((batch.rows, batch.times, False) for batch in data.open),
            *((run.rows, run.times, True) for run in data.runs),
            *((held.rows, held.times, True) for held in data.files if held.rows is not None),
        ]
        return [
            (rows.num_rows, self._memory_part(rows, grouped, predicate, series))
            for rows, times, grouped in ranged
            if times.overlaps(predicate.times)
        ]

    def _memory_part(self, rows: pa.RecordBatch, grouped: bool, predicate: Predicate, series: SeriesSet | None) -> Part:
        def batches(columns: list[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
            chosen = selected(rows, grouped, predicate, series)
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

    def _file_part(self, held: HeldFile) -> Part:
        def batches(columns: list[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
            try:
                yield from self._access.batches(held.file, self._schema, columns, filter)
            except ServiceError as error:
                self._failed(error)
                raise

        return batches


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
