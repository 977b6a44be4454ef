"""Clients that hang up."""

import socket
import threading
import time

from httpapi.hangups import Hangups


def test_who_hangs_up_is_reported_and_who_does_not_is_not() -> None:
    """H1."""
    hangups, gone = Hangups(), threading.Event()
    leaving, leaver = socket.socketpair()
    staying, stayer = socket.socketpair()
    stayed: list[bool] = []
    hangups.watch(leaving, gone.set)
    hangups.watch(staying, lambda: stayed.append(False))

    stayer.send(b"the next request")
    leaver.close()

    assert gone.wait(60)
    assert stayed == []
    for each in (leaving, staying, stayer):
        each.close()


def test_nobody_is_told_after_the_end_even_if_the_number_is_used_again() -> None:
    """H2."""
    hangups, told = Hangups(), []
    first, first_client = socket.socketpair()
    number = first.fileno()
    end = hangups.watch(first, lambda: told.append("first"))

    end()
    first_client.close()
    first.close()
    second, second_client = socket.socketpair()
    gone = threading.Event()
    hangups.watch(second, gone.set)
    second_client.close()

    assert number in (second.fileno(), second_client.fileno())
    assert gone.wait(60)
    time.sleep(0.01)
    assert told == []
    second.close()


def test_a_socket_that_was_closed_too_early_does_no_harm() -> None:
    """H2."""
    hangups = Hangups()
    here, there = socket.socketpair()
    end = hangups.watch(here, lambda: None)
    here.close()
    there.close()

    end()
    end()
