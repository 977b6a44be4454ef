"""Ranges of rows (engine/native/scan.cpp)."""

from __future__ import annotations

import random
from array import array

import pytest

from engine._native import find_ranges, spread


def ints(values: list[int]) -> array[int]:
    return array("i", values)


def longs(values: list[int]) -> array[int]:
    return array("q", values)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("ascending", [False, True])
def test_ranges_hold_the_wanted_series_and_times(ordered: bool, ascending: bool) -> None:
    """N1: against the obvious loop."""
    chance = random.Random(7)
    for _ in range(300):
        lengths = [chance.randint(1, 6) for _ in range(chance.randint(0, 5))]
        numbers = chance.sample(range(8), len(lengths))
        if ascending:
            numbers.sort()
        runs = [sorted(chance.sample(range(20), length)) for length in lengths]
        times = [time for run in runs for time in run]
        starts = [sum(lengths[:at]) for at in range(len(lengths))]
        first, last = chance.choice([-(2**63), chance.randint(-2, 22)]), chance.choice([2**63 - 1, chance.randint(-2, 22)])
        wanted = None if chance.random() < 0.3 else sorted(chance.sample(range(10), chance.randint(0, 5)))
        order = list(range(len(times)))
        chance.shuffle(order)
        shuffled = [0] * len(times)
        for position, row in enumerate(order):
            shuffled[row] = times[position]

        begins, ends, rows = find_ranges(
            ints(numbers),
            ints(starts),
            longs(shuffled if ordered else times),
            first,
            last,
            None if wanted is None else ints(wanted),
            ascending,
            ints(order) if ordered else None,
        )

        found = [times[begin:end] for begin, end in zip(begins.cast("i"), ends.cast("i"), strict=True)]
        left = [
            [time for time in run if first <= time <= last]
            for number, run in zip(numbers, runs, strict=True)
            if wanted is None or number in wanted
        ]
        assert found == [run for run in left if run]
        assert rows == sum(map(len, left))


def test_runs_outside_the_rows_are_refused() -> None:
    """N1."""
    for starts in ([3], [2, 1], [-1]):
        with pytest.raises(ValueError, match="outside"):
            find_ranges(ints(list(range(len(starts)))), ints(starts), longs([1, 2]), 0, 9)
    with pytest.raises(ValueError, match="out of range"):
        find_ranges(ints([0]), ints([0]), longs([1, 2]), 0, 9, order=ints([0, 2]))
    with pytest.raises(ValueError, match="length"):
        find_ranges(ints([0]), ints([1, 2]), longs([1, 2]), 0, 9)
    with pytest.raises(ValueError, match="length"):
        find_ranges(ints([0]), ints([0]), longs([1, 2]), 0, 9, order=ints([0]))
    with pytest.raises(ValueError, match="ends before"):
        spread(ints([2]), ints([1]))


def test_spread_ranges_are_row_numbers() -> None:
    """N2."""
    assert list(spread(ints([4, 0, 2]), ints([6, 0, 3])).cast("i")) == [4, 5, 2]
    assert list(spread(ints([]), ints([])).cast("i")) == []
