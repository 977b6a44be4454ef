"""A table of a view as DataFusion sees it: a dataset whose fragments are batches in memory and Parquet files.

T1  A scan yields the rows of one ReadView and no other, whatever is written meanwhile.
T2  The filter that DataFusion hands down is applied exactly; what it keeps to itself it applies to what we yield.

Held by tests/integration/engine/test_query.py (T1, T2).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

from catalog.schema import Table
from engine._native import SeriesIndex
from engine.buffer.rows import TableData, TimeRange
from engine.files.manifest import DataFile
from engine.hydrate import hydrated, table_schema

OpenFile = Callable[[DataFile], Any]


class TableDataset(ds.Dataset):  # type: ignore[misc]
    """Registered with DataFusion, which asks for fragments with the columns and the filter of a plan."""

    def __init__(self, table: Table, index: SeriesIndex, data: TableData, open_file: OpenFile) -> None:
        self._table = table
        self._index = index
        self._data = data
        self._open_file = open_file
        self._schema = table_schema(table)

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None, **_: Any) -> "_Scan":
        return _Scan(_projected(self._schema, columns), iter(()))

    def get_fragments(self, filter: ds.Expression | None = None) -> list["_Fragment"]:
        batches = [batch.rows for batch in self._data.open] + [run.rows for run in self._data.runs]
        batches += [held.rows for held in self._data.files if held.rows is not None]
        fragments: list[_Fragment] = [_MemoryFragment(self, rows) for rows in batches]
        fragments += [_FileFragment(self, held.file, held.times) for held in self._data.files if held.rows is None]
        return fragments

    def hydrated(self, rows: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        return hydrated(rows, self._table, self._index, columns)

    def open_file(self, file: DataFile) -> ds.Fragment:
        source = self._open_file(file)
        if isinstance(source, Path):
            return ds.ParquetFileFormat().make_fragment(str(source), LocalFileSystem())
        return ds.ParquetFileFormat().make_fragment(pa.BufferReader(source))


class _Fragment:
    """One partition of the plan."""

    def __init__(self, dataset: TableDataset) -> None:
        self.dataset = dataset

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: ds.Expression | None = None,
        batch_size: int | None = None,
        **_: Any,
    ) -> "_Scan":
        return _Scan(_projected(self.dataset.schema, columns), self.batches(columns, filter))

    def batches(self, columns: Sequence[str] | None, filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        raise NotImplementedError


class _MemoryFragment(_Fragment):
    def __init__(self, dataset: TableDataset, rows: pa.RecordBatch) -> None:
        super().__init__(dataset)
        self._rows = rows

    def batches(self, columns: Sequence[str] | None, filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        wanted = self.dataset.schema.names if columns is None else list(columns)
        if filter is None:
            yield self.dataset.hydrated(self._rows, wanted)
            return
        text = str(filter)
        needed = wanted + [name for name in self.dataset.schema.names if name not in wanted and name in text]
        rows = self.dataset.hydrated(self._rows, needed)
        yield from pa.Table.from_batches([rows]).filter(filter).select(wanted).to_batches()


class _FileFragment(_Fragment):
    def __init__(self, dataset: TableDataset, file: DataFile, times: TimeRange) -> None:
        super().__init__(dataset)
        self._file = file

    def batches(self, columns: Sequence[str] | None, filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        wanted = None if columns is None else list(columns)
        scan = self.dataset.open_file(self._file).scanner(schema=self.dataset.schema, columns=wanted, filter=filter)
        yield from scan.to_batches()


class _Scan:
    """What DataFusion asks of a scanner."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.projected_schema = schema
        self._batches = batches

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches


def _projected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
