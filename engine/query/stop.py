"""A statement's flag: set once, from any thread, seen by all that the statement does.

X1  What is set stays set, and the first reason counts: whoever asks afterwards is told it.
X2  A scan that is asked for a batch raises when the flag is set. DataFusion has no cancel: this is what ends its work.
X3  A batch that a scan hands on has at most PIECE_ROWS rows, and fewer bytes the more often a statement searches them, so that
    the next look at the flag is never far away.
X4  No column of it is a later part of a longer one: DataFusion charges whoever keeps it for all that lies before.

Held by tests/unit/engine/query/test_stop.py (X1-X4).
Elsewhere: who sets it (executor.py), work that asks no scan (child.py).
"""

import threading
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from catalog.errors import ServiceError, Unavailable

PIECE_ROWS = 32_768
#: so many bytes, each time that one of them is searched, take some ten milliseconds
SEARCHED_BYTES = 8 << 20


class StatementStopped(Unavailable):
    """Nobody wants the rest of the statement."""

    code = "statement_stopped"


def stopped() -> StatementStopped:
    return StatementStopped("the query was cancelled")


class Stop:
    def __init__(self, searches: int = 0) -> None:
        """`searches`: how often the statement looks through a text of a row."""
        self._piece_bytes = SEARCHED_BYTES // searches if searches else None
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
        """X2-X4."""
        self.check()
        for batch in batches:
            rows = self._rows_of_a_piece(batch)
            for start in range(0, batch.num_rows, rows):
                self.check()
                yield _alone(batch if batch.num_rows <= rows else batch.slice(start, rows))
            self.check()

    def _rows_of_a_piece(self, batch: pa.RecordBatch) -> int:
        if self._piece_bytes is None or batch.nbytes <= self._piece_bytes:
            return PIECE_ROWS
        rows: int = batch.num_rows * self._piece_bytes // batch.nbytes
        return max(1, min(PIECE_ROWS, rows))


def _alone(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = batch.columns
    if not any(column.offset for column in columns):
        return batch
    own = [_from_its_first_value(column) if column.offset else column for column in columns]
    return pa.RecordBatch.from_arrays(own, schema=batch.schema)


def _from_its_first_value(column: pa.Array) -> pa.Array:
    if not pa.types.is_primitive(column.type) or pa.types.is_boolean(column.type) or column.null_count:
        return pa.concat_arrays([column])  # copies
    width = column.type.byte_width
    values = column.buffers()[1].slice(column.offset * width, len(column) * width)
    return pa.Array.from_buffers(column.type, len(column), [None, values], 0)
