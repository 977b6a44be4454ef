"""What each table's series are called: one SeriesIndex a table, one LineSchema a database, kept in step with the catalog.

S1  A table's index lives as long as the process knows the table: a series number never changes its meaning.
S2  What the parser knows is in the catalog already: tables and columns reach a LineSchema after their commit, as the newest
    state has them. It knows no table that has been deleted.

Held by tests/unit/engine/test_series_registry.py (S1, S2).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from catalog.ops import DropTable, Op, RemoveDatabase, RemoveTable
from catalog.schema import Database, Table
from catalog.state import CatalogState
from engine._native import LineSchema, SeriesIndex

#: the id of no database
STRANGER = -1


@dataclass(slots=True)
class DatabaseSeries:
    """The series of one database's tables. `lock` is held by whoever adds series or tells the parser of columns."""

    database_id: int
    lines: LineSchema
    lock: threading.Lock = field(default_factory=threading.Lock)
    indexes: dict[int, SeriesIndex] = field(default_factory=dict)
    known: dict[str, Table] = field(default_factory=dict)
    #: how many tables were dropped so far: rows parsed before a drop may carry numbers of an index that is gone
    drops: int = 0


class SeriesRegistry:
    def __init__(
        self,
        state: Callable[[], CatalogState],
        *,
        extend_tags: bool,
        column_limit: int | None,
        floors_ns: Mapping[tuple[int, int], int],
    ) -> None:
        """`state`: the newest one. `floors_ns`: for tables with files, the newest time in them."""
        self._state = state
        self._extend_tags = extend_tags
        self._column_limit = column_limit or 0
        self._floors_ns = dict(floors_ns)
        self._databases: dict[int, DatabaseSeries] = {}
        self._lock = threading.Lock()
        self._stranger = DatabaseSeries(STRANGER, self._line_schema())

    def stranger(self) -> DatabaseSeries:
        """The series of a database that does not exist yet."""
        return self._stranger

    def database(self, database: Database) -> DatabaseSeries:
        """The database's series, its tables made known at first use."""
        found = self._databases.get(database.id)
        if found is not None:
            return found
        with self._lock:
            found = self._databases.get(database.id)
            if found is None:
                found = DatabaseSeries(database.id, self._line_schema())
                newest = self._state().find_database_by_id(database.id)
                if newest is None:
                    return found  # removed for good: who still asks may have series, and nobody keeps them
                for table in newest.tables:
                    self._learn(found, table)
                self._databases[database.id] = found
        return found

    def index(self, database: Database, table: Table) -> SeriesIndex:
        """A table's index with all of the table's tags, whether the table is still there or has been deleted."""
        series = self.database(database)
        found = series.indexes.get(table.id)
        if found is None or found.tag_count < len(table.tags):
            with series.lock:
                found = self._index(series, table)
        return found

    def learn(self, database: Database, tables: Sequence[Table]) -> DatabaseSeries:
        """The database's series, after the parser was told of these tables as the newest state has them."""
        series = self.database(database)
        if any(series.known.get(table.name) != table for table in tables):
            with series.lock:
                newest = self._state().find_database_by_id(database.id)
                for table in tables:
                    now = None if newest is None else newest.find_table(table.name)
                    if now is not None:
                        self._learn(series, now)
        return series

    def catalog_changed(self, old: CatalogState, _new: CatalogState, ops: Sequence[Op]) -> None:
        """Forget what was dropped. What was added is learned by whoever needs it."""
        for op in ops:
            if isinstance(op, DropTable | RemoveTable):
                self._forget_table(old, op)
            elif isinstance(op, RemoveDatabase):
                with self._lock:
                    self._databases.pop(op.database_id, None)

    def _forget_table(self, old: CatalogState, op: DropTable | RemoveTable) -> None:
        table = old.database_by_id(op.database_id).table_by_id(op.table_id)
        with self._lock:
            series = self._databases.get(op.database_id)
        if series is None:
            return
        with series.lock:
            known = series.known.get(table.name)
            if known is not None and known.id == table.id:
                series.lines.drop_table(table.name)
                del series.known[table.name]
                series.drops += 1
            if isinstance(op, RemoveTable):
                series.indexes.pop(table.id, None)

    @property
    def series_count(self) -> int:
        return sum(len(index) for series in list(self._databases.values()) for index in list(series.indexes.values()))

    @property
    def memory_bytes(self) -> int:
        return sum(
            series.lines.memory_bytes + sum(index.memory_bytes for index in list(series.indexes.values()))
            for series in list(self._databases.values())
        )

    def _line_schema(self) -> LineSchema:
        return LineSchema(extend_tags=self._extend_tags, column_limit=self._column_limit)

    def _learn(self, series: DatabaseSeries, table: Table) -> None:
        if table.deleted or series.known.get(table.name) == table:
            return
        index = self._index(series, table)
        series.lines.put_table(table.name, table.tags, [(name, int(kind)) for name, kind in table.fields.items()], index)
        series.known[table.name] = table

    def _index(self, series: DatabaseSeries, table: Table) -> SeriesIndex:
        index = series.indexes.get(table.id)
        if index is None:
            index = series.indexes[table.id] = SeriesIndex(len(table.tags))
            floor_ns = self._floors_ns.get((series.database_id, table.id))
            if floor_ns is not None:
                index.set_floor(floor_ns)
        elif index.tag_count < len(table.tags):
            index.add_tags(len(table.tags) - index.tag_count)
        return index
