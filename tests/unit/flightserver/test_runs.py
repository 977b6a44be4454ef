"""Results that follow each other."""

from collections.abc import Iterator

import pyarrow as pa
import pytest

from engine.requests import QueryResult
from flightserver.errors import Cancelled
from flightserver.handlers.runs import Runs, chained

SCHEMA = pa.schema([("n", pa.int64())])


def result(closed: list[int], name: int, *numbers: int) -> QueryResult:
    batches: Iterator[pa.RecordBatch] = iter([pa.record_batch([[n]], schema=SCHEMA) for n in numbers])
    return QueryResult(SCHEMA, batches, lambda: closed.append(name))


def test_results_are_read_one_after_the_other_and_each_is_closed() -> None:
    closed: list[int] = []

    whole = chained(Runs(), result(closed, 1, 1, 2), (result(closed, name, name) for name in (2, 3)))

    assert [batch.column(0).to_pylist() for batch in whole] == [[1], [2], [2], [3]]
    assert closed == [1, 2, 3]


def test_closing_ends_the_current_result_and_begins_no_other() -> None:
    """G1."""
    closed: list[int] = []
    begun: list[int] = []

    def others() -> Iterator[QueryResult]:
        for name in (2, 3):
            begun.append(name)
            yield result(closed, name, name)

    whole = chained(Runs(), result(closed, 1, 1), others())
    batches = iter(whole)
    next(batches)
    whole.close()

    assert closed == [1]
    with pytest.raises(Cancelled):
        next(batches)
    assert begun == []


def test_a_result_that_comes_too_late_is_closed_at_once() -> None:
    """G1."""
    closed: list[int] = []
    runs = Runs()
    runs.close()

    with pytest.raises(Cancelled):
        runs.begin(result(closed, 1, 1))

    assert closed == [1]


def test_closing_ends_the_planning_of_the_next_result() -> None:
    """G1: also when it begins too late."""
    ended: list[str] = []
    runs = Runs()

    with runs.watched(lambda: ended.append("first")):
        runs.close()
    with runs.watched(lambda: ended.append("second")):
        pass

    assert ended == ["first", "second"]
