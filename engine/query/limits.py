"""How much queries may ask for at once.

    Turns(concurrent)           a statement's turn: until it ends
    Turns(places, LONG_S)       its place at work: until it has done with planning or running, or has had it for LONG_S

Statements share one interpreter. Many small ones at once would hand it to each other at every step, each waiting for all
others, and those who write waiting for them: so few work at a time, and the others wait in line, where they cost nothing.

L1  No more than `concurrent` statements run; the others wait their turn, first come first served.
L2  A statement that would read more files than `files` is refused before it opens one.
L3  A statement that waits can be stopped while it does, and leaves its place to others. No more than WAITING_MAX wait.
L4  A statement that takes longer than `timeout_ms`, its waiting included, is stopped and says so.
L5  What is made of a statement's rows without its plan, in memory that the pool does not count, is bounded for each statement;
    one that would exceed it is left to its plan, which spills.
L6  A turn that lasts longer than `long_s` is no longer counted: the next one begins, so that long statements, of which any
    number may be at work, do not keep brief ones waiting.

Held by tests/unit/engine/query/test_limits.py (L1, L3, L6), tests/integration/engine/test_query_limits.py (L2, L5, L6) and
tests/integration/engine/test_cancelling.py (L4).
"""

import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from catalog.errors import InvalidRequest, Unavailable
from engine.query.stop import Stop

#: statements that wait for their turn; each holds a thread and a view
WAITING_MAX = 2_000
#: a statement may have this part of all memory beside the pool
_SHARES = 4
#: some times what a small statement takes
LONG_S = 0.03
#: more at work at once would wait for the interpreter
PLACES_MAX = 4
_LINGER = 100


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
    #: by what is worked out without the plan, which may do with less, since it can spill
    is_beside_the_pool = False

    def __init__(self, limit_bytes: int, *, is_beside_the_pool: bool = False) -> None:
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


class Turn:
    """Whoever has it, has it until it is given back."""

    __slots__ = ("came", "since_s")

    came: threading.Event  # of one that had to be waited for

    def __init__(self) -> None:
        self.since_s = math.inf


class Turns:
    """A semaphore that serves in order of arrival (L1), and does not wait for those who take long (L6)."""

    def __init__(
        self, concurrent: int | None, long_s: float | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._free = concurrent
        self._long_s = long_s
        self._now_s = now_s
        self._lock = threading.Lock()
        self._waiting: deque[Turn] = deque()
        self._taken: OrderedDict[Turn, None] = OrderedDict()  # the oldest first
        self._is_watched = False

    def take(self, stop: Stop) -> Turn:
        """Return when it is the caller's turn; raise when its statement is stopped before that (L3)."""
        turn = Turn()
        with self._lock:
            if self._free is None:
                return turn
            if self._free > 0:
                self._free -= 1
                self._taken[turn] = None
                turn.since_s = self._now_s()
                return turn
            if len(self._waiting) >= WAITING_MAX:
                raise TooManyQueries(len(self._waiting))
            turn.came = threading.Event()
            self._waiting.append(turn)
            self._watch()
        stop.then(turn.came.set)
        turn.came.wait()
        stop.forget(turn.came.set)
        if stop.reason is not None:
            self.give_back(turn)
            stop.check()
        turn.since_s = self._now_s()
        return turn

    def give_back(self, turn: Turn) -> None:
        """Also one that has not come, or is no longer counted."""
        with self._lock:
            if turn in self._taken:
                self._ends(turn)
            elif turn in self._waiting:
                self._waiting.remove(turn)

    @contextmanager
    def taken(self, stop: Stop) -> Iterator[None]:
        turn = self.take(stop)
        try:
            yield
        finally:
            self.give_back(turn)

    def pass_over(self) -> bool:
        """The turns that have lasted too long make room (L6). Whether anybody waits still."""
        with self._lock:
            while self._waiting and self._long_s is not None:
                oldest = next(iter(self._taken))
                if self._now_s() - oldest.since_s < self._long_s:
                    break
                self._ends(oldest)
            return bool(self._waiting)

    def _ends(self, turn: Turn) -> None:
        del self._taken[turn]
        if self._waiting:
            following = self._waiting.popleft()
            self._taken[following] = None
            following.came.set()
        elif self._free is not None:
            self._free += 1

    def _watch(self) -> None:
        """A thread looks for turns that last too long while others wait."""
        if self._long_s is not None and not self._is_watched:
            self._is_watched = True
            threading.Thread(target=self._pass_over_long, name="places", daemon=True).start()

    def _pass_over_long(self) -> None:
        assert self._long_s is not None
        idle = 0
        while idle < _LINGER:
            time.sleep(self._long_s)
            idle = 0 if self.pass_over() else idle + 1
        with self._lock:
            self._is_watched = False
            if self._waiting:
                self._watch()
