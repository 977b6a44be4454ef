"""Rows by series and time against the obvious loop."""

from random import Random

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._native import SeriesIndex
from engine.batch import SERIES, TIME
from engine.buffer.rows import TimeRange
from engine.query.predicate import Predicate
from engine.query.select import SeriesSet, Sought, ranges_of, selected, series_matching
from engine.query.texts import Like

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(-5, 20)), max_size=60)
ORDERS = st.permutations(range(7))
WANTED = st.none() | st.frozensets(st.integers(0, 7))
RANGES = st.tuples(st.integers(-6, 21), st.integers(-6, 21)).map(lambda ends: TimeRange(min(ends), max(ends)))


def batch(rows: list[tuple[int, int]]) -> pa.RecordBatch:
    series = pa.array([number for number, _ in rows], pa.int32())
    times = pa.array([time for _, time in rows], pa.int64()).cast(pa.timestamp("ns"))
    return pa.record_batch(
        [series, times, pa.array(range(len(rows)))], schema=pa.schema([SERIES, TIME, pa.field("v", pa.int64())])
    )


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, order=ORDERS, wanted=WANTED, times=RANGES, grouped=st.booleans(), cut=st.integers(0, 3))
def test_selected_rows_are_those_of_the_loop(
    rows: list[tuple[int, int]], order: list[int], wanted: frozenset[int] | None, times: TimeRange, grouped: bool, cut: int
) -> None:
    """E1: whatever order the groups come in, and with rows that are a slice of a batch."""
    if grouped:
        rows = sorted(set(rows), key=lambda row: (order[row[0]], row[1]))
    given_rows = batch(rows).slice(min(cut, len(rows)))
    series = None if wanted is None else SeriesSet(pa.array(sorted(wanted), pa.int32()), len(wanted))

    chosen = selected(given_rows, grouped, Predicate(times), series)

    expected = [
        number + cut
        for number, (row_series, time) in enumerate(rows[cut:])
        if (wanted is None or row_series in wanted) and times.start_ns <= time <= times.end_ns
    ]
    assert sorted(chosen.column(2).to_pylist()) == expected


@settings(max_examples=300, deadline=None)
@given(
    rows=ROWS.map(lambda rows: sorted(set(rows))),
    wanted=WANTED,
    times=RANGES,
    grouped=st.booleans(),
    count=st.integers(1, 4),
    nulls=st.frozensets(st.integers(0, 60)),
    seed=st.randoms(use_true_random=False),
)
def test_newest_and_oldest_rows_are_those_of_the_loop(
    rows: list[tuple[int, int]],
    wanted: frozenset[int] | None,
    times: TimeRange,
    grouped: bool,
    count: int,
    nulls: frozenset[int],
    seed: Random,
) -> None:
    """E3: each key once; in order of (series, time), or in any."""
    if not grouped:
        seed.shuffle(rows)
    values = pa.array([None if at in nulls else at for at in range(len(rows))], pa.int64())
    given_rows = batch(rows).set_column(2, "v", values)
    series = None if wanted is None else SeriesSet(pa.array(sorted(wanted), pa.int32()), len(wanted))

    ranges = ranges_of(given_rows, given_rows, grouped, Predicate(times), series)

    def expected(newest: bool, count: int, valid: bool) -> list[int]:
        found = []
        for number in range(7):
            own = [(time, at) for at, (series, time) in enumerate(rows) if series == number and (at not in nulls or not valid)]
            own = [(time, at) for time, at in own if times.start_ns <= time <= times.end_ns]
            found += [at for _, at in sorted(own, reverse=newest)[:count]] if wanted is None or number in wanted else []
        return sorted(found)

    assert sorted(ranges.newest(count).to_pylist()) == expected(True, count, False)
    assert sorted(ranges.oldest(count).to_pylist()) == expected(False, count, False)
    assert sorted(ranges.newest(1, "v").to_pylist()) == expected(True, 1, True)
    assert sorted(ranges.oldest(1, "v").to_pylist()) == expected(False, 1, True)
    assert ranges.newest(1, "never written").to_pylist() == []


@settings(max_examples=300, deadline=None)
@given(
    rows=ROWS.map(lambda rows: sorted(set(rows), key=lambda row: row[1])),
    cuts=st.lists(st.integers(1, 12), max_size=12),
    stray=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 12)), max_size=4),
    wanted=WANTED,
    times=RANGES,
    nulls=st.frozensets(st.integers(0, 60)),
    newest=st.booleans(),
)
def test_what_is_sought_in_chunk_after_chunk_are_each_series_last_rows(
    rows: list[tuple[int, int]],
    cuts: list[int],
    stray: list[tuple[int, int]],
    wanted: frozenset[int] | None,
    times: TimeRange,
    nulls: frozenset[int],
    newest: bool,
) -> None:
    """E4: rows in order of time, some of them late, in chunks; of all rows, and of those with a value."""
    values = {row: None if at in nulls else at for at, row in enumerate(rows)}
    chunks: list[list[tuple[int, int]]] = [[] for _ in range(len(cuts) + 1)]
    ends = [sum(cuts[:at]) for at in range(1, len(cuts) + 1)]
    for at, row in enumerate(rows):
        late = [to for which, to in stray if which == at]
        chunks[min(late[0], len(cuts)) if late else sum(at >= end for end in ends)].append(row)
    kept = [chunk for chunk in chunks if chunk]
    kept.sort(key=lambda chunk: -max(time for _, time in chunk) if newest else min(time for _, time in chunk))
    series = None if wanted is None else SeriesSet(pa.array(sorted(wanted), pa.int32()), 8)
    sought = Sought(series, 8, times, newest=newest)
    found: dict[str | None, list[tuple[int, int]]] = {None: [], "v": []}

    for chunk in kept:
        here = batch(chunk).set_column(2, "v", pa.array([values[row] for row in chunk], pa.int64()))
        within = sought.within(TimeRange(min(time for _, time in chunk), max(time for _, time in chunk)))
        ranges = ranges_of(here, here, False, Predicate(times), series if within is None else within)
        rows_found = [here.take(ranges.newest(1, field) if newest else ranges.oldest(1, field)) for field in found]
        sought.found([each.select([0, 1]) for each in rows_found])
        for field, each in zip(found, rows_found, strict=True):
            found[field] += zip(each.column(0).to_pylist(), each.column(1).view(pa.int64()).to_pylist(), strict=True)

    for field, pairs in found.items():
        matching = [row for row in rows if (wanted is None or row[0] in wanted) and times.start_ns <= row[1] <= times.end_ns]
        own = [row for row in matching if field is None or values[row] is not None]
        last = max if newest else min
        expected = {number: last(time for other, time in own if other == number) for number, _ in own}
        assert {number: last(time for other, time in pairs if other == number) for number, _ in pairs} == expected


def test_chunks_in_order_of_time_are_asked_for_nothing_once_every_series_was_found() -> None:
    """E4."""
    sought = Sought(None, 2, TimeRange(-100, 100), newest=True)

    assert sought.within(TimeRange(10, 20)) is None
    sought.found([batch([(0, 15), (1, 9)]).select([0, 1])])
    assert [len(sought.within(times) or ()) for times in (TimeRange(5, 12), TimeRange(0, 9))] == [1, 0]


@settings(max_examples=200, deadline=None)
@given(
    keys=st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from(["x", "y", None])), min_size=1, max_size=9, unique=True
    ),
    first=st.none() | st.frozensets(st.sampled_from(["a", "b", "c", None])),
    second=st.none() | st.frozensets(st.sampled_from(["x", "y", None])),
    without=st.none() | st.frozensets(st.sampled_from(["a", "c", None])),
    pattern=st.none() | st.sampled_from(["x%", "%", "z"]),
)
def test_matching_series_are_those_of_the_loop(
    keys: list[tuple[str | None, str | None]],
    first: frozenset[str | None] | None,
    second: frozenset[str | None] | None,
    without: frozenset[str | None] | None,
    pattern: str | None,
) -> None:
    """E2."""
    index = SeriesIndex(2)
    index.resolve([pa.array([a for a, _ in keys], pa.utf8()), pa.array([b for _, b in keys], pa.utf8())], len(keys))
    tags = {name: values for name, values in (("p", first), ("q", second)) if values is not None}

    tests = {"q": (Like(pattern),)} if pattern is not None else {}

    found = series_matching(
        index, ("p", "q"), Predicate(tags=tags, without={"p": without} if without is not None else {}, tests=tests)
    )

    expected = [
        n
        for n, (a, b) in enumerate(keys)
        if (first is None or a in first)
        and (second is None or b in second)
        and (without is None or a not in without)
        and (pattern is None or (b is not None and (pattern == "%" or b == pattern.removesuffix("%"))))
    ]
    assert (found is None) == (not tags and without is None and pattern is None)
    assert found is None or found.numbers.to_pylist() == expected
