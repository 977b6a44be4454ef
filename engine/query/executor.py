"""READ PATH: read this first. One statement over one ReadView.

    take one ReadView ─▶ tables by name, as the plan asks for them ─▶ statement.prepare ─▶ DataFusion ─▶ batches

Q1  A statement sees one state of catalog and rows from start to end.
Q2  A statement only reads: whatever would change something is refused by kind.

Held by tests/integration/engine/test_query.py (Q1, Q2).
Elsewhere: what SQL means (statement.py), how a table of a view is scanned (tables.py).
"""

from collections.abc import Iterator, Mapping

import pyarrow as pa
from datafusion import DataFrame, RuntimeEnvBuilder, SessionConfig, SessionContext
from datafusion.catalog import Catalog as PlanCatalog
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

from catalog.schema import Database
from engine.buffer.series import SeriesRegistry
from engine.metrics import Metrics
from engine.query.messages import QueryRefused, planner_message
from engine.query.statement import CATALOG, Prepared, prepare
from engine.query.tables import OpenFile, TableDataset
from engine.requests import QueryResult
from engine.view import ReadView, Views


class Executor:
    def __init__(self, series: SeriesRegistry, views: Views, open_file: OpenFile, metrics: Metrics, memory_bytes: int) -> None:
        self._series = series
        self._views = views
        self._open_file = open_file
        self._metrics = metrics
        self._memory_bytes = memory_bytes

    def run(self, database_name: str, sql: str, params: Mapping[str, object] | None = None) -> QueryResult:
        view = self._views.now()
        database = view.state.database(database_name)
        try:
            prepared = prepare(self._context(view, database), sql, params)
        except QueryRefused:
            self._metrics.queried("refused")
            raise
        return QueryResult(prepared.schema, self._batches(prepared))

    def _batches(self, prepared: Prepared) -> Iterator[pa.RecordBatch]:
        outcome = "failed"
        try:
            yield from prepared.batches(_run)
            outcome = "done"
        except GeneratorExit:
            outcome = "left"
            raise
        except Exception as error:  # the bindings raise plain Exception for whatever goes wrong in a plan
            raise QueryRefused(planner_message(error)) from None
        finally:
            self._metrics.queried(outcome)

    def _context(self, view: ReadView, database: Database) -> SessionContext:
        config = SessionConfig().with_default_catalog_and_schema(CATALOG, "iox").with_information_schema(True)
        config = config.set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
        runtime = RuntimeEnvBuilder().with_disk_manager_os().with_fair_spill_pool(self._memory_bytes)
        context = SessionContext(config, runtime)
        catalog = PlanCatalog.memory_catalog(context)
        catalog.register_schema("iox", _Tables(self, view, database))
        context.register_catalog_provider(CATALOG, catalog)
        return context

    def dataset(self, view: ReadView, database: Database, name: str) -> TableDataset | None:
        table = database.find_table(name)
        if table is None:
            return None
        index = self._series.index(database, table)
        return TableDataset(table, index, self._views.distinct(view, database.id, table.id), self._open_file)


class _Tables(SchemaProvider):  # type: ignore[misc]
    """The tables of one database, made for the plan as it asks for them."""

    def __init__(self, executor: Executor, view: ReadView, database: Database) -> None:
        self._executor = executor
        self._view = view
        self._database = database

    @property
    def table_names(self) -> list[str]:  # the bindings look for a property, and for a sequence
        return sorted(table.name for table in self._database.tables)

    def table(self, name: str) -> PlanTable | None:
        dataset = self._executor.dataset(self._view, self._database, name)
        return None if dataset is None else PlanTable(dataset)

    def table_exist(self, name: str) -> bool:
        return self._database.find_table(name) is not None


def _run(frame: DataFrame) -> Iterator[pa.RecordBatch]:
    for batch in frame.execute_stream():
        yield batch.to_pyarrow()
