"""Threads that are kept a while for the next one who needs one: a query must not wait for a thread, nor pay for a new one.

Held by tests/unit/flightserver/test_threads.py.
"""

import queue
import threading
from collections.abc import Callable

Task = Callable[[], None]

IDLE_MAX = 32
IDLE_S = 10.0


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
            try:
                task = inbox.get(timeout=IDLE_S)
            except queue.Empty:
                if self._leave(inbox):
                    return
                continue
            task()
            del task  # whatever it holds must not live as long as this thread waits
            with self._lock:
                if len(self._idle) >= IDLE_MAX:
                    return
                self._idle.append(inbox)

    def _leave(self, inbox: queue.SimpleQueue[Task]) -> bool:
        """Nobody will send anything any more, unless somebody has just taken the inbox to do so."""
        with self._lock:
            if inbox not in self._idle:
                return False
            self._idle.remove(inbox)
            return True
