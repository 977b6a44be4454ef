"""A statement's flag: set once, from any thread, seen by all that the statement does.

X1  What is set stays set, and the first reason counts: whoever asks afterwards is told it.
X2  A scan that is asked for a batch raises when the flag is set. DataFusion has no cancel: this is what ends its work.
X3  A batch that a scan hands on has at most PIECE_ROWS rows, so that the next look at the flag is never far away.

Held by tests/unit/engine/query/test_stop.py (X1-X3).
Elsewhere: who sets it (executor.py), work that asks no scan (child.py).
"""

import threading
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from catalog.errors import ServiceError, Unavailable

PIECE_ROWS = 32_768


class StatementStopped(Unavailable):
    """Nobody wants the rest of the statement."""

    code = "statement_stopped"


def stopped() -> StatementStopped:
    return StatementStopped("the query was cancelled")


class Stop:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._then: list[Callable[[], None]] = []
        self.reason: ServiceError | None = None

    def set(self, reason: ServiceError | None = None) -> None:
        """Returns when all who asked to be told have been, each by a call that returns at once."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason or stopped()
            told, self._then = self._then, []
        for tell in told:
            tell()

    def then(self, tell: Callable[[], None]) -> None:
        """Call once the flag is set: at once, if it is."""
        with self._lock:
            if self.reason is None:
                self._then.append(tell)
                return
        tell()

    def forget(self, tell: Callable[[], None]) -> None:
        with self._lock:
            if tell in self._then:
                self._then.remove(tell)

    def check(self) -> None:
        if self.reason is not None:
            raise self.reason

    def sleep(self, seconds: float) -> None:
        """Wait so long, or until the flag is set; then raise."""
        if seconds > 0:
            woken = threading.Event()
            self.then(woken.set)
            woken.wait(seconds)
            self.forget(woken.set)
        self.check()

    def checked(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """X2, X3."""
        self.check()
        for batch in batches:
            for start in range(0, batch.num_rows, PIECE_ROWS):
                self.check()
                yield batch if batch.num_rows <= PIECE_ROWS else batch.slice(start, PIECE_ROWS)
            self.check()
