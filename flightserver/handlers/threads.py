"""Threads that are kept for the next one who needs one: a query must not wait for a thread, nor pay for a new one.

Held by tests/unit/flightserver/test_threads.py.
"""

import queue
import threading
from collections.abc import Callable

Task = Callable[[], None]

_IDLE_MAX = 32


class Threads:
    """Runs any number of tasks at once. Tasks raise nothing."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._idle: list[queue.SimpleQueue[Task]] = []
        self._lock = threading.Lock()

    def run(self, task: Task) -> None:
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(inbox,), name=self._name, daemon=True).start()
        inbox.put(task)

    def _work(self, inbox: queue.SimpleQueue[Task]) -> None:
        while True:
            inbox.get()()
            with self._lock:
                if len(self._idle) >= _IDLE_MAX:
                    return
                self._idle.append(inbox)
