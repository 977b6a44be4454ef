"""The last and first rows of the series of a file."""

import random

import pyarrow as pa
import pytest

from engine.files.tails import Tails, tails_of

TAG = pa.dictionary(pa.int32(), pa.utf8())
SCHEMA = pa.schema([("a", TAG), ("b", TAG), ("time", pa.int64())])
Key = tuple[str | None, str | None]


def table(rows: list[tuple[str | None, str | None, int]]) -> pa.Table:
    return pa.Table.from_pylist([{"a": a, "b": b, "time": time} for a, b, time in rows], SCHEMA)


@pytest.mark.parametrize("newest", [False, True])
def test_each_combination_of_tags_has_one_row(newest: bool) -> None:
    """L1: wherever the parts are cut."""
    chance = random.Random(3)
    for _ in range(100):
        keys: list[Key] = [(a, b) for a in (None, "x", "y") for b in (None, "p", "q")]
        rows = [(*key, time) for key in keys for time in sorted(chance.sample(range(9), chance.randint(0, 4)))]
        cuts = sorted(chance.sample(range(len(rows) + 1), min(2, len(rows))))
        ends = zip([0, *cuts], [*cuts, len(rows)], strict=True)
        parts = [table(rows[begin:end]) for begin, end in ends]

        found = tails_of(parts, ("a", "b"), newest=newest)

        expected: dict[Key, int] = {}
        for a, b, time in rows:
            expected[a, b] = max(expected.get((a, b), time), time) if newest else min(expected.get((a, b), time), time)
        assert (found is None) == (not rows)
        if found is not None:
            assert [tuple(row.values()) for row in found.to_pylist()] == [(*key, time) for key, time in expected.items()]


def test_without_tags_there_is_one_series() -> None:
    """L1."""
    found = tails_of([table([("x", None, 1), ("x", None, 2)]), table([("y", "p", 3)])], (), newest=False)

    assert found is not None
    assert found.column("time").to_pylist() == [1]


def test_tails_are_kept_within_a_budget() -> None:
    """L2."""
    made: list[str] = []

    def ask(path: str) -> None:
        def make() -> pa.Table:
            made.append(path)
            return table([("x", "p", 1)])

        tails.of((path, True, 3), make)

    tails = Tails(2 * table([("x", "p", 1)]).nbytes)
    for path in "abacab":
        ask(path)

    assert made == ["a", "b", "c", "b"]
    assert tails.byte_count <= 2 * table([("x", "p", 1)]).nbytes
