"""A table of a view as DataFusion sees it: a dataset whose fragments are batches in memory and Parquet files.

    filter ─▶ predicate (times, tag values) ─▶ series numbers ─▶ files and batches that can match
           ─▶ in each batch the slices of those series and times ─▶ hydrated columns ─▶ what is left of the filter

T1  A scan yields the rows of one ReadView and no other, whatever is written meanwhile.
T2  The filter that DataFusion hands down is applied exactly; what it keeps to itself it applies to what we yield.
T3  Pruning leaves out only what cannot match.

Held by tests/integration/engine/test_query.py (T1-T3).
Elsewhere: what a filter lets through (predicate.py), rows by series and time (select.py).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

from catalog.schema import Table
from engine._native import SeriesIndex
from engine.buffer.rows import HeldFile, TableData
from engine.files.manifest import DataFile
from engine.hydrate import hydrated, table_schema
from engine.query.predicate import Predicate, read_filter
from engine.query.select import SeriesSet, selected, series_matching

OpenFile = Callable[[DataFile], Any]
Part = Callable[[list[str], ds.Expression | None], Iterator[pa.RecordBatch]]


class TableDataset(ds.Dataset):  # type: ignore[misc]
    """Registered with DataFusion, which asks for fragments with the columns and the filter of a plan."""

    def __init__(self, table: Table, index: SeriesIndex, data: TableData, open_file: OpenFile, partitions: int) -> None:
        self._table = table
        self._index = index
        self._data = data
        self._open_file = open_file
        self._partitions = partitions
        self._schema = table_schema(table)

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None, **_: Any) -> "_Scan":
        return _Scan(_projected(self._schema, columns), iter(()))

    def get_fragments(self, filter: ds.Expression | None = None) -> list["_Fragment"]:
        """One fragment for each partition; DataFusion gives each a thread."""
        predicate = read_filter(filter, self._table.tags)
        series = series_matching(self._index, self._table.tags, predicate)
        if series is not None and len(series) == 0 and not any(held.rows is None for held in self._data.files):
            return [_Fragment(self._schema, [])]
        parts = [*self._in_memory(predicate, series), *self._in_files(predicate)]
        parts.sort(key=lambda part: -part[0])
        groups: list[list[Part]] = [[] for _ in range(max(1, min(self._partitions, len(parts))))]
        sizes = [0] * len(groups)
        for rows, part in parts:
            smallest = sizes.index(min(sizes))
            groups[smallest].append(part)
            sizes[smallest] += rows
        return [_Fragment(self._schema, group) for group in groups]

    def _in_memory(self, predicate: Predicate, series: SeriesSet | None) -> list[tuple[int, Part]]:
        ranged = [
            *((batch.rows, batch.times, False) for batch in self._data.open),
            *((run.rows, run.times, True) for run in self._data.runs),
            *((held.rows, held.times, True) for held in self._data.files if held.rows is not None),
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

    def _in_files(self, predicate: Predicate) -> list[tuple[int, Part]]:
        return [
            (held.file.rows, self._file_part(held))
            for held in self._data.files
            if held.rows is None and held.times.overlaps(predicate.times)
        ]

    def _file_part(self, held: HeldFile) -> Part:
        def batches(columns: list[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
            fragment = self._fragment(held.file)
            yield from fragment.scanner(schema=self._schema, columns=columns, filter=filter).to_batches()

        return batches

    def _fragment(self, file: DataFile) -> ds.Fragment:
        source = self._open_file(file)
        if isinstance(source, Path):
            return ds.ParquetFileFormat().make_fragment(str(source), LocalFileSystem())
        return ds.ParquetFileFormat().make_fragment(pa.BufferReader(source))


class _Fragment:
    """One partition of the plan: parts of memory and files, one after another."""

    def __init__(self, schema: pa.Schema, parts: Sequence[Part]) -> None:
        self._schema = schema
        self._parts = parts

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: ds.Expression | None = None,
        batch_size: int | None = None,
        **_: Any,
    ) -> "_Scan":
        wanted = self._schema.names if columns is None else list(columns)
        return _Scan(_projected(self._schema, columns), (batch for part in self._parts for batch in part(wanted, filter)))


class _Scan:
    """What DataFusion asks of a scanner."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.projected_schema = schema
        self._batches = batches

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches


def _projected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
