"""Values for a statement's parameters, out of Arrow columns named as each client likes. Pure.

R1  Columns that are named exactly as the parameters (with or without `$`, those in quotes too) are bound by name, all others
    by position: in the order of statements.parameters, or by number where there are as many columns as the highest says.
R2  Too few and too many values are refused with both counts and the names of the parameters.
R3  A value arrives as an Arrow scalar of the type in which it was sent; dense unions and dictionaries are opened.
R4  What is bound travels in a handle, so it is limited to BOUND_BYTES_MAX.

Held by tests/unit/flightserver/test_flightsql_parameters.py (R1-R4).
Elsewhere: which parameters a statement has (flightsql.statements), what they do in a plan (engine.query).
"""

from collections.abc import Iterable, Mapping, Sequence, Set

import pyarrow as pa

from catalog.errors import InvalidRequest, TooLarge

BOUND_BYTES_MAX = 1 << 20


def positions(names: Sequence[str], columns: Sequence[str], quoted: Set[str] = frozenset()) -> Mapping[str, int]:
    """Which column holds the value of each parameter; `quoted` are those that are parameters only if they have a value."""
    plain = [column.removeprefix("$") for column in columns]
    if len(set(plain)) == len(plain) and set(names) <= set(plain) <= {*names, *quoted}:
        return {name: place for place, name in enumerate(plain)}
    numbers = [int(name) for name in names if name.isdecimal()]
    if len(numbers) == len(names) and len(columns) == max(numbers, default=0) and 0 not in numbers:
        return {name: int(name) - 1 for name in names}
    if len(columns) != len(names):
        listed = ", ".join(f"${name}" for name in names[:20])
        expected = f"{_counted(len(names), 'parameter')} ({listed})" if names else "no parameters"
        were = "was" if len(columns) == 1 else "were"
        raise InvalidRequest(f"the statement has {expected}, {_counted(len(columns), 'value')} {were} bound")
    return {name: place for place, name in enumerate(names)}


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def values(batch: pa.RecordBatch, row: int, places: Mapping[str, int]) -> dict[str, pa.Scalar]:
    return {name: _value(batch.column(place)[row]) for name, place in places.items()}


def _value(scalar: pa.Scalar) -> pa.Scalar:
    kind = scalar.type
    if pa.types.is_dictionary(kind):
        return scalar.value if scalar.is_valid else pa.scalar(None, kind.value_type)
    if pa.types.is_union(kind):
        return scalar.value if scalar.is_valid else pa.scalar(None, kind.field(scalar.type_code).type)
    return scalar


def encode(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> bytes:
    """Bound rows as the bytes that a handle carries; none at all for a schema without columns."""
    if not schema.names:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            if sink.tell() > BOUND_BYTES_MAX:
                raise TooLarge(f"the values of parameters have more than {BOUND_BYTES_MAX} bytes", hint="use bulk ingest")
    return bytes(sink.getvalue())


def decode(data: bytes) -> pa.Table:
    try:
        table = pa.ipc.open_stream(data).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise InvalidRequest(f"the handle's parameters can not be read: {error}") from None
    return table
