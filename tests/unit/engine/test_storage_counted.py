"""Counted requests (U1, U2)."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.metrics import Metrics
from engine.storage.base import Data, ObjectExists, ObjectMissing, StoreUnavailable
from engine.storage.counted import counted
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from engine.storage.retry import RetryingStore, RetryPolicy, hurried
from engine.storage.together import put_new_all
from tests.helpers.engine import running, write


class Flaky(MemoryStore):
    """Every other put_new fails."""

    calls = 0

    def put_new(self, path: str, data: Data) -> None:
        self.calls += 1
        if self.calls % 2:
            raise StoreUnavailable("store", self.url, path, "not now")
        super().put_new(path, data)


def figures(metrics: Metrics, *, of: str = "flightline_store") -> dict[str, float]:
    lines = [line.rpartition(" ") for line in metrics.text().decode().splitlines() if line.startswith(of)]
    return {name.removeprefix("flightline_store_"): float(value) for name, _, value in lines if "seconds" not in name}


def test_requests_and_bytes_are_counted_by_operation() -> None:
    """U2."""
    metrics = Metrics()
    store = counted(MemoryStore(), metrics)

    store.put_new("a/1", b"12345")
    store.put("a/2", b"12")
    store.get("a/1")
    store.get_range("a/1", 1, 2)
    store.list("a/")
    store.delete("a/2")

    assert figures(metrics) == {
        'requests_total{operation="put_new",outcome="done"}': 1,
        'requests_total{operation="put",outcome="done"}': 1,
        'requests_total{operation="get",outcome="done"}': 1,
        'requests_total{operation="get_range",outcome="done"}': 1,
        'requests_total{operation="list",outcome="done"}': 1,
        'requests_total{operation="delete",outcome="done"}': 1,
        'bytes_total{direction="written"}': 7,
        'bytes_total{direction="read"}': 7,
    }


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_many_at_once_are_so_many_requests(tmp_path: Path, kind: str) -> None:
    """U1, U2."""
    metrics = Metrics()
    store = counted(MemoryStore() if kind == "memory" else LocalStore(tmp_path), metrics)
    objects = [(f"n/{number}", b"123") for number in range(10)]

    put_new_all(store, objects)
    with pytest.raises(ObjectExists):
        put_new_all(store, objects)

    done = 'requests_total{operation="put_new",outcome="done"}'
    assert figures(metrics) == {done: 11, 'bytes_total{direction="written"}': 30}


def test_the_files_of_a_snapshot_are_stored_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """U1: whatever stands between the node and the disk."""
    local, together = LocalStore(tmp_path), list[int]()
    storing = local._put_new_together

    def noted(objects: Sequence[tuple[str, Data]]) -> None:
        together.append(len(objects))
        storing(objects)

    monkeypatch.setattr(local, "_put_new_together", noted)
    with running(local, wal_flush_interval_ms=1) as node:
        write(node, "\n".join(f"t{number} v=1 1" for number in range(50)))
        node.snapshot_now()

    assert together == [50]


def test_what_is_not_there_or_there_already_is_an_answer() -> None:
    """U1, U2."""
    metrics = Metrics()
    store = counted(MemoryStore(), metrics)
    store.put_new("a", b"")

    with pytest.raises(ObjectExists):
        store.put_new("a", b"")
    with pytest.raises(ObjectMissing):
        store.get("b")

    assert all('outcome="done"' in name for name in figures(metrics) if name.startswith("requests"))


def test_each_attempt_counts_also_of_a_hurried_store() -> None:
    """U2: beneath what tries again, whose patience and end stay its own."""
    metrics = Metrics()
    patient = RetryingStore(Flaky(), RetryPolicy(first_wait_s=0.001))
    store = counted(patient, metrics)

    store.put_new("a", b"x")
    hurried(store, 1.0).put_new("b", b"x")

    found = figures(metrics)
    assert found['requests_total{operation="put_new",outcome="done"}'] == 2
    assert found['requests_total{operation="put_new",outcome="failed"}'] == 2
    assert found['bytes_total{direction="written"}'] == 2
    patient.close()
    with pytest.raises(StoreUnavailable):
        store.put_new("c", b"x")  # an end that was made known to the one is known to the other


def test_a_local_store_stays_one(tmp_path: Path) -> None:
    """U1."""
    local = LocalStore(tmp_path / "data")
    store = counted(local, Metrics())
    store.put_new("a", b"x")

    assert (store.url, store.durable_appends, store.local_path("a")) == (
        local.url,
        local.durable_appends,
        local.local_path("a"),
    )
