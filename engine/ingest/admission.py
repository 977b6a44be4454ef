"""Schema on write: may these rows enter, and under which table ids?

A1  Growth (a database, tables, columns) is one catalog commit a write, durable before the rows go on.
A2  Rows that were read in the light of a schema that has changed since are refused with SchemaMoved, never bent.

Held by tests/unit/engine/test_ingest.py (A1, A2).
Elsewhere: which ops growth takes (catalog.growth), limits and their texts (catalog.limits).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog.catalog import Catalog
from catalog.errors import Unavailable
from catalog.growth import SchemaMoved, WantedTable, plan_schema_changes
from catalog.limits import Limits
from catalog.names import check_database_name, check_namespace_name
from catalog.state import CatalogState
from engine._native import SeriesIndex
from engine.buffer.series import DatabaseSeries, SeriesRegistry
from engine.settings import Settings
from engine.view import Views
from engine.wal.writer import WalWriter


@dataclass(frozen=True, slots=True)
class Home:
    """Where the rows of one table go."""

    id: int
    tags: tuple[str, ...]
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
        if self._catalog.state().find_database(database_name) is not None and database_name != "_internal":
            return
        if door != "v3":
            check_namespace_name(database_name)
        check_database_name(database_name)

    def admit(self, database_name: str, series: DatabaseSeries, drops: int, wanted: Sequence[WantedTable]) -> Homes:
        """The homes of tables, made or widened where needed; `series` and its `drops` are what the rows were read with."""
        state = self._catalog.state()
        if any(table.known_id is None or table.tags or table.fields for table in wanted):
            state = self._catalog.commit(lambda now: plan_schema_changes(now, database_name, wanted, limits=self.limits))
            series = self._learned(state, database_name, wanted)
        elif series.drops != drops:
            raise SchemaMoved(["a table was dropped"])
        homes = []
        for table in wanted:
            known = series.known.get(table.name)
            if known is None:
                raise SchemaMoved([f"table {table.name} was dropped"])
            homes.append(Home(known.id, known.tags, series.indexes[known.id]))
        return Homes(series.database_id, series, homes)

    def _learned(self, state: CatalogState, database_name: str, wanted: Sequence[WantedTable]) -> DatabaseSeries:
        database = state.database(database_name)
        return self._series.learn(database, [database.table(table.name) for table in wanted])
