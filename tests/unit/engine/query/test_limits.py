"""Turns of statements."""

import threading

from engine.query.limits import Turns


def test_statements_beyond_the_limit_wait_and_are_served_in_order() -> None:
    """L1."""
    turns, order = Turns(2), []
    turns.take()
    turns.take()
    arrived = threading.Semaphore(0)

    def statement(name: int) -> None:
        arrived.release()
        turns.take()
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
        turns.take()
    turns.give_back()
