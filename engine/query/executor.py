"""READ PATH: read this first. One statement over one ReadView.

    take one ReadView ─▶ tables by name, as the plan asks for them ─▶ statement.prepare ─▶ DataFusion ─▶ batches

Q1  A statement sees one state of catalog and rows from start to end.
Q2  A statement only reads: whatever would change something is refused by kind.
Q3  A statement that is closed, or takes too long, uses no CPU a moment later: its flag (stop.py) is in every scan of it.

Held by tests/integration/engine/test_query.py (Q1, Q2) and tests/integration/engine/test_cancelling.py (Q3).
Elsewhere: what SQL means (statement.py), how a table of a view is scanned (tables.py), how much at once (limits.py).
"""

import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
from datafusion import DataFrame
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

from catalog.errors import ServiceError
from catalog.names import TIME_COLUMN
from catalog.schema import Database, Table
from engine.buffer.rows import TableData
from engine.buffer.series import SeriesRegistry
from engine.files.access import FileAccess
from engine.metrics import Metrics
from engine.query.deadlines import Deadlines
from engine.query.elsewhere.workers import Workers
from engine.query.limits import QueryLimits, QueryTimedOut, TooMuchMemory, Turns
from engine.query.messages import QueryRefused, is_panic, reason_of, runs_out_of_memory
from engine.query.placeholders import placeholder_types
from engine.query.session import new_session, runtime_of
from engine.query.statement import Prepared, prepare
from engine.query.stop import Stop
from engine.query.tables import Failed, TableDataset
from engine.query.weight import Scans, explodes, swells
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
        self._deadlines = Deadlines()
        self._runtime = runtime_of(limits.memory_bytes)
        self._workers = Workers(replace(limits, memory_bytes=limits.memory_bytes // 2))

    def run(self, database_name: str, sql: str, params: Mapping[str, object] | None = None) -> QueryResult:
        """Planned when this returns. Whoever asks for the first batch waits until it is the statement's turn."""
        stop = self._started()
        try:
            planned = self._planned(database_name, sql, params or {}, stop)
        except BaseException:
            stop.set()
            raise
        running = _Running(planned, stop, self._turns, self._workers, self._metrics, self._limits)
        return QueryResult(planned.schema, running, running.close)

    def plan(self, database_name: str, sql: str, params: Mapping[str, object] | None = None) -> pa.Schema:
        """The schema of a statement's result; without params its parameters stay open."""
        return self._planned(database_name, sql, params, Stop()).schema

    def parameter_types(self, database_name: str, sql: str) -> Mapping[str, pa.DataType]:
        planned = self._planned(database_name, sql, None, Stop())
        plans = planned.here.written if planned.here is not None else ()
        return {name: kind for plan in plans for name, kind in placeholder_types(plan).items()}

    def close(self) -> None:
        """Statements in other processes end. Those that run here end with their scans."""
        self._workers.close()

    def _planned(self, database_name: str, sql: str, params: Mapping[str, object] | None, stop: Stop) -> "_Planned":
        view = self._views.now()
        tables = _Tables(self, view, view.state.database(database_name), stop)
        try:
            if swells(sql):
                return _Planned(sql, params, tables, self._workers.schema(sql, params, tables))
            schemas = {name: _Schema(tables, name) for name in tables.schema_names}
            prepared = prepare(new_session(schemas, self._runtime, self._limits.threads), sql, params, stop=stop)
            return _Planned(sql, params, tables, prepared.schema, prepared)
        except QueryRefused as error:
            self._metrics.queried("refused")
            raise tables.reason(error) from None
        except BaseException as error:
            if is_panic(error):
                raise tables.reason(error) from None
            raise

    def _started(self) -> Stop:
        stop = Stop()
        timeout_ms = self._limits.timeout_ms
        if timeout_ms is not None:
            self._deadlines.add(stop, QueryTimedOut(timeout_ms), timeout_ms / 1000)
        return stop

    def dataset(self, view: ReadView, database: Database, table: Table, failed: Failed, stop: Stop) -> TableDataset:
        def rows() -> TableData:
            return self._views.distinct(view, database.id, table.id)

        return TableDataset(table, self._series.index(database, table), rows, self._access, failed, self._limits, stop)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A statement whose schema is known; planned `here`, unless even that has to happen elsewhere."""

    sql: str
    params: Mapping[str, object] | None
    tables: "_Tables"
    schema: pa.Schema
    here: Prepared | None = None

    @property
    def must_run_elsewhere(self) -> bool:
        here = self.here
        if here is None:
            return True
        frames = (here.frame, *(step.frame for step in here.steps))
        return any(explodes(frame.logical_plan(), frame.execution_plan, self._scans) for frame in frames)

    def _scans(self) -> Scans:
        steps = () if self.here is None else self.here.steps
        rows = math.inf if steps else self.tables.rows_at_most
        return Scans(rows, self.tables.key_columns, len(self.sql))


class _Running:
    """A statement at work: begins when its first batch is wanted, ends once, read to the end or not."""

    def __init__(
        self, planned: _Planned, stop: Stop, turns: Turns, workers: Workers, metrics: Metrics, limits: QueryLimits
    ) -> None:
        self._planned = planned
        self._stop = stop
        self._turns = turns
        self._workers = workers
        self._metrics = metrics
        self._limits = limits
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
                self._batches = self._begun()
            return next(self._batches)
        except StopIteration:
            self._end("done")
            raise
        except BaseException as error:  # the bindings raise plain Exception for everything that goes wrong, and panics
            if not isinstance(error, Exception) and not is_panic(error):
                self._end("left")
                raise
            reason = self._stop.reason or self._reason(error)
            self._end("failed")
            raise reason from None

    def close(self) -> None:
        """At once; what is running in another thread finds the flag set (Q3)."""
        self._end("left")
        self._batches = None

    def _begin(self) -> None:
        self._turns.take(self._stop)
        with self._lock:
            self._has_turn = not self._is_ended
        if not self._has_turn:
            self._turns.give_back()
            self._stop.check()

    def _begun(self) -> Iterator[pa.RecordBatch]:
        planned = self._planned
        if planned.here is None or planned.must_run_elsewhere:
            return self._workers.batches(planned.sql, planned.params or {}, planned.tables, self._stop)
        return planned.here.batches(self._run, self._stop.sleep)

    def _run(self, frame: DataFrame) -> Iterator[pa.RecordBatch]:
        for batch in frame.execute_stream():
            yield batch.to_pyarrow()
            self._stop.check()

    def _reason(self, error: BaseException) -> ServiceError:
        if runs_out_of_memory(error):
            return TooMuchMemory(self._limits.memory_bytes)
        return self._planned.tables.reason(error)

    def _end(self, outcome: str) -> None:
        with self._lock:
            if self._is_ended:
                return
            self._is_ended, had_turn = True, self._has_turn
        self._stop.set()
        if had_turn:
            self._turns.give_back()
        self._metrics.queried(outcome)


class _Tables:
    """The tables that one statement may read, made as they are asked for, all of one view."""

    schema_names = ("iox",)

    def __init__(self, executor: Executor, view: ReadView, database: Database, stop: Stop) -> None:
        self._executor = executor
        self._view = view
        self._database = database
        self._stop = stop
        self._failures: list[ServiceError] = []
        self._made: list[tuple[Table, TableDataset]] = []

    def names(self, schema: str) -> list[str]:
        return sorted(table.name for table in self._database.tables)

    def dataset(self, schema: str, name: str) -> TableDataset | None:
        table = self._database.find_table(name)
        if table is None:
            return None
        dataset = self._executor.dataset(self._view, self._database, table, self._failures.append, self._stop)
        self._made.append((table, dataset))
        return dataset

    def has(self, schema: str, name: str) -> bool:
        return self._database.find_table(name) is not None

    @property
    def rows_at_most(self) -> int:
        """Of any scan that has been planned."""
        return max((dataset.rows_at_most for _, dataset in self._made), default=0)

    @property
    def key_columns(self) -> frozenset[str]:
        """Columns that tell the rows of any of the tables apart."""
        return frozenset([TIME_COLUMN, *(tag for table, _ in self._made for tag in table.tags)])

    def reason(self, error: BaseException) -> ServiceError:
        """What ended the statement: a table that could not be read, or else the statement itself."""
        if self._failures:
            return self._failures[0]
        return reason_of(error)


class _Schema(SchemaProvider):  # type: ignore[misc]
    """A statement's tables as the planner asks for them."""

    def __init__(self, tables: _Tables, name: str) -> None:
        self._tables = tables
        self._name = name

    @property
    def table_names(self) -> list[str]:  # the bindings look for a property, and for a sequence
        return self._tables.names(self._name)

    def table(self, name: str) -> PlanTable | None:
        dataset = self._tables.dataset(self._name, name)
        return None if dataset is None else PlanTable(dataset)

    def table_exist(self, name: str) -> bool:
        return self._tables.has(self._name, name)
