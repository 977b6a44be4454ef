"""Turns of statements."""

import threading

import pytest

from engine.query import limits
from engine.query.limits import TooManyQueries, Turn, Turns
from engine.query.stop import StatementStopped, Stop


def test_statements_beyond_the_limit_wait_and_are_served_in_order() -> None:
    """L1."""
    turns, order = Turns(2), []
    first = turns.take(Stop())
    turns.take(Stop())
    arrived = threading.Semaphore(0)

    def statement(name: int) -> None:
        arrived.release()
        with turns.taken(Stop()):
            order.append(name)

    threads = []
    for name in range(5):
        thread = threading.Thread(target=statement, args=(name,))
        thread.start()
        arrived.acquire()
        while len(turns._waiting) <= name:
            pass
        threads.append(thread)
    assert order == []
    turns.give_back(first)
    for thread in threads:
        thread.join(60)

    assert order == [0, 1, 2, 3, 4]


def test_without_a_limit_nobody_waits() -> None:
    """L1."""
    turns = Turns(None)
    for _ in range(1000):
        turn = turns.take(Stop())
    turns.give_back(turn)


def test_a_statement_that_is_stopped_while_it_waits_leaves_its_place() -> None:
    """L3."""
    turns, stop, ended = Turns(1), Stop(), []
    first = turns.take(Stop())

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
    turns.give_back(first)
    turns.take(Stop())


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """L3."""
    monkeypatch.setattr(limits, "WAITING_MAX", 0)
    turns = Turns(1)
    turns.take(Stop())

    with pytest.raises(TooManyQueries, match="0 queries are waiting for their turn already"):
        turns.take(Stop())


def test_a_long_turn_keeps_nobody_waiting_and_is_given_back_to_nobody() -> None:
    """L6."""
    now_s = [0.0]
    turns = Turns(1, 0.001, lambda: now_s[0])
    long = turns.take(Stop())
    second: list[Turn] = []
    thread = threading.Thread(target=lambda: second.append(turns.take(Stop())))
    thread.start()
    while not turns._waiting:
        pass
    assert turns.pass_over()  # it is not yet long
    now_s[0] = 1.0
    thread.join(60)  # somebody looks every now and then

    third: list[Turn] = []
    thread = threading.Thread(target=lambda: third.append(turns.take(Stop())))
    thread.start()
    while not turns._waiting:
        pass
    turns.give_back(long)  # nobody's any more: whoever waits waits for the second
    assert turns._waiting
    turns.give_back(second[0])
    thread.join(60)

    assert third
