"""Rows as people know them."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from catalog.schema import FieldType, Table
from engine._native import SeriesIndex
from engine.batch import series_buffer, tag_columns
from engine.hydrate import TAG_ARROW, hydrated, series_digest, series_rank, table_schema
from tests.helpers.rows import Point, batch

TABLE = Table.create(
    0,
    "t",
    ["host", "zone"],
    [
        ("f", FieldType.FLOAT),
        ("i", FieldType.INTEGER),
        ("u", FieldType.UINTEGER),
        ("s", FieldType.STRING),
        ("b", FieldType.BOOLEAN),
        ("series", FieldType.STRING),
    ],
)


def rows(*points: Point) -> tuple[pa.RecordBatch, SeriesIndex]:
    index = SeriesIndex(2)
    return batch(index, points), index


def test_a_hydrated_row_has_every_column_of_its_table_in_alphabetical_order() -> None:
    """H1: `time` among them; what was not written is null."""
    some, index = rows((("a", None), 5, {"f": 1.5, "series": "a field of that name"}), ((None, "z"), 6, {"i": 7, "b": True}))

    full = hydrated(some, TABLE, index)

    assert full.schema.names == ["b", "f", "host", "i", "s", "series", "time", "u", "zone"]
    assert full.schema == table_schema(TABLE)
    assert full.drop_columns(["time"]).to_pylist() == [
        {"b": None, "f": 1.5, "host": "a", "i": None, "s": None, "series": "a field of that name", "u": None, "zone": None},
        {"b": True, "f": None, "host": None, "i": 7, "s": None, "series": None, "u": None, "zone": "z"},
    ]
    assert full.column("time").cast(pa.int64()).to_pylist() == [5, 6]


@pytest.mark.parametrize("columns", [["i"], ["time", "host"], ["zone", "f", "zone"], []])
def test_the_columns_asked_for_come_in_the_order_asked_for(columns: list[str]) -> None:
    """H1: none at all still counts the rows."""
    some, index = rows((("a", "x"), 1, {"f": 1.0}), (("b", None), 2, {"i": 2}), (("a", "x"), 3, {"f": 3.0}))

    part = hydrated(some, TABLE, index, columns)

    assert part.schema.names == columns
    assert part.num_rows == 3


def test_the_schema_tells_tags_from_fields_and_knows_every_type() -> None:
    """H1."""
    schema = table_schema(TABLE)

    marks = {field.name: field.metadata[b"iox::column::type"].decode().removeprefix("iox::column_type::") for field in schema}
    assert marks == {
        "b": "field::boolean",
        "f": "field::float",
        "host": "tag",
        "i": "field::integer",
        "s": "field::string",
        "series": "field::string",
        "time": "timestamp",
        "u": "field::uinteger",
        "zone": "tag",
    }
    assert schema.field("host").type == TAG_ARROW
    assert table_schema(TABLE, pa.utf8()).field("host").type == pa.utf8()
    assert not schema.field("time").nullable


def test_series_are_ranked_by_their_tags_in_the_order_of_the_key_null_first() -> None:
    """H2: by the bytes of the values, whatever the order of arrival."""
    keys = [("b", "x"), ("a", None), (None, "z"), ("a", "B"), ("a", "b"), (None, None), ("ä", "a"), ("b", None)]
    some, index = rows(*(((host, zone), 1, {"f": 1.0}) for host, zone in keys))
    index.resolve([pa.array(["unused"]), pa.array(["unused"])], 1)

    rank = series_rank(index, [series_buffer(some)])

    ordered = sorted(range(len(keys)), key=lambda number: rank[number].as_py())
    assert [keys[number] for number in ordered] == sorted(
        keys, key=lambda key: tuple((value is not None, (value or "").encode()) for value in key)
    )


def test_many_series_of_which_few_have_a_tag_are_ranked_as_a_sort_of_their_keys_would() -> None:
    """H2: and numbers that belong to no series are refused."""
    keys = [(f"h{number * 7919 % 5003}", f"z{number % 3}" if number % 97 == 0 else None) for number in range(5000)]
    index = SeriesIndex(2)
    index.resolve([pa.array([host for host, _ in keys]), pa.array([zone for _, zone in keys])], len(keys))

    rank = series_rank(index, [pa.array(range(2500), pa.int32()).buffers()[1], pa.array(range(5000), pa.int32()).buffers()[1]])

    in_order = sorted(range(5000), key=lambda number: (keys[number][0], keys[number][1] is not None, keys[number][1] or ""))
    assert [rank[number].as_py() for number in in_order] == list(range(5000))
    for number in (-1, 5000):
        with pytest.raises(ValueError, match="out of range"):
            index.rank([pa.array([number], pa.int32()).buffers()[1]])


def test_series_without_tags_are_all_alike() -> None:
    """H2."""
    index = SeriesIndex(0)
    some = batch(index, [((), 1, {"v": 1.0}), ((), 2, {"v": 2.0})])

    assert series_rank(index, [series_buffer(some)]).to_pylist() == [0]


def test_a_tag_that_no_series_has_ranks_them_by_the_others() -> None:
    """H2."""
    some, index = rows((("b", None), 1, {"f": 1.0}), (("a", None), 1, {"f": 1.0}))

    assert series_rank(index, [series_buffer(some)]).to_pylist() == [1, 0]
    assert tag_columns(index, [1], some.column(0))[0].to_pylist() == [None, None]


def test_only_series_that_are_used_need_a_rank() -> None:
    """H2: a part of a table is ranked by what it has."""
    first, index = rows((("c", "x"), 1, {"f": 1.0}), (("a", "x"), 1, {"f": 1.0}))
    second = batch(index, [(("b", "x"), 1, {"f": 1.0})])

    rank = series_rank(index, [series_buffer(first), series_buffer(second)]).to_pylist()

    assert rank[1] < rank[2] < rank[0]


def digest(tags: Sequence[str], *series: Sequence[str | None]) -> str:
    """Of series that a process met after others."""
    index = SeriesIndex(len(tags))
    index.resolve([pa.array(["before", "all"]) for _ in tags], 2)
    numbers = index.resolve([pa.array(values, pa.utf8()) for values in zip(*series, strict=True)], len(series))
    return series_digest(index, tags, pa.py_buffer(numbers))


def test_digests_of_series_are_equal_where_their_tags_are() -> None:
    """H3."""
    made = digest(["host", "rack"], ["a", None], ["ab", "c"])

    assert made == digest(["host", "rack"], ["a", None], ["ab", "c"])
    assert made == digest(["host", "rack", "later"], ["a", None, None], ["ab", "c", None])
    others = [
        digest(["host", "rack"], ["a", "x"], ["ab", "c"]),
        digest(["host", "rack"], ["a", None], ["a", "bc"]),
        digest(["host", "rack"], ["aa", None], ["b", "c"]),
        digest(["host", "room"], ["a", None], ["ab", "c"]),
        digest(["rack", "host"], ["a", None], ["ab", "c"]),
        digest(["host", "rack"], ["a", None]),
        digest(["host", "rack"], ["a", None], ["ab", "c"], ["b", None]),
        digest(["host"], ["a"], ["ab"]),
    ]
    assert len({made, *others}) == 1 + len(others)
