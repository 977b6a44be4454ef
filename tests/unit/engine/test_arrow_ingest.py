"""Arrow columns into table columns: what becomes a tag, what is converted, and how a refusal reads."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest
from catalog.schema import FieldType, Table
from engine.ingest.arrow import ArrowPlan, ArrowRows, UnsuitableColumn, UnsuitableRow, normalise, plan_columns

CPU = Table.create(0, "cpu", ("host", "region"), (("usage", FieldType.FLOAT), ("count", FieldType.INTEGER)))
TAG = {"iox::column::type": "iox::column_type::tag"}
HOSTS = pa.array(["a", "b"]).dictionary_encode()


def plan(
    batch: pa.RecordBatch, table: Table | None = None, tags: tuple[str, ...] | None = None, *, extend: bool = False
) -> ArrowPlan:
    return plan_columns(batch.schema, "cpu", table, tags, extend_tags=extend)


def rows(batch: pa.RecordBatch, table: Table | None = None, tags: tuple[str, ...] | None = None) -> ArrowRows:
    return normalise(batch, plan(batch, table, tags), now_ns=77)


def batch(**columns: Any) -> pa.RecordBatch:
    return pa.record_batch(
        {name: column if isinstance(column, pa.Array) else pa.array(column) for name, column in columns.items()}
    )


def test_dictionary_encoded_strings_are_the_tags_of_a_new_table() -> None:
    found = plan(batch(host=HOSTS, note=["x", "y"], usage=[1.0, 2.0]))

    assert found.new_tags == ("host",)
    assert found.new_fields == (("note", FieldType.STRING), ("usage", FieldType.FLOAT))


def test_the_option_decides_over_the_type_and_sets_the_order() -> None:
    found = plan(batch(host=HOSTS, rack=["1", "2"], region=["e", "w"], usage=[1.0, 2.0]), tags=("region", "rack"))

    assert found.new_tags == ("region", "rack")
    assert found.tags == (2, 1)
    assert [name for name, _ in found.new_fields] == ["host", "usage"]


def test_metadata_decides_over_the_option() -> None:
    schema = pa.schema([pa.field("rack", pa.utf8(), metadata=TAG), pa.field("host", pa.utf8()), pa.field("v", pa.int64())])

    found = plan_columns(schema, "cpu", None, ("host",))

    assert set(found.new_tags) == {"host", "rack"}


def test_metadata_can_make_dictionary_encoded_strings_a_field() -> None:
    mark = {"iox::column::type": "iox::column_type::field::string"}
    schema = pa.schema([pa.field("note", HOSTS.type, metadata=mark)])

    found = plan_columns(schema, "cpu", None, None)

    assert found.new_fields == (("note", FieldType.STRING),)


def test_the_catalog_decides_over_everything_else() -> None:
    found = plan(batch(host=["a", "b"], usage=[1.0, 2.0]), CPU)

    assert (found.new_tags, found.new_fields) == ((), ())
    assert found.tags == (0, None)
    assert found.fields == (("usage", FieldType.FLOAT, 1),)


def test_a_new_tag_of_a_known_table_is_refused_unless_tags_may_be_added() -> None:
    given = batch(rack=HOSTS, usage=[1.0, 2.0])

    with pytest.raises(UnsuitableColumn, match="unknown tag 'rack' for table 'cpu': the tag set") as caught:
        plan(given, CPU)
    assert caught.value.hint == "to store 'rack' as a field, send it as plain strings"
    assert plan(given, CPU, extend=True).tags == (None, None, 0)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, 2], pa.int8()), pa.int64()),
        (pa.array([1, 2], pa.uint16()), pa.uint64()),
        (pa.array([1, 2], pa.float32()), pa.float64()),
        (pa.array([1, 2], pa.float16()), pa.float64()),
        (pa.array(["a", None], pa.large_utf8()), pa.utf8()),
        (pa.array(["a", None], pa.string_view()), pa.utf8()),
        (pa.array([True, None]), pa.bool_()),
        (pa.array([1.5, 2.5]).dictionary_encode(), pa.float64()),
        (pa.array([1, None], pa.int8()).dictionary_encode(), pa.int64()),
    ],
)
def test_fields_of_every_width_become_the_stored_type(column: pa.Array, expected: pa.DataType) -> None:
    """N3."""
    found = rows(batch(v=column))

    assert found.fields[0].type == expected
    assert found.fields[0].to_pylist() == column.to_pylist()


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", None]),
        pa.array(["a", "b", None], pa.large_utf8()),
        pa.array(["a", "b", None], pa.string_view()),
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array(["a", "b", None], pa.dictionary(pa.int8(), pa.utf8())),
        pa.array(["a", "b", None], pa.dictionary(pa.uint32(), pa.large_utf8())),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "b", None])),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "b", None], pa.string_view())),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", "b"], pa.string_view())),
        pa.array(["x", "a", "b", None]).dictionary_encode()[1:],
        pa.array(["x", "a", "b", None, "y"], pa.string_view())[1:4],
    ],
)
def test_tags_come_out_as_strings_or_as_one_kind_of_dictionary(column: pa.Array) -> None:
    """N3."""
    found = rows(batch(host=column, v=[1, 2, 3]), tags=("host",)).tags[0]

    assert found is not None
    assert found.type in (pa.utf8(), pa.dictionary(pa.int32(), pa.utf8()))
    assert found.to_pylist() == ["a", "b", None]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1_700_000_000] * 2, pa.timestamp("s")),
        pa.array([1_700_000_000_000] * 2, pa.timestamp("ms", "UTC")),
        pa.array([1_700_000_000_000_000] * 2, pa.timestamp("us", "America/New_York")),
        pa.array([1_700_000_000_000_000_000] * 2, pa.timestamp("ns")),
        pa.array([1_700_000_000_000_000_000] * 2, pa.int64()),
    ],
)
def test_times_of_every_unit_and_zone_are_the_same_instant(column: pa.Array) -> None:
    """N3."""
    found = rows(batch(time=column, v=[1, 2])).time

    assert found.type == pa.int64()
    assert found.to_pylist() == [1_700_000_000_000_000_000] * 2


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_a_date_is_its_first_instant(kind: pa.DataType) -> None:
    found = rows(batch(time=pa.array([dt.date(1970, 1, 2)], kind), v=[1])).time

    assert found.to_pylist() == [86_400 * 10**9]


def test_rows_without_a_time_column_share_one_clock_value() -> None:
    assert rows(batch(v=[1, 2, 3])).time.to_pylist() == [77, 77, 77]


def test_a_row_without_a_time_is_named() -> None:
    """N2."""
    given = batch(time=pa.array([1, 2, None, None], pa.timestamp("ns")), v=[1, 2, 3, 4])

    with pytest.raises(UnsuitableRow, match="row 3 of the batch has no time"):
        rows(given)


def test_a_time_beyond_nanoseconds_is_named() -> None:
    """N2."""
    given = batch(time=pa.array([1, 2, 10**12, 4], pa.timestamp("s")), v=[1, 2, 3, 4])

    with pytest.raises(UnsuitableRow, match="row 3 of the batch has a time outside"):
        rows(given)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([[1], [2]]), "list"),
        (pa.array([{"a": 1}, {"a": 2}]), "struct"),
        (pa.array([Decimal("1.5"), Decimal("2.5")]), "decimal128"),
        (pa.array([b"a", b"b"]), "binary"),
        (pa.array([1, 2], pa.timestamp("us")), "timestamp"),
        (pa.array([1, 2], pa.time64("us")), "time64"),
    ],
)
def test_a_type_that_can_not_be_stored_is_named_with_its_column(column: pa.Array, expected: str) -> None:
    """N1."""
    with pytest.raises(UnsuitableColumn, match=f"column 'odd' of table cpu has type {expected}"):
        plan(batch(odd=column, v=[1, 2]))


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ({"usage": [1, 2]}, r"column 'usage' of table cpu, expected iox::.*::float, got iox::.*::integer \(int64\)"),
        ({"count": [1.5, 2.5]}, r"column 'count' of table cpu, expected iox::.*::integer, got iox::.*::float \(double\)"),
        (
            {"host": [1, 2], "usage": [1.0, 2.0]},
            r"column 'host' of table cpu, expected iox::column_type::tag \(strings\), got int64",
        ),
        ({"time": ["a", "b"], "usage": [1.0, 2.0]}, "column 'time' of table cpu, expected a timestamp, .*, got string"),
    ],
)
def test_a_column_of_another_type_than_the_catalogs_is_named_with_both(column: dict[str, Any], expected: str) -> None:
    """N1."""
    with pytest.raises(UnsuitableColumn, match=expected):
        plan(batch(**column), CPU)


def test_a_column_of_nulls_only_adds_nothing() -> None:
    given = batch(host=pa.nulls(2), extra=pa.nulls(2), usage=[1.0, 2.0])

    found = plan(given, CPU)

    assert found.tags == (None, None)
    assert found.new_fields == ()


def test_two_columns_of_one_name_are_refused() -> None:
    given = pa.record_batch([pa.array([1]), pa.array([2])], names=["v", "v"])

    with pytest.raises(UnsuitableColumn, match="column 'v' occurs twice"):
        plan(given)


def test_an_option_that_names_no_column_is_refused() -> None:
    with pytest.raises(UnsuitableColumn, match="option tags names 'hots'"):
        plan(batch(host=["a"], v=[1]), tags=("hots",))


def test_rows_need_a_field() -> None:
    with pytest.raises(UnsuitableColumn, match="at least one field"):
        plan(batch(host=HOSTS, time=pa.array([1, 2], pa.timestamp("ns"))))


def test_what_a_null_hides_is_never_looked_at() -> None:
    """N4: a view under a null may point anywhere."""
    good = pa.array(["a" * 40, None, "b"], pa.string_view())
    validity, views, *data = good.buffers()
    wild = bytearray(views.to_pybytes())
    wild[16:32] = b"\x00\xff\xff\x7f" + b"\xff" * 12
    column = pa.Array.from_buffers(pa.string_view(), 3, [validity, pa.py_buffer(bytes(wild)), *data])

    found = rows(batch(host=column, note=column, v=[1, 2, 3]), tags=("host",))

    assert found.tags[0] is not None
    assert found.tags[0].to_pylist() == found.fields[0].to_pylist() == ["a" * 40, None, "b"]


def test_values_that_disobey_their_type_are_refused() -> None:
    """N4."""
    bad_text = pa.Array.from_buffers(pa.utf8(), 1, [None, pa.array([0, 2], pa.int32()).buffers()[1], pa.py_buffer(b"\xff\xfe")])
    bad_index = pa.DictionaryArray.from_arrays(pa.array([7], pa.int32()), pa.array(["a"]), safe=False)

    for column in (bad_text, bad_index):
        with pytest.raises(InvalidRequest, match="the batch is damaged"):
            rows(batch(host=column, v=[1]), tags=("host",))
