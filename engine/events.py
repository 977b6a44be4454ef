"""What happened lately, kept in rings of bounded size: the statements that were run.

E1  The last statements that ended are remembered, as many as the log may hold, and every one that still runs. Their texts
    take no more than TEXTS_BYTES together and TEXT_BYTES each.
E2  No token stands in a text or an error that is remembered, and no parameter's value.
E3  A statement ends once: what is told of it afterwards changes nothing.
E4  Each entry has the times of its phases as far as it has come: planning, waiting for its turn, running, all of it.

Held by tests/unit/engine/test_events.py (E1-E4).
Elsewhere: who tells what happens (engine.query.executor), how it reads in SQL (engine.query.system_tables).
"""

import threading
import time
import uuid
from collections import deque

from catalog.credentials import without_tokens
from engine.clock import Clock

TEXT_BYTES = 16 << 10
TEXTS_BYTES = 32 << 20
ERROR_BYTES = 1000

RECEIVED = "received"
PLANNED = "physically_planned"
RUNNING = "execution_permit"
SUCCESS = "success"
FAILURE = "fail"
CANCELLED = "cancel"


class LoggedQuery:
    """One statement from its arrival on. Written by whoever runs it, read by anyone: what is not known yet is None."""

    __slots__ = (
        *("_began", "_lock", "_log", "_number", "_since", "database", "end2end_ns", "error", "execute_ns", "files"),
        *("issued_at_ns", "kind", "permit_ns", "phase", "plan_ns", "rows", "size_bytes", "text", "trace_id"),
    )

    def __init__(
        self, log: "QueryLog", number: int, issued_at_ns: int, database: str, text: str, kind: str, trace_id: str | None
    ) -> None:
        self._log = log
        self._number = number
        self._lock = threading.Lock()
        self._began = self._since = time.perf_counter_ns()
        self.issued_at_ns = issued_at_ns
        self.database = database
        self.text = text
        self.kind = kind
        self.trace_id = trace_id
        self.phase = RECEIVED
        self.permit_ns: int | None = None
        self.plan_ns: int | None = None
        self.execute_ns: int | None = None
        self.end2end_ns: int | None = None
        self.rows = 0
        self.size_bytes = 0
        self.files: int | None = None
        self.error: str | None = None

    @property
    def id(self) -> str:
        return str(uuid.uuid5(self._log.namespace, str(self._number)))

    @property
    def running(self) -> bool:
        return self.end2end_ns is None

    @property
    def success(self) -> bool:
        return self.phase == SUCCESS

    @property
    def cancelled(self) -> bool:
        return self.phase == CANCELLED

    def planned(self) -> None:
        self.plan_ns = self._lap()
        self.phase = PLANNED

    def waiting(self) -> None:
        """Somebody wants its rows, and it is not its turn yet."""
        self._lap()

    def permitted(self) -> None:
        """Its turn has come."""
        self.permit_ns = self._lap()
        self.phase = RUNNING

    def returned(self, rows: int, size_bytes: int) -> None:
        """A batch of its result; one thread at a time."""
        self.rows += rows
        self.size_bytes += size_bytes

    def ended(self, phase: str, error: str | None = None) -> None:
        """One of SUCCESS, FAILURE and CANCELLED."""
        with self._lock:
            if self.end2end_ns is not None:
                return
            if self.phase == RUNNING:
                self.execute_ns = self._lap()
            self.phase = phase
            self.error = None if error is None else _shortened(without_tokens(error), ERROR_BYTES)
            self.end2end_ns = time.perf_counter_ns() - self._began
        self._log.over(self, self._number)

    def _lap(self) -> int:
        now = time.perf_counter_ns()
        lap, self._since = now - self._since, now
        return lap


class QueryLog:
    """The statements of one process, of all databases."""

    def __init__(self, clock: Clock, entry_limit: int) -> None:
        self.namespace = uuid.uuid4()
        self._clock = clock
        self._limit = entry_limit
        self._lock = threading.Lock()
        self._numbers = 0
        self._running: dict[int, LoggedQuery] = {}
        self._ended: deque[LoggedQuery] = deque()
        self._text_bytes = 0

    def begin(self, database: str, text: str, kind: str, trace_id: str | None = None) -> LoggedQuery:
        kept = without_tokens(_shortened(text, TEXT_BYTES))
        with self._lock:
            self._numbers += 1
            entry = LoggedQuery(self, self._numbers, self._clock.now_ns(), database, kept, kind, trace_id)
            self._running[self._numbers] = entry
        return entry

    def over(self, entry: LoggedQuery, number: int) -> None:
        """Told by the entry itself."""
        with self._lock:
            del self._running[number]
            self._ended.append(entry)
            self._text_bytes += len(entry.text)
            while len(self._ended) > self._limit or (self._text_bytes > TEXTS_BYTES and len(self._ended) > 1):
                self._text_bytes -= len(self._ended.popleft().text)

    def entries(self) -> list[LoggedQuery]:
        """Those that ended, the first first, then those that run."""
        with self._lock:
            return [*self._ended, *self._running.values()]

    @property
    def running_count(self) -> int:
        return len(self._running)


def _shortened(text: str, size_bytes: int) -> str:
    if len(text) * 4 <= size_bytes or len(encoded := text.encode()) <= size_bytes:
        return text
    return encoded[: size_bytes - 3].decode(errors="ignore") + "…"
