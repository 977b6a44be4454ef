"""A store that dies at its n-th change, for trying out every place where a process may stop.

T1  Changes (put_new, put, delete and, through `step`, whatever else the code under test does to durable state) are
    counted from 0. Change number `stop_at` raises Stopped: after it took effect when `landed`, instead of it when not.
T2  From then on every call raises Stopped, reads included: nothing that outlives its process is seen by the test.
T3  Stopped is no Exception, so code that survives errors does not survive this.

Held by tests/unit/engine/test_storage_stopping.py.
"""

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from engine.storage.base import Data, Listing, ObjectStore

Result = TypeVar("Result")


class Stopped(BaseException):
    """The process is no more."""


class StoppingStore:
    def __init__(self, inner: ObjectStore, stop_at: int, landed: bool) -> None:
        self.inner = inner
        self.url = inner.url
        self.stop_at = stop_at
        self.landed = landed
        self.changes = 0
        self.stopped = False
        self._lock = Lock()

    def step(self, effect: Callable[[], Result]) -> Result:
        """Count one change and do it, or stop. For local appends: `store.step(lambda: append(...))`."""
        with self._lock:
            self.check()
            mine, self.changes = self.changes, self.changes + 1
            if mine != self.stop_at:
                return effect()
            self.stopped = True
            if self.landed:
                effect()
            raise Stopped

    def check(self) -> None:
        if self.stopped:
            raise Stopped

    @property
    def durable_appends(self) -> Path | None:
        return self.inner.durable_appends

    def get(self, path: str) -> bytes:
        self.check()
        return self.inner.get(path)

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        self.check()
        return self.inner.get_range(path, offset, length)

    def put_new(self, path: str, data: Data) -> None:
        self.step(lambda: self.inner.put_new(path, data))

    def put(self, path: str, data: Data) -> None:
        self.step(lambda: self.inner.put(path, data))

    def list(self, prefix: str) -> Listing:
        self.check()
        return self.inner.list(prefix)

    def delete(self, path: str) -> None:
        self.step(lambda: self.inner.delete(path))

    def local_path(self, path: str) -> Path | None:
        self.check()
        return self.inner.local_path(path)

    def close(self) -> None:
        """The inner store is the disk: it stays for whoever opens it next."""
