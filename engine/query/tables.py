"""A table of a view as DataFusion sees it: a dataset whose fragments are batches in memory and Parquet files.

T1  A scan yields the rows of one ReadView and no other, whatever is written meanwhile.
T2  The filter that DataFusion hands down is applied exactly; what it keeps to itself it applies to what we yield.
T3  A file that cannot be read ends the statement with its name; statements that do not need it go on.

Held by tests/integration/engine/test_query.py (T1-T3).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from catalog.errors import ServiceError
from catalog.schema import Table
from engine._native import SeriesIndex
from engine.buffer.rows import TableData
from engine.files.access import FileAccess
from engine.files.manifest import DataFile
from engine.hydrate import hydrated, table_schema

#: is told what ended a scan; DataFusion makes a sentence of its own out of every exception
Failed = Callable[[ServiceError], None]


class TableDataset(ds.Dataset):  # type: ignore[misc]
    """Registered with DataFusion, which asks for fragments with the columns and the filter of a plan."""

    def __init__(
        self, table: Table, index: SeriesIndex, rows: Callable[[], TableData], access: FileAccess, failed: Failed
    ) -> None:
        """`rows` is called when the plan wants them: no key twice."""
        self._table = table
        self._index = index
        self._rows = rows
        self._access = access
        self._failed = failed
        self._schema = table_schema(table)

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None, **_: Any) -> "_Scan":
        return _Scan(_projected(self._schema, columns), iter(()))

    def get_fragments(self, filter: ds.Expression | None = None) -> list["_Fragment"]:
        try:
            data = self._rows()
        except ServiceError as error:
            self._failed(error)
            raise
        batches = [batch.rows for batch in data.open] + [run.rows for run in data.runs]
        batches += [held.rows for held in data.files if held.rows is not None]
        fragments: list[_Fragment] = [_MemoryFragment(self, rows) for rows in batches]
        fragments += [_FileFragment(self, held.file) for held in data.files if held.rows is None]
        return fragments

    def hydrated(self, rows: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        return hydrated(rows, self._table, self._index, columns)

    def stored(self, file: DataFile, columns: Sequence[str] | None, filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._access.batches(file, self._schema, columns, filter)
        except ServiceError as error:
            self._failed(error)
            raise


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
    def __init__(self, dataset: TableDataset, file: DataFile) -> None:
        super().__init__(dataset)
        self._file = file

    def batches(self, columns: Sequence[str] | None, filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        return self.dataset.stored(self._file, None if columns is None else list(columns), filter)


class _Scan:
    """What DataFusion asks of a scanner."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.projected_schema = schema
        self._batches = batches

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches


def _projected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
