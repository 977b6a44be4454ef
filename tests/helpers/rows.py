"""Rows for tests of the engine's insides, made from values that can be read, and turned back into them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa

from engine._native import SeriesIndex
from engine.batch import SERIES, TIME, TableRows, WriteBatch, tag_columns

Tags: TypeAlias = tuple[str | None, ...]
Value: TypeAlias = float | int | str | bool
Point: TypeAlias = tuple[Tags, int, Mapping[str, Value]]

ARROW = {float: pa.float64(), int: pa.int64(), str: pa.utf8(), bool: pa.bool_()}


def batch(index: SeriesIndex, points: Sequence[Point]) -> pa.RecordBatch:
    """The points as the write path has them, in the order given."""
    columns = [pa.array([tags[at] for tags, _, _ in points], pa.utf8()) for at in range(index.tag_count)]
    series = pa.Array.from_buffers(pa.int32(), len(points), [None, pa.py_buffer(index.resolve(columns, len(points)))])
    kinds = {name: ARROW[type(value)] for _, _, fields in points for name, value in fields.items()}
    arrays = [pa.array([fields.get(name) for _, _, fields in points], kind) for name, kind in kinds.items()]
    schema = pa.schema([SERIES, TIME, *(pa.field(name, kind) for name, kind in kinds.items())])
    return pa.record_batch([series, pa.array([time for _, time, _ in points], TIME.type), *arrays], schema=schema)


def table_rows(index: SeriesIndex, points: Sequence[Point], database_id: int = 1, table_id: int = 0) -> TableRows:
    return TableRows(database_id, table_id, index, batch(index, points))


def write_batch(index: SeriesIndex, *points: Point, table_id: int = 0) -> WriteBatch:
    return WriteBatch((table_rows(index, points, table_id=table_id),))


def points(index: SeriesIndex, rows: pa.RecordBatch) -> list[Point]:
    """What the rows say, with the tag values of this index; nulls are left out."""
    columns = [column.to_pylist() for column in tag_columns(index, range(index.tag_count), rows.column(0))]
    times = rows.column(1).cast(pa.int64()).to_pylist()
    fields = rows.drop_columns(rows.schema.names[:2]).to_pylist() if rows.num_columns > 2 else [{}] * rows.num_rows
    return [
        (tuple(column[row] for column in columns), times[row], {k: v for k, v in fields[row].items() if v is not None})
        for row in range(rows.num_rows)
    ]


def merged(parts: Iterable[Sequence[Point]]) -> dict[tuple[Tags, int], dict[str, Value]]:
    """One row a key, the last value of each field: what a dict makes of points in their order."""
    model: dict[tuple[Tags, int], dict[str, Value]] = {}
    for part in parts:
        for tags, time, fields in part:
            model.setdefault((tags, time), {}).update(fields)
    return model
