"""Parquet files: what comes back, from ourselves and from others, and what damage looks like."""

import base64
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datafusion
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.errors import Damaged
from engine.files import parquet
from engine.files.parquet import ColumnFacts, FileDescription, encode, open_rows, verify

CPU = FileDescription("cpu", ("host",), {"table_id": "7"})
UNTAGGED = FileDescription("cpu", ())


def tag(values: Sequence[str | None]) -> pa.DictionaryArray:
    return pa.array(values, pa.string()).dictionary_encode()


def times(values: Sequence[int]) -> pa.Array:
    return pa.array(values, pa.int64()).view(pa.timestamp("ns"))


def table(**columns: pa.Array) -> pa.Table:
    return pa.table({name: columns[name] for name in sorted(columns)})


def plain(rows: pa.Table) -> dict[str, list[Any]]:
    """Values by column, times as integers."""
    return {
        name: (column.cast(pa.int64()) if name == "time" else column).to_pylist()
        for name, column in zip(rows.column_names, rows.columns, strict=True)
    }


EVERY_TYPE = table(
    b=pa.array([True, None, False, None]),
    f=pa.array([1.5, None, float("inf"), -0.0]),
    host=tag([None, "a", "größe/日本 🌞", "…"]),
    i=pa.array([-(2**63), 2**63 - 1, None, 0]),
    nothing=pa.array([None] * 4, pa.float64()),
    s=pa.array(["", "multi\nline", None, "日本\0"]),
    time=times([-(2**63), -1, 0, 2**63 - 1]),
    u=pa.array([0, 2**64 - 1, None, 2**63], pa.uint64()),
)


def test_every_type_is_read_back_as_it_was_written() -> None:
    """P1."""
    rows = open_rows(encode(EVERY_TYPE, CPU))

    assert plain(rows) == plain(EVERY_TYPE)
    assert rows.schema.types == EVERY_TYPE.schema.types
    assert [column.name for column in rows.schema if not column.nullable] == ["time"]


def test_only_the_columns_asked_for_are_read_and_those_the_file_lacks_are_left_out() -> None:
    assert open_rows(encode(EVERY_TYPE, CPU), ["time", "host", "not there"]).column_names == ["host", "time"]


def test_column_names_may_hold_anything() -> None:
    """P1: dots, which mean nesting to Parquet, and whatever else line protocol lets through."""
    tags, fields = ["a", "a.b", "größe", "x\0y"], [".", "a.b.c", "a\nb", "a`b\"c'", "series", "日本", "\x7f"]
    rows = table(
        **{name: tag([name, None]) for name in tags}, **{name: pa.array([1, 2]) for name in fields}, time=times([1, 2])
    )

    data = encode(rows, FileDescription("m", tuple(tags)))

    assert plain(open_rows(data)) == plain(rows)
    assert [column.name for column in verify(data).columns] == rows.column_names
    for name in rows.column_names:
        assert plain(open_rows(data, [name])) == {name: plain(rows)[name]}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(lambda at: at, id="rising"),
        pytest.param(lambda at: at * 6364136223846793005 % 2**63, id="scattered"),
        pytest.param(lambda at: [200, 404, None, 500][at % 4], id="few values, nulls"),
        pytest.param(lambda at: 2**63 - 1 if at % 2 else 0, id="largest deltas"),
        pytest.param(lambda at: None, id="only nulls"),
    ],
)
@pytest.mark.parametrize("of_type", [pa.int64(), pa.uint64(), pa.float64(), pa.string()])
def test_every_encoding_reads_back_the_same_here_and_in_duckdb(
    tmp_path: Path, values: Callable[[int], int | None], of_type: pa.DataType
) -> None:
    """P1, P4: several pages, whichever encoding the values lead to."""
    count = 45_000
    made = [values(at) for at in range(count)]
    converted = pa.array(
        [
            None
            if value is None
            else str(value)
            if of_type == pa.string()
            else float(value)
            if of_type == pa.float64()
            else value
            for value in made
        ],
        of_type,
    )
    rows = table(time=times(range(count)), x=converted)
    path = tmp_path / "file.parquet"
    path.write_bytes(encode(rows, UNTAGGED))

    assert open_rows(path).column("x").equals(pa.chunked_array([converted]))
    assert (
        duckdb.read_parquet(str(path))
        .order("time")
        .select("x")
        .to_arrow_table()
        .column("x")
        .cast(of_type)
        .equals(pa.chunked_array([converted]))
    )


def encodings(rows: pa.Table, column: str, description: FileDescription) -> set[str]:
    group = pq.ParquetFile(encode(rows, description)).metadata.row_group(0)
    return set(group.column(rows.column_names.index(column)).encodings) - {"RLE", "PLAIN"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([at % 7 for at in range(20_000)], {"DELTA_BINARY_PACKED"}, id="integers"),
        pytest.param([[200, 404][at % 2] for at in range(20_000)], {"RLE_DICTIONARY"}, id="integers far apart"),
        pytest.param([at % 1000 / 10 for at in range(20_000)], {"RLE_DICTIONARY"}, id="decimals"),
        pytest.param([random.Random(at).random() for at in range(20_000)], set(), id="floats of full precision"),
        pytest.param([["ok", "warning", None][at % 3] for at in range(20_000)], {"RLE_DICTIONARY"}, id="states"),
        pytest.param([f"request {at}" for at in range(20_000)], set(), id="messages"),
    ],
)
def test_the_encoding_follows_the_values(values: list[object], expected: set[str]) -> None:
    assert encodings(table(time=times(range(20_000)), x=pa.array(values)), "x", UNTAGGED) == expected


def test_times_are_deltas_and_tags_dictionaries() -> None:
    rows = table(host=tag(["a", "b"]), time=times([1, 2]))

    assert encodings(rows, "time", CPU) == {"DELTA_BINARY_PACKED"}
    assert encodings(rows, "host", CPU) == {"RLE_DICTIONARY"}


def test_a_file_says_what_it_is_in_the_words_of_influxdb() -> None:
    rows = table(a=tag(["x"]), b=tag(["y"]), f=pa.array([1.0]), i=pa.array([1]), time=times([5]), u=pa.array([1], pa.uint64()))

    schema = open_rows(encode(rows, FileDescription("m", ("b", "a"), {"table_id": "7"}))).schema

    assert schema.metadata == {
        b"iox::measurement::name": b"m",
        b"iox::series::key::v2": base64.b64encode(struct.pack("<I1sI1s", 1, b"b", 1, b"a")),
        b"flightline::table_id": b"7",
    }
    assert [column.metadata[b"iox::column::type"].decode().removeprefix("iox::column_type::") for column in schema] == [
        "tag",
        "tag",
        "field::float",
        "field::integer",
        "timestamp",
        "field::uinteger",
    ]


def test_row_groups_say_their_order_and_hold_what_readers_prune_by() -> None:
    """P2."""
    rows = table(a=tag(["x"] * 99), b=tag(["y"] * 99), f=pa.array([1.0] * 99), time=times(range(99)))

    group = pq.ParquetFile(encode(rows, FileDescription("m", ("b", "a")))).metadata.row_group(0)

    assert group.sorting_columns == tuple(pq.SortingColumn(at, nulls_first=True) for at in (1, 0, 3))
    assert [group.column(at).bloom_filter_length is not None for at in range(4)] == [True, True, False, False]
    assert all(group.column(at).has_column_index and group.column(at).has_offset_index for at in range(4))
    assert all(group.column(at).is_stats_set for at in range(4))


def test_bloom_filters_exclude_absent_values_and_no_present_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P4: with a dictionary of which each row group uses a part."""
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 100_000)
    hosts = [f"host_{at:03}" for at in range(300)]
    codes = [at // 1000 for at in range(200_000)]
    column = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(hosts))
    path = tmp_path / "file.parquet"
    path.write_bytes(encode(table(host=column, time=times(range(200_000))), CPU))

    def excluded(host: str) -> list[bool]:
        probe = f"SELECT bloom_filter_excludes FROM parquet_bloom_probe('{path}', 'host', '{host}') ORDER BY row_group_id"
        return [row[0] for row in duckdb.sql(probe).fetchall()]

    assert [excluded(hosts[at])[at // 100] for at in (0, 50, 99, 100, 199)] == [False] * 5
    assert excluded(hosts[250]) == [True, True]
    assert excluded("absent") == [True, True]
    assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE host = 'host_150'").fetchall() == [(1000,)]


def test_dictionary_values_that_no_row_has_are_not_written() -> None:
    unused = pa.array([f"host_{at:06}" for at in range(50_000)])
    rows = table(host=pa.DictionaryArray.from_arrays(pa.array([40_000] * 1000, pa.int32()), unused), time=times(range(1000)))

    data = encode(rows, CPU)

    assert open_rows(data).column("host").chunk(0).dictionary.to_pylist() == ["host_040000"]
    assert len(data) < 5000


def test_a_tag_with_a_value_of_its_own_in_each_row_is_read_back(tmp_path: Path) -> None:
    """P1: a dictionary page has room for fewer values than that."""
    hosts = [f"host_{at:012}" for at in range(100_000)]
    path = tmp_path / "file.parquet"
    path.write_bytes(encode(table(host=tag(hosts), time=times(range(100_000))), CPU))

    assert open_rows(path).column("host").to_pylist() == hosts
    assert duckdb.sql(f"SELECT count(DISTINCT host) FROM '{path}'").fetchall() == [(100_000,)]


def test_batches_whose_dictionaries_differ_are_one_column() -> None:
    """P1."""
    batches = [table(host=tag([host, None]), time=times([0, 1])).to_batches()[0] for host in ("a", "b", "a", "c")]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)

    assert open_rows(encode(reader, CPU)).column("host").to_pylist() == ["a", None, "b", None, "a", None, "c", None]


def test_datafusion_reads_and_prunes_a_file(tmp_path: Path) -> None:
    """P4."""
    path = tmp_path / "file.parquet"
    path.write_bytes(encode(EVERY_TYPE, CPU))
    context = datafusion.SessionContext()
    context.register_parquet("cpu", str(path))

    found = context.sql("SELECT host, u, s FROM cpu WHERE host = 'a' AND time < '1970-01-01'").to_pydict()

    assert found == {"host": ["a"], "u": [2**64 - 1], "s": ["multi\nline"]}
    assert context.table("cpu").schema().field("host").type == pa.dictionary(pa.int32(), pa.string())


def test_elsewhere_a_file_is_a_plain_table(tmp_path: Path) -> None:
    """P4."""
    path = tmp_path / "file.parquet"
    path.write_bytes(encode(EVERY_TYPE, CPU))

    columns = duckdb.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()

    assert [(name, kind) for name, kind, *_ in columns] == [
        ("b", "BOOLEAN"),
        ("f", "DOUBLE"),
        ("host", "VARCHAR"),
        ("i", "BIGINT"),
        ("nothing", "DOUBLE"),
        ("s", "VARCHAR"),
        ("time", "TIMESTAMP_NS"),
        ("u", "UBIGINT"),
    ]
    assert duckdb.sql(f"SELECT host, u, i FROM '{path}' ORDER BY host").fetchall() == [
        ("a", 2**64 - 1, 2**63 - 1),
        ("größe/日本 🌞", None, None),
        ("…", 2**63, 0),
        (None, 0, -(2**63)),
    ]
    assert str(pq.ParquetFile(path).schema).count("isAdjustedToUTC=false, timeUnit=nanoseconds") == 1


# ---- facts


def test_facts_tell_rows_times_bounds_and_size() -> None:
    data = encode(EVERY_TYPE, CPU)

    facts = verify(data)

    assert (facts.rows, facts.size_bytes) == (4, len(data))
    assert (facts.time_min_ns, facts.time_max_ns) == (-(2**63), 2**63 - 1)
    assert {column.name: column for column in facts.columns} == {
        "b": ColumnFacts("b", 2, False, True),
        "f": ColumnFacts("f", 1, -0.0, float("inf")),
        "host": ColumnFacts("host", 1, "a", "…"),
        "i": ColumnFacts("i", 1, -(2**63), 2**63 - 1),
        "nothing": ColumnFacts("nothing", 4, None, None),
        "s": ColumnFacts("s", 1, "", "日本\0"),
        "time": ColumnFacts("time", 0, -(2**63), 2**63 - 1),
        "u": ColumnFacts("u", 1, 0, 2**64 - 1),
    }


def test_bounds_span_all_row_groups_and_a_group_of_nulls_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 2)
    rows = table(
        host=tag([None, None, "a", "b", "c", "c"]), time=times([5, 6, 1, 2, 8, 9]), x=pa.array([None, None, 3, 1, None, 2])
    )

    facts = verify(encode(rows, CPU))

    assert facts.columns == (ColumnFacts("host", 2, "a", "c"), ColumnFacts("time", 0, 1, 9), ColumnFacts("x", 3, 1, 3))
    assert (facts.rows, facts.time_min_ns, facts.time_max_ns) == (6, 1, 9)


def test_bounds_of_text_too_long_to_be_kept_are_unknown() -> None:
    facts = verify(encode(table(host=tag(["x" * 5000, "y"]), time=times([1, 2])), CPU))

    assert facts.columns[0] == ColumnFacts("host", 0, None, None)


# ---- damage


def test_any_changed_byte_is_damage() -> None:
    """P3: footer, pages, seal, the lot."""
    intact = bytes(encode(EVERY_TYPE, CPU))
    for at in range(len(intact)):
        damaged = bytearray(intact)
        damaged[at] ^= 1 << at % 8

        with pytest.raises(Damaged, match=r"file cpu/7\.parquet is damaged"):
            open_rows(bytes(damaged), name="cpu/7.parquet")


def test_a_file_cut_off_anywhere_is_damaged(tmp_path: Path) -> None:
    """P3."""
    intact = bytes(encode(EVERY_TYPE, CPU))
    path = tmp_path / "cut.parquet"
    for size in [*range(0, len(intact), 97), *range(len(intact) - 40, len(intact))]:
        path.write_bytes(intact[:size])

        with pytest.raises(Damaged, match=r"cut\.parquet is damaged"):
            verify(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\xff" * 64, b"\0" * 64])
def test_what_is_no_file_of_ours_is_damaged(content: bytes) -> None:
    """P3."""
    with pytest.raises(Damaged, match="in memory"):
        verify(content)


def test_a_parquet_file_without_a_seal_is_not_taken_for_ours(tmp_path: Path) -> None:
    """P3."""
    path = tmp_path / "foreign.parquet"
    pq.write_table(EVERY_TYPE, path)

    with pytest.raises(Damaged, match="foreign"):
        open_rows(path)


def test_damage_between_pages_and_checksums_is_seen_by_others_too() -> None:
    """P3: page checksums are for readers that know nothing of the seal."""
    rows = table(time=times(range(1000)), x=pa.array([random.Random(at).random() for at in range(1000)]))
    data = bytearray(encode(rows, UNTAGGED))
    chunk = pq.ParquetFile(pa.py_buffer(bytes(data))).metadata.row_group(0).column(1)
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1

    with pytest.raises(OSError, match="CRC"):
        pq.read_table(pa.BufferReader(bytes(data)), page_checksum_verification=True)


def test_a_missing_file_is_missing_and_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_rows(tmp_path / "none.parquet")


# ---- memory, and what is refused


def group_rows(data: pa.Buffer) -> list[int]:
    metadata = pq.ParquetFile(data).metadata
    return [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]


def test_row_groups_are_even_and_batches_of_any_size_fill_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """P5."""
    rows = table(time=times(range(2500)))
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 1000)
    reader = pa.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=300))

    assert group_rows(encode(rows, UNTAGGED)) == [834, 834, 832]
    assert group_rows(encode(reader, UNTAGGED)) == [1000, 1000, 500]


def test_long_text_makes_shorter_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: a value may be a mebibyte long."""
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 10_000)
    rows = table(time=times(range(60)), x=pa.array(["t" * 1000] * 50 + ["u" * 20_000] * 10))

    data = encode(pa.concat_tables([rows.slice(0, 50), rows.slice(50)]), UNTAGGED)

    assert group_rows(data) == [9, 9, 9, 9, 9, 5, *[1] * 10]
    assert open_rows(data).column("x").to_pylist() == rows.column("x").to_pylist()


def test_a_long_stream_is_written_in_the_memory_of_a_row_group() -> None:
    """P5."""
    made = table(time=times(range(25_000)), x=pa.array([float(at * at) for at in range(25_000)])).to_batches()[0]
    before, seen = pa.total_allocated_bytes(), []

    def batches() -> Iterator[pa.RecordBatch]:
        for _ in range(80):
            seen.append(pa.total_allocated_bytes() - before)
            yield pa.RecordBatch.from_arrays(
                [pa.concat_arrays([column.slice(0, 1), column.slice(1)]) for column in made.columns], schema=made.schema
            )

    data = encode(pa.RecordBatchReader.from_batches(made.schema, batches()), UNTAGGED)

    assert sum(group_rows(data)) == 2_000_000  # 32 MB of rows
    assert max(seen) < 12_000_000 + len(data)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pa.table({"time": times([1]), "host": tag(["a"])}), "alphabetical"),
        (table(time=times([1])), "tags of table cpu"),
        (table(host=pa.array(["a"]), time=times([1])), "tags of table cpu"),
        (table(host=tag(["a"]), time=times([1]), x=pa.array([1], pa.int32())), "column x has type int32"),
        (table(host=tag(["a"]), time=pa.array([1])), "column time has type int64"),
        (table(host=tag(["a"]), time=times([1]), x=times([1])), "column x has type timestamp"),
        (table(host=tag([]), time=times([])), "no rows"),
    ],
)
def test_rows_that_are_not_a_table_of_ours_are_refused(rows: pa.Table, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(rows, CPU)
