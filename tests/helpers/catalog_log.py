"""A catalog log in memory, and ways to make one misbehave."""

import threading
from collections.abc import Iterator

from catalog.errors import Unavailable
from catalog.log import LogTaken


class MemoryLog:
    """Shared by any number of catalogs, like one bucket by any number of nodes."""

    def __init__(self) -> None:
        self.batches: dict[int, bytes] = {}
        self.checkpoint: tuple[int, bytes] | None = None
        self.checkpoints_written = 0
        self._lock = threading.Lock()

    def append(self, sequence: int, data: bytes) -> None:
        with self._lock:
            if sequence in self.batches:
                raise LogTaken(sequence)
            self.batches[sequence] = data

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        sequence = after + 1
        while sequence in self.batches:
            yield sequence, self.batches[sequence]
            sequence += 1

    def write_checkpoint(self, sequence: int, data: bytes) -> None:
        self.checkpoint = (sequence, data)
        self.checkpoints_written += 1

    def read_checkpoint(self) -> tuple[int, bytes] | None:
        return self.checkpoint

    def batch_name(self, sequence: int) -> str:
        return f"memory://catalog/logs/{sequence:020}.catalog"

    def checkpoint_name(self) -> str:
        return "memory://catalog/checkpoint"


class UnsureLog(MemoryLog):
    """A log whose store may fail after it has, or has not, done what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.fail_before = 0
        self.fail_after = 0
        self.reading_fails = False
        self.checkpoints_fail = False

    def append(self, sequence: int, data: bytes) -> None:
        if self.fail_before:
            self.fail_before -= 1
            raise Unavailable("the connection was lost before the request")
        super().append(sequence, data)
        if self.fail_after:
            self.fail_after -= 1
            raise Unavailable("the connection was lost before the answer")

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        if self.reading_fails:
            raise Unavailable("the store does not answer")
        return super().read(after)

    def write_checkpoint(self, sequence: int, data: bytes) -> None:
        if self.checkpoints_fail:
            raise Unavailable("the store is full")
        super().write_checkpoint(sequence, data)


class FixedClock:
    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self.time_ns = now_ns

    def now_ns(self) -> int:
        return self.time_ns
