"""Batches as clients can read them."""

from typing import Any

import pyarrow as pa
import pytest

from flightserver.flightsql.results import BATCH_BYTES_MAX, cut, plain_batches, plain_column, plain_schema

MARK = {b"iox::column::type": b"iox::column_type::tag"}


def plain(batch: pa.RecordBatch) -> pa.Table:
    schema = plain_schema(batch.schema)
    return pa.Table.from_batches([found for found, _ in plain_batches([batch], schema)], schema)


@pytest.mark.parametrize("values", [["a", "", "ü", "bcd"], ["a", None, "ü", "bcd"], []])
@pytest.mark.parametrize("codes", [[0, 0, 1, 2, 2, 2], [1, None, 2, 2], []])
def test_a_slice_of_coded_text_is_the_same_text(values: list[str | None], codes: list[int | None]) -> None:
    """S1."""
    dictionary = pa.array(["before", *values], pa.utf8()).slice(1)
    indices = pa.array([0, *codes] if values else [], pa.int32()).slice(1 if values else 0)
    column = pa.DictionaryArray.from_arrays(indices, dictionary)

    found = plain_column(column, pa.utf8())

    found.validate(full=True)
    assert found.to_pylist() == column.to_pylist()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", None]).dictionary_encode(), pa.utf8()),
        (pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int8()), pa.array(["a"], pa.string_view())), pa.utf8()),
        (pa.array(["a", None], pa.string_view()), pa.utf8()),
        (pa.array(["a", None], pa.large_utf8()), pa.utf8()),
        (pa.array([b"a", None], pa.binary_view()), pa.binary()),
        (pa.array([b"a", None], pa.large_binary()), pa.binary()),
        (pa.array([1, None]).dictionary_encode(), pa.int64()),
        (pa.array([["a"], None], pa.list_(pa.string_view())), pa.list_(pa.utf8())),
        (pa.array([["a"], None], pa.large_list(pa.large_utf8())), pa.list_(pa.utf8())),
        (pa.array([{"x": "a"}, None], pa.struct([("x", pa.string_view())])), pa.struct([("x", pa.utf8())])),
        (pa.array([1.5, None]), pa.float64()),
    ],
)
def test_no_dictionary_view_or_large_type_leaves(column: pa.Array, expected: pa.DataType) -> None:
    """S1, S4."""
    found = plain(pa.record_batch({"c": column})).column("c")

    assert found.type == expected
    assert found.to_pylist() == column.to_pylist()


def test_only_our_own_field_metadata_leaves_and_nullability_stays() -> None:
    """S3, S4."""
    foreign = {b"PARQUET:field_id": b"1"}
    schema = pa.schema(
        [
            pa.field("host", pa.string_view(), metadata=MARK | foreign),
            pa.field("time", pa.timestamp("ns"), nullable=False, metadata=foreign),
        ],
        metadata={b"kept": b"yes"},
    )

    found = plain_schema(schema)

    assert found.field("host").metadata == MARK
    assert found.field("time").metadata is None
    assert not found.field("time").nullable
    assert found.metadata == {b"kept": b"yes"}


@pytest.mark.parametrize(("rows", "width"), [(100_000, 100), (3, 1_000_000), (7, 3_000_000), (0, 0), (1, 10)])
def test_batches_are_cut_until_they_fit(rows: int, width: int) -> None:
    """S2."""
    batch = pa.record_batch({"c": pa.array(["x" * width] * rows, pa.utf8()), "n": pa.array(range(rows), pa.int64())})

    pieces = list(cut(batch))

    assert all(piece.nbytes < BATCH_BYTES_MAX or piece.num_rows == 1 for piece in pieces)
    assert pa.Table.from_batches(pieces) == pa.Table.from_batches([batch])


def test_rows_without_columns_keep_their_number() -> None:
    """S4."""
    empty: Any = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))

    assert plain(empty).num_rows == 2


def test_a_long_batch_leaves_in_messages_of_a_good_size_whatever_its_types() -> None:
    """S2: as few as fit, though the size of a row is known only once it is plain."""
    values = pa.array([f"{number:030}" for number in range(50)])
    codes = pa.array([number % 50 for number in range(200_000)], pa.int32())
    batch = pa.record_batch({"tag": pa.DictionaryArray.from_arrays(codes, values), "n": pa.array(range(200_000))}).slice(7)
    schema = plain_schema(batch.schema)

    found = [one for one, _ in plain_batches([batch], schema)]

    sizes = [pa.ipc.get_record_batch_size(one) for one in found]
    assert max(sizes) < BATCH_BYTES_MAX
    assert min(sizes[1:-1]) > BATCH_BYTES_MAX // 2
    expected = [(number % 50, number) for number in range(7, 200_000)]
    rows = pa.Table.from_batches(found, schema)
    assert list(zip(map(int, rows.column("tag").to_pylist()), rows.column("n").to_pylist(), strict=True)) == expected
