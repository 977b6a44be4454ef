"""engine/storage/probe.py, over stores that break one promise each."""

import pytest

from engine.storage.base import Data, Listing, ObjectExists, ObjectMissing, StoreUnavailable, StoreUnfit
from engine.storage.memory import MemoryStore
from engine.storage.probe import check_store


class Overwriting(MemoryStore):
    def put_new(self, path: str, data: Data) -> None:
        self.put(path, data)


class Forgetful(MemoryStore):
    def get(self, path: str) -> bytes:
        return super().get(path) and b"something else"


class Hiding(MemoryStore):
    def list(self, prefix: str) -> Listing:
        return []


class Down(MemoryStore):
    def put_new(self, path: str, data: Data) -> None:
        raise StoreUnavailable("store", self.url, path, "no connection")


def test_a_store_that_keeps_its_promises_is_used_as_it_is_and_left_clean() -> None:
    """P1."""
    store = MemoryStore()

    assert check_store(store, "node") is store
    assert check_store(store, "") is store
    assert store.list("") == []


@pytest.mark.parametrize(
    ("store", "sentence"),
    [(Overwriting(), "overwrites"), (Forgetful(), "other bytes"), (Hiding(), "does not list")],
)
def test_a_store_that_breaks_one_is_refused_and_left_clean(store: MemoryStore, sentence: str) -> None:
    """P1."""
    with pytest.raises(StoreUnfit, match=sentence):
        check_store(store, "node")

    assert MemoryStore.list(store, "") == []


def test_the_refusal_of_a_store_that_overwrites_says_what_to_do_and_what_that_costs() -> None:
    """P2."""
    with pytest.raises(StoreUnfit) as refused:
        check_store(Overwriting(), "node")

    assert "If-None-Match" in str(refused.value.hint)
    assert "--allow-unconditional-writes" in str(refused.value.hint)
    assert "nothing keeps two servers" in str(refused.value.hint)


def test_with_the_override_a_store_that_overwrites_looks_before_it_writes(caplog: pytest.LogCaptureFixture) -> None:
    """P2."""
    inner = Overwriting()

    store = check_store(inner, "node", allow_unconditional_writes=True)
    store.put_new("a", b"first")
    store.put_new("empty", b"")

    for path in ("a", "empty"):
        with pytest.raises(ObjectExists):
            store.put_new(path, b"second")
    assert inner.get("a") == b"first"
    assert "no second server" in caplog.text


def test_the_override_changes_nothing_about_a_store_that_is_fit() -> None:
    """P2."""
    store = MemoryStore()

    assert check_store(store, "node", allow_unconditional_writes=True) is store


def test_a_store_that_does_not_answer_is_not_called_unfit() -> None:
    """P1."""
    with pytest.raises(StoreUnavailable, match="no connection"):
        check_store(Down(), "node")


def test_the_wrapper_passes_everything_else_on() -> None:
    store = check_store(Overwriting(), "node", allow_unconditional_writes=True)

    store.put("a", b"12345")

    assert (store.get("a"), store.get_range("a", 1, 2), store.list("")[0].path) == (b"12345", b"23", "a")
    assert store.local_path("a") is store.durable_appends is None
    store.delete("a")
    store.close()
    with pytest.raises(ObjectMissing):
        store.get("a")
