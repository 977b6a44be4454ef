"""tests/helpers/stopping_store.py."""

import pytest

from engine.storage.base import ObjectExists
from engine.storage.memory import MemoryStore
from tests.helpers.stopping_store import Stopped, StoppingStore


@pytest.mark.parametrize("landed", [False, True])
def test_the_nth_change_stops_before_or_after_it_took_effect(landed: bool) -> None:
    """T1."""
    disk = MemoryStore()
    store = StoppingStore(disk, stop_at=2, landed=landed)

    store.put_new("a", b"1")
    store.get("a")
    store.put("a", b"2")
    with pytest.raises(Stopped):
        store.delete("a")

    assert [info.path for info in disk.list("")] == ([] if landed else ["a"])


def test_after_the_stop_nothing_works() -> None:
    """T2."""
    disk = MemoryStore()
    disk.put("a", b"1")
    store = StoppingStore(disk, stop_at=0, landed=False)

    for call in (
        lambda: store.put_new("b", b""),
        lambda: store.put("b", b""),
        lambda: store.delete("a"),
        lambda: store.get("a"),
        lambda: store.get_range("a", 0, 1),
        lambda: store.list(""),
        lambda: store.local_path("a"),
        lambda: store.step(lambda: None),
    ):
        with pytest.raises(Stopped):
            call()

    assert [info.path for info in disk.list("")] == ["a"]


def test_a_step_counts_like_a_store_call_and_returns_what_it_did() -> None:
    """T1."""
    store = StoppingStore(MemoryStore(), stop_at=1, landed=True)
    appended: list[int] = []

    assert store.step(lambda: 7) == 7
    with pytest.raises(Stopped):
        store.step(lambda: appended.append(1))

    assert appended == [1]


def test_a_change_that_the_store_refuses_counts_and_fails_as_it_would() -> None:
    """T1, T3."""
    store = StoppingStore(MemoryStore(), stop_at=9, landed=True)
    store.put_new("a", b"1")

    with pytest.raises(ObjectExists):
        store.put_new("a", b"2")

    assert store.changes == 2
    assert not issubclass(Stopped, Exception)
