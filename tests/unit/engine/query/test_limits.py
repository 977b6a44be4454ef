"""Turns of statements."""

import threading

import pytest

from engine.query import limits
from engine.query.limits import TooManyQueries, Turns
from engine.query.stop import StatementStopped, Stop


def test_statements_beyond_the_limit_wait_and_are_served_in_order() -> None:
    """L1."""
    turns, order = Turns(2), []
    turns.take(Stop())
    turns.take(Stop())
    arrived = threading.Semaphore(0)

    def statement(name: int) -> None:
        arrived.release()
        turns.take(Stop())
        order.append(name)
        turns.give_back()

    threads = []
    for name in range(5):
        thread = threading.Thread(target=statement, args=(name,))
        thread.start()
        arrived.acquire()
        while len(turns._waiting) <= name:
            pass
        threads.append(thread)
    assert order == []
    turns.give_back()
    for thread in threads:
        thread.join(60)

    assert order == [0, 1, 2, 3, 4]


def test_without_a_limit_nobody_waits() -> None:
    """L1."""
    turns = Turns(None)
    for _ in range(1000):
        turns.take(Stop())
    turns.give_back()


def test_a_statement_that_is_stopped_while_it_waits_leaves_its_place() -> None:
    """L3."""
    turns, stop, ended = Turns(1), Stop(), []
    turns.take(Stop())

    def statement() -> None:
        with pytest.raises(StatementStopped):
            turns.take(stop)
        ended.append(True)

    thread = threading.Thread(target=statement)
    thread.start()
    while not turns._waiting:
        pass
    stop.set()
    thread.join(60)

    assert ended == [True]
    turns.give_back()
    turns.take(Stop())


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """L3."""
    monkeypatch.setattr(limits, "WAITING_MAX", 0)
    turns = Turns(1)
    turns.take(Stop())

    with pytest.raises(TooManyQueries, match="0 queries are waiting for their turn already"):
        turns.take(Stop())
