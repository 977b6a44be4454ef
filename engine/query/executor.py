"""READ PATH: read this first. One statement over one ReadView.

    take one ReadView ─▶ tables by name, as the plan asks for them ─▶ statement.prepare ─▶ DataFusion ─▶ batches

Q1  A statement sees one state of catalog and rows from start to end.
Q2  A statement only reads: whatever would change something is refused by kind.
Q3  A statement that is closed, or takes too long, uses no CPU a moment later: its flag (stop.py) is in every scan of it.

Held by tests/integration/engine/test_query.py (Q1, Q2) and tests/integration/engine/test_cancelling.py (Q3).
Elsewhere: what SQL means (statement.py), how a table of a view is scanned (tables.py), how much at once (limits.py).
"""

import threading
from collections.abc import Iterator, Mapping

import pyarrow as pa
from datafusion import DataFrame, RuntimeEnvBuilder, SessionConfig, SessionContext
from datafusion.catalog import Catalog as PlanCatalog
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

from catalog.errors import ServiceError
from catalog.schema import Database, Table
from catalog.tokens import ANYONE, Identity
from engine import events
from engine.buffer.rows import TableData
from engine.buffer.series import SeriesRegistry
from engine.clock import SystemClock
from engine.events import LoggedQuery, QueryLog
from engine.files.access import FileAccess
from engine.metrics import Metrics
from engine.query.deadlines import Deadlines
from engine.query.limits import QueryLimits, QueryTimedOut, Turns
from engine.query.messages import QueryRefused, planner_message
from engine.query.placeholders import placeholder_types
from engine.query.report import ScanReport, files_read
from engine.query.statement import CATALOG, Prepared, prepare
from engine.query.stop import Stop
from engine.query.system_schema import SystemSchema
from engine.query.system_tables import SCHEMA as SYSTEM
from engine.query.system_tables import Live, Sources
from engine.query.tables import Failed, Reported, TableDataset
from engine.requests import FROM_SQL, Origin, QueryResult
from engine.view import ReadView, Views


class Executor:
    def __init__(
        self,
        series: SeriesRegistry,
        views: Views,
        access: FileAccess,
        metrics: Metrics,
        limits: QueryLimits,
        live: Live,
    ) -> None:
        self._series = series
        self._views = views
        self._access = access
        self._metrics = metrics
        self._limits = limits
        self._live = live
        self._unlogged = QueryLog(SystemClock(), 0)
        self._turns = Turns(limits.concurrent)
        self._deadlines = Deadlines()
        self._runtime = RuntimeEnvBuilder().with_disk_manager_os().with_fair_spill_pool(limits.memory_bytes)

    def run(
        self, database_name: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> QueryResult:
        """Planned when this returns. Whoever asks for the first batch waits until it is the statement's turn."""
        entry = self._logged(database_name, sql, origin)
        stop = self._started()
        try:
            prepared, tables = self._planned(database_name, sql, params or {}, stop, origin.caller)
        except BaseException as error:
            stop.set()
            entry.ended(events.FAILURE, str(error))
            raise
        entry.planned()
        running = _Running(prepared, tables, entry, stop, self._turns, self._metrics)
        return QueryResult(prepared.schema, running, running.close)

    def plan(
        self, database_name: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> pa.Schema:
        """The schema of a statement's result; without params its parameters stay open."""
        try:
            return self._planned(database_name, sql, params, Stop(), origin.caller)[0].schema
        except ServiceError as error:  # whoever asks for the schema first gets no further
            self._logged(database_name, sql, origin).ended(events.FAILURE, str(error))
            raise

    def parameter_types(self, database_name: str, sql: str) -> Mapping[str, pa.DataType]:
        prepared, _ = self._planned(database_name, sql, None, Stop(), ANYONE)
        return {name: kind for plan in prepared.written for name, kind in placeholder_types(plan).items()}

    def _planned(
        self, database_name: str, sql: str, params: Mapping[str, object] | None, stop: Stop, caller: Identity
    ) -> tuple[Prepared, "_Tables"]:
        view = self._views.now()
        tables = _Tables(self, view, view.state.database(database_name), stop)
        try:
            return prepare(self._context(tables, caller), sql, params, stop=stop), tables
        except QueryRefused as error:
            self._metrics.queried("refused")
            raise tables.reason(error) from None

    def _started(self) -> Stop:
        stop = Stop()
        timeout_ms = self._limits.timeout_ms
        if timeout_ms is not None:
            self._deadlines.add(stop, QueryTimedOut(timeout_ms), timeout_ms / 1000)
        return stop

    def _logged(self, database_name: str, sql: str, origin: Origin) -> LoggedQuery:
        log = self._live.queries if origin.logged else self._unlogged
        return log.begin(database_name, origin.text or sql, origin.kind, origin.trace_id)

    def _context(self, tables: "_Tables", caller: Identity) -> SessionContext:
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
        catalog.register_schema(SYSTEM, SystemSchema(tables.sources(self._live, caller)))
        context.register_catalog_provider(CATALOG, catalog)
        return context

    def dataset(
        self, view: ReadView, database: Database, table: Table, failed: Failed, reported: Reported, stop: Stop
    ) -> TableDataset:
        def rows() -> TableData:
            return self._views.distinct(view, database.id, table.id)

        index = self._series.index(database, table)
        return TableDataset(table, index, rows, self._access, failed, self._limits, reported, stop)


class _Running:
    """A statement at work: begins when its first batch is wanted, ends once, read to the end or not."""

    def __init__(
        self, prepared: Prepared, tables: "_Tables", entry: LoggedQuery, stop: Stop, turns: Turns, metrics: Metrics
    ) -> None:
        self._prepared = prepared
        self._tables = tables
        self._entry = entry
        self._stop = stop
        self._turns = turns
        self._metrics = metrics
        self._lock = threading.Lock()
        self._has_turn = self._is_ended = False
        self._batches: Iterator[pa.RecordBatch] | None = None

    def __iter__(self) -> "_Running":
        return self

    def __next__(self) -> pa.RecordBatch:
        if self._is_ended:
            raise StopIteration
        try:
            if self._batches is None:
                self._begin()
                self._batches = self._prepared.batches(self._run, self._stop.sleep, lambda: self._tables.reports)
            batch = next(self._batches)
        except StopIteration:
            self._end("done", events.SUCCESS)
            raise
        except Exception as error:  # the bindings raise plain Exception for everything that goes wrong
            reason = self._stop.reason or self._tables.reason(error)
            self._end("failed", events.FAILURE, str(reason))
            raise reason from None
        self._entry.returned(batch.num_rows, batch.nbytes)
        return batch

    def close(self) -> None:
        """At once; what is running in another thread finds the flag set (Q3)."""
        self._end("left", events.CANCELLED)
        self._batches = None

    def _begin(self) -> None:
        self._entry.waiting()
        self._turns.take(self._stop)
        self._entry.permitted()
        with self._lock:
            self._has_turn = not self._is_ended
        if not self._has_turn:
            self._turns.give_back()
            self._stop.check()

    def _run(self, frame: DataFrame) -> Iterator[pa.RecordBatch]:
        for batch in frame.execute_stream():
            yield batch.to_pyarrow()
            self._stop.check()

    def _end(self, outcome: str, phase: str, error: str | None = None) -> None:
        with self._lock:
            if self._is_ended:
                return
            self._is_ended, had_turn = True, self._has_turn
        self._stop.set()
        if had_turn:
            self._turns.give_back()
        self._entry.files = files_read(self._tables.reports)
        self._entry.ended(phase, error)
        self._metrics.queried(outcome, self._entry)


class _Tables(SchemaProvider):  # type: ignore[misc]
    """The tables of one database, made for the plan of one statement as it asks for them."""

    def __init__(self, executor: Executor, view: ReadView, database: Database, stop: Stop) -> None:
        self._stop = stop
        self._executor = executor
        self._view = view
        self._database = database
        self._failures: list[ServiceError] = []
        self.reports: list[ScanReport] = []

    @property
    def owner_name(self) -> str | None:  # the bindings would show a method, and None as a text
        raise AttributeError("nobody owns a schema")

    @property
    def table_names(self) -> list[str]:  # the bindings look for a property, and for a sequence
        return sorted(table.name for table in self._database.tables)

    def table(self, name: str) -> PlanTable | None:
        table = self._database.find_table(name)
        if table is None:
            return None
        dataset = self._executor.dataset(
            self._view, self._database, table, self._failures.append, self.reports.append, self._stop
        )
        return PlanTable(dataset)

    def sources(self, live: Live, caller: Identity) -> Sources:
        """For the tables beside them, of the same moment."""
        return Sources(self._view, self._database, live, caller)

    def table_exist(self, name: str) -> bool:
        return self._database.find_table(name) is not None

    def reason(self, error: Exception) -> ServiceError:
        """What ended the statement: a table that could not be read, or else the statement itself."""
        if self._failures:
            return self._failures[0]
        return error if isinstance(error, ServiceError) else QueryRefused(planner_message(error))
