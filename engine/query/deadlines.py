"""Statements that have only so long: one thread for all of them, and none while there are none.

D1  A flag that is not set by then is set at its deadline, with the reason that was given.
D2  Nothing is kept of a statement that is over.

Held by tests/unit/engine/query/test_deadlines.py (D1, D2).
"""

import heapq
import itertools
import threading
import time

from catalog.errors import ServiceError
from engine.query.stop import Stop


class Deadlines:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[int, tuple[Stop, ServiceError]] = {}
        self._order: list[tuple[float, int]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def add(self, stop: Stop, reason: ServiceError, seconds: float) -> None:
        number = next(self._numbers)
        with self._changed:
            self._waiting[number] = stop, reason
            heapq.heappush(self._order, (time.monotonic() + seconds, number))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                self._thread.start()
            self._changed.notify()
        stop.then(lambda: self._forget(number))

    def _forget(self, number: int) -> None:
        with self._changed:
            self._waiting.pop(number, None)
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._order and self._order[0][1] not in self._waiting:
                    heapq.heappop(self._order)
                if not self._order:
                    self._thread = None
                    return
                at_s, number = self._order[0]
                if at_s > time.monotonic():
                    self._changed.wait(at_s - time.monotonic())
                    continue
                stop, reason = self._waiting.pop(number)
            stop.set(reason)
