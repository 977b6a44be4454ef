"""Rows as people know them: tags made from series numbers, every column of the table, in the order of the alphabet.

H1  A hydrated row has every column of its table, null where nothing was written, `time` in its alphabetical place.
H3  Two series_digests are equal if the series have the same tags, value by value, and only then; tags that no series has make
    no difference. The order is that of files.
H2  series_rank orders series as files do: by their tags in the order of the series key, null first.

Held by tests/unit/engine/test_hydrate.py (H1-H3).
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import pyarrow as pa
import pyarrow.compute as pc

from catalog.names import TIME_COLUMN
from catalog.schema import FieldType, Table
from engine._native import SeriesIndex
from engine.batch import int32_array, tag_columns

FIELD_ARROW = {
    FieldType.FLOAT: pa.float64(),
    FieldType.INTEGER: pa.int64(),
    FieldType.UINTEGER: pa.uint64(),
    FieldType.STRING: pa.utf8(),
    FieldType.BOOLEAN: pa.bool_(),
}
TAG_ARROW = pa.dictionary(pa.int32(), pa.utf8())


@lru_cache(maxsize=4096)
def table_schema(table: Table, tag_type: pa.DataType = TAG_ARROW) -> pa.Schema:
    """A table's schema as queries and files have it, with the marks by which clients tell tags from fields."""
    tags = set(table.tags)
    fields = []
    for name in table.column_names_sorted:
        mark = {b"iox::column::type": table.iox_type(name).encode()}
        if name == TIME_COLUMN:
            fields.append(pa.field(name, pa.timestamp("ns"), nullable=False, metadata=mark))
        elif name in tags:
            fields.append(pa.field(name, tag_type, metadata=mark))
        else:
            fields.append(pa.field(name, FIELD_ARROW[table.fields[name]], metadata=mark))
    return pa.schema(fields)


def numbered(rows: pa.Table, tags: Sequence[str], index: SeriesIndex) -> pa.RecordBatch:
    """The other way: rows of a file as they were in memory. By the index's writer."""
    names = set(rows.schema.names)
    columns = [rows.column(tag).combine_chunks() if tag in names else None for tag in tags]
    columns += [None] * (index.tag_count - len(tags))  # a tag may have been added since
    series = pa.Array.from_buffers(pa.int32(), rows.num_rows, [None, pa.py_buffer(index.resolve(columns, rows.num_rows))])
    fields = [name for name in rows.schema.names if name != TIME_COLUMN and name not in tags]
    arrays = [series, rows.column(TIME_COLUMN).combine_chunks(), *(rows.column(name).combine_chunks() for name in fields)]
    return pa.record_batch(arrays, names=["series", TIME_COLUMN, *fields])


def hydrated(rows: pa.RecordBatch, table: Table, index: SeriesIndex, columns: Sequence[str] | None = None) -> pa.RecordBatch:
    """The rows with all of a table's columns, or with those asked for, in that order."""
    wanted = _wanted(table, None if columns is None else tuple(columns))
    if not wanted.names:
        return rows.select([])  # keeps the number of rows, which is all that count(*) wants
    present = {name: at for at, name in enumerate(rows.schema.names) if at > 1}
    tags = tag_columns(index, wanted.tags, rows.column(0)) if wanted.tags else []
    arrays: list[pa.Array] = []
    for name, tag in zip(wanted.names, wanted.places, strict=True):
        if tag is not None:
            arrays.append(tags[tag])
        elif name == TIME_COLUMN:
            arrays.append(rows.column(1))
        elif name in present:
            arrays.append(rows.column(present[name]))
        else:
            arrays.append(pa.nulls(rows.num_rows, FIELD_ARROW[table.fields[name]]))
    return pa.RecordBatch.from_arrays(arrays, schema=wanted.schema)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Columns of a table that are asked for."""

    schema: pa.Schema
    names: tuple[str, ...]
    #: numbers of the tags among them, each once
    tags: tuple[int, ...]
    #: for each column its tag's place in `tags`, if it is one
    places: tuple[int | None, ...]


@lru_cache(maxsize=4096)
def _wanted(table: Table, columns: tuple[str, ...] | None) -> _Wanted:
    whole = table_schema(table)
    names = tuple(whole.names) if columns is None else columns
    numbers = {name: number for number, name in enumerate(table.tags)}
    asked = list(dict.fromkeys(name for name in names if name in numbers))
    places = tuple(asked.index(name) if name in numbers else None for name in names)
    return _Wanted(pa.schema([whole.field(name) for name in names]), names, tuple(numbers[name] for name in asked), places)


def series_digest(index: SeriesIndex, tags: Sequence[str], series: pa.Buffer) -> str:
    """What tells these series from others, in this process or any other."""
    digest = blake2b(digest_size=16)
    for number, tag in enumerate(tags):
        values = pa.array(index.values(number, series))
        if values.null_count < len(values):
            name, lengths = tag.encode(), pc.binary_length(values)
            texts = pa.concat_arrays([values.fill_null("")])  # from the beginning of its buffers on
            known = lengths.fill_null(-1)
            digest.update(b"%d %d " % (len(name), len(values)) + name)
            digest.update(known.buffers()[1].slice(known.offset * 4, len(known) * 4))
            digest.update(texts.buffers()[2].slice(0, pc.sum(lengths).as_py()))
    return b64encode(digest.digest()).decode().rstrip("=")


def series_rank(index: SeriesIndex, used: Sequence[pa.Buffer]) -> pa.Int32Array:
    """The place of each series number in the order of files; only numbers in `used` get a meaningful one."""
    return int32_array(index.rank(used))
