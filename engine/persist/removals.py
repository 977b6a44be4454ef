"""Hard deletion: first the rows of a dropped table go, then its files, then the last that the catalog knows of it.

    at `hard_delete_at`              a manifest takes the files out of the index, the views forget the rows
    `delete_grace_period` later      the files are deleted; after that the table's entry in the catalog

R1  What to do follows from the catalog, the file index and a listing, and doing it twice does no harm: a process that died
    between any two steps, or in one, is continued by the next.
R2  The catalog's entry goes last: as long as there are files, it says what they were.
R3  Nothing else is touched, neither a living table nor one that waits for its time, and nothing once the node is not ours.

Held by tests/unit/engine/test_removals.py (R1-R3).
Elsewhere: soft deletion, and when a hard one is due (catalog.changes).
"""

from collections.abc import Iterable, Sequence

from catalog import changes
from catalog.catalog import Catalog
from catalog.ops import Op, RemoveDatabase, RemoveTable
from catalog.state import CatalogState
from engine.clock import Clock
from engine.ownership import Ownership
from engine.paths import NodePaths
from engine.persist.snapshot import Snapshots
from engine.storage.base import ObjectStore
from engine.view import Views


class Removals:
    def __init__(
        self,
        store: ObjectStore,
        paths: NodePaths,
        catalog: Catalog,
        views: Views,
        snapshots: Snapshots,
        ownership: Ownership,
        clock: Clock,
        *,
        grace_ns: int,
    ) -> None:
        self._store = store
        self._paths = paths
        self._catalog = catalog
        self._views = views
        self._snapshots = snapshots
        self._ownership = ownership
        self._clock = clock
        self._grace_ns = grace_ns
        self._planned_for: CatalogState | None = None
        self._plan_again_ns = 0
        self._dropped: frozenset[tuple[int, int]] = frozenset()
        self._removable: Sequence[Op] = ()

    def look(self) -> None:
        """Do what is due. Costs next to nothing when that is nothing."""
        state, now_ns = self._catalog.state(), self._clock.now_ns()
        if state is not self._planned_for or now_ns >= self._plan_again_ns:
            self._plan(state, now_ns)
        if with_rows := {table for table in self._dropped if self._views.holds(*table)}:
            self._snapshots.drop(with_rows)
        if self._removable:
            self._remove(self._removable, now_ns)

    def _plan(self, state: CatalogState, now_ns: int) -> None:
        self._dropped = frozenset(_tables(state, changes.removals_due(state, now_ns)))
        self._removable = changes.removals_due(state, now_ns - self._grace_ns)
        drop_ns = changes.next_removal_ns(state, now_ns)
        remove_ns = changes.next_removal_ns(state, now_ns - self._grace_ns)
        moments = [drop_ns, None if remove_ns is None else remove_ns + self._grace_ns]
        self._plan_again_ns = min((moment for moment in moments if moment is not None), default=1 << 63)
        self._planned_for = state

    def _remove(self, planned: Sequence[Op], now_ns: int) -> None:
        self._ownership.check()  # which brings the catalog up to date, too
        still_due = changes.removals_due(self._catalog.state(), now_ns - self._grace_ns)
        ops = [op for op in planned if op in still_due]
        for op in ops:
            for info in self._store.list(self._prefix(op)):
                self._store.delete(info.path)
        self._catalog.commit(lambda state: [op for op in changes.removals_due(state, now_ns - self._grace_ns) if op in ops])
        self._planned_for = None

    def _prefix(self, op: Op) -> str:
        if isinstance(op, RemoveTable):
            return self._paths.table_prefix(op.database_id, op.table_id)
        assert isinstance(op, RemoveDatabase)
        return self._paths.database_prefix(op.database_id)


def _tables(state: CatalogState, ops: Iterable[Op]) -> Iterable[tuple[int, int]]:
    for op in ops:
        if isinstance(op, RemoveTable):
            yield op.database_id, op.table_id
        elif isinstance(op, RemoveDatabase):
            for table in state.database_by_id(op.database_id).tables:
                yield op.database_id, table.id
