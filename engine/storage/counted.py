"""Every request to a store, counted: what a store bills, and what it refuses.

U1  The counted store does what the store does: same answers, same errors, same files, and many at once where it can.
U2  Each attempt counts, by operation and outcome, also those that are tried again; what is not there, or there already, is
    an answer and no failure.

Held by tests/contract/test_object_store.py (U1) and tests/unit/engine/test_storage_counted.py (U1, U2).
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from engine.metrics import Metrics
from engine.storage.base import Data, Listing, ObjectExists, ObjectMissing, ObjectStore
from engine.storage.retry import RetryingStore
from engine.storage.together import Objects, StoresTogether

Result = TypeVar("Result")


class CountedStore:
    def __init__(self, inner: ObjectStore, metrics: Metrics) -> None:
        self.inner = inner
        self.url = inner.url
        self._metrics = metrics

    @property
    def durable_appends(self) -> Path | None:
        return self.inner.durable_appends

    def get(self, path: str) -> bytes:
        data = self._counted("get", lambda: self.inner.get(path))
        self._metrics.store_moved("read", len(data))
        return data

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        data = self._counted("get_range", lambda: self.inner.get_range(path, offset, length))
        self._metrics.store_moved("read", len(data))
        return data

    def put_new(self, path: str, data: Data) -> None:
        self._counted("put_new", lambda: self.inner.put_new(path, data))
        self._metrics.store_moved("written", memoryview(data).nbytes)

    def put_new_all(self, objects: Objects) -> None:
        """As many requests as objects; what has failed is one, since nobody can tell how many others have not."""
        if not isinstance(self.inner, StoresTogether):
            for path, data in objects:
                self.put_new(path, data)
            return
        together, began_s = self.inner, time.perf_counter()
        try:
            together.put_new_all(objects)
        except BaseException as error:
            outcome = "done" if isinstance(error, ObjectExists) else "failed"
            self._metrics.store_asked("put_new", outcome, time.perf_counter() - began_s)
            raise
        each_s = (time.perf_counter() - began_s) / max(1, len(objects))
        for _, data in objects:
            self._metrics.store_asked("put_new", "done", each_s)
            self._metrics.store_moved("written", memoryview(data).nbytes)

    def put(self, path: str, data: Data) -> None:
        self._counted("put", lambda: self.inner.put(path, data))
        self._metrics.store_moved("written", memoryview(data).nbytes)

    def list(self, prefix: str) -> Listing:
        return self._counted("list", lambda: self.inner.list(prefix))

    def delete(self, path: str) -> None:
        self._counted("delete", lambda: self.inner.delete(path))

    def local_path(self, path: str) -> Path | None:
        return self.inner.local_path(path)

    def close(self) -> None:
        self.inner.close()

    def _counted(self, operation: str, request: Callable[[], Result]) -> Result:
        began_s, outcome = time.perf_counter(), "failed"
        try:
            result = request()
            outcome = "done"
            return result
        except (ObjectExists, ObjectMissing):
            outcome = "done"
            raise
        finally:
            self._metrics.store_asked(operation, outcome, time.perf_counter() - began_s)


def counted(store: ObjectStore, metrics: Metrics) -> ObjectStore:
    """The same store, counted beneath what tries again."""
    return store.over(CountedStore(store.inner, metrics)) if isinstance(store, RetryingStore) else CountedStore(store, metrics)
