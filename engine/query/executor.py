"""READ PATH: read this first. One statement over one ReadView.

    take one ReadView ─▶ tables by name, as the plan asks for them ─▶ statement.prepare: plans ─▶ planned.py: how to run them
      ─▶ running.py: DataFusion, batch after batch

Q1  A statement sees one state of catalog and rows from start to end.
Q2  A statement only reads: whatever would change something is refused by kind.
Q3  A statement that is closed, or takes too long, uses no CPU a moment later: its flag (stop.py) is in every scan of it.

Held by tests/integration/engine/test_query.py (Q1, Q2) and tests/integration/engine/test_cancelling.py (Q3).
Elsewhere: what SQL means (statement.py), which plans are kept (plans.py), how a table of a view is scanned (tables.py), how
much at once (limits.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import pyarrow as pa
from datafusion import SessionContext

from catalog.errors import ServiceError
from catalog.schema import Database, Table
from engine import events
from engine.buffer.series import SeriesRegistry
from engine.clock import SystemClock
from engine.events import LoggedQuery, QueryLog
from engine.files.access import FileAccess
from engine.metrics import Metrics
from engine.query.deadlines import Deadlines
from engine.query.decoded import Decoded
from engine.query.elsewhere.workers import Workers
from engine.query.limits import LONG_S, PLACES_MAX, QueryLimits, QueryTimedOut, Turns
from engine.query.messages import QueryRefused, is_panic
from engine.query.placeholders import placeholder_types
from engine.query.planned import Planned, Tables
from engine.query.plans import Key as PlanKey
from engine.query.plans import Plans, key_of
from engine.query.running import Running
from engine.query.session import new_session, runtime_of
from engine.query.statement import prepare
from engine.query.stop import StatementStopped, Stop
from engine.query.system_tables import Live
from engine.query.tables import Failed, Reported, TableDataset
from engine.query.templates import Key as TemplateKey
from engine.query.templates import Known, Template, Templates, Told, template_of
from engine.query.weight import searches, swells
from engine.requests import FROM_SQL, Origin, QueryResult
from engine.view import ReadView, Views


@dataclass(frozen=True)
class _Asked:
    """A statement that has arrived, and the state in which it did. No slots: not every way needs its template."""

    view: ReadView
    database: Database
    sql: str
    params: Mapping[str, object] | None
    key: PlanKey | None

    @cached_property
    def template(self) -> Template | None:
        return template_of(self.sql, self.params)

    @cached_property
    def like(self) -> TemplateKey | None:
        template = self.template
        return None if template is None else (self.view.state.sequence, self.database.id, template.text, template.types)


class Executor:
    def __init__(
        self,
        series: SeriesRegistry,
        views: Views,
        access: FileAccess,
        metrics: Metrics,
        limits: QueryLimits,
        live: Live,
        decoded: Decoded,
    ) -> None:
        """`decoded`: what is kept of rows of files."""
        self._series = series
        self._views = views
        self._access = access
        self._decoded = decoded
        self._metrics = metrics
        self._limits = limits
        self._live = live
        self._unlogged = QueryLog(SystemClock(), 0)
        self._turns = Turns(limits.concurrent)
        self._places = Turns(min(limits.threads, PLACES_MAX), LONG_S)
        self._deadlines = Deadlines()
        self._runtime = runtime_of(limits.memory_bytes)
        self._workers = Workers(replace(limits, memory_bytes=limits.memory_bytes // 2))
        self._plans: Plans[Planned] = Plans()
        self._templates = Templates()

    def run(
        self, database_name: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> QueryResult:
        """Planned when this returns. Whoever asks for the first batch waits until it is the statement's turn."""
        entry = self._logged(database_name, sql, origin)
        stop = self._started(sql)
        try:
            with self._places.taken(stop):
                planned = self._planned(self._asked(database_name, sql, params or {}), stop, origin).fitted()
        except BaseException as error:
            stop.set()
            entry.ended(events.CANCELLED if isinstance(error, StatementStopped) else events.FAILURE, str(error))
            raise
        entry.planned()
        line = self._turns, self._places
        running = Running(planned, entry, stop, line, self._workers, self._metrics, self._limits, self._keep, self._as_written)
        return QueryResult(planned.schema, running, running.close, planned.like or (database_name, sql), running.waited_s)

    def plan(
        self, database_name: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> pa.Schema:
        """The schema of a statement's result; without params its parameters stay open."""
        try:
            asked = self._asked(database_name, sql, params)
            known = self._known_schema(asked)
            return self._schema_of(asked, origin) if known is None else known
        except ServiceError as error:  # whoever asks for the schema first gets no further
            self._logged(database_name, sql, origin).ended(events.FAILURE, str(error))
            raise

    def _known_schema(self, asked: "_Asked") -> pa.Schema | None:
        """Of a statement that was planned before, or one like it."""
        kept = self._plans.find(asked.key)
        if kept is not None:
            return kept.schema
        told = self._told(asked)
        return None if told is None else told.schema

    def _schema_of(self, asked: "_Asked", origin: Origin) -> pa.Schema:
        stop = self._started(asked.sql)
        try:
            with self._places.taken(stop):
                planned = self._planned(asked, stop, origin)
                self._keep(planned)
            return planned.schema
        finally:
            stop.set()

    def parameter_types(self, database_name: str, sql: str, origin: Origin = FROM_SQL) -> Mapping[str, pa.DataType]:
        planned = self._planned(self._asked(database_name, sql, None), Stop(), origin)
        plans = planned.here.written if planned.here is not None else ()
        self._keep(planned)
        return {name: kind for plan in plans for name, kind in placeholder_types(plan).items()}

    def close(self) -> None:
        """Statements in other processes end. Those that run here end with their scans."""
        self._workers.close()

    def _asked(self, database_name: str, sql: str, params: Mapping[str, object] | None) -> "_Asked":
        view = self._views.now()
        database = view.state.database(database_name)
        return _Asked(view, database, sql, params, key_of(view.state.sequence, database.id, sql, params))

    def _told(self, asked: "_Asked") -> Told | None:
        """What the statement says, where one like it was planned before."""
        told = self._templates.told(asked.key)
        if told is not None:
            return told
        template, like = asked.template, asked.like
        known = None if like is None else self._templates.find(like)
        outline = None if known is None or template is None else known.reading.bound(template.values)
        if known is None or like is None or outline is None:
            return None
        told = Told(known.schema, outline, like)
        self._templates.tell(asked.key, told)
        return told

    def _planned(self, asked: "_Asked", stop: Stop, origin: Origin) -> Planned:
        sql, params = asked.sql, asked.params
        kept = self._plans.take(asked.key)
        if kept is not None:
            kept.tables.begin(asked.view, stop)
            return kept
        tables = Tables(self._dataset, asked.view, asked.database, self._live, origin.caller, stop)
        told = self._told(asked)
        if told is not None and tables.suits(told.outline):
            return Planned(sql, params, tables, told.schema, outline=told.outline, is_direct=True, like=told.like)
        template, like = asked.template, asked.like
        try:
            if swells(sql):
                with origin.watched(stop.set):
                    return Planned(sql, params, tables, self._workers.schema(sql, params, tables, stop))
            session = self._session(tables, sql)
            prepared = prepare(session, sql, params, stop=stop)
            outline = tables.outline(prepared, session)
            planned = Planned(sql, params, tables, prepared.schema, prepared, session, asked.key, outline, like=like)
            if template is not None and like is not None and told is None and planned.outline is not None:
                self._learn(template, like, planned)
            return planned
        except QueryRefused as error:
            self._metrics.queried("refused")
            raise tables.reason(error) from None
        except BaseException as error:
            if is_panic(error):
                raise tables.reason(error) from None
            raise

    def _session(self, tables: Tables, sql: str) -> SessionContext:
        return new_session(tables.schemas, self._runtime, self._limits.threads, searches(sql))

    def _learn(self, template: Template, like: TemplateKey, planned: Planned) -> None:
        """Next time a statement like this one need not be planned, if that comes to the same (templates.py, L1)."""
        if not self._templates.is_due(like):
            return
        tables = planned.tables
        session = self._session(tables, template.text)
        try:
            open_plan, spelled = prepare(session, template.text), prepare(session, template.spelled, planned.params)
        except BaseException as error:
            if isinstance(error, QueryRefused) or is_panic(error):
                return  # its values cannot be left open; the statement itself is planned
            raise
        reading = tables.reading(open_plan, session)
        is_alike = open_plan.schema.equals(planned.schema, check_metadata=True)
        if reading is not None and is_alike and reading.bound(template.values) == tables.outline(spelled, session):
            self._templates.keep(like, Known(planned.schema, reading))

    def _as_written(self, planned: Planned, stop: Stop) -> Planned:
        """For what was made of it otherwise there is too little memory."""
        tables = planned.tables
        tables.begin_anew()
        session = self._session(tables, planned.sql)
        prepared = prepare(session, planned.sql, planned.params, stop=stop)
        return Planned(planned.sql, planned.params, tables, prepared.schema, prepared, session)

    def _keep(self, planned: Planned) -> None:
        """After its statement has ended, and nothing of it runs any more."""
        planned.tables.end()
        if planned.can_be_kept:
            self._plans.keep(planned.key, planned)

    def _started(self, sql: str) -> Stop:
        stop = Stop(searches(sql))
        timeout_ms = self._limits.timeout_ms
        if timeout_ms is not None:
            self._deadlines.add(stop, QueryTimedOut(timeout_ms), timeout_ms / 1000)
        return stop

    def _logged(self, database_name: str, sql: str, origin: Origin) -> LoggedQuery:
        log = self._live.queries if origin.logged else self._unlogged
        return log.begin(database_name, origin.text or sql, origin.kind, origin.trace_id)

    def _dataset(
        self, view: ReadView, database: Database, table: Table, failed: Failed, reported: Reported, stop: Stop
    ) -> TableDataset:
        rows = partial(self._views.unexpired, view, database.id, table.id)
        distinct = partial(self._views.distinct, view, database.id, table.id)
        index = self._series.index(database, table)
        decoded = self._decoded.of_table(table, index, self._series.database(database).lock)
        return TableDataset(table, index, rows, distinct, self._access, decoded, failed, self._limits, reported, stop)
