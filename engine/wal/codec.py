"""A group of writes as bytes, and back.

    object  = group+                               a segment file holds many groups, an object of a remote store one
    group   = header, payload
    header  = magic 8, sequence u64, epoch u64, payload length u32, payload crc u32, header crc u32      (little endian)
    payload = table count u32, table+
    table   = database id u32, table id u32, length of series u32, length of rows u32, series, rows
    series  = Arrow IPC stream: `series` int32 and one string column per tag (0, 1, …), the series that this epoch sees first
    rows    = Arrow IPC stream: `series` int32, `time`, fields; an integer field of many rows in as few bytes as hold its values
    claim   = a group whose payload is table count 0 and the 16 bytes of an instance's id (engine.ownership)

K1  decode(encode(g)) has the rows of g, each with the tag values that its series number stood for.
K2  Any damaged byte is found: a group is read whole and right, or not at all.
K3  A series is defined once per epoch, in the first group that uses it; reading starts where an epoch starts.

Held by tests/unit/engine/test_wal_codec.py (K1-K3).
"""

import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import is_

import pyarrow as pa
from isal.isal_zlib import crc32

from engine import _native
from engine.batch import SERIES, TableRows, int32_array, series_buffer
from engine.merge import FIRST_FIELD

MAGIC = b"FLWALG01"
HEADER = struct.Struct("<8sQQIII")
_TABLE = struct.Struct("<IIII")
_COUNT = struct.Struct("<I")
CLAIM_BYTES = HEADER.size + _COUNT.size + 16
"""The size of a claim and of no other group: rows take hundreds of bytes."""
_SMALL_BYTES = 16 * 1024
_AHEAD_ROWS = 1024
_PLAIN = pa.ipc.IpcWriteOptions()
#: one thread: many groups are under way at a time, and columns are small by now
_PACKED = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_NARROW = {1: pa.int8(), 2: pa.int16(), 4: pa.int32()}


@dataclass(frozen=True, slots=True)
class StoredTable:
    """Rows as the log keeps them: with series numbers of its epoch and the definitions that came with them."""

    database_id: int
    table_id: int
    series: pa.RecordBatch | None
    rows: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class StoredGroup:
    sequence: int
    epoch: int
    tables: tuple[StoredTable, ...]


class DamagedGroup(Exception):
    """Bytes at `offset` that are not a whole group: cut short, or changed."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.offset = offset
        self.reason = reason


def encode(sequence: int, epoch: int, tables: Sequence[TableRows]) -> list[pa.Buffer | bytes]:
    """The group in pieces to be written one after another; marks the series it defines as defined in `epoch`."""
    payload: list[pa.Buffer | bytes] = [_COUNT.pack(len(tables))]
    for table in tables:
        series = _definitions(table, epoch)
        rows = _stream(table.rows) if table.encoded is None else table.encoded
        payload += [_TABLE.pack(table.database_id, table.table_id, len(series), len(rows)), series, rows]
    return _framed(sequence, epoch, payload)


def encode_claim(sequence: int, instance_id: str) -> list[pa.Buffer | bytes]:
    """A group without rows, in no epoch, that no two processes write alike."""
    return _framed(sequence, 0, [_COUNT.pack(0) + uuid.UUID(instance_id).bytes])


def _framed(sequence: int, epoch: int, payload: Sequence[pa.Buffer | bytes]) -> list[pa.Buffer | bytes]:
    length, checksum = 0, 0
    for piece in payload:
        length += len(piece)
        checksum = crc32(piece, checksum)
    header = HEADER.pack(MAGIC, sequence, epoch, length, checksum, 0)
    return [HEADER.pack(MAGIC, sequence, epoch, length, checksum, crc32(header[:-4])), *payload]


def encoded_ahead(table: TableRows) -> TableRows:
    """The same rows with their bytes for the log, when they are many: the log's one thread has enough to do."""
    return table if table.rows.num_rows < _AHEAD_ROWS else replace(table, encoded=_stream(table.rows))


def decode(data: memoryview, offset: int = 0) -> Iterator[StoredGroup]:
    """The groups from `offset` on; DamagedGroup where the bytes stop making sense."""
    while offset < len(data):
        sequence, epoch, length = read_header(data, offset)
        start = offset + HEADER.size
        payload = data[start : start + length]
        if crc32(payload) != HEADER.unpack_from(data, offset)[4]:
            raise DamagedGroup(offset, "checksum mismatch")
        offset = start + length
        yield StoredGroup(sequence, epoch, tuple(_tables(payload)))


def read_header(data: memoryview, offset: int) -> tuple[int, int, int]:
    """(sequence, epoch, payload length) of the group at `offset`, whose payload is all there."""
    if len(data) - offset < HEADER.size:
        raise DamagedGroup(offset, "incomplete header")
    magic, sequence, epoch, length, _, checksum = HEADER.unpack_from(data, offset)
    if magic != MAGIC or crc32(data[offset : offset + HEADER.size - 4]) != checksum:
        raise DamagedGroup(offset, "unreadable header")
    if offset + HEADER.size + length > len(data):
        raise DamagedGroup(offset, "incomplete group")
    return sequence, epoch, length


def find_header(data: memoryview, offset: int) -> int | None:
    """The offset of the next readable header at or after `offset`, if there is one."""
    text = bytes(data[offset:])
    at = text.find(MAGIC)
    while at >= 0:
        header = text[at : at + HEADER.size]
        if len(header) == HEADER.size and crc32(header[:-4]) == HEADER.unpack(header)[5]:
            return offset + at
        at = text.find(MAGIC, at + 1)
    return None


def _tables(payload: memoryview) -> Iterator[StoredTable]:
    (count,) = _COUNT.unpack_from(payload)
    at = _COUNT.size
    for _ in range(count):
        database_id, table_id, series_length, rows_length = _TABLE.unpack_from(payload, at)
        at += _TABLE.size
        series = _read_stream(payload[at : at + series_length]) if series_length else None
        at += series_length
        yield StoredTable(database_id, table_id, series, _read_stream(payload[at : at + rows_length]))
        at += rows_length


def _definitions(table: TableRows, epoch: int) -> pa.Buffer | bytes:
    """Those series of the rows that this epoch has not seen, with all of their tags; nothing when there is none."""
    numbers = table.index.define(series_buffer(table.rows), epoch)
    if numbers.nbytes == 0:
        return b""
    series = int32_array(numbers)
    tags = range(table.index.tag_count)
    columns = [series, *(pa.array(table.index.values(tag, numbers)) for tag in tags)]
    fields = [SERIES, *(pa.field(str(tag), pa.utf8()) for tag in tags)]
    return _stream(pa.record_batch(columns, schema=pa.schema(fields)))


def _stream(batch: pa.RecordBatch) -> pa.Buffer:
    is_small = batch.nbytes < _SMALL_BYTES
    stored = batch if is_small else _narrowed(batch)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, stored.schema, options=_PLAIN if is_small else _PACKED) as writer:
        writer.write_batch(stored)
    return sink.getvalue()


def _read_stream(data: memoryview) -> pa.RecordBatch:
    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        return _widened(reader.read_next_batch())


def _narrowed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Most integers are small. Without their empty bytes they take a tenth of the time to compress, and half the room."""
    columns = batch.columns
    narrow = [_narrow(column) for column in columns]
    return batch if all(map(is_, narrow, columns)) else _with_columns(batch, narrow)


def _narrow(column: pa.Array) -> pa.Array:
    if column.type != pa.int64() or column.offset:
        return column
    validity, values = column.buffers()
    narrow = _native.narrow(values.slice(0, 8 * len(column)))
    if narrow is None:
        return column
    return pa.Array.from_buffers(_NARROW[narrow.nbytes // len(column)], len(column), [validity, pa.py_buffer(narrow)])


def _widened(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Fields are of 64 bits, whatever they were stored in."""
    narrow = [number >= FIRST_FIELD and kind in _NARROW.values() for number, kind in enumerate(batch.schema.types)]
    if not any(narrow):
        return batch
    columns = [column.cast(pa.int64()) if cast else column for column, cast in zip(batch.columns, narrow, strict=True)]
    return _with_columns(batch, columns)


def _with_columns(batch: pa.RecordBatch, columns: Sequence[pa.Array]) -> pa.RecordBatch:
    """The columns under the names that they have in `batch`."""
    fields = [field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
