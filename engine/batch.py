"""What travels the write path: typed rows, grouped for the log, shown to stages.

B1  Rows are `series` (int32), `time` (timestamp ns) and the fields that any of them has; tags are never stored per row.
B2  A series number means what its table's SeriesIndex says, in this process only; the log writes down what it needs.

Held by tests/unit/engine/test_wal_codec.py (B1, B2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from engine._native import SeriesIndex

SERIES = pa.field("series", pa.int32(), nullable=False)
TIME = pa.field("time", pa.timestamp("ns"), nullable=False)


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of one table from one write, in the order in which they were given."""

    database_id: int
    table_id: int
    index: SeriesIndex
    rows: pa.RecordBatch
    #: the rows as the log keeps them, where the writer's own thread has seen to that
    encoded: pa.Buffer | None = None
    byte_count: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "byte_count", size_of(self.rows))


@dataclass(frozen=True, slots=True)
class WriteBatch:
    """One admitted write: nothing in it can be refused any more."""

    tables: tuple[TableRows, ...]

    @property
    def row_count(self) -> int:
        return sum(table.rows.num_rows for table in self.tables)

    @property
    def byte_count(self) -> int:
        return sum(table.byte_count for table in self.tables)


@dataclass(frozen=True, slots=True)
class Group:
    """Writes that became durable together, in order, under one sequence number."""

    sequence: int
    tables: tuple[TableRows, ...]


class Stage(Protocol):
    """Is shown every durable group, once, in order, before it is acknowledged. May not fail: all was checked before."""

    def apply(self, group: Group) -> None: ...


def concatenated(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Rows of one table after one another; a field that a batch lacks is null there."""
    if len(batches) == 1:
        return batches[0]
    try:
        return pa.concat_batches(batches)  # compares their schemas itself, and far faster than they are compared from here
    except pa.ArrowInvalid:
        if all(batch.schema.equals(batches[0].schema) for batch in batches[1:]):
            raise
        table = pa.concat_tables([pa.Table.from_batches([batch]) for batch in batches], promote_options="default")
        return table.combine_chunks().to_batches()[0]


def size_of(rows: pa.RecordBatch) -> int:
    """The memory that rows hold on to. (`nbytes` takes fifty times as long for wide tables.)"""
    return int(rows.get_total_buffer_size())


def series_buffer(rows: pa.RecordBatch) -> pa.Buffer:
    """The series numbers of rows, as native functions take them."""
    return _values(rows.column(0), 4)


def time_buffer(rows: pa.RecordBatch) -> pa.Buffer:
    return _values(rows.column(1), 8)


def int32_array(numbers: memoryview) -> pa.Array:
    return pa.Array.from_buffers(pa.int32(), numbers.nbytes // 4, [None, pa.py_buffer(numbers)])


def tag_columns(index: SeriesIndex, tags: Sequence[int], series: pa.Array) -> list[pa.DictionaryArray]:
    """The values of tags in each row, made from the series numbers."""
    made = pa.record_batch(index.columns(tags, _values(series, 4)))
    return [made.column(at) for at in range(len(tags))]


def _values(column: pa.Array, width: int) -> pa.Buffer:
    """The value buffer of a column without nulls, cut to its rows."""
    return column.buffers()[1].slice(column.offset * width, len(column) * width)
