"""Arrow columns as the columns of a table: which is what, and the one form in which rows go on. Pure.

Whether a column is a tag is decided by the first of these that says anything:
    1. the catalog: what the table's column of that name is
    2. the field's metadata: `iox::column::type` is `iox::column_type::tag`, or a field type
    3. the write's option `tags`
    4. the type: dictionary-encoded strings are tags, everything else is a field

Fields: signed integers of any width are stored as int64, unsigned ones as uint64, floats as float64, strings of every
layout as utf8, bool as bool. Nothing is converted between these kinds: an integer does not enter a float column.
`time`: a timestamp of any unit and zone, a date, or int64 nanoseconds; without such a column all rows of a batch get one
clock value. A column of type null adds nothing and is left out.

N1  A column that can not be stored is named, with its type and the one that would do; nothing of the batch is kept.
N2  The same for a row without a time, or with one that nanoseconds can not express: it is named by its number.
N3  What comes out has one type per kind: tags utf8 or dictionary<int32, utf8>, time int64, fields as above; one array per
    planned column, as long as the batch.
N4  Values that do not obey their type (offsets, dictionary indices, UTF-8) are refused before anything looks at them.

Held by tests/unit/engine/test_arrow_ingest.py (N1-N4) and tests/property/test_arrow_fuzz.py (N4).
Elsewhere: growth of the catalog (catalog.growth), series and duplicates (engine.buffer).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import InvalidRequest
from catalog.names import TIME_COLUMN
from catalog.schema import IOX_TAG, FieldType, Table
from engine.batch import SERIES, TIME

_MARK = b"iox::column::type"
_TAG_DICTIONARY = pa.dictionary(pa.int32(), pa.utf8())
_FIELD_ARROW = {
    FieldType.FLOAT: pa.float64(),
    FieldType.INTEGER: pa.int64(),
    FieldType.UINTEGER: pa.uint64(),
    FieldType.STRING: pa.utf8(),
    FieldType.BOOLEAN: pa.bool_(),
}
_FIELD_BY_IOX = {kind.iox: kind for kind in FieldType}


class UnsuitableColumn(InvalidRequest):
    """A column that the table can not take."""

    code = "unsuitable_column"


class UnsuitableRow(InvalidRequest):
    """A row that can not be stored."""

    code = "unsuitable_row"


@dataclass(frozen=True, slots=True)
class ArrowPlan:
    """For batches of one schema and a table in one state. Numbers are columns of the batch.

    `tags` follows the series key: the table's tags (None: the batch lacks it), then `new_tags`.
    """

    tags: tuple[int | None, ...]
    fields: tuple[tuple[str, FieldType, int], ...]
    time: int | None
    new_tags: tuple[str, ...]
    new_fields: tuple[tuple[str, FieldType], ...]
    #: what the rows are stored as
    stored: pa.Schema


@dataclass(frozen=True, slots=True)
class ArrowRows:
    """A batch in the one form (N3). `tags` and `fields` are parallel to those of the plan."""

    rows: int
    tags: tuple[pa.Array | None, ...]
    time: pa.Int64Array
    fields: tuple[pa.Array, ...]


def plan_columns(
    schema: pa.Schema, table_name: str, table: Table | None, tags: Sequence[str] | None, *, extend_tags: bool = False
) -> ArrowPlan:
    """What each column becomes. `table` is None when it has to be created; `tags` is the write's option."""
    _check_names(schema, tags or ())
    known = () if table is None else table.tags
    numbers = {column.name: number for number, column in enumerate(schema) if not pa.types.is_null(column.type)}
    tag_names = [name for name in numbers if name != TIME_COLUMN and _is_tag(schema.field(name), table, tags)]
    new_tags = _in_order([name for name in tag_names if name not in known], tags)
    if new_tags and table is not None and not extend_tags:
        raise UnsuitableColumn(
            f"unknown tag '{new_tags[0]}' for table '{table_name}': the tag set of a table is fixed by its first write",
            hint=f"to store '{new_tags[0]}' as a field, send it as plain strings",
        )
    for name in tag_names:
        _check_tag(table_name, schema.field(name))
    fields = tuple(
        (name, _field_type(table_name, table, schema.field(name)), number)
        for name, number in numbers.items()
        if name != TIME_COLUMN and name not in tag_names
    )
    if not fields:
        raise UnsuitableColumn(f"a row of table {table_name} needs at least one field, the batch has only tags and time")
    return ArrowPlan(
        tags=tuple(numbers.get(name) for name in (*known, *new_tags)),
        fields=fields,
        time=_time_column(table_name, schema),
        new_tags=tuple(new_tags),
        new_fields=tuple((name, kind) for name, kind, _ in fields if table is None or name not in table.kinds),
        stored=pa.schema([SERIES, TIME, *(pa.field(name, _FIELD_ARROW[kind]) for name, kind, _ in fields)]),
    )


def normalise(batch: pa.RecordBatch, plan: ArrowPlan, now_ns: int) -> ArrowRows:
    """The batch's rows. `now_ns` is the time of all of them if the batch has no times."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InvalidRequest(f"the batch is damaged: {error}") from None
    return ArrowRows(
        rows=batch.num_rows,
        tags=tuple(None if number is None else _tag(batch.column(number)) for number in plan.tags),
        time=pa.repeat(pa.scalar(now_ns, pa.int64()), batch.num_rows) if plan.time is None else _time(batch.column(plan.time)),
        fields=tuple(_field(batch.column(number), kind) for _, kind, number in plan.fields),
    )


def _check_names(schema: pa.Schema, tags: Sequence[str]) -> None:
    try:
        names = schema.names
    except UnicodeDecodeError:
        raise UnsuitableColumn("the name of a column is not UTF-8") from None
    seen = set()
    for name in names:
        if name in seen:
            raise UnsuitableColumn(f"column '{name}' occurs twice")
        seen.add(name)
    for tag in tags:
        if tag == TIME_COLUMN or tag not in seen:
            raise UnsuitableColumn(f"the option tags names '{tag}', which is not a column that could be a tag")


def _is_tag(column: pa.Field, table: Table | None, tags: Sequence[str] | None) -> bool:
    if table is not None and column.name in table.kinds:
        return column.name in table.tags
    mark = _mark(column)
    if mark == IOX_TAG or mark in _FIELD_BY_IOX:
        return mark == IOX_TAG
    if tags is not None:
        return column.name in tags
    return pa.types.is_dictionary(column.type) and _is_string(column.type.value_type)


def _in_order(names: list[str], tags: Sequence[str] | None) -> list[str]:
    """The option's order where it names them, that of the columns otherwise."""
    first = [name for name in tags or () if name in names]
    return first + [name for name in names if name not in first]


def _check_tag(table_name: str, column: pa.Field) -> None:
    if _kind_of(column.type) is not FieldType.STRING:
        raise UnsuitableColumn(
            f"invalid column type for column '{column.name}' of table {table_name}, "
            f"expected {IOX_TAG} (strings), got {column.type}"
        )


def _field_type(table_name: str, table: Table | None, column: pa.Field) -> FieldType:
    expected = table.fields.get(column.name) if table is not None else None
    found = _kind_of(column.type)
    if expected is None:
        expected = _FIELD_BY_IOX.get(_mark(column), found)
    if found is None:
        raise UnsuitableColumn(
            f"column '{column.name}' of table {table_name} has type {column.type}, which can not be stored",
            hint="cast it to float64, int64, uint64, utf8 or bool",
        )
    if found is not expected:
        raise UnsuitableColumn(
            f"invalid column type for column '{column.name}' of table {table_name}, "
            f"expected {expected.iox if expected else None}, got {found.iox} ({column.type})"
        )
    return found


def _time_column(table_name: str, schema: pa.Schema) -> int | None:
    number: int = schema.get_field_index(TIME_COLUMN)
    if number < 0:
        return None
    kind = schema.field(number).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_int64(kind)):
        raise UnsuitableColumn(
            f"invalid column type for column 'time' of table {table_name}, "
            f"expected a timestamp, a date or int64 nanoseconds, got {kind}"
        )
    return number


def _kind_of(kind: pa.DataType) -> FieldType | None:
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(kind.value_type):
        return _kind_of(kind.value_type)
    if _is_string(kind):
        return FieldType.STRING
    if pa.types.is_floating(kind):
        return FieldType.FLOAT
    if pa.types.is_signed_integer(kind):
        return FieldType.INTEGER
    if pa.types.is_unsigned_integer(kind):
        return FieldType.UINTEGER
    return FieldType.BOOLEAN if pa.types.is_boolean(kind) else None


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _mark(column: pa.Field) -> str:
    mark: bytes = (column.metadata or {}).get(_MARK, b"")
    return mark.decode("utf-8", "replace")


def _tag(column: pa.Array) -> pa.Array:
    if not pa.types.is_dictionary(column.type):
        return _utf8(column)
    if column.type == _TAG_DICTIONARY and column.dictionary.null_count == 0:
        return column
    if column.dictionary.null_count:  # a null hides behind an index
        return _utf8(column.dictionary).take(column.indices)
    return pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), _utf8(column.dictionary))


def _utf8(column: pa.Array) -> pa.Array:
    """Strings of any layout as utf8."""
    if pa.types.is_string_view(column.type) and column.null_count:
        column = _without_hidden_views(column)
    return column.cast(pa.utf8())


def _without_hidden_views(column: pa.Array) -> pa.Array:
    """What the view of a null points to is not validated, and Arrow's cast follows it: make it the empty one."""
    validity, views, *data = column.buffers()
    raw = pa.Array.from_buffers(pa.binary(16), len(column), [validity, views], offset=column.offset)
    shown = raw.fill_null(bytes(16)).buffers()[1]
    return pa.Array.from_buffers(column.type, len(column), [column.is_valid().buffers()[1], shown, *data])


def _time(column: pa.Array) -> pa.Int64Array:
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise UnsuitableRow(f"row {row + 1} of the batch has no time", row=row)
    if pa.types.is_int64(column.type):
        return column
    try:
        zone = column.type.tz if pa.types.is_timestamp(column.type) else None
        return column.cast(pa.timestamp("ns", zone)).view(pa.int64())
    except pa.ArrowInvalid:
        row = _first_beyond_nanoseconds(column)
        raise UnsuitableRow(f"row {row + 1} of the batch has a time outside of what nanoseconds can express", row=row) from None


def _first_beyond_nanoseconds(column: pa.Array) -> int:
    """Only asked when there is one; halves the rows until it is alone."""
    first, end = 0, len(column)
    while end - first > 1:
        middle = (first + end) // 2
        try:
            column.slice(first, middle - first).cast(pa.timestamp("ns", getattr(column.type, "tz", None)))
            first = middle
        except pa.ArrowInvalid:
            end = middle
    return first


def _field(column: pa.Array, kind: FieldType) -> pa.Array:
    wanted = _FIELD_ARROW[kind]
    if column.type == wanted:
        return column
    if pa.types.is_dictionary(column.type):
        return _field(column.dictionary, kind).take(column.indices)
    return _utf8(column) if kind is FieldType.STRING else column.cast(wanted)
