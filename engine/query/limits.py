"""How much queries may ask for at once.

L1  No more than `concurrent` statements run; the others wait their turn, first come first served.
L2  A statement that would read more files than `files` is refused before it opens one.

Held by tests/unit/engine/query/test_limits.py (L1) and tests/integration/engine/test_query_limits.py (L2).
"""

import threading
from collections import deque
from dataclasses import dataclass

from catalog.errors import InvalidRequest


class TooManyFiles(InvalidRequest):
    code = "query_file_limit"

    def __init__(self, found: int, limit: int) -> None:
        super().__init__(
            f"the query would read {found} files, the limit is {limit}",
            hint="narrow the time range or raise --query-file-limit",
            found=found,
            limit=limit,
        )


@dataclass(frozen=True, slots=True)
class QueryLimits:
    memory_bytes: int
    threads: int
    concurrent: int | None = None
    files: int | None = None

    def check_files(self, count: int) -> None:
        if self.files is not None and count > self.files:
            raise TooManyFiles(count, self.files)


class Turns:
    """A semaphore that serves in order of arrival (L1)."""

    def __init__(self, concurrent: int | None) -> None:
        self._free = concurrent
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def take(self) -> None:
        with self._lock:
            if self._free is None:
                return
            if self._free > 0 and not self._waiting:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def give_back(self) -> None:
        with self._lock:
            if self._free is None:
                return
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
