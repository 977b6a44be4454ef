"""Aggregates of stretches of rows (engine/native/fold.cpp)."""

from __future__ import annotations

import random
from array import array
from math import isnan, nan

import pytest

from engine._native import Fold

FLOAT, INTEGER, UNSIGNED, OTHER = 1, 2, 3, 0
CODES = {FLOAT: "d", INTEGER: "q", UNSIGNED: "Q"}
EVER = (-(2**63), 2**63 - 1)


def bitmap(flags: list[bool]) -> bytes:
    return sum(1 << at for at, flag in enumerate(flags) if flag).to_bytes((len(flags) + 7) // 8, "little")


#: of a key, for each tag: its code and one
TAG_BITS = 21


def values_of(column: tuple[bytes | None, bytes, int], code: str = "q") -> list[float | None]:
    """A column of an outcome; None where it is null."""
    validity, data, nulls = column
    values = list(memoryview(data).cast(code))  # type: ignore[call-overload]
    known = [validity is None or bool(validity[at // 8] >> (at % 8) & 1) for at in range(len(values))]
    assert known.count(False) == nulls
    return [value if is_known else None for value, is_known in zip(values, known, strict=True)]


class Row:
    def __init__(self, code: int, time: int, values: list[float | int | None]) -> None:
        self.code, self.time, self.values = code, time, values


def added(
    fold: Fold, kinds: list[int], keys: list[int], rows: list[Row], times: tuple[int, int], bins: tuple[int, int], ranges: bool
) -> None:
    columns: list[tuple[bytes | None, bytes | None, int]] = []
    for at, kind in enumerate(kinds):
        own = [row.values[at] for row in rows]
        validity = None if None not in own else bitmap([True, False, True, *(value is not None for value in own)])
        values = array(CODES.get(kind, "q"), [value or 0 for value in own]).tobytes() if kind else None
        columns.append((values, validity, 0 if validity is None else 3))
    series, moments = array("i", [row.code for row in rows]), array("q", [row.time for row in rows])
    given = (moments, *times, *bins, columns)
    if not ranges:
        fold.add(series, array("q", keys), *given)
        return
    starts = [at for at in range(len(rows)) if at == 0 or rows[at].code != rows[at - 1].code]
    ends = [*starts[1:], len(rows)][: len(starts)]
    fold.add(None, array("q", [keys[rows[at].code] for at in starts]), *given, array("i", starts), array("i", ends))


@pytest.mark.parametrize("ranges", [False, True])
def test_cells_hold_what_a_loop_over_the_rows_finds(ranges: bool) -> None:
    """A1, A2: in any number of calls, in one object or in several that are merged."""
    chance = random.Random(5)
    kinds = [FLOAT, INTEGER, UNSIGNED, OTHER]
    for _ in range(150):
        keys = [chance.choice([-1, 0, 7, 2**40]) for _ in range(5)]
        rows = [
            Row(
                chance.randrange(5),
                chance.randint(-40, 40),
                [
                    chance.choice([None, chance.randint(-9, 9) / 4]),
                    chance.choice([None, chance.randint(-(2**62), 2**62)]),
                    chance.randint(0, 2**64 - 1),
                    chance.choice([None, 1]),
                ],
            )
            for _ in range(chance.randint(0, 40))
        ]
        if ranges:
            rows.sort(key=lambda row: (row.code, row.time))
        first, last = chance.choice([EVER, (-5, 20), (3, 1)])
        origin, width = chance.choice([(0, 0), (0, 7), (13, 5), (-300, 11)])
        folds = [Fold(kinds), Fold(kinds)]
        half = len(rows) // 2
        for fold, part in zip(folds, (rows[:half], rows[half:]), strict=True):
            added(fold, kinds, keys, part, (first, last), (origin, width), ranges)
        folds[0].merge(folds[1])

        expected: dict[tuple[int, int], list[Row]] = {}
        for row in rows:
            if keys[row.code] >= 0 and first <= row.time <= last:
                expected.setdefault((keys[row.code], (row.time - origin) // width if width else 0), []).append(row)
        measured = [(function, at) for at, kind in enumerate(kinds) for function in MEASURES if kind or function == "count"]
        measures = [("count", -1), *measured]
        count, columns = folds[0].outcome([-1, 0, 1], origin, width, measures)
        begins, ones, others = values_of(columns[0]), values_of(columns[1], "i"), values_of(columns[2], "i")
        ordered = sorted(expected, key=lambda cell: (cell[1], cell[0]))
        assert begins == [bin * width + origin for _, bin in ordered]
        assert ones == [None if key % 2**TAG_BITS == 0 else key % 2**TAG_BITS - 1 for key, _ in ordered]
        assert others == [None if key >> TAG_BITS == 0 else (key >> TAG_BITS) - 1 for key, _ in ordered]
        assert count == len(ordered)
        assert values_of(columns[3]) == [len(expected[cell]) for cell in ordered]
        for column, (function, at) in zip(columns[4:], measured, strict=True):
            code = "q" if function == "count" else "d" if function == "avg" else CODES[kinds[at]]
            for cell, found in zip(ordered, values_of(column, code), strict=True):
                own = [value for row in expected[cell] if (value := row.values[at]) is not None]
                assert found == measured_by_loop(function, own, kinds[at]), (function, own)


MEASURES = ("count", "sum", "avg", "min", "max")


def measured_by_loop(function: str, own: list[float], kind: int) -> object:
    if function == "count":
        return len(own)
    if not own:
        return None
    if function in ("min", "max"):
        return (min if function == "min" else max)(own)
    total = sum(own)
    if function == "avg":
        return pytest.approx(total / len(own))
    if kind == FLOAT:
        return pytest.approx(total)
    return int(total) % 2**64 - (2**64 if kind == INTEGER and int(total) % 2**64 >= 2**63 else 0)


def test_times_at_the_ends_of_what_64_bits_hold_have_bins() -> None:
    """A1."""
    fold = Fold([])
    fold.add(array("i", [0, 0]), array("q", [0]), array("q", EVER), *EVER, 5, 2**61, [])

    count, (bins, rows) = fold.outcome([-1], 5, 2**61, [("count", -1)])
    assert count == 2
    assert values_of(bins) == [((time - 5) // 2**61 * 2**61 + 5 + 2**63) % 2**64 - 2**63 for time in EVER]
    assert values_of(rows) == [1, 1]


def test_what_is_no_number_comes_after_all_numbers() -> None:
    """A2: wherever it stands."""
    for values in ([1.0, nan, 3.0], [nan, 1.0, 3.0], [3.0, 1.0, nan]):
        fold = Fold([FLOAT])
        rows = [Row(0, at, [value]) for at, value in enumerate(values)]
        added(fold, [FLOAT], [0], rows, EVER, (0, 0), False)

        _, columns = fold.outcome([], 0, 0, [("min", 0), ("max", 0), ("sum", 0)])
        low, high, total = (values_of(column, "d")[0] for column in columns)
        assert low == 1.0
        assert isnan(high or 0)
        assert isnan(total or 0)


def test_rows_come_by_their_bins_however_they_were_added() -> None:
    """A5: the same cells, added from the end."""
    fold = Fold([INTEGER])
    rows = [Row(code, time, [time]) for time in (30, 10, 20) for code in (1, 0)]
    added(fold, [INTEGER], [1, 2], rows, EVER, (0, 10), False)

    _, columns = fold.outcome([-1, 0], 0, 10, [("max", 0)])

    assert values_of(columns[0]) == [10, 10, 20, 20, 30, 30]
    assert values_of(columns[1], "i") == [0, 1, 0, 1, 0, 1]
    assert values_of(columns[2]) == [10, 10, 20, 20, 30, 30]


def test_no_more_cells_are_made_than_there_may_be() -> None:
    """A4: those that are there can still be added to, and what is merged brings its own room along."""
    first, second = Fold([], 2), Fold([], 1)

    def add(fold: Fold, times: list[int]) -> None:
        fold.add(array("i", [0] * len(times)), array("q", [0]), array("q", times), *EVER, 0, 1, [])

    with pytest.raises(MemoryError):
        add(first, [1, 2, 3])
    add(first, [2, 1, 2])
    add(second, [9])
    with pytest.raises(MemoryError):
        add(second, [8])
    first.merge(second)
    with pytest.raises(MemoryError):
        add(first, [8])

    count, (bins, counts) = first.outcome([-1], 0, 1, [("count", -1)])
    assert (count, values_of(bins), values_of(counts)) == (3, [1, 2, 9], [1, 2, 1])


def test_what_does_not_fit_is_refused() -> None:
    """A1."""
    numbers, times, keys = array("i", [0, 1]), array("q", [0, 1]), array("q", [0, 0])
    whole, ranged = (numbers, keys, times, *EVER, 0, 0), (None, array("q", [0]), times, *EVER, 0, 0)
    for wrong, words in (
        ((array("i", [0, 2]), keys, times, *EVER, 0, 0, []), "without a key"),
        ((array("i", [0]), keys, times, *EVER, 0, 0, []), "length"),
        ((*whole[:6], -1, []), "negative"),
        ((*whole, [], array("i", [0]), array("i", [1])), "length"),
        ((*ranged, [], array("i", [0]), array("i", [3])), "outside"),
        ((*ranged, [], array("i", [1]), array("i", [0])), "outside"),
        ((*ranged, [], array("i", [1])), "length"),
        ((*ranged, [], array("i", [0, 1]), array("i", [1, 2])), "length"),
    ):
        with pytest.raises(ValueError, match=words):
            Fold([]).add(*wrong)
    with pytest.raises(ValueError, match="expected 2"):
        Fold([FLOAT]).add(*whole, [(bytes(8), None, 0)])
    with pytest.raises(ValueError, match="too short"):
        Fold([FLOAT]).add(*whole, [(bytes(16), b"\1", 7)])
    with pytest.raises(ValueError, match="fit the kinds"):
        Fold([FLOAT]).add(*whole, [])
    with pytest.raises(ValueError, match="different kinds"):
        Fold([FLOAT]).merge(Fold([INTEGER]))
    with pytest.raises(ValueError, match="0 to 3"):
        Fold([4])
    for asked, measures, words in (
        ([3], [], "keys"),
        ([], [("sum", -1)], "measure"),
        ([], [("sum", 1)], "measure"),
        ([], [("median", 0)], "measure"),
        ([], ["count"], "tuple"),
    ):
        with pytest.raises(ValueError, match=words):
            Fold([FLOAT]).outcome(asked, 0, 0, measures)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="measure"):
        Fold([OTHER]).outcome([], 0, 0, [("max", 0)])
