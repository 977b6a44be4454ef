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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import pyarrow as pa
from datafusion import DataFrame, SessionContext
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

from catalog.errors import ServiceError
from catalog.names import TIME_COLUMN
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
from engine.query.elsewhere.workers import Schema, Workers
from engine.query.explain import explained_frame, explaining
from engine.query.limits import QueryLimits, QueryTimedOut, TooMuchMemory, Turns
from engine.query.made import MadeTable
from engine.query.messages import QueryRefused, is_panic, reason_of, runs_out_of_memory
from engine.query.placeholders import placeholder_types
from engine.query.plans import Key, Plans, key_of
from engine.query.report import ScanReport, files_read
from engine.query.session import new_session, runtime_of
from engine.query.shapes.folding import Folding, Picking, folded
from engine.query.shapes.needs import ALL_ROWS, Needs, needs_of
from engine.query.shell import Shell
from engine.query.statement import CATALOG, Prepared, prepare
from engine.query.stop import Stop
from engine.query.system_schema import SystemSchema
from engine.query.system_tables import SCHEMA as SYSTEM
from engine.query.system_tables import Live, Sources
from engine.query.tables import Failed, Reported, TableDataset
from engine.query.weight import Scans, explodes, swells
from engine.requests import FROM_SQL, Origin, QueryResult
from engine.view import ReadView, Views

#: an aggregate of fewer rows is left to the plan
FOLDED_ROWS = 20_000


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
        self._runtime = runtime_of(limits.memory_bytes)
        self._workers = Workers(replace(limits, memory_bytes=limits.memory_bytes // 2))
        self._plans: Plans[_Planned] = Plans()

    def run(
        self, database_name: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> QueryResult:
        """Planned when this returns. Whoever asks for the first batch waits until it is the statement's turn."""
        entry = self._logged(database_name, sql, origin)
        stop = self._started()
        try:
            planned = self._planned(database_name, sql, params or {}, stop, origin.caller).fitted()
        except BaseException as error:
            stop.set()
            entry.ended(events.FAILURE, str(error))
            raise
        entry.planned()
        running = _Running(planned, entry, stop, self._turns, self._workers, self._metrics, self._limits, self._keep)
        return QueryResult(planned.schema, running, running.close)

    def plan(
        self, database_name: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> pa.Schema:
        """The schema of a statement's result; without params its parameters stay open."""
        try:
            planned = self._planned(database_name, sql, params, Stop(), origin.caller)
            self._keep(planned)
            return planned.schema
        except ServiceError as error:  # whoever asks for the schema first gets no further
            self._logged(database_name, sql, origin).ended(events.FAILURE, str(error))
            raise

    def parameter_types(self, database_name: str, sql: str) -> Mapping[str, pa.DataType]:
        planned = self._planned(database_name, sql, None, Stop(), ANYONE)
        plans = planned.here.written if planned.here is not None else ()
        self._keep(planned)
        return {name: kind for plan in plans for name, kind in placeholder_types(plan).items()}

    def close(self) -> None:
        """Statements in other processes end. Those that run here end with their scans."""
        self._workers.close()

    def _planned(
        self, database_name: str, sql: str, params: Mapping[str, object] | None, stop: Stop, caller: Identity
    ) -> "_Planned":
        view = self._views.now()
        database = view.state.database(database_name)
        key = key_of(view.state.sequence, database.id, sql, params)
        kept = self._plans.take(key)
        if kept is not None:
            kept.tables.begin(view, stop)
            return kept
        tables = _Tables(self, view, database, self._live, caller, stop)
        try:
            if swells(sql):
                return _Planned(sql, params, tables, self._workers.schema(sql, params, tables))
            session = new_session(tables.schemas, self._runtime, self._limits.threads)
            prepared = prepare(session, sql, params, stop=stop)
            return _Planned(sql, params, tables, prepared.schema, prepared, session, key)
        except QueryRefused as error:
            self._metrics.queried("refused")
            raise tables.reason(error) from None
        except BaseException as error:
            if is_panic(error):
                raise tables.reason(error) from None
            raise

    def _keep(self, planned: "_Planned") -> None:
        """After its statement has ended, and nothing of it runs any more."""
        planned.tables.end()
        if planned.can_be_kept:
            self._plans.keep(planned.key, planned)

    def _started(self) -> Stop:
        stop = Stop()
        timeout_ms = self._limits.timeout_ms
        if timeout_ms is not None:
            self._deadlines.add(stop, QueryTimedOut(timeout_ms), timeout_ms / 1000)
        return stop

    def _logged(self, database_name: str, sql: str, origin: Origin) -> LoggedQuery:
        log = self._live.queries if origin.logged else self._unlogged
        return log.begin(database_name, origin.text or sql, origin.kind, origin.trace_id)

    def dataset(
        self, view: ReadView, database: Database, table: Table, failed: Failed, reported: Reported, stop: Stop
    ) -> TableDataset:
        def rows() -> TableData:
            return self._views.distinct(view, database.id, table.id)

        index = self._series.index(database, table)
        return TableDataset(table, index, rows, self._access, failed, self._limits, reported, stop)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A statement whose schema is known; planned `here`, unless even that has to happen elsewhere."""

    sql: str
    params: Mapping[str, object] | None
    tables: "_Tables"
    schema: pa.Schema
    here: Prepared | None = None
    session: SessionContext | None = None
    key: Key | None = None
    fit: "_Fit | None" = None

    def fitted(self) -> "_Planned":
        """About to run: its tables know what its plans need of them, and aggregates are asked of the rows where that pays."""
        if self.here is None or self.session is None:
            return self
        if self.here.explains:
            return replace(self, here=self.tables.explaining(self.here, self.session))
        try:
            fit = self.fit or self.tables.fit(self.here, self.session)
        except RecursionError:  # a chain of a thousand conditions: too deep to be looked through, and no shape of ours
            fit = _Fit(self.here, {}, self.here, {}, ())
        return replace(self, here=self.tables.fitted(fit), fit=fit)

    @property
    def can_be_kept(self) -> bool:
        here = self.here
        return here is not None and not (here.steps or here.pause or here.explains or self.tables.reads_system)

    @property
    def must_run_elsewhere(self) -> bool:
        here = self.here
        if here is None:
            return True
        frames = (here.frame, *(step.frame for step in here.steps))
        judged = any(explodes(frame.logical_plan(), frame.execution_plan, self._scans) for frame in frames)
        self.tables.reports.clear()  # of scans that were planned only to be judged
        return judged

    def _scans(self) -> Scans:
        found = self.tables.scans(self.sql)
        has_filled_gaps = self.here is not None and self.here.steps
        return replace(found, rows=math.inf) if has_filled_gaps else found


@dataclass(frozen=True, slots=True)
class _Fit:
    """A statement as it was planned and with its aggregates folded, and what each needs of the tables it still scans."""

    prepared: Prepared
    needs: Mapping[str, Needs]
    folded: Prepared
    folded_needs: Mapping[str, Needs]
    shapes: tuple[Folding | Picking, ...]


class _Running:
    """A statement at work: begins when its first batch is wanted, ends once, read to the end or not."""

    def __init__(
        self,
        planned: _Planned,
        entry: LoggedQuery,
        stop: Stop,
        turns: Turns,
        workers: Workers,
        metrics: Metrics,
        limits: QueryLimits,
        keep: Callable[[_Planned], None],
    ) -> None:
        self._planned = planned
        self._keep = keep
        self._entry = entry
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
            batch = next(self._batches)
        except StopIteration:
            self._end("done", events.SUCCESS)
            self._batches = None
            self._keep(self._planned)
            raise
        except BaseException as error:  # the bindings raise plain Exception for everything that goes wrong, and panics
            if not isinstance(error, Exception) and not is_panic(error):
                self._end("left", events.CANCELLED)
                raise
            reason = self._stop.reason or self._reason(error)
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

    def _begun(self) -> Iterator[pa.RecordBatch]:
        planned = self._planned
        here, tables = planned.here, planned.tables
        if here is not None and not planned.must_run_elsewhere:
            return here.batches(self._run, self._stop.sleep, tables.all_reports)
        tables.needs_all()
        batches = self._workers.batches(planned.sql, planned.params or {}, tables, self._stop)
        return batches if here is None else chain(batches, here.explained_scans(lambda: tables.reports))

    def _run(self, frame: DataFrame) -> Iterator[pa.RecordBatch]:
        for batch in frame.execute_stream():
            yield batch.to_pyarrow()
            self._stop.check()

    def _reason(self, error: BaseException) -> ServiceError:
        if runs_out_of_memory(error):
            return TooMuchMemory(self._limits.memory_bytes)
        return self._planned.tables.reason(error)

    def _end(self, outcome: str, phase: str, error: str | None = None) -> None:
        with self._lock:
            if self._is_ended:
                return
            self._is_ended, had_turn = True, self._has_turn
        self._stop.set()
        if had_turn:
            self._turns.give_back()
        self._entry.files = files_read(self._planned.tables.reports)
        self._entry.ended(phase, error)
        self._metrics.queried(outcome, self._entry)


class _Tables(SchemaProvider):  # type: ignore[misc]
    """The tables of one database, made for the plan of one statement as it asks for them."""

    def __init__(
        self, executor: Executor, view: ReadView, database: Database, live: Live, caller: Identity, stop: Stop
    ) -> None:
        self._executor = executor
        self._database = database
        self._system = SystemSchema(Sources(view, database, live, caller))
        #: everything that a statement can read, all of one moment
        self.schemas: Mapping[str, Schema] = {"iox": self, SYSTEM: self._system}
        self.begin(view, stop)

    def begin(self, view: ReadView, stop: Stop) -> None:
        """For a statement; a plan that is kept serves several, one after another, over one state of the catalog."""
        self._view: ReadView | None = view
        self._stop = stop
        self._failures: list[ServiceError] = []
        self._made: dict[str, tuple[Table, TableDataset]] = {}
        self._needs: Mapping[str, Needs] = {}
        self.reports: list[ScanReport] = []

    def end(self) -> None:
        """Whoever keeps the plan keeps no rows."""
        self._view = None
        self._made = {}
        self.reports = []

    @property
    def reads_system(self) -> bool:
        return self._system.is_read

    @property
    def owner_name(self) -> str | None:  # the bindings would show a method, and None as a text
        raise AttributeError("nobody owns a schema")

    @property
    def table_names(self) -> list[str]:  # the bindings look for a property, and for a sequence
        return sorted(table.name for table in self._database.tables)

    def table(self, name: str) -> PlanTable | None:
        dataset = self.dataset(name)
        return None if dataset is None else PlanTable(Shell(dataset.schema, partial(self.dataset, name)))

    def table_exist(self, name: str) -> bool:
        return self._database.find_table(name) is not None

    def dataset(self, name: str) -> TableDataset | None:
        """The rows of the statement that runs."""
        made = self._made.get(name)
        if made is not None:
            return made[1]
        table = self._database.find_table(name)
        if table is None or self._view is None:
            return None
        dataset = self._executor.dataset(
            self._view, self._database, table, self._failures.append, self.reports.append, self._stop
        )
        dataset.needs = self._needs.get(name, ALL_ROWS)
        self._made[name] = table, dataset
        return dataset

    def explaining(self, prepared: Prepared, session: SessionContext) -> Prepared:
        """An EXPLAIN of what would run: as it is fitted, not as it was written."""
        written = explained_frame(prepared.frame, session)
        made = self.fitted(self.fit(replace(prepared, frame=written), session))
        if made.frame is written:
            return replace(made, frame=prepared.frame)
        try:
            return replace(made, frame=explaining(prepared.text, made.frame, session, CATALOG))
        except Exception:  # the bindings raise plain Exception: what cannot be shown as it is made is shown as it was written
            return replace(made, frame=prepared.frame)

    def fit(self, prepared: Prepared, session: SessionContext) -> "_Fit":
        """What is to be known of a statement's plans before they run; of any rows, so that it holds for a plan that is kept."""
        find_table = self._database.find_table
        shapes: list[Folding | Picking] = []

        def shell(shape: Folding | Picking, schema: pa.Schema) -> Shell:
            shapes.append(shape)
            return Shell(schema, partial(self._folded, shape, schema))

        def fold(frame: DataFrame) -> DataFrame:
            return folded(frame, session, find_table, shell) or frame

        def needed(made: Prepared) -> Mapping[str, Needs]:
            frames = (made.frame, *(step.frame for step in made.steps))
            return needs_of([frame.logical_plan() for frame in frames], find_table)

        steps = tuple(replace(step, frame=fold(step.frame)) for step in prepared.steps)
        made = replace(prepared, frame=fold(prepared.frame), steps=steps)
        return _Fit(prepared, needed(prepared), made, needed(made) if shapes else {}, tuple(shapes))

    def fitted(self, fit: "_Fit") -> Prepared:
        """The statement as it is to run over these rows."""
        pays = any(self._rows_about(shape) >= FOLDED_ROWS for shape in fit.shapes)
        self._needs = fit.folded_needs if pays else fit.needs
        for name, (_, dataset) in self._made.items():
            dataset.needs = self._needs.get(name, ALL_ROWS)
        return fit.folded if pays else fit.prepared

    def needs_all(self) -> None:
        """Somebody else plans the statement, and may need any row."""
        self._needs = {}
        for _, dataset in self._made.values():
            dataset.needs = ALL_ROWS

    def _rows_about(self, shape: Folding | Picking) -> int:
        dataset = self.dataset(shape.table)
        return 0 if dataset is None else dataset.rows_about(shape.predicate)

    def _folded(self, shape: Folding | Picking, schema: pa.Schema) -> MadeTable:
        dataset = self.dataset(shape.table)
        assert dataset is not None, "the plan was made for this catalog"
        return dataset.folded(shape, schema) if isinstance(shape, Folding) else dataset.picked(shape, schema)

    def all_reports(self) -> Sequence[ScanReport]:
        """Also of scans that have not begun."""
        for _, dataset in tuple(self._made.values()):
            dataset.look_ahead()
        return self.reports

    def scans(self, text: str) -> Scans:
        """What is known of the scans that have been planned."""
        if self._system.is_read:
            return Scans(math.inf, (), len(text))
        keys = frozenset([TIME_COLUMN, *(tag for table, _ in self._made.values() for tag in table.tags)])
        return Scans(max((dataset.rows_at_most for _, dataset in self._made.values()), default=0), keys, len(text))

    def reason(self, error: BaseException) -> ServiceError:
        """What ended the statement: a table that could not be read, or else the statement itself."""
        if self._failures:
            return self._failures[0]
        return reason_of(error)
