"""Threads that are kept for the next task."""

import threading

from flightserver.handlers.threads import Threads


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


def test_only_so_many_wait_idly() -> None:
    threads = Threads("test-idle")
    barrier = threading.Barrier(101)

    def wait() -> None:
        barrier.wait(60)

    for _ in range(100):
        threads.run(wait)
    barrier.wait(60)

    def left() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "test-idle"]

    for thread in left():
        thread.join(0.05 if len(left()) <= 32 else 1)
    assert len(left()) <= 32
