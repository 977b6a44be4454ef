"""READ PATH: read this first. One statement over one ReadView.

    take one ReadView ─▶ tables by name, as the plan asks for them ─▶ statement.prepare ─▶ DataFusion ─▶ batches

Q1  A statement sees one state of catalog and rows from start to end.
Q2  A statement only reads: whatever would change something is refused by kind.

Held by tests/integration/engine/test_query.py (Q1, Q2).
Elsewhere: what SQL means (statement.py), how a table of a view is scanned (tables.py).
"""

import threading
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa
from datafusion import DataFrame, RuntimeEnvBuilder, SessionConfig, SessionContext
from datafusion.catalog import Catalog as PlanCatalog
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

from catalog.credentials import NotPermitted
from catalog.errors import ServiceError
from catalog.schema import Database, Table
from catalog.tokens import ANYONE, READ, Identity
from engine.buffer.rows import TableData
from engine.buffer.series import SeriesRegistry
from engine.files.access import FileAccess
from engine.metrics import Metrics
from engine.query.limits import QueryLimits, Turns
from engine.query.messages import QueryRefused, planner_message
from engine.query.placeholders import placeholder_types
from engine.query.statement import CATALOG, Prepared, prepare
from engine.query.tables import Failed, TableDataset
from engine.requests import QueryResult
from engine.view import ReadView, Views


class Executor:
    def __init__(self, series: SeriesRegistry, views: Views, access: FileAccess, metrics: Metrics, limits: QueryLimits) -> None:
        self._series = series
        self._views = views
        self._access = access
        self._metrics = metrics
        self._limits = limits
        self._turns = Turns(limits.concurrent)
        self._runtime = RuntimeEnvBuilder().with_disk_manager_os().with_fair_spill_pool(limits.memory_bytes)

    def run(
        self, database_name: str, sql: str, params: Mapping[str, object] | None = None, caller: Identity = ANYONE
    ) -> QueryResult:
        self._turns.take()
        try:
            prepared, tables = self._planned(database_name, sql, params or {}, caller)
            running = _Running(prepared, tables, self._ended)
            return QueryResult(prepared.schema, running, running.close)
        except BaseException:
            self._turns.give_back()
            raise

    def plan(
        self, database_name: str, sql: str, params: Mapping[str, object] | None = None, caller: Identity = ANYONE
    ) -> pa.Schema:
        """The schema of a statement's result; without params its parameters stay open."""
        return self._planned(database_name, sql, params, caller)[0].schema

    def parameter_types(self, database_name: str, sql: str, caller: Identity = ANYONE) -> Mapping[str, pa.DataType]:
        prepared, _ = self._planned(database_name, sql, None, caller)
        return {name: kind for plan in prepared.written for name, kind in placeholder_types(plan).items()}

    def _planned(
        self, database_name: str, sql: str, params: Mapping[str, object] | None, caller: Identity
    ) -> tuple[Prepared, "_Tables"]:
        view = self._views.now()
        database = view.state.database(database_name)
        if not caller.may(READ, database.id):  # looked at again: the name may stand for another database by now
            raise NotPermitted
        tables = _Tables(self, view, database)
        try:
            return prepare(self._context(tables), sql, params), tables
        except QueryRefused as error:
            self._metrics.queried("refused")
            raise tables.reason(error) from None

    def _ended(self, outcome: str) -> None:
        self._turns.give_back()
        self._metrics.queried(outcome)

    def _context(self, tables: "_Tables") -> SessionContext:
        config = (
            SessionConfig()
            .with_default_catalog_and_schema(CATALOG, "iox")
            .with_information_schema(True)
            .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
            .with_target_partitions(self._limits.threads)
        )
        context = SessionContext(config, self._runtime)
        catalog = PlanCatalog.memory_catalog(context)
        catalog.register_schema("iox", tables)
        context.register_catalog_provider(CATALOG, catalog)
        return context

    def dataset(self, view: ReadView, database: Database, table: Table, failed: Failed) -> TableDataset:
        def rows() -> TableData:
            return self._views.distinct(view, database.id, table.id)

        return TableDataset(table, self._series.index(database, table), rows, self._access, failed, self._limits)


class _Running:
    """A statement at work: begins when its first batch is wanted, ends once, read to the end or not."""

    def __init__(self, prepared: Prepared, tables: "_Tables", ended: Callable[[str], None]) -> None:
        self._prepared = prepared
        self._tables = tables
        self._ended = ended
        self._open = threading.Lock()
        self._batches: Iterator[pa.RecordBatch] | None = None
        self._is_closed = False

    def __iter__(self) -> "_Running":
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._is_closed:
            raise StopIteration
        try:
            if self._batches is None:
                self._batches = self._prepared.batches(_run)
            return next(self._batches)
        except StopIteration:
            self._end("done")
            raise
        except Exception as error:  # the bindings raise plain Exception for everything that goes wrong
            self._end("failed")
            raise self._tables.reason(error) from None

    def close(self) -> None:
        self._is_closed = True
        self._end("left")
        self._batches = None

    def _end(self, outcome: str) -> None:
        if self._open.acquire(blocking=False):
            self._ended(outcome)


class _Tables(SchemaProvider):  # type: ignore[misc]
    """The tables of one database, made for the plan of one statement as it asks for them."""

    def __init__(self, executor: Executor, view: ReadView, database: Database) -> None:
        self._executor = executor
        self._view = view
        self._database = database
        self._failures: list[ServiceError] = []

    @property
    def table_names(self) -> list[str]:  # the bindings look for a property, and for a sequence
        return sorted(table.name for table in self._database.tables)

    def table(self, name: str) -> PlanTable | None:
        table = self._database.find_table(name)
        if table is None:
            return None
        return PlanTable(self._executor.dataset(self._view, self._database, table, self._failures.append))

    def table_exist(self, name: str) -> bool:
        return self._database.find_table(name) is not None

    def reason(self, error: Exception) -> ServiceError:
        """What ended the statement: a table that could not be read, or else the statement itself."""
        if self._failures:
            return self._failures[0]
        return error if isinstance(error, ServiceError) else QueryRefused(planner_message(error))


def _run(frame: DataFrame) -> Iterator[pa.RecordBatch]:
    for batch in frame.execute_stream():
        yield batch.to_pyarrow()
