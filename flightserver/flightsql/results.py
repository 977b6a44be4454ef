"""Result batches as every client can read them.

S1  No dictionary and no view leaves: tags are Utf8. Large variants become plain ones.
S2  A batch is smaller than 2 MiB unless it is one row (clients refuse messages beyond 4 MiB).
S3  Of a field's metadata only keys of ours (iox::…) leave: one client fails on metadata it does not know.
S4  Each batch has exactly the schema that was announced.

Held by tests/unit/flightserver/test_flightsql_results.py (S1-S4).
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa

BATCH_BYTES_MAX = 2 * 1024 * 1024


def plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([_plain_field(column) for column in schema], schema.metadata)


def plain_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """`schema` is plain_schema of the batches' schema."""
    for batch in batches:
        yield from cut(plain_batch(batch, schema))


def plain_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [_plain_column(column, wanted.type) for column, wanted in zip(batch.columns, schema, strict=True)]
    if not columns:
        return batch.replace_schema_metadata(schema.metadata)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain_column(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        return column.dictionary.cast(kind).take(column.indices)
    return column.cast(kind)


def cut(batch: pa.RecordBatch, bytes_max: int = BATCH_BYTES_MAX) -> Iterator[pa.RecordBatch]:
    """The batch in slices that fit, halving while they do not."""
    if batch.num_rows <= 1 or batch.nbytes < bytes_max:
        yield batch
        return
    half = batch.num_rows // 2
    yield from cut(batch.slice(0, half), bytes_max)
    yield from cut(batch.slice(half), bytes_max)


def _plain_field(column: pa.Field) -> pa.Field:
    kept = {key: value for key, value in (column.metadata or {}).items() if key.startswith(b"iox::")}
    return pa.field(column.name, plain_type(column.type), column.nullable, kept or None)


def plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_binary_view(kind) or pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_plain_field(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_plain_field(kind.field(index)) for index in range(kind.num_fields)])
    return kind
