"""How much queries may ask for at once.

L1  No more than `concurrent` statements run; the others wait their turn, first come first served.
L2  A statement that would read more files than `files` is refused before it opens one.
L3  A statement that waits can be stopped while it does, and leaves its place to others. No more than WAITING_MAX wait.
L4  A statement that takes longer than `timeout_ms`, its waiting included, is stopped and says so.
L5  What is made of a statement's rows without its plan, in memory that the pool does not count, is bounded for each statement;
    one that would exceed it is left to its plan, which spills.

Held by tests/unit/engine/query/test_limits.py (L1, L3), tests/integration/engine/test_query_limits.py (L2, L5) and
tests/integration/engine/test_cancelling.py (L4).
"""

import threading
from collections import deque
from dataclasses import dataclass

from catalog.errors import InvalidRequest, Unavailable
from engine.query.stop import Stop

#: statements that wait for their turn; each holds a thread and a view
WAITING_MAX = 2_000
#: a statement may have this part of all memory beside the pool
_SHARES = 4


class TooManyFiles(InvalidRequest):
    """The query would read more files than --query-file-limit allows. Narrow its time range."""

    code = "query_file_limit"

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(
            f"the query would read {found} files, the limit is {limit}",
            hint="narrow the time range or raise --query-file-limit",
            found=found,
            limit=limit,
        )


class TooManyQueries(Unavailable):
    """Too many queries wait for their turn already."""

    code = "too_many_queries"

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} queries are waiting for their turn already", hint="try again later", waiting=waiting)


class TooMuchMemory(InvalidRequest):
    """The query needs more memory than all of them may take together (--exec-mem-pool-size)."""

    code = "query_memory"

    def __init__(self, limit_bytes: int, *, is_beside_the_pool: bool = False) -> None:
        """`is_beside_the_pool`: by what is worked out without the plan, which may do with less, since it can spill."""
        super().__init__(
            f"the query needs more than the {limit_bytes >> 20} MiB of memory that it may have",
            hint="narrow it or raise --exec-mem-pool-size",
            limit_bytes=limit_bytes,
        )
        self.is_beside_the_pool = is_beside_the_pool


class QueryTimedOut(InvalidRequest):
    """The query took longer than --query-timeout."""

    code = "query_timeout"

    def __init__(self, timeout_ms: int) -> None:
        super().__init__(
            f"the query took longer than {timeout_ms / 1000:g} s",
            hint="narrow the time range or raise --query-timeout",
            timeout_ms=timeout_ms,
        )


@dataclass(frozen=True, slots=True)
class QueryLimits:
    memory_bytes: int
    threads: int
    concurrent: int | None = None
    files: int | None = None
    timeout_ms: int | None = None

    @property
    def beside_pool_bytes(self) -> int:
        """What a statement may take that is not counted by the pool (L5)."""
        return self.memory_bytes // _SHARES

    def check_files(self, count: int) -> None:
        if self.files is not None and count > self.files:
            raise TooManyFiles(count, self.files)


class Turns:
    """A semaphore that serves in order of arrival (L1)."""

    def __init__(self, concurrent: int | None) -> None:
        self._free = concurrent
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    def take(self, stop: Stop) -> None:
        """Return when it is the caller's turn; raise when its statement is stopped before that (L3)."""
        with self._lock:
            if self._free is None:
                return
            if self._free > 0 and not self._waiting:
                self._free -= 1
                return
            if len(self._waiting) >= WAITING_MAX:
                raise TooManyQueries(len(self._waiting))
            turn = threading.Event()
            self._waiting.append(turn)
        stop.then(turn.set)
        turn.wait()
        stop.forget(turn.set)
        if stop.reason is not None:
            self._leave(turn)
            stop.check()

    def give_back(self) -> None:
        with self._lock:
            if self._free is None:
                return
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def _leave(self, turn: threading.Event) -> None:
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return
        self.give_back()  # it came while its statement was stopped
