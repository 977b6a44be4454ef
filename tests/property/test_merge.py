"""Merging against a dict that is written row by row."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.merge import merged, row_schema

FIELDS = pa.schema([("f", pa.float64()), ("i", pa.int64()), ("u", pa.uint64()), ("s", pa.string()), ("b", pa.bool_())])
VALUES = {
    "f": st.floats(allow_nan=False, width=32),
    "i": st.integers(-(2**63), 2**63 - 1),
    "u": st.integers(0, 2**64 - 1),
    "s": st.sampled_from(["", "a", "ü", "日本"]),
    "b": st.booleans(),
}
Row = tuple[int, int, dict[str, object]]
Keyed = dict[tuple[int, int], dict[str, object]]


@st.composite
def row_batches(draw: st.DrawFn) -> pa.RecordBatch:
    """Few series and few times, so that keys meet; any subset of the fields, in any order; seen through a slice."""
    names = draw(st.permutations(FIELDS.names))[: draw(st.integers(0, len(FIELDS)))]
    count = draw(st.integers(0, 12))
    fields = [FIELDS.field(name) for name in names]
    columns = [
        pa.array([draw(st.integers(0, 3)) for _ in range(count)], pa.int32()),
        pa.array([draw(st.integers(-2, 3)) for _ in range(count)], pa.int64()).view(pa.timestamp("ns")),
        *[pa.array([draw(st.none() | VALUES[field.name]) for _ in range(count)], field.type) for field in fields],
    ]
    begin = draw(st.integers(0, count))
    return pa.RecordBatch.from_arrays(columns, schema=row_schema(pa.schema(fields))).slice(begin)


def rows_of(batch: pa.RecordBatch) -> list[Row]:
    fields = batch.select(range(2, batch.num_columns)).to_pylist()
    return list(zip(batch.column(0).to_pylist(), batch.column(1).view(pa.int64()).to_pylist(), fields, strict=True))


def model(batches: list[pa.RecordBatch]) -> Keyed:
    known: Keyed = {}
    for batch in batches:
        for series, time, fields in rows_of(batch):
            row = known.setdefault((series, time), dict.fromkeys(FIELDS.names))
            row.update({name: value for name, value in fields.items() if value is not None})
    return known


@given(st.lists(row_batches(), max_size=4))
def test_each_key_stands_once_with_the_last_value_of_each_field(batches: list[pa.RecordBatch]) -> None:
    """M1, M2, M3, M4, R2."""
    result = merged(batches, FIELDS)

    known = model(batches)
    assert rows_of(result) == [(*key, known[key]) for key in sorted(known)]
    assert result.schema == row_schema(FIELDS)
    result.validate(full=True)


@given(st.lists(row_batches(), max_size=4), st.permutations(range(4)))
def test_a_rank_changes_the_order_and_nothing_else(batches: list[pa.RecordBatch], rank: list[int]) -> None:
    """M1, M2, M3, M4."""
    result = merged(batches, FIELDS, pa.array(rank, pa.int32()))

    known = model(batches)
    assert rows_of(result) == [(*key, known[key]) for key in sorted(known, key=lambda key: (rank[key[0]], key[1]))]


@given(st.lists(row_batches(), max_size=4), st.integers(0, 4))
def test_merging_what_is_merged_already_changes_nothing(batches: list[pa.RecordBatch], cut: int) -> None:
    """M2: a row may be merged again with later ones, in memory, from a file, in compaction."""
    once = merged(batches, FIELDS)

    assert merged([once], FIELDS).equals(once)
    assert merged([merged(batches[:cut], FIELDS), *batches[cut:]], FIELDS).equals(once)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-9, 9)), unique=True), st.integers(1, 9))
def test_rows_that_lack_nothing_and_repeat_nothing_are_only_put_in_order(keys: list[tuple[int, int]], size: int) -> None:
    """M3, M4: numbers go to their places without being put together before."""
    series, times = [key[0] for key in keys], [key[1] for key in keys]
    numbers = [pa.array(range(len(keys)), kind) for kind in (pa.int64(), pa.float64(), pa.uint64())]
    fields = pa.schema([(name, values.type) for name, values in zip("iuf", numbers, strict=True)])
    columns = [pa.array(series, pa.int32()), pa.array(times, pa.timestamp("ns")), *numbers]
    batch = pa.RecordBatch.from_arrays(columns, schema=row_schema(fields))

    result = merged([batch.slice(begin, size) for begin in range(0, len(keys), size)], fields)

    in_order = sorted(range(len(keys)), key=keys.__getitem__)
    assert rows_of(result) == [(*keys[row], dict.fromkeys("iuf", row)) for row in in_order]
