"""The flag of a statement."""

import threading

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest
from engine.query.stop import PIECE_ROWS, SEARCHED_BYTES, StatementStopped, Stop


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


def test_the_more_often_texts_are_searched_the_smaller_are_the_pieces() -> None:
    """X3."""
    large = pa.record_batch({"s": ["ab" * 50] * PIECE_ROWS})

    pieces = list(Stop(searches=300).checked([large]))

    assert max(piece.nbytes for piece in pieces) <= SEARCHED_BYTES // 300
    assert sum(piece.num_rows for piece in pieces) == PIECE_ROWS
    assert [piece.num_rows for piece in Stop(searches=10**9).checked([large.slice(0, 3)])] == [1, 1, 1]
    assert len(list(Stop(searches=1).checked([large]))) == 1


def test_a_piece_is_charged_for_its_own_memory_alone() -> None:
    """X4."""
    large = pa.record_batch({"n": range(3 * PIECE_ROWS), "s": ["x" * 20] * (3 * PIECE_ROWS)})
    tags = pa.record_batch({"t": pa.array(["a", None, "b"] * PIECE_ROWS).dictionary_encode()})

    pieces = list(Stop().checked([large, large.slice(5, 10), tags]))

    assert all(column.offset == 0 for piece in pieces for column in piece.columns)
    assert pa.Table.from_batches(pieces[:4]).equals(pa.Table.from_batches([large, large.slice(5, 10)]))
    assert pa.Table.from_batches(pieces[4:]).equals(pa.Table.from_batches([tags]))
