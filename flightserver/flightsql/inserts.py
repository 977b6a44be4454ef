"""Rows of an INSERT as rows of its table. Pure.

W1  Columns go where the INSERT says. Without a list of columns a query's go by their names if the table has all of them, or
    is new; else, and VALUES always, they go by place, in the order of SELECT *.
W2  A value of a column that the table has is converted to that column's type, or refused with the column's name: nothing is
    cut off or rounded. Times may be strings.
W3  A column that is new to the table keeps its type, and stays a tag if it comes from one.

Held by tests/unit/flightserver/test_flightsql_inserts.py (W1-W3).
Elsewhere: reading the statement (flightsql.statements), running it (handlers.updates), new columns (engine.ingest.arrow).
"""

from collections.abc import Sequence

import pyarrow as pa

from catalog.errors import InvalidRequest
from catalog.names import TIME_COLUMN
from catalog.schema import IOX_TAG
from flightserver.flightsql.results import plain_column, plain_type
from flightserver.flightsql.statements import Insert

COUNT = pa.schema([pa.field("count", pa.uint64(), nullable=False)])
"""What an INSERT that is asked for as a query answers."""

_MARK = b"iox::column::type"
_TIME = pa.timestamp("ns")


def inserted_names(insert: Insert, source: Sequence[str], table: pa.Schema | None) -> tuple[str, ...]:
    """The columns that the source's columns become."""
    names = insert.columns
    if names is None and table is None and insert.is_values:
        raise InvalidRequest(f"table {insert.table} does not exist yet: name its columns in front of VALUES")
    if names is None:
        by_name = not insert.is_values and (table is None or set(source) <= set(table.names))
        names = tuple(source) if by_name or table is None else tuple(table.names)
    if len(names) != len(source):
        raise InvalidRequest(
            f"INSERT INTO {insert.table} is about {len(names)} columns ({', '.join(names[:20])}), its rows have {len(source)}",
            hint="name the columns",
        )
    return names


def as_inserted(batch: pa.RecordBatch, names: Sequence[str], table_name: str, table: pa.Schema | None) -> pa.RecordBatch:
    """The batch with the table's names and types; its columns are in the order of `names`."""
    known = {} if table is None else {column.name: column.type for column in table}
    fields, columns = [], []
    for name, column, field in zip(names, batch.columns, batch.schema, strict=True):
        value = _opened(column)
        is_text_time = name == TIME_COLUMN and pa.types.is_string(value.type)
        wanted = _TIME if is_text_time else known.get(name) if name != TIME_COLUMN else None
        columns.append(value if wanted is None else _converted(value, plain_type(wanted), f"column '{name}' of {table_name}"))
        is_tag = (field.metadata or {}).get(_MARK) == IOX_TAG.encode() and pa.types.is_string(columns[-1].type)
        fields.append(pa.field(name, columns[-1].type, metadata={_MARK: IOX_TAG} if is_tag else None))
    return pa.record_batch(columns, schema=pa.schema(fields))


def _opened(column: pa.Array) -> pa.Array:
    """Without unions, dictionaries and views."""
    if pa.types.is_union(column.type):
        values = [each.value if each.is_valid else None for each in column]
        try:
            return pa.array(values if len({each.type for each in values if each is not None}) < 2 else column.to_pylist())
        except (ValueError, pa.ArrowTypeError) as error:
            raise InvalidRequest(f"the values of one column are of different kinds: {error}") from None
    return plain_column(column, plain_type(column.type))


def _converted(column: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
    try:
        return _times(column) if kind == _TIME and pa.types.is_string(column.type) else column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidRequest(f"{where}: {error}") from None


def _times(column: pa.Array) -> pa.Array:
    """`2024-01-31T12:00:00.5Z`, with any offset, or without one."""
    try:
        return column.cast(pa.timestamp("ns", "UTC")).cast(_TIME)
    except pa.ArrowInvalid:
        return column.cast(_TIME)
