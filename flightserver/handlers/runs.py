"""Several results that follow each other and are closed as one: whoever runs them may be stopped at any of them.

G1  After `close` the result that is being read, or planned, is closed, no other one begins, and whoever reads hears of it.

Held by tests/unit/flightserver/test_runs.py (G1).
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pyarrow as pa

from engine.requests import QueryResult
from flightserver.errors import Cancelled


class Runs:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end_current: Callable[[], None] | None = None
        self._is_closed = False

    def read(self, result: QueryResult) -> Iterator[pa.RecordBatch]:
        self.begin(result)
        try:
            yield from result
        finally:
            result.close()
        self._check()

    def begin(self, result: QueryResult) -> None:
        """The result that `close` ends from now on."""
        with self._lock:
            self._end_current = result.close
        if self._is_closed:
            result.close()
        self._check()

    @contextmanager
    def watched(self, cancel: Callable[[], None]) -> Iterator[None]:
        """While a result is planned, `close` ends that."""
        with self._lock:
            self._end_current = cancel
        if self._is_closed:
            cancel()
        yield

    def close(self) -> None:
        with self._lock:
            self._is_closed, end = True, self._end_current
        if end is not None:
            end()

    def _check(self) -> None:
        if self._is_closed:
            raise Cancelled("the query was cancelled")


def chained(runs: Runs, first: QueryResult, others: Iterable[QueryResult]) -> QueryResult:
    """One result after the other; each of `others` is made when its turn comes."""
    runs.begin(first)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from runs.read(first)
        for result in others:
            yield from runs.read(result)

    return QueryResult(first.schema, batches(), runs.close)
