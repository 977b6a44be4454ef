"""engine/storage/retry.py, over a memory store that fails by script. Waiting is done by a policy whose waits are nil."""

import logging
import threading
from collections.abc import Iterator

import pytest

from engine.storage.base import (
    Data,
    ObjectExists,
    ObjectMissing,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StorePermission,
    StoreUnavailable,
    StoreUnfit,
)
from engine.storage.memory import MemoryStore
from engine.storage.retry import RetryingStore, RetryPolicy, hurried

AT_ONCE = RetryPolicy(max_retries=3, first_wait_s=0.0)


class Scripted(MemoryStore):
    """Each put_new or get takes the next word: ok, down (not stored), lost (not stored, nobody knows),
    landed (stored, nobody knows), denied."""

    def __init__(self, *script: str) -> None:
        super().__init__()
        self.script: Iterator[str] = iter(script)
        self.calls = 0

    def step(self, path: str) -> str:
        self.calls += 1
        word = next(self.script, "ok")
        if word == "down":
            raise StoreUnavailable("store", self.url, path, "no connection")
        if word == "denied":
            raise StorePermission("store", self.url, path, "forbidden")
        return word

    def put_new(self, path: str, data: Data) -> None:
        word = self.step(path)
        if word != "lost":
            super().put_new(path, data)
        if word != "ok":
            raise OutcomeUnknown("store", self.url, path, "no answer")

    def get(self, path: str) -> bytes:
        self.step(path)
        return super().get(path)


@pytest.mark.parametrize("script", ["down", "lost", "landed", "down lost", "lost landed", "landed down", "landed ok down"])
def test_what_passes_by_itself_is_tried_again_until_it_works(script: str) -> None:
    """Y1, Y2."""
    inner = Scripted(*script.split())
    store = RetryingStore(inner, AT_ONCE)

    store.put_new("a", b"mine")

    assert inner.list("")[0].size == 4


@pytest.mark.parametrize("error", [ObjectMissing, ObjectExists, StoreFull, StorePermission, StoreUnfit])
def test_what_does_not_pass_goes_to_the_caller_at_once(error: type[StoreError]) -> None:
    """Y1."""
    failure = error.__new__(error)
    StoreError.__init__(failure, "read", "memory://", "a", "because")
    tried: list[str] = []

    class Failing(MemoryStore):
        def get(self, path: str) -> bytes:
            tried.append(path)
            raise failure

    with pytest.raises(error):
        RetryingStore(Failing(), AT_ONCE).get("a")

    assert tried == ["a"]


def test_anothers_bytes_under_the_name_are_no_success() -> None:
    """Y2."""
    inner = Scripted("ok", "lost")
    inner.put_new("a", b"another's")

    with pytest.raises(ObjectExists):
        RetryingStore(inner, AT_ONCE).put_new("a", b"mine")


def test_on_a_first_attempt_even_ones_own_bytes_are_a_taken_name() -> None:
    """Y2."""
    inner = Scripted()
    inner.put_new("a", b"mine")

    with pytest.raises(ObjectExists):
        RetryingStore(inner, AT_ONCE).put_new("a", b"mine")

    assert inner.calls == 2


@pytest.mark.parametrize(
    ("script", "expected"),
    [("down down down down", StoreUnavailable), ("down lost down down", OutcomeUnknown), ("landed denied", OutcomeUnknown)],
)
def test_a_change_that_may_have_happened_is_never_called_a_failure(script: str, expected: type[StoreError]) -> None:
    """Y3."""
    with pytest.raises(StoreError, match="could not store memory://a: ") as failed:
        RetryingStore(Scripted(*script.split()), AT_ONCE).put_new("a", b"mine")

    assert type(failed.value) is expected


def test_patience_ends_after_so_many_tries() -> None:
    """Y4."""
    inner = Scripted(*["down"] * 9)

    with pytest.raises(StoreUnavailable, match=r"no connection, tried 4 times in 0\.0 s"):
        RetryingStore(inner, AT_ONCE).put_new("a", b"mine")

    assert inner.calls == 4


def test_patience_ends_before_the_deadline() -> None:
    """Y4."""
    clock = iter(range(0, 1000, 10))
    inner = Scripted(*["down"] * 99)
    store = RetryingStore(inner, RetryPolicy(99, deadline_s=60, first_wait_s=0.0), now_s=lambda: float(next(clock)))

    with pytest.raises(StoreUnavailable):
        store.put_new("a", b"mine")

    assert inner.calls < 8


def test_waits_double_up_to_the_longest_and_vary_by_half() -> None:
    """Y4."""
    longest = RetryPolicy(first_wait_s=0.1, longest_wait_s=15, draw=lambda: 1.0)
    shortest = RetryPolicy(first_wait_s=0.1, longest_wait_s=15, draw=lambda: 0.0)

    assert [round(longest.wait_s(retry), 3) for retry in (1, 2, 3, 8, 9, 1000)] == [0.1, 0.2, 0.4, 12.8, 15, 15]
    assert [shortest.wait_s(retry) * 2 for retry in range(1, 20)] == [longest.wait_s(retry) for retry in range(1, 20)]


def test_close_ends_a_wait() -> None:
    """Y5."""
    store = RetryingStore(Scripted(*["down"] * 99), RetryPolicy(99, first_wait_s=60, longest_wait_s=60, deadline_s=999))
    failed: list[StoreError] = []

    def call() -> None:
        try:
            store.put_new("a", b"mine")
        except StoreError as error:
            failed.append(error)

    waiting = threading.Thread(target=call)
    waiting.start()
    store.close()
    waiting.join(50)

    assert not waiting.is_alive()
    assert [type(error) for error in failed] == [StoreUnavailable]


def test_the_log_tells_of_a_failing_store_once_and_of_its_return(caplog: pytest.LogCaptureFixture) -> None:
    """Y6, S6."""
    inner = Scripted(*["down"] * 10)
    store = RetryingStore(inner, AT_ONCE)

    with caplog.at_level(logging.INFO):
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                store.put_new("a", b"mine")
        store.put_new("a", b"mine")
        store.put_new("b", b"mine")

    assert [record.getMessage().rpartition(" after ")[0] or record.getMessage() for record in caplog.records] == [
        "could not store memory://a: no connection; trying again",
        "memory:// works again",
    ]


def test_a_hurried_store_gives_up_sooner_and_is_the_same_store(caplog: pytest.LogCaptureFixture) -> None:
    """Y7, Y5, Y6."""
    clock = iter(range(0, 1000, 10))
    inner = Scripted(*["down"] * 3)
    store = RetryingStore(inner, RetryPolicy(99, deadline_s=60, first_wait_s=0.0), now_s=lambda: float(next(clock)))
    quick = store.hurried(15)

    with caplog.at_level(logging.INFO):
        with pytest.raises(StoreUnavailable):
            quick.put_new("a", b"mine")
        store.put_new("a", b"mine")
        quick.put_new("b", b"mine")

    assert inner.get("b") == b"mine"
    assert len(caplog.records) == 2
    assert hurried(store, 15) is not store
    assert hurried(inner, 15) is inner
    quick.close()
    assert store._closed.is_set()
