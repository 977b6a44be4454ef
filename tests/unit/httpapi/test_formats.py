"""Results in every format (F1-F3)."""

import csv
import datetime
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpapi import formats
from httpapi.formats import FORMAT_NAMES, named_format

NS = pa.timestamp("ns")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def encoded(name: str, *batches: pa.RecordBatch, schema: pa.Schema | None = None) -> bytes:
    return b"".join(named_format(name).encode(schema or batches[0].schema, iter(batches)))


def one(values: Any, kind: pa.DataType | None = None) -> pa.RecordBatch:
    return pa.record_batch({"v": pa.array(values, kind)})


def json_values(values: Any, kind: pa.DataType | None = None) -> str:
    """What stands after the key of each row."""
    rows = encoded("jsonl", one(values, kind)).decode().splitlines()
    return " ".join(row.removeprefix('{"v":').removesuffix("}") for row in rows)


def plain_values(values: Any, kind: pa.DataType | None = None) -> list[str]:
    text = encoded("csv", pa.record_batch({"v": pa.array(values, kind), "w": pa.array(range(len(values)))})).decode()
    return [row[0] for row in csv.reader(io.StringIO(text, newline=""))][1:]


def test_json_is_an_array_of_objects_and_jsonl_an_object_per_line() -> None:
    batch = pa.record_batch({"host": ["a", "b"], "n": [1, 2]})

    assert encoded("json", batch, batch.slice(1)) == b'[{"host":"a","n":1},{"host":"b","n":2},{"host":"b","n":2}]'
    assert encoded("jsonl", batch, batch.slice(1)) == b'{"host":"a","n":1}\n{"host":"b","n":2}\n{"host":"b","n":2}\n'
    assert encoded("json_lines", batch) == encoded("jsonl", batch)


def test_csv_has_a_header_and_quotes_only_what_needs_it() -> None:
    batch = pa.record_batch({"a,b": ["x", 'say "hi"', "1,2", "two\nlines", None, ""], "n": [1, None, 3, 4, 5, 6]})

    assert encoded("csv", batch) == b'"a,b",n\nx,1\n"say ""hi""",\n"1,2",3\n"two\nlines",4\n,5\n,6\n'


def test_an_empty_cell_that_is_a_whole_line_of_csv_is_quoted() -> None:
    assert encoded("csv", one([1, None])) == b'v\n1\n""\n'


def test_pretty_is_a_table_with_borders() -> None:
    batch = pa.record_batch({"host": ["s1", None], "time": pa.array([0, 1], NS), "漢字": ["é", "two\nlines"]})

    assert encoded("pretty", batch).decode() == (
        "+------+-------------------------------+-------+\n"
        "| host | time                          | 漢字  |\n"
        "+------+-------------------------------+-------+\n"
        "| s1   | 1970-01-01T00:00:00           | é     |\n"
        "|      | 1970-01-01T00:00:00.000000001 | two   |\n"
        "|      |                               | lines |\n"
        "+------+-------------------------------+-------+"
    )


def test_a_long_table_is_kept_in_a_file_until_its_widths_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1."""
    batch = pa.record_batch({"n": list(range(3_000)), "s": ["x" * (n % 50) for n in range(3_000)]})
    at_once = encoded("pretty", batch, batch)

    monkeypatch.setattr(formats, "_KEPT_BYTES", 1_000)
    parts = list(named_format("pretty").encode(batch.schema, iter([batch, batch])))

    assert b"".join(parts) == at_once
    assert at_once.count(b"\n") == 6_003
    assert len(parts) > 6


def test_parquet_is_one_file_whatever_the_batches() -> None:
    batch = pa.record_batch({"host": ["a", None], "time": pa.array([0, 1], NS)})

    found = pq.read_table(io.BytesIO(encoded("parquet", batch, batch.slice(1))))

    assert found.to_pylist() == batch.to_pylist() + batch.slice(1).to_pylist()


def test_parquet_is_handed_on_group_by_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1."""
    monkeypatch.setattr(formats, "_PARQUET_GROUP_ROWS", 100)
    batch = pa.record_batch({"n": list(range(100))})

    parts = list(named_format("parquet").encode(batch.schema, iter([batch] * 5)))

    assert len(parts) == 6
    assert pq.ParquetFile(io.BytesIO(b"".join(parts))).num_row_groups == 5


@pytest.mark.parametrize(
    ("name", "nothing", "no_rows"),
    [
        ("json", b"[]", b"[]"),
        ("jsonl", b"", b""),
        ("csv", b"", b"v\n"),
        ("pretty", b"++\n++", b"+---+\n| v |\n+---+"),
    ],
)
def test_no_rows_are_told_from_no_answer_where_the_format_can(name: str, nothing: bytes, no_rows: bytes) -> None:
    batch = one([], pa.int64())

    assert encoded(name, schema=batch.schema) == nothing
    assert encoded(name, batch) == no_rows


def test_parquet_without_a_batch_is_empty_and_without_rows_a_file() -> None:
    batch = one([], pa.int64())

    assert encoded("parquet", schema=batch.schema) == b""
    assert pq.read_table(io.BytesIO(encoded("parquet", batch))).schema == batch.schema


@pytest.mark.parametrize("name", ["json", "jsonl", "csv"])
def test_rows_leave_batch_by_batch(name: str) -> None:
    """F1."""
    taken = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal taken
        for taken in range(1, 4):
            yield one([taken])

    parts = named_format(name).encode(one([1]).schema, batches())
    next(parts)

    assert taken == 1


@pytest.mark.parametrize("name", ["json", "jsonl", "csv"])
def test_a_large_batch_leaves_in_steps(name: str) -> None:
    """F1."""
    parts = list(named_format(name).encode(one([1]).schema, iter([one(list(range(200_000)))])))

    assert len(parts) >= 4
    assert max(map(len, parts)) < 300_000


def test_floats_keep_a_point_or_an_exponent() -> None:
    """F2."""
    values = [1.0, -0.0, 0.1, 1e21, 1e-7, 123456789.123, 5e-324, 1.7976931348623157e308, 100.0]

    assert json_values(values) == "1.0 -0.0 0.1 1.0e21 1.0e-7 123456789.123 5.0e-324 1.7976931348623157e308 100.0"
    assert json_values([1.1, 16777216.0], pa.float32()) == "1.1 16777216.0"
    assert json_values([9999999999.5, 1e9, 1e10, 12345678901.5, 1e-5, 1.5e-6]) == (
        "9999999999.5 1000000000.0 1.0e10 1.23456789015e10 0.00001 1.5e-6"
    )


def test_floats_that_people_read_have_their_exponents_elsewhere() -> None:
    """F2."""
    values = [1e15, 1.5e16, 1e21, 1e-5, 1.5e-6, 1e-7, 123456789.123, -0.0, 5e-324]

    assert plain_values(values) == [
        "1000000000000000.0",
        "1.5e16",
        "1e21",
        "0.00001",
        "1.5e-6",
        "1e-7",
        "123456789.123",
        "-0.0",
        "5e-324",
    ]
    assert plain_values([1e12, 1e13, 1e-6, 1e-7], pa.float32()) == ["1000000000000.0", "1e13", "0.000001", "1e-7"]


def test_floats_that_are_no_numbers_are_null_in_json_and_words_elsewhere() -> None:
    """F2."""
    values = [float("nan"), float("inf"), float("-inf"), None, 1.0]

    assert encoded("json", one(values)) == b'[{"v":null},{"v":null},{"v":null},{},{"v":1.0}]'
    assert plain_values(values) == ["NaN", "inf", "-inf", "", "1.0"]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_every_float_comes_back_as_it_was_and_as_a_float(values: list[float]) -> None:
    """F2."""
    found = [row["v"] for row in json.loads(encoded("json", one(values, pa.float64())))]

    assert found == values
    assert all(isinstance(value, float) for value in found)


def test_times_have_as_many_digits_as_they_need_in_threes() -> None:
    """F2."""
    values = [0, 1, 1_000, 1_000_000, 120_000_000, 10**9, -1, 1_700_000_000_123_456_000]

    assert plain_values(values, NS) == [
        "1970-01-01T00:00:00",
        "1970-01-01T00:00:00.000000001",
        "1970-01-01T00:00:00.000001",
        "1970-01-01T00:00:00.001",
        "1970-01-01T00:00:00.120",
        "1970-01-01T00:00:01",
        "1969-12-31T23:59:59.999999999",
        "2023-11-14T22:13:20.123456",
    ]
    assert json_values([0], NS) == '"1970-01-01T00:00:00"'


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_time_is_the_same_in_every_unit(unit: str) -> None:
    values = pa.array([datetime.datetime(2000, 1, 1, 10, 0, 0)], pa.timestamp(unit))

    assert plain_values(values, pa.timestamp(unit)) == ["2000-01-01T10:00:00"]


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("UTC", "2023-11-14T22:13:20.123Z"),
        ("+00:00", "2023-11-14T22:13:20.123Z"),
        ("+02:00", "2023-11-15T00:13:20.123+02:00"),
        ("America/New_York", "2023-11-14T17:13:20.123-05:00"),
    ],
)
def test_a_time_with_a_zone_says_it(zone: str, text: str) -> None:
    """F2."""
    assert plain_values([1_700_000_000_123_000_000], pa.timestamp("ns", zone)) == [text]


@pytest.mark.parametrize(
    ("values", "kind", "in_json", "plain"),
    [
        ([2**63 - 1, -(2**63)], pa.int64(), "9223372036854775807 -9223372036854775808", None),
        ([2**64 - 1], pa.uint64(), "18446744073709551615", None),
        ([True, False], pa.bool_(), "true false", None),
        ([Decimal("1.50")], pa.decimal128(5, 2), "1.50", None),
        ([0, 32_689_000, -(10**9)], pa.duration("ns"), '"P0D" "PT0.032689S" "-PT1S"', ["P0D", "PT0.032689S", "-PT1S"]),
        ([1500], pa.duration("ms"), '"PT1.5S"', ["PT1.5S"]),
        ([0], pa.date32(), '"1970-01-01"', ["1970-01-01"]),
        ([0], pa.date64(), '"1970-01-01T00:00:00"', ["1970-01-01T00:00:00"]),
        ([1_500_000_000], pa.time64("ns"), '"00:00:01.500"', ["00:00:01.500"]),
        ([b"\x00ab"], pa.binary(), '"006162"', ["006162"]),
        ([(14, 3, 3_600_000_000_000)], pa.month_day_nano_interval(), '"14 mons 3 days 1 hours"', ["14 mons 3 days 1 hours"]),
        ([(0, 0, -1_500_000_000)], pa.month_day_nano_interval(), '"-1.500000000 secs"', ["-1.500000000 secs"]),
        ([[1, None], []], pa.list_(pa.int64()), "[1,null] []", ["[1, ]", "[]"]),
        ([["a", 'b"']], pa.list_(pa.string()), '["a","b\\""]', ['[a, b"]']),
        ([{"a": 1, "b": None}], pa.struct({"a": pa.int64(), "b": pa.string()}), '{"a":1}', ["{a: 1, b: }"]),
        ([[{"a": [1.0]}]], pa.list_(pa.struct({"a": pa.list_(pa.float64())})), '[{"a":[1.0]}]', ["[{a: [1.0]}]"]),
        (["a", "b", "a"], pa.dictionary(pa.int32(), pa.string()), '"a" "b" "a"', ["a", "b", "a"]),
        (["a"], pa.string_view(), '"a"', ["a"]),
        (["a"], pa.large_string(), '"a"', ["a"]),
    ],
)
def test_values_are_spelled_by_type(values: list[Any], kind: pa.DataType, in_json: str, plain: list[str] | None) -> None:
    """F2. Where nothing is said about plain text, it is that of JSON."""
    assert json_values(values, kind) == in_json
    assert plain_values(values, kind) == (in_json.split() if plain is None else plain)


def test_a_row_of_nulls_is_an_empty_object() -> None:
    """F2."""
    batch = pa.record_batch({"a": pa.array([None, None], pa.string()), "n": pa.nulls(2)})

    assert encoded("json", batch) == b"[{},{}]"
    assert encoded("json", pa.record_batch({"n": pa.nulls(2)})) == b"[{},{}]"


@given(st.lists(st.one_of(st.none(), TEXT), min_size=1), TEXT.filter(lambda name: "\0" not in name))
def test_text_comes_back_through_json_as_it_was(values: list[str | None], name: str) -> None:
    """F3."""
    batch = pa.record_batch([pa.array(values, pa.string())], names=[name])

    expected = [{} if value is None else {name: value} for value in values]

    assert json.loads(encoded("json", batch)) == expected
    assert [json.loads(line) for line in encoded("jsonl", batch).split(b"\n")[:-1]] == expected


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1))
def test_text_comes_back_through_csv_as_it_was(rows: list[tuple[str, str]]) -> None:
    """F3."""
    batch = pa.record_batch({"a": [row[0] for row in rows], "b": [row[1] for row in rows]})

    text = encoded("csv", batch).decode()

    assert [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), strict=True)][1:] == rows


@given(st.lists(st.tuples(TEXT, st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=20), st.integers(0, 5))
def test_a_slice_of_a_batch_is_just_its_rows(rows: list[tuple[str, int]], start: int) -> None:
    batch = pa.record_batch({"s": [row[0] for row in rows], "n": [row[1] for row in rows]}).slice(start)

    assert json.loads(encoded("json", batch)) == batch.to_pylist()


def test_every_name_has_a_format_with_a_type_of_its_own() -> None:
    assert {name: named_format(name).content_type for name in FORMAT_NAMES} == {
        "parquet": "application/vnd.apache.parquet",
        "csv": "text/csv",
        "pretty": "text/plain; charset=utf-8",
        "json": "application/json",
        "json_lines": "application/jsonl",
        "jsonl": "application/jsonl",
    }
