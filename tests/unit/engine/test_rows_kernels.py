"""The row kernels against what a few lines of Python say."""

import struct
from array import array
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import _native

LOWEST, HIGHEST = -(2**63), 2**63 - 1


def int32(values: Sequence[int]) -> bytes:
    return array("i", values).tobytes()


def int64(values: Sequence[int]) -> bytes:
    return array("q", values).tobytes()


def numbers(view: memoryview | None) -> list[int] | None:
    return None if view is None else list(view.cast("i"))


def sort(
    series: Sequence[int], times: Sequence[int], rank: Sequence[int] | None = None
) -> tuple[list[int] | None, list[int] | None]:
    indices, starts = _native.sort_rows(int32(series), int64(times), None if rank is None else int32(rank))
    return numbers(indices), numbers(starts)


def expected(keys: Sequence[tuple[int, int]]) -> tuple[list[int] | None, list[int] | None]:
    order = sorted(range(len(keys)), key=keys.__getitem__)
    starts = [at for at, row in enumerate(order) if at == 0 or keys[row] != keys[order[at - 1]]]
    return (None if order == sorted(order) else order, None if len(starts) == len(order) else starts)


ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30) | st.sampled_from([LOWEST, HIGHEST, -1])), max_size=60)


@given(ROWS)
def test_rows_come_in_order_of_series_and_time_and_equal_keys_in_order_of_arrival(rows: list[tuple[int, int]]) -> None:
    """R2."""
    assert sort([series for series, _ in rows], [time for _, time in rows]) == expected(rows)


@given(ROWS, st.randoms(use_true_random=False))
def test_a_rank_takes_the_place_of_the_series_number(rows: list[tuple[int, int]], random: Callable[..., object]) -> None:
    """R2."""
    rank = list(range(13))
    random.shuffle(rank)  # type: ignore[attr-defined]

    found = sort([series for series, _ in rows], [time for _, time in rows], rank)

    assert found == expected([(rank[series], time) for series, time in rows])


@given(ROWS, st.sampled_from([1_000, 10_000_000, 170_000_000]))
def test_few_rows_over_a_wide_range_of_series_come_in_the_same_order(rows: list[tuple[int, int]], stride: int) -> None:
    """R2, R3."""
    spread = [(series * stride, time) for series, time in rows]

    assert sort([series for series, _ in spread], [time for _, time in spread]) == expected(spread)


@pytest.mark.parametrize("series_count", [1, 3])
@pytest.mark.parametrize(
    "time_of",
    [
        pytest.param(lambda at: at, id="ascending"),
        pytest.param(lambda at: -at, id="descending"),
        pytest.param(lambda at: at % 997 * 10**9, id="sawtooth"),
        pytest.param(lambda at: at * 7919 % 10007, id="scattered"),
        pytest.param(lambda at: at * 6364136223846793005 % 2**64 - 2**63, id="scattered over all times"),
        pytest.param(lambda at: 5, id="all alike"),
        pytest.param(lambda at: at if at % 100 else at - 5000, id="some late"),
    ],
)
def test_long_series_in_any_order_of_time_are_sorted(series_count: int, time_of: Callable[[int], int]) -> None:
    """R2."""
    rows = [(at % series_count, time_of(at)) for at in range(9000)]

    assert sort([series for series, _ in rows], [time for _, time in rows]) == expected(rows)


def test_no_rows_are_in_order() -> None:
    assert sort([], []) == (None, None)


def test_buffers_need_not_be_aligned() -> None:
    """R1: an Arrow buffer cut out of a file begins anywhere."""
    series = memoryview(b"x" + int32([1, 0]))[1:]
    times = memoryview(b"abc" + int64([5, 6]))[3:]

    indices, starts = _native.sort_rows(series, times)

    assert (numbers(indices), starts) == ([1, 0], None)


@pytest.mark.parametrize(
    ("series", "times", "rank", "message"),
    [
        (int32([0]), int64([1, 2]), None, "series has 1 rows, times has 2"),
        (b"12345", int64([1]), None, "series: 5 bytes"),
        (int32([0]), b"1234567", None, "times: 7 bytes"),
        (int32([0]), int64([1]), b"1", "rank: 1 bytes"),
        (int32([-1]), int64([1]), None, "negative"),
        (int32([0, -(2**31)]), int64([1, 2]), int32([0]), "negative"),
        (int32([1]), int64([1]), int32([0]), "no rank"),
        (int32([0]), int64([1]), b"", "no rank"),
        (int32([0]), int64([1]), int32([-1]), "rank is negative"),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(series: bytes, times: bytes, rank: bytes | None, message: str) -> None:
    """R1."""
    with pytest.raises(ValueError, match=message):
        _native.sort_rows(series, times, rank)


def last_valid(
    count: int, indices: list[int] | None, starts: list[int], validity: bytes | None, offset: int = 0
) -> list[int] | None:
    chosen = _native.last_valid(count, None if indices is None else int32(indices), int32(starts), validity, offset)
    return numbers(chosen)


def test_without_nulls_the_last_row_of_each_key_stands() -> None:
    assert last_valid(5, None, [0, 2, 3], None) == [1, 2, 4]
    assert last_valid(5, [4, 3, 2, 1, 0], [0, 2, 3], None) == [3, 2, 0]


def test_a_null_gives_way_to_the_value_before_it_unless_all_are_null() -> None:
    # rows 0..4 valid, null, null, null, valid
    assert last_valid(5, None, [0, 2, 4], bytes([0b10001])) == [0, 3, 4]
    assert last_valid(5, None, [0, 2, 4], bytes([0b10010000, 0b0]), offset=3) == [1, 3, 4]
    assert last_valid(5, [0, 4, 1, 3, 2], [0, 3], bytes([0b10001])) == [4, 2]


@given(st.data())
def test_the_value_that_stands_is_the_last_valid_one_of_its_key(data: st.DataObject) -> None:
    valid = data.draw(st.lists(st.booleans(), min_size=1, max_size=40))
    count = len(valid)
    starts = sorted({0} | data.draw(st.sets(st.integers(0, count - 1))))
    indices = data.draw(st.permutations(range(count)))
    offset = data.draw(st.integers(0, 17))
    bits = sum(1 << (offset + row) for row in range(count) if valid[row])

    chosen = last_valid(count, indices, starts, bits.to_bytes((offset + count + 7) // 8, "little"), offset)

    runs = [indices[begin:end] for begin, end in zip(starts, [*starts[1:], count], strict=True)]
    assert chosen == [next((row for row in reversed(run) if valid[row]), run[-1]) for run in runs]


@pytest.mark.parametrize(
    ("count", "indices", "starts", "validity", "offset", "message"),
    [
        (-1, None, [], None, 0, "negative"),
        (1, None, [0], b"\1", -1, "negative"),
        (2**31, None, [], None, 0, "at most"),
        (2, [0], [0], None, 0, "indices has 1 rows, expected 2"),
        (2, [0, 2], [0, 1], None, 0, "out of range"),
        (2, [-1, 0], [0, 1], b"\0", 0, "out of range"),
        (2, None, [0, 2], None, 0, "starts"),
        (2, None, [0, -1], None, 0, "starts"),
        (2, None, [-1, 1], None, 0, "starts"),
        (2, None, [1, 0], None, 0, "starts"),
        (0, None, [0], None, 0, "starts"),
        (9, None, [0], b"\1", 0, "too short"),
        (1, None, [0], b"\1", 8, "too short"),
        (1, None, [0], b"\1", 2**63 - 1, "negative"),
    ],
)
def test_positions_outside_the_rows_are_refused(
    count: int, indices: list[int] | None, starts: list[int], validity: bytes | None, offset: int, message: str
) -> None:
    """R1."""
    with pytest.raises(ValueError, match=message):
        last_valid(count, indices, starts, validity, offset)


def test_each_number_is_replaced_by_its_mapping() -> None:
    assert numbers(_native.remap(int32([2, 0, 0]), int32([7, 8, -1]))) == [-1, 7, 7]
    assert numbers(_native.remap(b"", b"")) == []


@pytest.mark.parametrize("number", [-1, 3, 2**31 - 1, -(2**31)])
def test_a_number_outside_the_mapping_is_refused(number: int) -> None:
    """R1."""
    with pytest.raises(ValueError, match="outside the mapping"):
        _native.remap(int32([0, number]), int32([0, 1, 2]))


def test_runs_of_a_series_are_found() -> None:
    found, starts = _native.series_runs(int32([3, 3, 5, 1, 1, 1]))

    assert (numbers(found), numbers(starts)) == ([3, 5, 1], [0, 2, 3])


def test_no_rows_have_no_runs() -> None:
    found, starts = _native.series_runs(b"")

    assert (numbers(found), numbers(starts)) == ([], [])


@pytest.mark.parametrize("kernel", [_native.remap, _native.series_runs, _native.sort_rows])
def test_what_is_not_a_buffer_is_a_type_error(kernel: Callable[..., object]) -> None:
    with pytest.raises(TypeError):
        kernel(*[[1, 2]] * (1 if kernel is _native.series_runs else 2))


def test_results_are_plain_bytes() -> None:
    """R4's results are filled before anybody sees them and never change after."""
    view = _native.remap(int32([0]), int32([258]))

    assert view.readonly
    assert bytes(view) == struct.pack("i", 258)
