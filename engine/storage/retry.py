"""Trying again, with patience that ends.

Y1  Only what may pass by itself is tried again: StoreUnavailable and OutcomeUnknown. The rest goes to the caller at once.
Y2  A put_new that finds the name taken after an attempt of its own whose outcome is unknown compares: its own bytes
    mean success, any others ObjectExists. On a first attempt a taken name is ObjectExists without a look.
Y3  A change that fails after an attempt whose outcome is unknown is OutcomeUnknown, whatever the last attempt said
    (but for Y2's ObjectExists).
Y4  The wait before try n is between half of and the whole `first × 2^(n-1)`, at most `longest`. Nothing is begun after
    `tries`, nor waited for beyond `deadline`.
Y5  close() ends every wait; from then on each call is tried once.
Y6  The log holds one line when a store begins to fail and one when it works again, however many calls that concerns.
Y7  `hurried` is the same store with less patience, for calls that somebody waits for.

Held by tests/unit/engine/test_storage_retry.py (Y1-Y7) and tests/integration/test_stores.py (Y2).
"""

import copy
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar

from engine.storage.base import (
    Data,
    Doing,
    Listing,
    ObjectExists,
    ObjectMissing,
    ObjectStore,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
    octets,
)

log = logging.getLogger(__name__)
Result = TypeVar("Result")
_PUTS_AT_ONCE = 8
PASSING = (StoreUnavailable, OutcomeUnknown)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_retries: int = 10
    deadline_s: float = 180.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 15.0
    draw: Callable[[], float] = field(default=random.random, repr=False)

    def wait_s(self, retry: int) -> float:
        """How long to wait before retry number 1, 2, …"""
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(retry - 1, 60))
        return longest * (0.5 + 0.5 * self.draw())


class RetryingStore:
    def __init__(self, inner: ObjectStore, policy: RetryPolicy, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self.inner = inner
        self.url = inner.url
        self._policy = policy
        self._now_s = now_s
        self._closed = Event()
        self._health = _Health()

    def hurried(self, deadline_s: float) -> "RetryingStore":
        hurried = copy.copy(self)
        hurried._policy = replace(self._policy, deadline_s=min(deadline_s, self._policy.deadline_s))
        return hurried

    def over(self, inner: ObjectStore) -> "RetryingStore":
        """The same patience, and the same end of it, over another view of the store beneath."""
        other = copy.copy(self)
        other.inner = inner
        return other

    @property
    def durable_appends(self) -> Path | None:
        return self.inner.durable_appends

    def get(self, path: str) -> bytes:
        return self._try("read", path, lambda: self.inner.get(path))

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        return self._try("read", path, lambda: self.inner.get_range(path, offset, length))

    def put_new(self, path: str, data: Data) -> None:
        maybe_stored = False

        def attempt() -> None:
            nonlocal maybe_stored
            try:
                self.inner.put_new(path, data)
            except OutcomeUnknown:
                maybe_stored = True
                raise
            except ObjectExists:
                if not (maybe_stored and self._holds(path, data)):
                    raise

        self._try("store", path, attempt)

    def put_new_all(self, objects: Sequence[tuple[str, Data]]) -> None:
        """What takes time is the way there and back, so several go at once."""
        with ThreadPoolExecutor(min(_PUTS_AT_ONCE, len(objects)) or 1, thread_name_prefix="put") as pool:
            for _ in pool.map(lambda each: self.put_new(*each), objects):
                pass

    def put(self, path: str, data: Data) -> None:
        self._try("store", path, lambda: self.inner.put(path, data))

    def list(self, prefix: str) -> Listing:
        return self._try("list", prefix, lambda: self.inner.list(prefix))

    def delete(self, path: str) -> None:
        self._try("delete", path, lambda: self.inner.delete(path))

    def local_path(self, path: str) -> Path | None:
        return self.inner.local_path(path)

    def close(self) -> None:
        self._closed.set()
        self.inner.close()

    def _holds(self, path: str, data: Data) -> bool:
        try:
            return self.inner.get(path) == octets(data)
        except ObjectMissing:
            return False

    def _try(self, doing: Doing, path: str, attempt: Callable[[], Result]) -> Result:
        """What `attempt` returns, from the first time that it does not fail in passing (Y1, Y3, Y4)."""
        began_s = self._now_s()
        unknown = False
        retry = 0
        while True:
            try:
                result = attempt()
            except PASSING as error:
                unknown = unknown or isinstance(error, OutcomeUnknown)
                self._note_failure(error)
                retry += 1
                wait_s = self._policy.wait_s(retry)
                out_of_time = self._now_s() - began_s + wait_s > self._policy.deadline_s
                if retry > self._policy.max_retries or out_of_time or self._closed.wait(wait_s):
                    cause = f"{error.details['cause']}, tried {retry} times in {self._now_s() - began_s:.1f} s"
                    raise (OutcomeUnknown if unknown else StoreUnavailable)(doing, self.url, path, cause) from error
            except StoreError as error:
                if unknown and not isinstance(error, ObjectExists):
                    raise OutcomeUnknown(doing, self.url, path, error.details["cause"], hint=error.hint) from error
                raise
            else:
                self._note_success()
                return result

    def _note_failure(self, error: StoreError) -> None:
        with self._health.lock:
            if self._health.failing_since_s is None:
                self._health.failing_since_s = self._now_s()
                log.warning("%s; trying again", error)

    def _note_success(self) -> None:
        if self._health.failing_since_s is None:
            return
        with self._health.lock:
            since_s, self._health.failing_since_s = self._health.failing_since_s, None
        if since_s is not None:
            log.warning("%s works again after %.1f s", self.url, self._now_s() - since_s)


@dataclass(slots=True)
class _Health:
    """What a store and its hurried siblings know together."""

    lock: Lock = field(default_factory=Lock)
    failing_since_s: float | None = None


def hurried(store: ObjectStore, deadline_s: float) -> ObjectStore:
    """The same store (Y7); one that does not try again is in no need of it."""
    return store.hurried(deadline_s) if isinstance(store, RetryingStore) else store
