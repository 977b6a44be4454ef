"""Schema on write: may these rows enter, and under which table ids?

A1  Growth (a database, tables, columns) is one catalog commit a write, durable before the rows go on.
A2  Rows that were read in the light of a schema that has changed since are refused with SchemaMoved, never bent.

Held by tests/unit/engine/test_ingest.py (A1, A2).
Elsewhere: which ops growth takes (catalog.growth), limits and their texts (catalog.limits).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from catalog.apply import SoftDeleted
from catalog.catalog import Catalog
from catalog.errors import Unavailable
from catalog.growth import SchemaMoved, WantedTable, plan_schema_changes
from catalog.limits import Limits
from catalog.names import check_database_name, check_namespace_name
from catalog.schema import Database, Table
from engine._native import SeriesIndex
from engine.buffer.series import STRANGER, DatabaseSeries, SeriesRegistry
from engine.settings import Settings
from engine.view import Views
from engine.wal.writer import WalWriter


@dataclass(frozen=True, slots=True)
class Home:
    """Where the rows of one table go."""

    id: int
    index: SeriesIndex


@dataclass(frozen=True, slots=True)
class Homes:
    database_id: int
    series: DatabaseSeries
    tables: Sequence[Home]


class Admission:
    def __init__(self, catalog: Catalog, series: SeriesRegistry, views: Views, wal: WalWriter, settings: Settings) -> None:
        self._catalog = catalog
        self._series = series
        self._views = views
        self._wal = wal
        self._settings = settings
        self.limits = Limits(settings.database_limit, settings.table_limit, settings.column_limit)

    def refuse_if_full(self) -> None:
        """Raise Unavailable while rows come faster than they can be kept."""
        self._wal.refuse_if_full()
        unsettled, limit = self._views.unsettled_bytes, self._settings.buffer_mem_limit_bytes
        if unsettled >= limit:
            raise Unavailable(
                f"{unsettled >> 20} MiB of rows wait to be settled into files, the limit is {limit >> 20} MiB; try again",
                hint="raise --buffer-mem-limit or write more slowly",
            )

    def check_name(self, database_name: str, door: str) -> None:
        known = self._catalog.state().find_database(database_name)
        if known is not None and known.deleted:
            raise SoftDeleted("database", database_name)
        if known is not None and database_name != "_internal":
            return
        if door != "v3":
            check_namespace_name(database_name)
        check_database_name(database_name)

    def admit(self, database_name: str, series: DatabaseSeries, drops: int, wanted: Sequence[WantedTable]) -> Homes:
        """The homes of tables, made or widened where needed; `series` and its `drops` are what the rows were read with."""
        if series.drops != drops:
            raise SchemaMoved(["a table was dropped"])
        state = self._catalog.state()
        if any(table.known_id is None or table.tags or table.fields for table in wanted):
            state = self._catalog.commit(lambda now: plan_schema_changes(now, database_name, wanted, limits=self.limits))
        database = state.find_database(database_name)
        if database is None or series.database_id not in (STRANGER, database.id):
            raise SchemaMoved([f"database {database_name} was dropped"])
        tables = [_found(database, table) for table in wanted]
        series = self._series.learn(database, tables)
        return Homes(database.id, series, [_home(series, table) for table in tables])

    def catch_up(self, database_name: str, names: Iterable[str]) -> None:
        """Tell the parser of these tables, so that lines are read in the light of what others have made."""
        database = self._catalog.state().find_database(database_name)
        if database is not None:
            self._series.learn(database, [table for name in names if (table := database.find_table(name)) is not None])


def _found(database: Database, wanted: WantedTable) -> Table:
    table = database.find_table(wanted.name)
    if table is None or wanted.known_id not in (None, table.id):
        raise SchemaMoved([f"table {wanted.name} was dropped"])
    if table.deleted:
        raise SoftDeleted("table", wanted.name)
    return table


def _home(series: DatabaseSeries, table: Table) -> Home:
    known, index = series.known.get(table.name), series.indexes.get(table.id)
    if known is None or known.id != table.id or index is None:
        raise SchemaMoved([f"table {table.name} was dropped"])
    return Home(table.id, index)
