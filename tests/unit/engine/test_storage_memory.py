"""engine/storage/memory.py."""

import pytest

from engine.storage.memory import ThrottledMemoryStore


def test_a_throttled_store_takes_its_time_for_calls_bytes_and_listed_objects() -> None:
    """M2."""
    waits: list[float] = []
    store = ThrottledMemoryStore(call_ms=100, byte_ns=1000, entry_us=500, sleep=waits.append)

    store.put_new("a", bytes(1000))
    store.put("b", bytes(2000))
    store.get("a")
    store.get_range("b", 0, 500)
    store.list("")
    store.delete("a")

    assert waits == pytest.approx([0.101, 0.102, 0.101, 0.1005, 0.101, 0.1])
