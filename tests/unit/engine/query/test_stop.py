"""The flag of a statement."""

import threading

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest
from engine.query.stop import PIECE_ROWS, StatementStopped, Stop


def test_the_first_reason_counts_and_whoever_waits_is_told() -> None:
    """X1."""
    stop, told = Stop(), []
    stop.then(lambda: told.append("before"))
    stop.check()

    stop.set(InvalidRequest("one"))
    stop.set(InvalidRequest("two"))
    stop.then(lambda: told.append("after"))

    assert told == ["before", "after"]
    with pytest.raises(InvalidRequest, match="one"):
        stop.check()


def test_who_has_lost_interest_is_not_told() -> None:
    """X1."""
    stop, told = Stop(), []

    def tell() -> None:
        told.append(True)

    stop.then(tell)
    stop.forget(tell)
    stop.set()

    assert told == []


def test_a_scan_ends_when_the_flag_is_set() -> None:
    """X2."""
    stop = Stop()
    batches = stop.checked(pa.record_batch({"a": [n]}) for n in range(10**9))
    next(batches)

    stop.set()

    with pytest.raises(StatementStopped, match="the query was cancelled"):
        next(batches)


def test_a_large_batch_comes_in_pieces_and_nothing_is_lost() -> None:
    """X3."""
    large = pa.record_batch({"a": pa.array(range(2 * PIECE_ROWS + 1))})
    counted = large.select([])

    pieces = list(Stop().checked([large, large.slice(0, 3)]))

    assert [piece.num_rows for piece in pieces] == [PIECE_ROWS, PIECE_ROWS, 1, 3]
    assert pa.Table.from_batches(pieces[:3]).combine_chunks() == pa.Table.from_batches([large])
    assert sum(piece.num_rows for piece in Stop().checked([counted])) == large.num_rows


def test_a_pause_ends_early_when_the_flag_is_set() -> None:
    """X1."""
    stop = Stop()
    threading.Timer(0.01, stop.set).start()

    with pytest.raises(StatementStopped):
        stop.sleep(600)
    Stop().sleep(0.001)
