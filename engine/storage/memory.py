"""Objects in a dictionary, for tests and demonstrations; gone when the process is.

M1  One lock makes every call a single step, which gives S1, S2 and S4 of engine.storage.base.
M2  A ThrottledMemoryStore takes its time as a distant store would: so much for a call, for a byte, for a listed object.

Held by tests/contract/test_object_store.py (M1) and tests/unit/engine/test_storage_memory.py (M2).
"""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from engine.storage.base import Data, Listing, ObjectExists, ObjectInfo, ObjectMissing, check_path, check_prefix, octets


class MemoryStore:
    def __init__(self, url: str = "memory://") -> None:
        self.url = url
        self.durable_appends: Path | None = None
        self._objects: dict[str, bytes] = {}
        self._lock = Lock()

    def get(self, path: str) -> bytes:
        check_path("read", self.url, path)
        with self._lock:
            found = self._objects.get(path)
        if found is None:
            raise ObjectMissing(self.url, path)
        return found

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        return MemoryStore.get(self, path)[offset : offset + length]

    def put_new(self, path: str, data: Data) -> None:
        check_path("store", self.url, path)
        kept = bytes(data)
        with self._lock:
            if path in self._objects:
                raise ObjectExists(self.url, path)
            self._objects[path] = kept

    def put(self, path: str, data: Data) -> None:
        check_path("store", self.url, path)
        kept = bytes(data)
        with self._lock:
            self._objects[path] = kept

    def list(self, prefix: str) -> Listing:
        check_prefix(self.url, prefix)
        with self._lock:
            return [ObjectInfo(path, len(self._objects[path])) for path in sorted(self._objects) if path.startswith(prefix)]

    def delete(self, path: str) -> None:
        check_path("delete", self.url, path)
        with self._lock:
            self._objects.pop(path, None)

    def local_path(self, path: str) -> Path | None:
        check_path("read", self.url, path)
        return None

    def close(self) -> None:
        """Nothing to let go of: whoever holds the store may open a node on it again."""


class ThrottledMemoryStore(MemoryStore):
    def __init__(
        self,
        *,
        call_ms: float = 100.0,
        byte_ns: float = 1.0,
        entry_us: float = 100.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__("memory-throttled://")
        self._call_s = call_ms / 1e3
        self._byte_s = byte_ns / 1e9
        self._entry_s = entry_us / 1e6
        self._sleep = sleep

    def get(self, path: str) -> bytes:
        found = super().get(path)
        self._sleep(self._call_s + len(found) * self._byte_s)
        return found

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        found = super().get_range(path, offset, length)
        self._sleep(self._call_s + len(found) * self._byte_s)
        return found

    def put_new(self, path: str, data: Data) -> None:
        self._sleep(self._call_s + len(octets(data)) * self._byte_s)
        super().put_new(path, data)

    def put(self, path: str, data: Data) -> None:
        self._sleep(self._call_s + len(octets(data)) * self._byte_s)
        super().put(path, data)

    def list(self, prefix: str) -> Listing:
        found = super().list(prefix)
        self._sleep(self._call_s + len(found) * self._entry_s)
        return found

    def delete(self, path: str) -> None:
        self._sleep(self._call_s)
        super().delete(path)
