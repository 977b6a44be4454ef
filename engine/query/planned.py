"""A statement whose schema is known: the tables it reads, of one moment, and the ways in which it can run.

    Planned ─▶ fitted: shapes are looked for in its plans, its tables told what is needed of them ─▶ here, or elsewhere?

J1  What is known of a plan is worked out once and holds for any rows; which way a statement runs is decided for the rows it
    has.
J2  Whoever keeps a plan keeps no rows.

Held by tests/integration/engine/test_plans.py (J1, J2).
Elsewhere: who runs it (running.py), which shapes (shapes/), what explodes (weight.py), the rows (tables.py).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
from datafusion import DataFrame, SessionContext
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

from catalog.errors import ServiceError
from catalog.names import TIME_COLUMN
from catalog.schema import Database, Table
from catalog.tokens import Identity
from engine.query.direct import answered
from engine.query.elsewhere.workers import Schema
from engine.query.explain import explained_frame, explaining
from engine.query.limits import QueryLimits
from engine.query.made import MadeTable
from engine.query.messages import reason_of
from engine.query.plans import Key
from engine.query.report import ScanReport
from engine.query.shapes.folding import Folding, Picking, folded
from engine.query.shapes.needs import ALL_ROWS, Needs, needs_of
from engine.query.shapes.outline import Outline, Reading, reading_of
from engine.query.shell import Shell
from engine.query.statement import CATALOG, Prepared, announced
from engine.query.stop import Stop
from engine.query.system_schema import SystemSchema
from engine.query.system_tables import SCHEMA as SYSTEM
from engine.query.system_tables import Live, Sources
from engine.query.tables import Failed, Reported, TableDataset
from engine.query.templates import Key as TemplateKey
from engine.query.weight import Scans, explodes, is_suspect
from engine.view import ReadView

#: an aggregate of fewer rows is left to the plan
FOLDED_ROWS = 20_000
#: more rows than these are left to the plan, which reads them on several threads
DIRECT_ROWS = 100_000

MakeDataset = Callable[[ReadView, Database, Table, Failed, Reported, Stop], TableDataset]


@dataclass(frozen=True, slots=True)
class Planned:
    """A statement whose schema is known; planned `here`, unless even that has to happen elsewhere."""

    sql: str
    params: Mapping[str, object] | None
    tables: "Tables"
    schema: pa.Schema
    here: Prepared | None = None
    session: SessionContext | None = None
    key: Key | None = None
    #: what it says, where it can be answered without its plan
    outline: Outline | None = None
    is_direct: bool = False
    #: the template that it fits
    like: TemplateKey | None = None
    fit: "_Fit | None" = None
    #: plans that may explode, where it is known which could
    suspects: tuple[DataFrame, ...] | None = None

    def fitted(self) -> "Planned":
        """About to run: in the way that suits the rows there are."""
        if self.here is None or self.session is None:
            return self
        if self.outline is not None and self.tables.suits(self.outline):
            return replace(self, is_direct=True)
        if self.here.explains:
            return replace(self, here=self.tables.explaining(self.here, self.session))
        fit = self.fit or self.tables.fit(self.here, self.session)
        way = self.tables.fitted(fit)
        return replace(self, here=way.prepared, suspects=way.suspects, is_direct=False, fit=fit)

    @property
    def can_be_kept(self) -> bool:
        here = self.here
        return here is not None and not (here.steps or here.pause or here.explains or self.tables.reads_system)

    @property
    def must_run_elsewhere(self) -> bool:
        here = self.here
        if here is None:
            return True
        suspects = suspects_of(here) if self.suspects is None else self.suspects
        judged = any(explodes(frame.execution_plan(), self._scans()) for frame in suspects)
        self.tables.reports.clear()  # of scans that were planned only to be judged
        return judged

    def _scans(self) -> Scans:
        found = self.tables.scans(self.sql)
        has_filled_gaps = self.here is not None and self.here.steps
        return replace(found, rows=math.inf) if has_filled_gaps else found


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to run a statement, with what is known of its plans whatever rows there are."""

    prepared: Prepared
    #: what they need of the tables they scan, by name
    needs: Mapping[str, Needs]
    suspects: tuple[DataFrame, ...]


@dataclass(frozen=True, slots=True)
class _Fit:
    """A statement as it was planned and, where shapes were recognised in it, with these made of the rows themselves."""

    plain: _Way
    folded: _Way
    shapes: tuple[Folding | Picking, ...] = ()


class Tables(SchemaProvider):  # type: ignore[misc]
    """The tables of one database, made for the plan of one statement as it asks for them."""

    def __init__(self, make: MakeDataset, view: ReadView, database: Database, live: Live, caller: Identity, stop: Stop) -> None:
        self._make = make
        self._database = database
        self._system = SystemSchema(Sources(view, database, live, caller))
        #: everything that a statement can read, all of one moment
        self.schemas: Mapping[str, Schema] = {"iox": self, SYSTEM: self._system}
        self.begin(view, stop)

    def begin(self, view: ReadView, stop: Stop) -> None:
        """For a statement; a plan that is kept serves several, one after another, over one state of the catalog."""
        self._view: ReadView | None = view
        self._stop = stop
        self.begin_anew()

    def begin_anew(self) -> None:
        """Over the same rows, as if nothing had been read of them."""
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
        dataset = self._make(self._view, self._database, table, self._failures.append, self.reports.append, self._stop)
        dataset.needs = self._needs.get(name, ALL_ROWS)
        self._made[name] = table, dataset
        return dataset

    def explaining(self, prepared: Prepared, session: SessionContext) -> Prepared:
        """An EXPLAIN of what would run: as it is fitted, not as it was written."""
        written = explained_frame(prepared.frame, session)
        outline = self.outline(replace(prepared, frame=written, explains=""), session)
        fit = self.fit(replace(prepared, frame=written), session)
        if outline is not None and self.suits(outline):
            self._need(fit.folded.needs)
            made = replace(fit.folded.prepared, answered=outline.in_words())
        else:
            made = self.fitted(fit).prepared
        if made.frame is written:
            return replace(made, frame=prepared.frame)
        try:
            return replace(made, frame=explaining(prepared.text, made.frame, session, CATALOG))
        except Exception:  # the bindings raise plain Exception: what cannot be shown as it is made is shown as it was written
            return replace(made, frame=prepared.frame)

    def fit(self, prepared: Prepared, session: SessionContext) -> _Fit:
        """What is to be known of a statement's plans before they run; of any rows, so that it holds for a plan that is kept."""
        find_table = self._database.find_table
        shapes: list[Folding | Picking] = []

        def shell(shape: Folding | Picking, schema: pa.Schema) -> Shell:
            shapes.append(shape)
            return Shell(schema, partial(self._folded, shape, schema))

        def fold(frame: DataFrame) -> DataFrame:
            return folded(frame, session, find_table, shell) or frame

        def way(made: Prepared) -> _Way:
            return _Way(made, needs_of([frame.logical_plan() for frame in frames_of(made)], find_table), suspects_of(made))

        try:
            plain = way(prepared)
            steps = tuple(replace(step, frame=fold(step.frame)) for step in prepared.steps)
            made = replace(prepared, frame=fold(prepared.frame), steps=steps)
            return _Fit(plain, way(made) if shapes else plain, tuple(shapes))
        except RecursionError:  # a chain of a thousand conditions: too deep to be looked through, and no shape of ours
            plain = _Way(prepared, {}, suspects_of(prepared))
            return _Fit(plain, plain)

    def outline(self, prepared: Prepared, session: SessionContext) -> Outline | None:
        reading = self.reading(prepared, session)
        return None if reading is None else reading.bound({})

    def reading(self, prepared: Prepared, session: SessionContext) -> Reading | None:
        if prepared.steps or prepared.pause or prepared.explains:
            return None
        try:
            return reading_of(prepared.frame.logical_plan(), session, self._database.find_table)
        except RecursionError:  # a chain of a thousand conditions
            return None

    def suits(self, outline: Outline) -> bool:
        """Whether an outline is answered sooner than its plan; then its table knows what is needed of it."""
        if outline.table is None:
            return True
        dataset = self.dataset(outline.table)
        if dataset is None:
            return False
        self._need({outline.table: outline.needs})
        if isinstance(outline.asked, Folding):
            return dataset.can_hold(outline.asked)
        if outline.asked != "rows" or outline.needs.ends is not None:
            return True
        stops = outline.fetch is not None and not outline.order and outline.rest is None
        return stops or dataset.rows_about(outline.predicate) <= DIRECT_ROWS

    def answered(self, outline: Outline, schema: pa.Schema, limits: QueryLimits) -> Iterator[pa.RecordBatch]:
        """Batches of that schema, straight from the rows."""
        memory_bytes = limits.beside_pool_bytes if outline.asked == "rows" else limits.memory_bytes
        dataset = None if outline.table is None else self.dataset(outline.table)
        return (announced(batch, schema) for batch in answered(outline, dataset, self._stop, memory_bytes))

    def fitted(self, fit: _Fit) -> _Way:
        """The statement as it is to run over these rows."""
        way = fit.folded if any(map(self._pays, fit.shapes)) and all(map(self._can_hold, fit.shapes)) else fit.plain
        self._need(way.needs)
        return way

    def needs_all(self) -> None:
        """Somebody else plans the statement, and may need any row."""
        self._need({})

    def _need(self, needs: Mapping[str, Needs]) -> None:
        self._needs = needs
        for name, (_, dataset) in self._made.items():
            dataset.needs = needs.get(name, ALL_ROWS)

    def _pays(self, shape: Folding | Picking) -> bool:
        dataset = self.dataset(shape.table)
        return dataset is not None and dataset.rows_about(shape.predicate) >= FOLDED_ROWS

    def _can_hold(self, shape: Folding | Picking) -> bool:
        dataset = self.dataset(shape.table)
        return dataset is not None and (isinstance(shape, Picking) or dataset.can_hold(shape))

    def _folded(self, shape: Folding | Picking, schema: pa.Schema) -> MadeTable:
        dataset = self.dataset(shape.table)
        assert dataset is not None, "the plan was made for this catalog"
        return dataset.made_later(shape, schema)

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


def frames_of(prepared: Prepared) -> tuple[DataFrame, ...]:
    """All that a statement runs."""
    return (prepared.frame, *(step.frame for step in prepared.steps))


def suspects_of(prepared: Prepared) -> tuple[DataFrame, ...]:
    return tuple(frame for frame in frames_of(prepared) if is_suspect(frame.logical_plan()))
