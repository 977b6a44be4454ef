"""Hard deletion: first the rows of a dropped table go, then its files, then the last that the catalog knows of it.

    at `hard_delete_at`              a manifest takes the files out of the index, the views forget the rows
    `delete_grace_period` later      the files are deleted, the log is emptied; after that the table's entry in the catalog

Nodes that share a catalog have files of their own each. The first of them that is done removes the entry; the others hear of
it, or find out when they start, and then clear away what they have.

R1  What to do follows from the catalog, the file index, the log and a listing, and doing it twice does no harm: a process that
    died between any two steps, or in one, is continued by the next.
R2  The catalog's entry goes last: as long as this node has files, it says what they were, unless another node removed it.
R3  Nothing else is touched: neither a living table nor one that waits for its time, nor an object that we have not made,
    wherever it lies; and nothing once the node is not ours.
R4  Afterwards no object of the node holds a row of the table, the log included.
R5  Files go even when there is no room for anything else.

Held by tests/unit/engine/test_removals.py (R1-R5).
Elsewhere: soft deletion, and when a hard one is due (catalog.changes).
"""

from collections.abc import Iterable, Sequence

from catalog import changes
from catalog.catalog import Catalog
from catalog.ops import Op, RemoveDatabase, RemoveTable
from catalog.state import CatalogState
from engine.clock import Clock
from engine.files.index import FileIndex
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
        files: FileIndex,
        snapshots: Snapshots,
        ownership: Ownership,
        clock: Clock,
        *,
        grace_ns: int,
        strangers_in_log: bool,
    ) -> None:
        """`strangers_in_log`: the log of the process before had rows of tables that the catalog does not know any more."""
        self._store = store
        self._paths = paths
        self._catalog = catalog
        self._views = views
        self._files = files
        self._snapshots = snapshots
        self._ownership = ownership
        self._clock = clock
        self._grace_ns = grace_ns
        self._planned_for: CatalogState | None = None
        self._plan_again_ns = 0
        self._dropped: frozenset[tuple[int, int]] = frozenset()
        self._removable: Sequence[Op] = ()
        self._mine: Sequence[Op] = ()
        self._strangers = strangers_in_log
        state = catalog.subscribe(self._catalog_changed)
        if any(was_removed(state, file.database_id, file.table_id) for file in files.files):
            self._strangers = True

    def look(self) -> None:
        """Do what is due. Costs next to nothing when that is nothing."""
        state, now_ns = self._catalog.state(), self._clock.now_ns()
        if state is not self._planned_for or now_ns >= self._plan_again_ns:
            self._plan(state, now_ns)
        if with_rows := {table for table in self._dropped if self._views.holds(*table)}:
            self._snapshots.drop(with_rows)
        if self._removable:
            self._remove(self._removable, now_ns)
        if self._strangers:
            self._clear_strangers()

    def _plan(self, state: CatalogState, now_ns: int) -> None:
        self._dropped = frozenset(_tables(state, changes.removals_due(state, now_ns)))
        self._removable = changes.removals_due(state, now_ns - self._grace_ns)
        drop_ns = changes.next_removal_ns(state, now_ns)
        remove_ns = changes.next_removal_ns(state, now_ns - self._grace_ns)
        moments = [drop_ns, None if remove_ns is None else remove_ns + self._grace_ns]
        self._plan_again_ns = min((moment for moment in moments if moment is not None), default=1 << 63)
        self._planned_for = state

    def _remove(self, planned: Sequence[Op], now_ns: int) -> None:
        self._ownership.check()
        still_due = changes.removals_due(self._catalog.refresh(), now_ns - self._grace_ns)  # another node may have a later word
        ops = [op for op in planned if op in still_due]
        if ops:
            for op in ops:
                self._delete_made(self._prefix(op))
            self._snapshots.empty_log()  # after that: settling needs room, and who is short of it may have deleted for that
            self._mine = ops
            self._catalog.commit(lambda state: [op for op in changes.removals_due(state, now_ns - self._grace_ns) if op in ops])
        self._planned_for = None

    def _catalog_changed(self, _old: CatalogState, _new: CatalogState, ops: Sequence[Op]) -> None:
        if any(isinstance(op, RemoveTable | RemoveDatabase) and op not in self._mine for op in ops):
            self._strangers = True

    def _clear_strangers(self) -> None:
        """What is left here of tables that the catalog does not know any more."""
        self._strangers = False  # first: what is heard meanwhile is looked for next time
        try:
            self._ownership.check()
            state = self._catalog.state()
            here = {(file.database_id, file.table_id) for file in self._files.files} | set(self._views.tables())
            if gone := {table for table in here if was_removed(state, *table)}:
                self._snapshots.drop(gone)
            for info in self._store.list(self._paths.data_prefix):
                numbers = self._paths.parquet_numbers(info.path)
                if numbers is not None and was_removed(state, numbers[0], numbers[1]):
                    self._store.delete(info.path)
            self._snapshots.empty_log()
        except BaseException:
            self._strangers = True
            raise

    def _delete_made(self, prefix: str) -> None:
        for info in self._store.list(prefix):
            if self._paths.parquet_numbers(info.path) is not None:  # R3
                self._store.delete(info.path)

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


def was_removed(state: CatalogState, database_id: int, table_id: int) -> bool:
    """Whether the catalog has known a table that it does not know any more: no id is given twice."""
    database = state.find_database_by_id(database_id)
    if database is None:
        return database_id < state.next_database_id
    return database.find_table_by_id(table_id) is None and table_id < database.next_table_id
