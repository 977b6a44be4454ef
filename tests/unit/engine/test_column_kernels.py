"""The kernels over columns against what a few lines of Python say."""

from array import array
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import _native

INT64 = st.integers(-(2**63), 2**63 - 1)


def int32(values: Sequence[int]) -> bytes:
    return array("i", values).tobytes()


def int64(values: Sequence[int]) -> bytes:
    return array("q", values).tobytes()


@given(st.data(), st.lists(st.lists(INT64, max_size=9), max_size=5))
def test_values_of_many_parts_come_into_the_order_asked_for(data: st.DataObject, parts: list[list[int]]) -> None:
    """T1."""
    rows = [value for part in parts for value in part]
    order = data.draw(st.permutations(range(len(rows))))
    out = bytearray(8 * len(rows))

    _native.scatter([int64(part) for part in parts], _native.inverse(int32(order)), out)

    assert list(memoryview(out).cast("q")) == [rows[row] for row in order]


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_integers_go_into_the_fewest_bytes_that_hold_them_all(bits: int) -> None:
    """T1."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def width(*values: int) -> int | None:
        narrow = _native.narrow(int64(values))
        if narrow is None:
            return None
        found = array({1: "b", 2: "h", 4: "i"}[narrow.nbytes // len(values)], bytes(narrow))
        assert list(found) == list(values)
        return 8 * found.itemsize

    assert width(0, high) == width(low, 1) == width(low, high) == bits
    assert width(0, high + 1) == width(low - 1, 0) == (None if bits == 32 else 2 * bits)


@given(st.lists(INT64, min_size=1), st.integers(1, 2**62))
def test_times_are_counted_by_window_and_bounded(times: list[int], width: int) -> None:
    assert _native.count_windows(int64(times), width) == Counter(time // width for time in times)
    assert _native.time_range(int64(times)) == (min(times), max(times))


@pytest.mark.parametrize(
    "call",
    [
        lambda: _native.inverse(int32([0, 2])),
        lambda: _native.inverse(int32([0, -1])),
        lambda: _native.scatter([int64([1, 2])], int32([0, 2]), bytearray(16)),
        lambda: _native.scatter([int64([1, 2])], int32([-1, 0]), bytearray(16)),
        lambda: _native.scatter([int64([1, 2])], int32([0, 1]), bytearray(15)),
        lambda: _native.scatter([int64([1, 2])], int32([0]), bytearray(16)),
        lambda: _native.scatter([int64([1]), b"half"], int32([0]), bytearray(8)),
        lambda: _native.time_range(b""),
        lambda: _native.count_windows(int64([1]), 0),
    ],
)
def test_numbers_that_do_not_fit_are_an_error_and_reach_no_memory(call: Callable[[], object]) -> None:
    """T1."""
    with pytest.raises(ValueError, match=r"out of range|room for|whole number|no rows|a width"):
        call()


def test_what_is_not_a_buffer_or_can_not_be_written_is_an_error() -> None:
    """T1."""
    with pytest.raises(TypeError):
        _native.scatter([1], int32([0]), bytearray(8))  # type: ignore[list-item]
    with pytest.raises(BufferError):
        _native.scatter([int64([1])], int32([0]), bytes(8))


def test_times_and_values_need_not_be_aligned() -> None:
    """T2: whatever the buffer is, rows are touched in place and without the interpreter."""
    out = bytearray(24)

    _native.scatter([memoryview(b"x" + int64([5, 6]))[1:], int64([7])], int32([2, 0, 1]), out)

    assert list(memoryview(out).cast("q")) == [6, 7, 5]
