"""Deadlines of statements."""

import threading
import time

import pytest

from catalog.errors import InvalidRequest
from engine.query.deadlines import Deadlines
from engine.query.stop import Stop


def test_each_flag_is_set_at_its_own_deadline() -> None:
    """D1."""
    deadlines, late, soon = Deadlines(), Stop(), Stop()
    woken = threading.Event()
    soon.then(woken.set)

    deadlines.add(late, InvalidRequest("late"), 600)
    deadlines.add(soon, InvalidRequest("soon"), 0.01)

    assert woken.wait(60)
    with pytest.raises(InvalidRequest, match="soon"):
        soon.check()
    late.check()
    late.set()


def test_nothing_is_kept_of_what_is_over_and_no_thread_stays() -> None:
    """D2."""
    deadlines = Deadlines()
    for _ in range(100):
        stop = Stop()
        deadlines.add(stop, InvalidRequest("never"), 600)
        stop.set()

    give_up_s = time.monotonic() + 60
    while deadlines._thread is not None and time.monotonic() < give_up_s:
        time.sleep(0.001)

    assert deadlines._thread is None
    assert not deadlines._waiting
    assert not deadlines._order
