"""Ranges of rows (engine/native/scan.cpp)."""

from __future__ import annotations

import random
from array import array

import pytest

from engine._native import clip, spread


def ints(values: list[int]) -> array[int]:
    return array("i", values)


def longs(values: list[int]) -> array[int]:
    return array("q", values)


@pytest.mark.parametrize("ordered", [False, True])
def test_clipped_ranges_hold_the_times_between(ordered: bool) -> None:
    """N1: against the obvious loop."""
    chance = random.Random(7)
    for _ in range(200):
        lengths = [chance.randint(0, 6) for _ in range(chance.randint(0, 5))]
        times = [time for length in lengths for time in sorted(chance.sample(range(20), length))]
        ends = [sum(lengths[: at + 1]) for at in range(len(lengths))]
        begins = [end - length for end, length in zip(ends, lengths, strict=True)]
        first, last = chance.randint(-2, 22), chance.randint(-2, 22)
        order = list(range(len(times)))
        chance.shuffle(order)
        shuffled = [0] * len(times)
        for position, row in enumerate(order):
            shuffled[row] = times[position]

        given = (longs(shuffled), ints(begins), ints(ends), first, last, ints(order))
        low, high = clip(*given) if ordered else clip(longs(times), ints(begins), ints(ends), first, last)

        for begin, end, a, b in zip(begins, ends, low.cast("i"), high.cast("i"), strict=True):
            assert [times[at] for at in range(a, b)] == [time for time in times[begin:end] if first <= time <= last]


def test_ranges_outside_the_rows_are_refused() -> None:
    """N1."""
    for begins, ends in (([0], [3]), ([2], [1]), ([-1], [1])):
        with pytest.raises(ValueError, match="outside"):
            clip(longs([1, 2]), ints(begins), ints(ends), 0, 9)
    with pytest.raises(ValueError, match="out of range"):
        clip(longs([1, 2]), ints([0]), ints([2]), 0, 9, ints([0, 2]))
    with pytest.raises(ValueError, match="length"):
        clip(longs([1, 2]), ints([0]), ints([1, 2]), 0, 9)
    with pytest.raises(ValueError, match="length"):
        clip(longs([1, 2]), ints([0]), ints([2]), 0, 9, ints([0]))
    with pytest.raises(ValueError, match="ends before"):
        spread(ints([2]), ints([1]))


def test_spread_ranges_are_row_numbers() -> None:
    """N2."""
    assert list(spread(ints([4, 0, 2]), ints([6, 0, 3])).cast("i")) == [4, 5, 2]
    assert list(spread(ints([]), ints([])).cast("i")) == []
