"""Result batches as every client can read them.

S1  No dictionary and no view leaves: tags are Utf8. Large variants become plain ones.
S2  A message is smaller than 2 MiB, its envelope included, unless it is one row (clients refuse messages beyond 4 MiB).
S3  Of a field's metadata only keys of ours (iox::…) leave: one client fails on metadata it does not know. The mark of a
    column type leaves only with a column of that type: a cast keeps metadata, and clients believe it.
S4  Each batch has exactly the schema that was announced.

Held by tests/unit/flightserver/test_flightsql_results.py (S1-S4).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from engine._native import spell

BATCH_BYTES_MAX = 2 * 1024 * 1024
_ENVELOPE_BYTES = 64
_GOOD_BYTES = BATCH_BYTES_MAX * 3 // 4  # rows differ in size
_FIRST_ROWS = 4096

#: what tags are, and what they leave as
_CODED, _TEXT = pa.dictionary(pa.int32(), pa.utf8()), pa.utf8()

_MARK = b"iox::column::type"
_MARKED: Mapping[bytes, Callable[[pa.DataType], bool]] = {
    b"iox::column_type::tag": pa.types.is_string,
    b"iox::column_type::timestamp": pa.types.is_timestamp,
    b"iox::column_type::field::float": pa.types.is_float64,
    b"iox::column_type::field::integer": pa.types.is_int64,
    b"iox::column_type::field::uinteger": pa.types.is_uint64,
    b"iox::column_type::field::string": pa.types.is_string,
    b"iox::column_type::field::boolean": pa.types.is_boolean,
}


#: schemas of statements that are asked again and again, with what is made of them
_known: dict[int, tuple[pa.Schema, pa.Schema]] = {}
_KNOWN_MAX = 1024


def plain_schema(schema: pa.Schema) -> pa.Schema:
    found = _known.get(id(schema))
    if found is None or found[0] is not schema:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        _known[id(schema)] = found = schema, pa.schema([_plain_field(column) for column in schema], schema.metadata)
    return found[1]


def plain_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Each with what it takes on the wire. `schema` is plain_schema of the batches' schema.

    A batch is made plain slice by slice, each of about one message: text made of a dictionary is then sent while it is still in
    the processor's cache, and its memory is used again.
    """
    rows = _FIRST_ROWS
    for batch in batches:
        start = 0
        while start == 0 or start < batch.num_rows:
            part = plain_batch(batch.slice(start, rows), schema)
            size = message_bytes(part)
            if size < BATCH_BYTES_MAX:
                yield part, size
            else:
                yield from ((piece, message_bytes(piece)) for piece in cut(part))
            start += rows
            if part.num_rows:
                rows = max(1, part.num_rows * _GOOD_BYTES // size)


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    own = batch.schema
    if own.equals(schema, check_metadata=True):
        return batch
    if not schema.names:
        return batch.replace_schema_metadata(schema.metadata)
    changed = [(column, kind) for column, kind in zip(own.types, schema.types, strict=True) if column != kind]
    if changed and all(column == _CODED and kind == _TEXT for column, kind in changed):
        return pa.record_batch(spell(batch, schema))
    columns = batch.columns
    if changed:
        columns = [plain_column(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def plain_column(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        return pc.take(plain_column(column.dictionary, kind), column.indices, boundscheck=False)
    return column.cast(kind)


def empty_batch(schema: pa.Schema) -> pa.RecordBatch:
    if not schema.names:
        return pa.RecordBatch.from_struct_array(pa.array([], pa.struct([])))
    return pa.RecordBatch.from_arrays([pa.array([], column.type) for column in schema], schema=schema)


def cut(batch: pa.RecordBatch, bytes_max: int = BATCH_BYTES_MAX) -> Iterator[pa.RecordBatch]:
    """The batch in slices that fit: equal ones where its rows are, halved again where they are not."""
    size_bytes = message_bytes(batch)
    if batch.num_rows <= 1 or size_bytes < bytes_max:
        yield batch
        return
    rows = max(1, batch.num_rows // (size_bytes // bytes_max + 1))
    for start in range(0, batch.num_rows, rows):
        yield from cut(batch.slice(start, rows), bytes_max)


def message_bytes(batch: pa.RecordBatch) -> int:
    """What the batch takes on the wire. (Quicker to ask for than `nbytes`.)"""
    return int(pa.ipc.get_record_batch_size(batch)) + _ENVELOPE_BYTES


def _plain_field(column: pa.Field) -> pa.Field:
    kind = plain_type(column.type)
    kept = {key: value for key, value in (column.metadata or {}).items() if key.startswith(b"iox::")}
    if _MARK in kept and not _MARKED.get(kept[_MARK], _no_type)(kind):
        del kept[_MARK]
    return pa.field(column.name, kind, column.nullable, kept or None)


def _no_type(_: pa.DataType) -> bool:
    return False


def plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_binary_view(kind) or pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_field(kind.value_field), kind.list_size)
    if pa.types.is_large_list(kind) or pa.types.is_list(kind) or pa.types.is_list_view(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(index)) for index in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(_plain_field(kind.key_field), _plain_field(kind.item_field), kind.keys_sorted)
    return kind
