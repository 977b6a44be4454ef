"""In which files the ends of series can be (engine/query/scan.py)."""

import random

import pytest

from engine.buffer.rows import HeldFile, TimeRange
from engine.files.manifest import DataFile
from engine.query.scan import ending
from engine.query.shapes.needs import End

SERIES = {"few": ("a", "b"), "many": ("a", "b", "c", "d"), "": ("a", "e")}


def test_of_files_with_the_same_series_the_last_is_enough() -> None:
    """K4."""
    files = [HeldFile(DataFile(f"{n}.parquet", 1, 0, 2, 9, n * 10, n * 10 + 9, "few")) for n in range(100)]
    times = TimeRange(0, 995)

    assert ending(files, TimeRange(0, 999), [End(newest=True)]) == files[-1:]
    assert ending(files, TimeRange(0, 999), [End(newest=False)]) == files[:1]
    assert ending(files, times, [End(newest=True), End(newest=False)]) == [files[0], *files[98:]]


@pytest.mark.parametrize("seed", range(40))
def test_each_series_end_is_in_one_of_the_files(seed: int) -> None:
    """K4: however they overlap, wherever the condition cuts them."""
    chance = random.Random(seed)
    rows: dict[int, list[tuple[str, int]]] = {}
    files = []
    for number in range(chance.randint(1, 12)):
        digest = chance.choice(list(SERIES))
        begin, span = chance.randint(0, 60), chance.choice([0, 5, 30])
        own = [(series, chance.randint(begin, begin + span)) for series in SERIES[digest] for _ in range(chance.randint(1, 3))]
        known = [time for _, time in own]
        files.append(HeldFile(DataFile(f"{number}.parquet", 1, 0, len(own), 9, min(known), max(known), digest)))
        rows[id(files[-1])] = own
    for _ in range(20):
        begin = chance.randint(-5, 60)
        times = TimeRange(begin, begin + chance.choice([0, 20, 200]))
        near = [held for held in files if held.times.overlaps(times)]
        newest = chance.random() < 0.5
        kept = ending(near, times, [End(newest)])
        for series in "abcde":
            found = {
                id(held): [time for name, time in rows[id(held)] if name == series and times.start_ns <= time <= times.end_ns]
                for held in near
            }
            every = [time for own in found.values() for time in own]
            if every:
                end = max(every) if newest else min(every)
                assert any(end in found[id(held)] for held in kept)
