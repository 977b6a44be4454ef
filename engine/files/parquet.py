"""One Parquet file: the rows of one table and one chunk, written once, readable by anything that reads Parquet.

P1  What is read back is what was written: every column, type, null and byte of text, and the Arrow types of the rows.
P2  Rows are in order of (tags in series key order, nulls first, time); row groups say so in their sorting columns.
P3  A file that is truncated or has any byte changed is reported as Damaged, by name, before Arrow sees it: Arrow's C++ ends the
    process over some footers. So a file carries a seal, 16 bytes in the gap that the format allows before the footer:
    `FLSEAL01`, CRC-32 of all bytes before the seal, CRC-32 of all bytes after it, both little-endian.
P4  A file is a plain table elsewhere: tags are Parquet strings, text is UTF-8, `time` is INT64 TIMESTAMP(NANOS, not adjusted
    to UTC), encodings are those that readers of all kinds decode by default.
P5  Writing needs memory for one row group (at most 32,768 rows or about 64 MiB) and the compressed file, whatever comes in.

Held by tests/unit/engine/test_parquet_files.py (P1-P5). Figures: scripts/bench_parts/settle.py.
Elsewhere: which rows make a file (persist), their order (merge), where files lie (paths), which are live (index).

Choices, with what was measured on TSBS cpu-only rows (10 tags, 10 integers) and on 19 shapes of floats:
- DELTA_BINARY_PACKED for time and integers: 3.8 bytes a row in all, against 9.4 as dictionaries and 12.5 plain. Integers of few
  values far apart (status codes) are dictionaries: their deltas are wider than their codes.
- Floats and text are dictionaries when a row group has each value about five times or more, else plain. BYTE_STREAM_SPLIT would
  save 8 to 20 % on floats of full precision, but loses twofold on decimals, and Spark's vectorized reader refuses it (4.1).
- ZSTD 1: level 3 saves 0.5 %. Row groups of 100,000 rows save 3 %, but a question for one host or eight reads three times as
  much of a file. Page headers are version 1.
- Arrow writes an array's whole dictionary into each row group, so a large one is first cut to the values in use.
- Bloom filters for tags, unless they would take more than about two bits a row, and a page index: 0.4 % of the bytes together.
  DuckDB finds one host of 4,000 in two thirds of the time with the filters; Spark reads both. pyarrow reads neither.

Spark (tried: 4.0) refuses nanoseconds unless spark.sql.legacy.parquet.nanosAsLong=true (since 3.2.4, 3.3.2, 3.4). Then `time`
is a bigint, and `timestamp_micros(time div 1000)` makes it a timestamp. Microseconds in the file would lose digits, or make the
files of one table differ in type, so nanoseconds stay. Unsigned integers are decimal(20,0) there.
"""

import math
import struct
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import isal_zlib

from catalog.errors import Damaged

Source: TypeAlias = Path | pa.Buffer | bytes | memoryview
Value: TypeAlias = str | int | float | bool

ROW_GROUP_ROWS = 32_768
ROW_GROUP_BYTES = 64 * 2**20
PAGE_ROWS = 20_000
SAMPLE_ROWS = 4096
_VALUES_PER_THREAD = 200_000
SEAL = struct.Struct("<8sII")
SEAL_MAGIC = b"FLSEAL01"
TIME_TYPE = pa.timestamp("ns")
TAG_TYPE = pa.dictionary(pa.int32(), pa.string())
IOX_FIELD_TYPES = {
    pa.float64(): "float",
    pa.int64(): "integer",
    pa.uint64(): "uinteger",
    pa.string(): "string",
    pa.bool_(): "boolean",
}


@dataclass(frozen=True, slots=True)
class FileDescription:
    """What a file says about itself beside its rows. `facts` are ours, stored as `flightline::<name>`."""

    table: str
    series_key: tuple[str, ...]
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column's nulls and bounds. Bounds are None where all is null, or where unknown (text beyond 4 KiB)."""

    name: str
    null_count: int
    minimum: Value | None
    maximum: Value | None


@dataclass(frozen=True, slots=True)
class FileFacts:
    rows: int
    size_bytes: int
    crc32: int
    time_min_ns: int
    time_max_ns: int
    metadata: pq.FileMetaData

    @property
    def columns(self) -> tuple[ColumnFacts, ...]:
        return tuple(_column_facts(self.metadata, at) for at in range(self.metadata.num_columns))


def encode(rows: pa.Table | pa.RecordBatchReader, description: FileDescription) -> pa.Buffer:
    """The bytes of a file. Rows come in the order of P2, with all columns of the table in alphabetical order:
    tags as dictionaries of string, `time`, fields."""
    schema = _described(rows.schema, description)
    group_rows = ROW_GROUP_ROWS
    if isinstance(rows, pa.Table):
        group_rows = _even(rows.num_rows)
        rows = rows.to_reader()
    sink = pa.BufferOutputStream()
    writer: pq.ParquetWriter | None = None
    for batches in _row_groups(rows, group_rows):
        group = pa.Table.from_batches(batches).unify_dictionaries()
        group = pa.table([_in_use(column) for column in group.columns], schema=schema)
        if writer is None:
            writer = pq.ParquetWriter(sink, schema, **_layout(group, description))
        writer.write_table(group, row_group_size=group.num_rows)
    if writer is None:
        raise ValueError(f"no rows to write for table {description.table}")
    writer.close()
    return _with_seal(sink.getvalue())


def verify(source: Source, *, name: str = "") -> FileFacts:
    """Check the seal, decode every page against its checksum, and say what the file holds; or raise Damaged."""
    data = _sealed(source, name)
    with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group, use_threads=False)
        return _facts(file.metadata, data)


def open_rows(source: Source, columns: Sequence[str] | None = None, *, name: str = "") -> pa.Table:
    """The rows of a file with their Arrow types restored; of `columns` those that the file has, in the file's order.
    Raises Damaged; a path where no file is stays FileNotFoundError."""
    with pq.ParquetFile(pa.BufferReader(_sealed(source, name))) as file:
        if columns is None:
            return file.read()
        wanted = [column for column in file.schema_arrow.names if column in set(columns)]
        return file.read(columns=wanted).select(wanted)  # Arrow takes "a" for a prefix of "a.b" and reads both


def check_footer(source: Source, *, name: str, size_bytes: int) -> None:
    """Raise Damaged unless the file has its size and the footer that was sealed. Cheap, and enough for Arrow to open it:
    what lies before the footer are pages, each with a checksum of its own."""
    with source.open("rb") if isinstance(source, Path) else BytesIO(source) as file:
        size = file.seek(0, SEEK_END)
        if size != size_bytes:
            raise Damaged(f"file {name} is damaged: it has {size} bytes and should have {size_bytes}", name=name)
        file.seek(max(0, size - 8))
        footer = int.from_bytes(file.read(4), "little") + 8
        file.seek(max(0, size - footer - SEAL.size))
        seal, content = file.read(SEAL.size), file.read()
    if len(content) != footer or SEAL.unpack(seal)[::2] != (SEAL_MAGIC, isal_zlib.crc32(content)):
        raise Damaged(f"file {name} is damaged: its footer is not the one that was written", name=name)


def read_footer(source: Source) -> pq.FileMetaData:
    """Of a file whose footer was found to be right."""
    with pq.ParquetFile(_readable(source)) as file:
        return file.metadata


def read_row_groups(source: Source, metadata: pq.FileMetaData, numbers: Sequence[int], schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of some row groups, one after another, with the columns of `schema`; those that the file lacks are null. Every
    page is checked."""
    if not numbers:
        return
    with pq.ParquetFile(_readable(source), metadata=metadata, page_checksum_verification=True) as file:
        own = set(file.schema_arrow.names)
        names = [name for name in schema.names if name in own]
        for number in numbers:
            found = file.read_row_group(number, columns=names)  # and whatever is called "name.…"
            rows = metadata.row_group(number).num_rows
            yield (
                pa.table(
                    [found.column(field.name) if field.name in own else pa.nulls(rows, field.type) for field in schema],
                    schema=schema,
                )
                if len(schema)
                else _counted(rows)
            )


def read_columns(source: Source, metadata: pq.FileMetaData, numbers: Sequence[int], names: Sequence[str]) -> pa.Table:
    """Some columns of some row groups, all of which the file has. Every page is checked."""
    values = len(names) * sum(metadata.row_group(number).num_rows for number in numbers)
    with pq.ParquetFile(_readable(source), metadata=metadata, page_checksum_verification=True) as file:
        # and whatever is called "name.…"
        return file.read_row_groups(list(numbers), columns=list(names), use_threads=values > _VALUES_PER_THREAD)


def _readable(source: Source) -> pa.NativeFile:
    return pa.OSFile(str(source)) if isinstance(source, Path) else pa.BufferReader(source)


def _counted(rows: int) -> pa.Table:
    return pa.table([pa.nulls(rows)], names=["n"])


# ---- what a file says about itself


def _described(schema: pa.Schema, description: FileDescription) -> pa.Schema:
    """The schema to write: InfluxDB's metadata on schema and columns, only `time` required."""
    if schema.names != sorted(schema.names):
        raise ValueError(f"the columns of a file are in alphabetical order, not {schema.names}")
    tags = {column.name for column in schema if column.type == TAG_TYPE}
    if tags != set(description.series_key):
        raise ValueError(f"the tags of table {description.table} are {description.series_key}, the dictionaries {sorted(tags)}")
    columns = [
        pa.field(column.name, column.type, column.name != "time", {"iox::column::type": _iox_type(column)}) for column in schema
    ]
    metadata = {
        "iox::measurement::name": description.table,
        "iox::series::key::v2": _series_key_text(description.series_key),
        **{f"flightline::{name}": value for name, value in description.facts.items()},
    }
    return pa.schema(columns, metadata)


def _iox_type(column: pa.Field) -> str:
    if column.type == TAG_TYPE:
        return "iox::column_type::tag"
    if (column.name == "time") != (column.type == TIME_TYPE) or column.type not in IOX_FIELD_TYPES | {TIME_TYPE: ""}:
        raise ValueError(f"column {column.name} has type {column.type}")
    return (
        "iox::column_type::timestamp" if column.name == "time" else f"iox::column_type::field::{IOX_FIELD_TYPES[column.type]}"
    )


def _series_key_text(tags: Sequence[str]) -> str:
    names = [tag.encode() for tag in tags]
    return b64encode(b"".join(struct.pack("<I", len(name)) + name for name in names)).decode()


# ---- row groups


def _even(rows: int) -> int:
    """Rows a group, such that the last group is not a small rest."""
    return math.ceil(rows / max(1, math.ceil(rows / ROW_GROUP_ROWS)))


def _row_groups(rows: pa.RecordBatchReader, group_rows: int) -> Iterator[list[pa.RecordBatch]]:
    """Slices of the batches, together at most `group_rows` rows and about ROW_GROUP_BYTES (P5)."""
    group: list[pa.RecordBatch] = []
    row_count, byte_count = 0, 0.0
    for batch in rows:
        row_bytes = _byte_count(batch) / max(1, batch.num_rows)
        begin = 0
        while begin < batch.num_rows:
            fitting = min(group_rows - row_count, int((ROW_GROUP_BYTES - byte_count) / row_bytes))
            if fitting <= 0 and group:
                yield group
                group, row_count, byte_count = [], 0, 0.0
                continue
            part = batch.slice(begin, max(1, fitting))
            group.append(part)
            begin += part.num_rows
            row_count += part.num_rows
            byte_count += part.num_rows * row_bytes
    if group:
        yield group


def _byte_count(batch: pa.RecordBatch) -> int:
    return sum(column.indices.nbytes if column.type == TAG_TYPE else column.nbytes for column in batch.columns)


def _in_use(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A tag column without the dictionary values that no row has, when there may be many."""
    if column.type != TAG_TYPE or len(column.chunk(0).dictionary) <= len(column) // 50:
        return column
    codes = pa.chunked_array([chunk.indices for chunk in column.chunks]).combine_chunks().dictionary_encode()
    return pa.chunked_array([pa.DictionaryArray.from_arrays(codes.indices, column.chunk(0).dictionary.take(codes.dictionary))])


# ---- encodings


def _layout(group: pa.Table, description: FileDescription) -> dict[str, object]:
    """The writer's options, decided by the first row group."""
    tags = set(description.series_key)
    step = math.ceil(group.num_rows / SAMPLE_ROWS)
    places = [at * step + at % step for at in range(group.num_rows // step)]  # no even stride: rows may alternate
    sample = group.drop_columns(description.series_key).take(pa.array(places, pa.int32()))
    dictionaries = tags | {name for name in sample.column_names if _repeats(sample.column(name), group.num_rows)}
    deltas = {column.name for column in group.schema if column.type in (pa.int64(), pa.uint64(), TIME_TYPE)} - dictionaries
    distinct = {tag: max(1, min(len(group.column(tag).chunk(0).dictionary), group.num_rows)) for tag in tags}
    order = [*description.series_key, "time"]
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": sorted(dictionaries),
        "column_encoding": dict.fromkeys(deltas, "DELTA_BINARY_PACKED"),
        "bloom_filter_options": {tag: {"ndv": ndv, "fpp": 0.02} for tag, ndv in distinct.items() if 8 * ndv <= group.num_rows},
        "sorting_columns": [pq.SortingColumn(group.column_names.index(name), nulls_first=True) for name in order],
        "write_statistics": True,
        "write_page_index": True,
        "write_page_checksum": True,
        "write_batch_size": PAGE_ROWS,
        "max_rows_per_page": PAGE_ROWS,
    }


def _repeats(sample: pa.ChunkedArray, row_count: int) -> bool:
    """Whether a field of `row_count` rows is better stored as a dictionary."""
    if sample.type not in (pa.float64(), pa.string(), pa.int64(), pa.uint64()):
        return False
    values = sample.drop_null()
    distinct = pc.count_distinct(values).as_py()
    if pa.types.is_integer(sample.type):
        bounds = pc.min_max(values)
        return bool(0 < distinct <= 16 and bounds["max"].as_py() - bounds["min"].as_py() > 8 * distinct)
    # how many different values the sample would show if each value stood in five rows
    population = row_count * len(values) / len(sample) / 5
    return bool(len(values) == 0 or distinct <= population * -math.expm1(-len(values) / population))


# ---- the seal


def _with_seal(data: pa.Buffer) -> pa.Buffer:
    content = memoryview(data)
    before, after = content[: _footer_begin(content)], content[_footer_begin(content) :]
    seal = SEAL.pack(SEAL_MAGIC, isal_zlib.crc32(before), isal_zlib.crc32(after))
    return pa.py_buffer(b"".join((before, seal, after)))


def _sealed(source: Source, name: str) -> pa.Buffer:
    """The bytes of a file, once its seal has been found to be right (P3)."""
    data = pa.py_buffer(source.read_bytes() if isinstance(source, Path) else source)
    content = memoryview(data)
    begin = _footer_begin(content)
    if begin >= SEAL.size:
        seal = bytes(content[begin - SEAL.size : begin])
        intact = SEAL.pack(SEAL_MAGIC, isal_zlib.crc32(content[: begin - SEAL.size]), isal_zlib.crc32(content[begin:]))
        if seal == intact:
            return data
    name = name or (str(source) if isinstance(source, Path) else "(in memory)")
    raise Damaged(f"file {name} is damaged: its {data.size} bytes are not those that were written", name=name)


def _footer_begin(content: memoryview) -> int:
    """Where the footer begins, as the last 8 bytes tell: its length and a magic word. Negative when they cannot be right."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


# ---- reading


def _facts(metadata: pq.FileMetaData, data: pa.Buffer) -> FileFacts:
    time = _column_facts(metadata, metadata.schema.names.index("time"))
    assert isinstance(time.minimum, int)
    assert isinstance(time.maximum, int)
    return FileFacts(metadata.num_rows, data.size, isal_zlib.crc32(data), time.minimum, time.maximum, metadata)


def _column_facts(metadata: pq.FileMetaData, at: int) -> ColumnFacts:
    chunks = [metadata.row_group(group).column(at) for group in range(metadata.num_row_groups)]
    name = metadata.schema.column(at).name
    found = [chunk.statistics for chunk in chunks if chunk.statistics is not None]
    null_count = sum(statistics.null_count for statistics in found)
    with_values = [chunk for chunk in chunks if chunk.statistics is None or chunk.statistics.num_values > 0]
    if not with_values or not all(chunk.statistics is not None and chunk.statistics.has_min_max for chunk in with_values):
        return ColumnFacts(name, null_count, None, None)
    raw = name == "time"  # as int: a datetime has no nanoseconds
    low = min(chunk.statistics.min_raw if raw else chunk.statistics.min for chunk in with_values)
    high = max(chunk.statistics.max_raw if raw else chunk.statistics.max for chunk in with_values)
    return ColumnFacts(name, null_count, low, high)
