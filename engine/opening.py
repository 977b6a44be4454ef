"""What a node finds on its store when it starts, or why it is not started on it. Nothing is written but a first catalog.

    lock ─▶ live files ─▶ log ─▶ is a manifest missing? ─▶ catalog ─▶ does it know the node?

B1  On a local disk one process at a time has a node's lock; it is free as soon as that process has ended, however it ended.
B2  A node that has data is opened only on a catalog that is there and knows the node: nobody could say what its rows are.

Held by tests/unit/engine/test_node.py (B1, B2).
Elsewhere: whose node it is from then on (ownership), rows that are in the log alone (replay), which manifests are there
(files.index, files.inspection).
"""

import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass

from catalog.catalog import Catalog
from catalog.errors import Conflict, Damaged
from engine.catalog_log import StoredCatalogLog
from engine.clock import Clock
from engine.files.index import FileIndex
from engine.files.inspection import refuse_lost_manifest
from engine.paths import CatalogPaths, NodePaths, number_of
from engine.storage.base import ObjectStore
from engine.storage.local import explain
from engine.storage.retry import hurried
from engine.wal.log import GroupLog, open_log

_CATALOG_PATIENCE_S = 20.0  # whoever needs a new column waits for it


class NodeTaken(Conflict):
    """Another process owns the node."""

    code = "node_taken"


@dataclass(frozen=True, slots=True)
class Found:
    files: FileIndex
    groups: GroupLog
    catalog: Catalog


def take_lock(store: ObjectStore, node_id: str) -> int | None:
    """Held until the process ends, or the descriptor is closed. None where nobody can hold one."""
    root = store.durable_appends
    if root is None:
        return None
    path = root / node_id / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise explain("open", store.url, f"{node_id}/lock", error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise NodeTaken(
            f"another server runs node {node_id} on {root}", hint="stop it first, or give this one another --node-id"
        ) from None
    return descriptor


def found_on(
    store: ObjectStore,
    paths: NodePaths,
    node_id: str,
    cluster_id: str | None,
    clock: Clock,
    later: Callable[[Callable[[], None]], None],
) -> Found:
    """`later` is given what the catalog need not do at once."""
    files = FileIndex.open(store, paths)
    groups = open_log(store, paths)
    if not any(number_of(info.path) == files.wal_sequence + 1 for info in groups.objects()):
        refuse_lost_manifest(store, paths, files)
    has_data = bool(files.number or groups.objects())
    prefix = cluster_id or node_id
    catalog_log = StoredCatalogLog(hurried(store, _CATALOG_PATIENCE_S), CatalogPaths(prefix))
    if has_data and not catalog_log.is_there():  # opening it would found a new one
        raise _stranger(node_id, prefix)
    catalog = Catalog.open(catalog_log, clock=clock, later=later)
    if has_data and catalog.state().find_node(node_id) is None:
        raise _stranger(node_id, prefix)
    return Found(files, groups, catalog)


def _stranger(node_id: str, prefix: str) -> Damaged:
    """A node that has rows has been registered, or this is not the catalog that says what they are (B2)."""
    return Damaged(
        f"the catalog {prefix}/catalog does not know node {node_id}, which has data here",
        hint="start it with the --cluster-id that it had, or restore its catalog from a backup",
        object=f"{prefix}/catalog",
    )
