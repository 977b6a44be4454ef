"""Whatever the values, a file gives them back, and its facts bound them."""

import math

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.files.parquet import FileDescription, encode, open_rows, verify

FIELDS = {
    "f": (pa.float64(), st.floats()),
    "i": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "u": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "s": (pa.string(), st.sampled_from(["", "a", "b" * 70, "ü", "日本\0"])),
    "b": (pa.bool_(), st.booleans()),
}


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    count = draw(st.integers(1, 40))
    columns = {"time": pa.array(draw(times(count)), pa.int64()).view(pa.timestamp("ns"))}
    for name in draw(st.sets(st.sampled_from(["region", "host"]))):
        columns[name] = pa.array(draw(some(count, st.sampled_from(["", "a", "é" * 9]))), pa.string()).dictionary_encode()
    for name in draw(st.sets(st.sampled_from(sorted(FIELDS)))):
        of_type, values = FIELDS[name]
        columns[name] = pa.array(draw(some(count, values)), of_type)
    return pa.table({name: columns[name] for name in sorted(columns)})


def times(count: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count)


def some(count: int, values: st.SearchStrategy[object]) -> st.SearchStrategy[list[object]]:
    return st.lists(st.none() | values, min_size=count, max_size=count)


@settings(max_examples=60)
@given(tables())
def test_a_file_gives_back_its_rows_and_its_facts_bound_them(rows: pa.Table) -> None:
    """P1."""
    tags = tuple(name for name in ("region", "host") if name in rows.column_names)

    data = encode(rows, FileDescription("m", tags))

    for written, read in zip(rows.columns, open_rows(data).columns, strict=True):
        assert read.type == written.type
        assert repr(read.cast(plain_type(read)).to_pylist()) == repr(written.cast(plain_type(written)).to_pylist())
    facts = verify(data)
    assert facts.rows == rows.num_rows
    for fact in facts.columns:
        column = rows.column(fact.name)
        values = [value for value in column.cast(plain_type(column)).drop_null().to_pylist() if not is_nan(value)]
        assert fact.null_count == column.null_count
        assert fact.minimum is None or (fact.minimum, fact.maximum) == (min(values), max(values))
        assert fact.minimum is not None or not values


def plain_type(column: pa.ChunkedArray) -> pa.DataType:
    if pa.types.is_dictionary(column.type):
        return pa.string()
    return pa.int64() if pa.types.is_timestamp(column.type) else column.type


def is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
