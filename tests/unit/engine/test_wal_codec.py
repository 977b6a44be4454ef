"""A group as bytes and back, and what becomes of bytes that were changed."""

import random
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._native import SeriesIndex, assign, remap
from engine.batch import SERIES, TIME, TableRows, concatenated, int32_array, series_buffer
from engine.wal.codec import HEADER, DamagedGroup, StoredGroup, StoredTable, decode, encode, find_header, read_header
from tests.helpers.rows import Point, batch, points, table_rows


def data_of(sequence: int, epoch: int, *tables: TableRows) -> bytes:
    return b"".join(bytes(memoryview(piece)) for piece in encode(sequence, epoch, tables))


def groups_of(data: bytes) -> list[StoredGroup]:
    return list(decode(memoryview(data)))


class Reader:
    """Gives stored rows the numbers of an index of its own, as a process that starts does."""

    def __init__(self, tag_count: int) -> None:
        self.index = SeriesIndex(tag_count)
        self.mapping = bytearray(b"\xff" * 4096)

    def points(self, stored: StoredTable) -> list[Point]:
        if stored.series is not None:
            columns = [stored.series.column(tag) for tag in range(1, stored.series.num_columns)]
            numbers = self.index.resolve(columns, stored.series.num_rows)
            assign(self.mapping, series_buffer(stored.series), numbers)
        numbers = int32_array(remap(series_buffer(stored.rows), self.mapping))
        assert pc.all(pc.greater_equal(numbers, 0)).as_py() is not False, "a series that no group has defined"
        return points(self.index, stored.rows.set_column(0, stored.rows.schema.field(0), numbers))


TAGS = st.sampled_from([None, "c", "a", "b", "ü\n,= "])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "f": st.floats(allow_nan=False),
        "i": st.integers(-(2**63), 2**63 - 1),
        "s": st.text(max_size=9),
        "b": st.booleans(),
    },
).filter(bool)
TIMES = st.integers(-(2**63), 2**63 - 1)
GROUPS = st.lists(st.lists(st.tuples(st.tuples(TAGS, TAGS), TIMES, FIELDS), min_size=1, max_size=6), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(groups=GROUPS)
def test_groups_come_back_with_the_tag_values_of_each_row(groups: list[list[Point]]) -> None:
    """K1, K3, B1, B2: the reader numbers series in its own way and still reads the same rows."""
    index, reader = SeriesIndex(2), Reader(2)
    reader.index.resolve([pa.array(["other"]), pa.array(["before"])], 1)

    data = b"".join(data_of(number, 7, table_rows(index, group)) for number, group in enumerate(groups, start=3))
    stored = groups_of(data)

    assert [group.sequence for group in stored] == list(range(3, 3 + len(groups)))
    assert [reader.points(group.tables[0]) for group in stored] == groups


def test_rows_carry_series_numbers_and_the_fields_that_a_row_has_and_no_tags() -> None:
    """B1."""
    index = SeriesIndex(1)

    rows = concatenated([batch(index, [(("a",), 1, {"f": 1.0})]), batch(index, [(("b",), 2, {"g": 2})])])

    assert rows.schema == pa.schema([SERIES, TIME, pa.field("f", pa.float64()), pa.field("g", pa.int64())])
    assert points(index, rows) == [(("a",), 1, {"f": 1.0}), (("b",), 2, {"g": 2})]


def test_several_tables_and_one_without_tags_share_a_group() -> None:
    """K1."""
    plain, tagged = SeriesIndex(0), SeriesIndex(1)
    first: list[Point] = [((), 1, {"v": 1.0}), ((), 2, {"v": 2.0})]
    second: list[Point] = [(("x",), 1, {"v": 3.0})]

    [group] = groups_of(data_of(1, 1, table_rows(plain, first, 4, 5), table_rows(tagged, second, 6, 7)))

    assert [(table.database_id, table.table_id) for table in group.tables] == [(4, 5), (6, 7)]
    assert Reader(0).points(group.tables[0]) == first
    assert Reader(1).points(group.tables[1]) == second


def test_a_group_without_rows_is_a_group() -> None:
    """K1."""
    assert groups_of(data_of(1, 1)) == [StoredGroup(1, 1, ())]


def test_a_series_is_defined_once_an_epoch_in_the_first_group_that_uses_it() -> None:
    """K3."""
    index = SeriesIndex(1)

    def defined(epoch: int, *names: str) -> list[str]:
        [group] = groups_of(data_of(1, epoch, table_rows(index, [((name,), 1, {"v": 1}) for name in names])))
        series = group.tables[0].series
        return [] if series is None else series.column(1).to_pylist()

    assert defined(1, "a", "b", "a") == ["a", "b"]
    assert defined(1, "b", "c") == ["c"]
    assert defined(1, "a", "c") == []
    assert defined(2, "c", "a") == ["c", "a"]
    assert defined(2, "b") == ["b"]


def test_rows_that_are_large_are_packed_and_come_back() -> None:
    """K1."""
    index = SeriesIndex(1)
    many: list[Point] = [((f"h{row % 50}",), row, {"v": row % 3, "s": "x" * (row % 7)}) for row in range(5000)]

    data = data_of(1, 1, table_rows(index, many))

    assert len(data) < table_rows(index, many).rows.nbytes
    assert Reader(1).points(groups_of(data)[0].tables[0]) == many


def test_integers_of_every_size_come_back_as_they_were() -> None:
    """K1: many of them are stored in as few bytes as hold them."""
    index = SeriesIndex(1)
    sizes = {"one": 7, "two": 15, "four": 31, "eight": 63}
    values = [{name: (-1) ** row * (2**bits - 1 - row) for name, bits in sizes.items()} for row in range(60)]
    many: list[Point] = [(("a",), row, values[row % 60] | ({} if row % 3 else {"now and then": row})) for row in range(2000)]

    rows = groups_of(data_of(1, 1, table_rows(index, many)))[0].tables[0]

    assert rows.rows.schema.field("one").type == pa.int64()
    assert Reader(1).points(rows) == many


def two_groups() -> tuple[bytes, int]:
    index = SeriesIndex(1)
    first = data_of(1, 1, table_rows(index, [(("a",), 1, {"v": 1.5, "s": "text"})]))
    return first + data_of(2, 1, table_rows(index, [(("b",), 2, {"v": 2.5})])), len(first)


def whole_groups(data: bytes) -> list[StoredGroup]:
    found: list[StoredGroup] = []
    with pytest.raises(DamagedGroup) as damage:
        found.extend(decode(memoryview(data)))
    assert damage.value.offset <= len(data)
    return found


def test_every_changed_byte_is_found() -> None:
    """K2: whichever byte it is, the group that has it is not read, and the one before it is read as it was."""
    data, boundary = two_groups()
    intact = groups_of(data)
    bits = random.Random(1)

    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << bits.randrange(8)
        assert whole_groups(bytes(changed)) == ([] if at < boundary else intact[:1])


def test_every_cut_is_found() -> None:
    """K2: a group that ends too soon is no group."""
    data, boundary = two_groups()
    intact = groups_of(data)

    for size in range(1, len(data)):
        if size != boundary:
            assert whole_groups(data[:size]) == ([] if size < boundary else intact[:1])
    assert groups_of(data[:boundary]) == intact[:1]


@pytest.mark.parametrize("before", [b"", b"x", b"FLWALG01", b"FLWALG0", b"\0" * 100])
def test_the_next_header_is_found_behind_rubbish(before: bytes) -> None:
    """K2: and rubbish that looks like one is not taken for it."""
    data, boundary = two_groups()

    assert find_header(memoryview(before + data), 0) == len(before)
    assert find_header(memoryview(before + data), len(before) + 1) == len(before) + boundary
    assert find_header(memoryview(before + data), len(before) + boundary + 1) is None
    assert find_header(memoryview(data[: HEADER.size - 1]), 0) is None


def test_a_header_says_what_its_group_is() -> None:
    """K2."""
    data, boundary = two_groups()

    assert read_header(memoryview(data), 0) == (1, 1, boundary - HEADER.size)
    assert read_header(memoryview(data), boundary)[:2] == (2, 1)


def tag_lists(stored: Sequence[StoredTable]) -> list[list[str]]:
    return [table.series.column(1).to_pylist() for table in stored if table.series is not None]


def test_a_table_that_comes_twice_in_a_group_defines_each_series_once() -> None:
    """K3."""
    index = SeriesIndex(1)
    tables = [table_rows(index, [((name,), 1, {"v": 1}) for name in names]) for names in ("ab", "bc")]

    [group] = groups_of(data_of(1, 1, *tables))

    assert tag_lists(group.tables) == [["a", "b"], ["c"]]
