"""A statement at work.

It begins when its first batch is wanted, in its turn, and ends once: read to the end, left, or failed. Closing it, from any
thread, returns at once; what runs finds the flag set.

Held by tests/integration/engine/test_query.py and tests/integration/engine/test_cancelling.py.
Elsewhere: what it runs (planned.py), where (elsewhere/), whose turn it is (limits.py).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import pyarrow as pa
from datafusion import DataFrame

from catalog.errors import ServiceError
from engine import events
from engine.events import LoggedQuery
from engine.metrics import Metrics
from engine.query.elsewhere.workers import Workers
from engine.query.limits import QueryLimits, TooMuchMemory, Turn, Turns
from engine.query.messages import is_panic, runs_out_of_memory
from engine.query.planned import Planned
from engine.query.report import files_read
from engine.query.stop import Stop


class Running:
    def __init__(
        self,
        planned: Planned,
        entry: LoggedQuery,
        stop: Stop,
        line: Sequence[Turns],
        workers: Workers,
        metrics: Metrics,
        limits: QueryLimits,
        keep: Callable[[Planned], None],
        as_written: Callable[[Planned, Stop], Planned],
    ) -> None:
        """`as_written`: the same statement by its plan alone, with nothing made of it that could not spill."""
        self._planned = planned
        self._as_written = as_written
        self._keep = keep
        self._entry = entry
        self._stop = stop
        self._line = line
        self._workers = workers
        self._metrics = metrics
        self._limits = limits
        self._lock = threading.Lock()
        self._taken: list[tuple[Turns, Turn]] = []
        self._is_ended = False
        self._batches: Iterator[pa.RecordBatch] | None = None

    def __iter__(self) -> "Running":
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._is_ended:
            raise StopIteration
        try:
            if self._batches is None:
                self._begin()
                self._batches = self._begun()
            batch = next(self._batches)
        except StopIteration:
            self._end("done", events.SUCCESS)
            self._batches = None
            self._keep(self._planned)
            raise
        except BaseException as error:  # the bindings raise plain Exception for everything that goes wrong, and panics
            if not isinstance(error, Exception) and not is_panic(error):
                self._end("left", events.CANCELLED)
                raise
            reason = self._stop.reason or self._reason(error)
            self._end("failed", events.FAILURE, str(reason))
            raise reason from None
        self._entry.returned(batch.num_rows, pa.ipc.get_record_batch_size(batch))  # sooner told than `nbytes`
        return batch

    def close(self) -> None:
        """At once; what is running in another thread finds the flag set (Q3)."""
        self._end("left", events.CANCELLED)
        self._batches = None

    def waited_s(self) -> float:
        return (self._entry.permit_ns or 0) / 1e9

    def _begin(self) -> None:
        self._entry.waiting()
        for turns in self._line:
            turn = turns.take(self._stop)
            with self._lock:
                if not self._is_ended:
                    self._taken.append((turns, turn))
                    continue
            turns.give_back(turn)
            self._stop.check()
        self._entry.permitted()

    def _begun(self) -> Iterator[pa.RecordBatch]:
        """With its first batch: until that is there, the statement can still go another way."""
        batches = self._batches_of(self._planned)
        try:
            return chain([next(batches)], batches)
        except StopIteration:
            return batches
        except Exception as error:
            reason = self._planned.tables.reason(error)
            if not (isinstance(reason, TooMuchMemory) and reason.is_beside_the_pool):
                raise
        self._planned = self._as_written(self._planned, self._stop)
        return self._batches_of(self._planned)

    def _batches_of(self, planned: Planned) -> Iterator[pa.RecordBatch]:
        here, tables = planned.here, planned.tables
        if planned.is_direct and planned.outline is not None:
            return tables.answered(planned.outline, planned.schema, self._limits)
        if here is not None and not planned.must_run_elsewhere:
            return here.batches(self._run, self._stop.sleep, tables.all_reports)
        tables.needs_all()
        batches = self._workers.batches(planned.sql, planned.params or {}, tables, self._stop)
        return batches if here is None else chain(batches, here.explained_scans(lambda: tables.reports))

    def _run(self, frame: DataFrame) -> Iterator[pa.RecordBatch]:
        for batch in frame.execute_stream():
            yield batch.to_pyarrow()
            self._stop.check()

    def _reason(self, error: BaseException) -> ServiceError:
        if runs_out_of_memory(error):
            return TooMuchMemory(self._limits.memory_bytes)
        return self._planned.tables.reason(error)

    def _end(self, outcome: str, phase: str, error: str | None = None) -> None:
        with self._lock:
            if self._is_ended:
                return
            self._is_ended = True
        self._stop.set()
        for turns, turn in self._taken:
            turns.give_back(turn)
        self._entry.files = files_read(self._planned.tables.reports)
        self._entry.ended(phase, error)
        self._metrics.queried(outcome, self._entry)
