"""A long run keeps few objects, on any store."""

from pathlib import Path
from typing import Any

import pytest

from engine.paths import CatalogPaths, NodePaths
from engine.storage.base import ObjectStore
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from tests.helpers.engine import ManualClock, open_node, times, write

PATHS = NodePaths("n")
STARTS = 4


def after_a_while(store: ObjectStore, snapshots: int, **settings: Any) -> int:
    """How many log objects are there after some starts, each with so many snapshots of five groups."""
    number = 0
    for _ in range(STARTS):
        node = open_node(store, ManualClock(), wal_flush_interval_ms=1, **settings)
        for _ in range(snapshots):
            for _ in range(5):
                write(node, f"t v=1 {number}")
                number += 1
            node.snapshot_now()
        assert times(node) == list(range(number))
        node.close()
    return len(store.list(PATHS.wal_prefix))


@pytest.mark.parametrize(("given", "kept"), [({}, 300), ({"snapshotted_wal_files_to_keep": 7}, 7)])
def test_a_remote_store_keeps_so_many_log_objects_and_a_claim_for_each_start(given: dict[str, int], kept: int) -> None:
    """G4, F3."""
    store = MemoryStore()

    assert after_a_while(store, 20, **given) == kept + STARTS

    assert len(store.list(PATHS.snapshot_prefix)) < 75
    assert len(store.list(CatalogPaths("n").log_prefix)) < 3 * STARTS + 5


@pytest.mark.parametrize(("given", "kept"), [({}, 0), ({"snapshotted_wal_files_to_keep": 3}, 3)])
def test_a_local_disk_keeps_no_segment_unless_told_to(given: dict[str, int], kept: int, tmp_path: Path) -> None:
    """G4."""
    assert after_a_while(LocalStore(tmp_path), 3, **given) == kept
