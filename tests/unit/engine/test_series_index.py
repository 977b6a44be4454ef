"""The series index by itself: numbers from Arrow columns, codes back, late rows, definitions, memory."""

import random
from typing import Any

import pyarrow as pa
import pytest

from engine._native import SeriesIndex
from tests.helpers.native_lines import Store
from tests.helpers.reference_lines import Options


def resolve(index: SeriesIndex, *columns: Any) -> list[int]:
    rows = next(len(column) for column in columns if column is not None)
    return index.resolve(columns, rows).tolist()


def int32(*numbers: int) -> pa.Buffer:
    return pa.array(numbers, pa.int32()).buffers()[1]


def int64(*numbers: int) -> pa.Buffer:
    return pa.array(numbers, pa.int64()).buffers()[1]


def key(index: SeriesIndex, series: int) -> list[str | None]:
    """The tag values of a series."""
    codes = [index.codes(tag, int32(series))[0] for tag in range(index.tag_count)]
    return [None if code < 0 else pa.array(index.values(tag))[code].as_py() for tag, code in enumerate(codes)]


PLAIN = ["a", "b", None, "a", "", "c"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(PLAIN, pa.utf8()),
        pa.array(PLAIN, pa.large_utf8()),
        pa.array(PLAIN, pa.string_view()),
        pa.array(["x", *PLAIN, "y"], pa.utf8()).slice(1, 6),
        pa.array(["x", *PLAIN, "y"], pa.string_view()).slice(1, 6),
        *[
            pa.array(PLAIN).dictionary_encode().cast(pa.dictionary(kind, pa.utf8()))
            for kind in (pa.int8(), pa.int16(), pa.int64())
        ],
        *[
            pa.array(PLAIN).dictionary_encode().cast(pa.dictionary(kind, pa.large_utf8()))
            for kind in (pa.int32(), pa.uint8(), pa.uint64())
        ],
        pa.array(["x", *PLAIN, "y"]).dictionary_encode().slice(1, 6),
        pa.DictionaryArray.from_arrays(pa.array([1, 2, 0, 1, 3, 4]), pa.array([None, "a", "b", "", "c"])),
        pa.DictionaryArray.from_arrays(
            pa.array([0, 1, None, 0, 2, 3], pa.int32()), pa.array(["-", "a", "b", "", "c"]).slice(1)
        ),
    ],
    ids=lambda column: str(column.type) + ("+" if column.offset else ""),
)
def test_series_are_numbered_in_order_of_appearance_whatever_the_layout(column: pa.Array) -> None:
    """S1."""
    index = SeriesIndex(1)

    assert resolve(index, column) == [0, 1, 2, 0, 2, 3]
    assert resolve(index, column) == [0, 1, 2, 0, 2, 3]
    assert [key(index, number) for number in range(4)] == [["a"], ["b"], [None], ["c"]]
    assert pa.array(index.values(0)).to_pylist() == ["a", "b", "c"]
    assert index.codes(0).tolist() == [0, 1, -1, 2]


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_come_in_rounds_are_numbered_as_any_others(seed: int) -> None:
    """S1: whatever is missing, doubled or out of order in a round, and after it."""
    chance = random.Random(seed)
    hosts = [(f"host{number}", chance.choice(["x", "y", None])) for number in range(20)]
    rows: list[tuple[str, str | None]] = []
    for _ in range(30):
        round_ = hosts[: chance.randrange(1, 21)] if chance.random() < 0.3 else list(hosts)
        for _ in range(chance.randrange(3)):
            round_.insert(chance.randrange(len(round_) + 1), chance.choice(hosts))
        if chance.random() < 0.2:
            chance.shuffle(round_)
        rows += round_
    columns = [pa.array([row[tag] for row in rows], pa.utf8()).dictionary_encode() for tag in range(2)]

    numbers = resolve(SeriesIndex(2), *columns)

    seen: dict[tuple[str, str | None], int] = {}
    assert numbers == [seen.setdefault(row, len(seen)) for row in rows]


def test_long_views_are_followed() -> None:
    long = ["x" * 13, "y" * 500, "x" * 13, "short"]
    index = SeriesIndex(1)

    assert resolve(index, pa.array(long, pa.string_view())) == [0, 1, 0, 2]
    assert key(index, 1) == ["y" * 500]


def test_null_is_a_value_and_a_missing_column_is_all_null() -> None:
    """S1."""
    index = SeriesIndex(2)

    assert resolve(index, pa.array(["a", "a", None, None]), pa.array(["x", None, "x", None])) == [0, 1, 2, 3]
    assert resolve(index, pa.array(["a", None]), None) == [1, 3]
    assert resolve(index, None, pa.array(["x", "y"])) == [2, 4]
    assert resolve(index, pa.nulls(2), pa.array(["x", None])) == [2, 3]
    assert index.resolve([None, None], 3).tolist() == [3, 3, 3]
    assert index.resolve([pa.array([], pa.utf8()), None], 0).tolist() == []


def test_a_table_without_tags_has_one_series() -> None:
    index = SeriesIndex(0)

    assert index.resolve([], 3).tolist() == [0, 0, 0]
    assert len(index) == 1


def test_more_tags_change_no_number() -> None:
    """S2."""
    index = SeriesIndex(1)
    resolve(index, pa.array(["a", "b", None]))
    index.add_tags(2)

    assert index.tag_count == 3
    assert resolve(index, pa.array(["a", "b", None, "a"]), pa.array([None, None, None, "x"]), None) == [0, 1, 2, 3]
    assert [key(index, number) for number in range(4)] == [["a", None, None], ["b", None, None], [None] * 3, ["a", "x", None]]
    assert index.codes(1).tolist() == [-1, -1, -1, 0]


def test_a_tag_that_few_series_have_is_found_and_costs_little() -> None:
    """S2: such a tag is kept apart from those that most series have."""
    count = 20_000
    index = SeriesIndex(1)
    names = [f"n{at}" for at in range(count)]
    resolve(index, pa.array(names[:10_000]))
    index.add_tags(2)
    before = index.memory_bytes
    rare = [str(at % 50) if at % 997 == 0 else None for at in range(10_000, count)]
    common = [str(at % 7) if at % 3 else None for at in range(10_000, count)]
    numbers = resolve(index, pa.array(names[10_000:]), pa.array(rare), pa.array(common))

    assert numbers == list(range(10_000, count))
    for tag, expected in ((1, rare), (2, common)):
        values = pa.array(index.values(tag)).to_pylist()
        codes = index.codes(tag).tolist()
        assert [None if code < 0 else values[code] for code in codes] == [None] * 10_000 + expected
    assert resolve(index, pa.array(names[10_000:]), pa.array(rare), pa.array(common)) == numbers
    assert index.memory_bytes - before < 200 * 10_000


def test_a_table_of_many_tags_costs_what_its_series_have() -> None:
    tags, count = 3000, 20_000
    store = Store()
    wide = "m," + ",".join(f"t{at}=x" for at in range(tags)) + " f=1 1\n"
    store.write(wide.encode(), Options())
    before = store.indices["m"].memory_bytes
    lines = [f"m,t{at * 7919 % tags}={at} f=1 1\n" for at in range(count)]
    (table,) = store.parse("".join(lines).encode(), Options()).tables
    store.admit(table)

    assert len(store.indices["m"]) == count + 1
    assert (store.indices["m"].memory_bytes - before) / count < 1500


def test_lines_and_columns_come_to_the_same_numbers() -> None:
    store = Store()
    store.write(b"m,h=a,r=x f=1 1\nm,h=b f=1 1\nm,r=x f=1 1\n", Options())
    index = store.indices["m"]

    assert resolve(index, pa.array(["b", "a", None, "c"]), pa.array([None, "x", "x", "x"])) == [1, 0, 2, 3]
    outcome = store.parse(b"m,r=x,h=c f=1 1" + b"\n" * 120, Options())
    assert outcome.tables[0].new_series == 0


@pytest.mark.parametrize(
    "column", [pa.array([1, 2]), pa.array([b"a", b"b"]), pa.array([1, 2]).dictionary_encode(), pa.array([["a"], ["b"]])]
)
def test_columns_that_hold_no_strings_are_refused(column: pa.Array) -> None:
    index = SeriesIndex(1)
    with pytest.raises(ValueError, match="string"):
        index.resolve([column], 2)
    assert len(index) == 0


def test_wrong_arguments_are_told() -> None:
    index = SeriesIndex(1)
    resolve(index, pa.array(["a"]))
    with pytest.raises(ValueError, match="1 tags"):
        index.resolve([], 1)
    with pytest.raises(ValueError, match="length"):
        index.resolve([pa.array(["a"])], 2)
    with pytest.raises(AttributeError):
        index.resolve([["a"]], 1)
    with pytest.raises(ValueError, match="negative"):
        SeriesIndex(-1)
    with pytest.raises(IndexError):
        index.codes(1)
    with pytest.raises(IndexError):
        index.values(-1)
    for bad in (int32(1), int32(-1)):
        with pytest.raises(ValueError, match="out of range"):
            index.codes(0, bad)
        with pytest.raises(ValueError, match="out of range"):
            index.newest(bad)
        with pytest.raises(ValueError, match="out of range"):
            index.define(bad, 0)
        with pytest.raises(ValueError, match="out of range"):
            index.arrive(bad, int64(1))
    with pytest.raises(ValueError, match="whole number"):
        index.codes(0, b"abc")
    with pytest.raises(ValueError, match="lengths"):
        index.arrive(int32(0), int64(1, 2))


def test_a_row_is_late_when_its_series_has_seen_as_new_a_time() -> None:
    index = SeriesIndex(1)
    resolve(index, pa.array(["a", "b"]))

    assert index.arrive(int32(0, 1, 0), int64(10, 5, 20)) == (0, 0, 0)
    assert index.newest().tolist() == [20, 5]
    assert index.arrive(int32(0, 1, 0, 1), int64(20, 6, 7, 6)) == (3, 6, 20)
    assert index.newest(int32(1, 1, 0)).tolist() == [6, 6, 20]


def test_new_series_start_at_the_floor() -> None:
    index = SeriesIndex(1)
    resolve(index, pa.array(["a"]))
    index.set_floor(100)
    resolve(index, pa.array(["b"]))

    assert index.arrive(int32(0), int64(-5)) == (0, 0, 0)
    assert index.arrive(int32(1), int64(100)) == (1, 100, 100)
    assert index.arrive(int32(1), int64(101)) == (0, 0, 0)
    assert index.newest().tolist() == [-5, 101]


def test_a_series_is_defined_once_an_epoch() -> None:
    index = SeriesIndex(1)
    resolve(index, pa.array(["a", "b", "c"]))

    assert index.define(int32(2, 0, 2), 0).tolist() == [2, 0]
    assert index.define(int32(0, 1, 2), 0).tolist() == [1]
    assert index.define(int32(1, 0), 1).tolist() == [1, 0]
    assert index.define(int32(), 1).tolist() == []


def test_an_index_agrees_with_a_dict() -> None:
    """S1, over enough series that every part of it grows many times."""
    rng = random.Random(7)
    index = SeriesIndex(3)
    numbers: dict[tuple[str | None, ...], int] = {}
    for _ in range(20):
        keys = [tuple(rng.choice([None, *"abc", str(rng.randrange(300))]) for _ in range(3)) for _ in range(1000)]
        expected = [numbers.setdefault(each, len(numbers)) for each in keys]
        assert resolve(index, *[pa.array(column, pa.utf8()) for column in zip(*keys, strict=True)]) == expected
    assert len(index) == len(numbers)
    columns = [
        pa.array(index.values(tag)).take(
            pa.array(index.codes(tag).tolist()).filter(pa.array([code >= 0 for code in index.codes(tag)]))
        )
        for tag in range(3)
    ]
    assert [len(column) for column in columns] == [sum(each[tag] is not None for each in numbers) for tag in range(3)]
    assert [key(index, number) for each, number in list(numbers.items())[::997]] == [
        list(each) for each in list(numbers)[::997]
    ]


def test_a_series_keeps_two_spellings_and_no_more() -> None:
    """S4: others are understood, and cost no memory."""
    store = Store()
    used = []
    for spelling in ("m,a=1,b=2,c=3", "m,b=2,a=1,c=3", "m,c=3,a=1,b=2", "m,c=3,b=2,a=1"):
        for _ in range(3):
            (table,) = store.parse(f"{spelling} f=1 1{chr(10) * 120}".encode(), Options()).tables
            store.admit(table)
            assert len(store.indices["m"]) == 1
        used.append(store.indices["m"].memory_bytes)

    assert used[2] == used[3]


def test_a_series_costs_less_than_450_bytes() -> None:
    """With ten tags and spellings of some 190 bytes; the rows themselves are counted elsewhere."""
    count = 60_000
    tags = "region=eu-central-1,datacenter=eu-central-1a,rack=42,os=Ubuntu16.10,arch=x64,team=LON,service=7,"
    tags += "service_version=1,service_environment=production"
    body = "".join(f"cpu,hostname=host_{at},{tags} f=1i 1\n" for at in range(count)).encode()
    store = Store()
    (table,) = store.parse(body, Options()).tables
    store.admit(table)
    index = store.indices["cpu"]

    assert len(index) == count
    assert index.memory_bytes / count < 450


@pytest.mark.parametrize("count", [0, 1, 4_096, 4_097, 20_000])
def test_series_are_found_by_their_values(count: int) -> None:
    """P1: of dense tags and of such as few series have."""
    chance = random.Random(count)
    columns = [
        pa.array([f"host{n}" for n in range(count)], pa.utf8()),
        pa.array([chance.choice(["a", "b", "c", None]) for _ in range(count)], pa.utf8()),
        pa.array(["rare" if n % 1_000 == 999 else None for n in range(count)], pa.utf8()),
    ]
    index = SeriesIndex(3)
    resolve(index, *columns) if count else None

    asked: list[tuple[int, list[str | None]]] = [
        (0, ["host3", "host19999", "nobody"]),
        (1, ["c", None, "a"]),
        (1, [None]),
        (2, ["rare"]),
        (2, [None]),
        (1, []),
    ]
    for tag, values in asked:
        found = index.having(tag, index.find_codes(tag, values)).tolist()
        assert found == [n for n, value in enumerate(columns[tag].to_pylist()) if value in values]


def test_series_that_came_after_the_lists_were_made_are_found() -> None:
    """P2: a few, and then so many that the lists are made again."""
    index = SeriesIndex(1)
    known = 0
    for count in (5_000, 5_001, 5_100, 9_000, 30_000):
        resolve(index, pa.array([f"v{n}" for n in range(known, count)]))
        known = count
        for value in (0, 4_999, 5_000, count - 1):
            assert index.having(0, index.find_codes(0, [f"v{value}", "later"])).tolist() == ([value] if value < count else [])
    before = index.memory_bytes
    index.having(0, index.find_codes(0, ["v1"]))

    assert index.memory_bytes == before
    assert before > SeriesIndex(1).memory_bytes + 30_000 * 8


def test_codes_that_are_no_values_are_refused() -> None:
    """P1."""
    index = SeriesIndex(1)
    resolve(index, pa.array(["a", None]))

    assert index.find_codes(0, ["a", "b", None]).tolist() == [0, -1]
    for wrong in (1, -2):
        with pytest.raises(ValueError, match="out of range"):
            index.having(0, int32(wrong))
    with pytest.raises(IndexError):
        index.having(1, int32())
    with pytest.raises(IndexError):
        index.find_codes(1, [])
    with pytest.raises(TypeError):
        index.find_codes(0, [1])  # type: ignore[list-item]


def test_tags_of_rows_are_dictionaries_of_all_values() -> None:
    """Each tag as often as it is asked for; the columns outlive their index."""
    index = SeriesIndex(2)
    host, zone = pa.array(["a", "b", None, "a"]), pa.array([None, "z", None, "y"])
    series = pa.array(index.resolve([host, zone], 4), pa.int32())
    rows = series.take([0, 0, 3, 1, 2, 2, 1])

    columns = pa.record_batch(index.columns([1, 0, 1], rows.buffers()[1]))
    del index

    assert columns.schema.types == [pa.dictionary(pa.int32(), pa.utf8())] * 3
    assert columns.column(0).to_pylist() == columns.column(2).to_pylist() == [None, None, "y", "z", None, None, "z"]
    assert columns.column(1).to_pylist() == ["a", "a", "a", "b", None, None, "b"]
    assert columns.column(0).dictionary.to_pylist() == ["z", "y"]
    columns.validate(full=True)


def test_tags_of_rows_are_those_that_there_are() -> None:
    index = SeriesIndex(1)
    index.resolve([pa.array(["a"])], 1)
    with pytest.raises(IndexError, match="no tag 1"):
        index.columns([1], bytes(4))
    with pytest.raises(ValueError, match="out of range"):
        index.columns([0], b"\1\0\0\0")
    with pytest.raises(ValueError, match="whole number"):
        index.columns([0], bytes(3))
    assert pa.record_batch(index.columns([], bytes(8))).num_columns == 0


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("ascending", [None, True, False])
@pytest.mark.parametrize("seed", range(12))
def test_the_last_row_of_each_group_is_picked(newest: bool, ascending: bool | None, seed: int) -> None:
    """By one tag or several, few values or many, in the order of the first one's."""
    choose = random.Random(seed)
    index = SeriesIndex(3)
    values = [f"v{choose.randrange(10**6)}" for _ in range([2, 40, 5_000][seed % 3])]
    if seed % 3 == 2:
        index.resolve([pa.array(values), None, None], len(values))
    some = [[choose.choice([*values[:60], None]) for _ in range(3)] for _ in range(80)]
    numbers = index.resolve([pa.array(column) for column in zip(*some, strict=True)], len(some)).tolist()
    times = [choose.randrange(30) for _ in some]
    tags = choose.choice([[0], [1], [2, 0], [0, 1, 2]])
    nulls_first = choose.random() < 0.5

    found = index.pick(tags, int32(*numbers), int64(*times), newest, ascending, nulls_first)

    rows = list(range(len(some))) if found is None else found.tolist()
    groups: dict[tuple[str | None, ...], int] = {}
    for key, time in zip((tuple(row[tag] for tag in tags) for row in some), times, strict=True):
        groups[key] = (max if newest else min)(time, groups.get(key, time))
    assert {tuple(some[row][tag] for tag in tags): times[row] for row in rows} == groups
    assert len(rows) == len(groups)
    firsts = [some[row][tags[0]] for row in rows]
    if ascending is not None:
        known = [each for each in firsts if each is not None]
        assert known == sorted(known, reverse=not ascending)
        assert firsts in ([None] * firsts.count(None) + known, known + [None] * firsts.count(None))
        assert None not in firsts or (firsts[0] is None) == nulls_first or set(firsts) == {None}


def test_rows_that_are_the_last_ones_stay_where_they_are() -> None:
    index = SeriesIndex(1)
    numbers = index.resolve([pa.array(["b", "a", None])], 3)
    times = int64(1, 2, 3)
    assert index.pick([0], numbers, times, True) is None
    assert [each.tolist() for each in [index.pick([0], numbers, times, True, True)] if each is not None] == [[1, 0, 2]]
    assert index.pick([0], bytes(0), bytes(0), True, True) is None
    with pytest.raises(ValueError, match="different lengths"):
        index.pick([0], numbers, int64(1), True)
