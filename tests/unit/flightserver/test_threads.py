"""Threads that are kept for the next task."""

import threading

import pytest

from flightserver.handlers import threads as threads_module
from flightserver.handlers.threads import Threads
from tests.helpers.flight_process import within


def test_tasks_run_at_once_and_their_threads_are_used_again() -> None:
    threads = Threads("test-pool")
    barrier = threading.Barrier(51)
    seen: set[int] = set()

    def task() -> None:
        seen.add(threading.get_ident())
        barrier.wait(60)

    for _ in range(50):
        threads.run(task)
    barrier.wait(60)

    assert len(seen) == 50
    done = threading.Event()
    for _ in range(5):
        done.clear()
        threads.run(done.set)
        assert done.wait(60)
    assert sum(thread.name == "test-pool" for thread in threading.enumerate()) <= 50


def left(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_only_so_many_wait_for_the_next_task() -> None:
    threads = Threads("test-idle")
    barrier = threading.Barrier(101)

    def wait() -> None:
        barrier.wait(10)

    for _ in range(100):
        threads.run(wait)
    barrier.wait(10)

    within(10, lambda: left("test-idle") <= threads_module.IDLE_MAX)


def test_threads_that_nobody_needs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "IDLE_S", 0.05)
    threads = Threads("test-end")
    done = threading.Event()
    threads.run(done.set)
    assert done.wait(10)

    within(10, lambda: left("test-end") == 0)
    done.clear()
    threads.run(done.set)

    assert done.wait(10)
