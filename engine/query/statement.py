"""From the text of a statement to plans that can run. Read this first for what SQL means here.

    guard ─▶ parameters ─▶ functions that others say ─▶ gap filling: a statement in parts ─▶ DataFusion plans

S1  A statement that calls none of our functions and has no parameters reaches DataFusion as it came; SHOW TABLES does in order.
    Where likes.py says a condition otherwise, that runs; names and mistakes are those of what was written.
S2  `prepare` reads no rows: the schema is known, and what is wrong has been said, before anything runs.
S3  All parts of a statement see the same moment: `now()` is one instant.
S4  Columns have the names, types and marks that InfluxDB 3 gives them; a mark says that the values are a column's own.

Held by tests/unit/engine/query/test_statement.py (S1-S4).
Elsewhere: limits and read-only (guard.py), SHOW (show.py), values (params.py), what is wrong, in one line (messages.py), our
functions (functions/), what DataFusion would get wrong (likes.py).
"""

import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from datafusion import DataFrame, SessionContext
from datafusion.catalog import Schema
from datafusion.catalog import Table as PlanTable
from datafusion.plan import LogicalPlan

from engine.query import explain, guard, params, show
from engine.query.functions import gapfill, local, names
from engine.query.functions.gapfill import GapFill, GapFilling, Split
from engine.query.functions.late import LateTable
from engine.query.functions.local import LocalFunctions
from engine.query.functions.pause import Pause, sleep_function
from engine.query.functions.tokens import Tokens
from engine.query.functions.wallclock import shift_function
from engine.query.likes import without_plain_likes
from engine.query.lineage import without_strange_marks
from engine.query.messages import QueryRefused, planner_message
from engine.query.report import ScanReport
from engine.query.stop import Stop

CATALOG = "public"

_OURS = re.compile(rf"\b(?:{'|'.join((*local.NAMES, *gapfill.NAMES))})\b", re.IGNORECASE)
_GAPS = re.compile(rf"\b(?:{'|'.join(gapfill.NAMES)})\b", re.IGNORECASE)
_NOW = ("now", "current_timestamp")
_PLANS = frozenset({"Explain", "Analyze", "DescribeTable"})
_EXPLAINS: Mapping[str, Literal["Explain", "Analyze"]] = {"Explain": "Explain", "Analyze": "Analyze"}
#: a condition of a scan that is null or false for whatever row. The bindings (55) cannot spell one in front of others
_PLAIN_CONDITION = re.compile(r"filters=\[(?:.*(?:, |\(| AND | OR ))?Boolean\(\w+\)(?:, | AND | OR )")

Run = Callable[[DataFrame], Iterator[pa.RecordBatch]]
"""How one plan is run to its batches. Whoever executes says so, with limits and a way to stop."""
Scans = Callable[[], Iterable[ScanReport]]
"""The scans that have been planned until now."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Plans in the order in which they run: each step makes a table that later plans read, `frame` makes the result.

    `text` and `values` are what `frame` was planned from, for who would rather plan it again elsewhere.
    """

    schema: pa.Schema
    frame: DataFrame
    text: str
    values: params.Values
    steps: tuple[GapFill, ...] = ()
    pause: Pause | None = None
    explains: Literal["", "Explain", "Analyze"] = ""
    #: the plans of all parts as they were written, before anything was made of them
    written: tuple[LogicalPlan, ...] = ()
    #: how it would be answered without its plan, for EXPLAIN
    answered: str = ""

    def batches(
        self, run: Run, wait: Callable[[float], None] = time.sleep, scans: Scans = lambda: ()
    ) -> Generator[pa.RecordBatch, None, None]:
        """Batches of exactly `schema`. Nothing runs before the first is asked for. `scans` is read by EXPLAIN."""
        for step in self.steps:
            if self.explains != "Explain":
                step.fill(self._paused(run(step.frame), wait))
        for batch in self._paused(run(self.frame), wait):
            fitting = announced(batch, self.schema)
            yield explain.readable(fitting) if self.explains else fitting
        if self._is_explained:
            yield from self._explained(scans)

    def _explained(self, scans: Scans) -> Iterator[pa.RecordBatch]:
        read = tuple(scans()) if self.explains == "Analyze" else ()
        for step in self.steps:
            yield explain.readable(_explained(step, self.schema))
        yield from self.explained_scans((lambda: read) if read else scans)

    def explained_scans(self, scans: Scans) -> Iterator[pa.RecordBatch]:
        """The part of EXPLAIN that tells of scans, wherever these were."""
        if not self._is_explained:
            return
        rows = [("answered", self.answered)] if self.answered else []
        rows += explain.scan_rows(scans(), ran=self.explains == "Analyze")
        if rows:
            yield pa.RecordBatch.from_arrays(
                [pa.array(column, pa.utf8()) for column in zip(*rows, strict=True)], schema=self.schema
            )

    @property
    def _is_explained(self) -> bool:
        return self.explains != "" and not explain.for_programs(self.text)

    def _paused(self, batches: Iterable[pa.RecordBatch], wait: Callable[[float], None]) -> Iterator[pa.RecordBatch]:
        """With the pauses that `sleep` asked for, in the thread that reads: none of DataFusion's is held up."""
        if self.pause is None:
            yield from batches
            return
        for batch in batches:
            wait(self.pause.take())
            yield batch
        wait(self.pause.take())


def prepare(
    context: SessionContext,
    text: str,
    parameters: params.Parameters | None = None,
    *,
    now_ns: int | None = None,
    stop: Stop | None = None,
) -> Prepared:
    """Plan a statement over the tables of a context, whose default catalog is `public`; one at a time in each context.
    Raises QueryRefused.

    Without parameters (None) those of the statement stay open: then its schema can be known, and it can not run.
    `stop` ends what it does between its parts; its scans look at a flag of their own.
    """
    guard.check(text)
    text = show.as_select(text)
    bound = params.bind(text, parameters) if parameters is not None else params.left_open(text)
    planner = _Planner(context, bound.values)
    if not _OURS.search(bound.text):
        return planner.prepared(Split(bound.text), frozenset())
    functions = LocalFunctions(Tokens(bound.text), bound.text_of, planner.interval_of)
    rewritten = functions.rewritten()
    planner.register_functions(functions.used)
    if not _GAPS.search(rewritten):
        return planner.prepared(Split(rewritten), functions.used)
    moment = now_ns if now_ns is not None else time.time_ns()
    filling = GapFilling(planner.plan, planner.optimized, planner.register_table, context.udafs(), stop or Stop())
    split = filling.split(_at_moment(Tokens(rewritten), moment))
    return planner.prepared(split, functions.used | {*gapfill.BINS, "now"})


class _Planner:
    def __init__(self, context: SessionContext, values: params.Values | None) -> None:
        self._context = context
        self._values = values or {}
        self._open = values is None
        self._pause: Pause | None = None

    def plan(self, text: str) -> DataFrame:
        try:
            return self._context.sql(text, guard.READ_ONLY, param_values=self._values or None)
        except Exception as error:  # the bindings raise plain Exception for every mistake of a statement
            refused = self._refused(error)
            kind = None if "not supported" in refused.message else guard.of_kind(text)
            raise QueryRefused(kind) if kind else refused from None

    def prepared(self, split: Split, used: Iterable[str]) -> Prepared:
        frame = self._rest(split)
        plan = frame.logical_plan()
        kind = type(plan.to_variant()).__name__
        if kind in _PLANS:
            optimized = self._as_meant(frame, split.text)
            if kind in _EXPLAINS and _PLAIN_CONDITION.search(_in_words(optimized)):
                optimized = self._without_pushing(optimized)
        else:
            optimized = self.optimized(frame, split.text)
        schema = _schema(frame.schema(), plan, optimized.schema(), _names(frame, split.displays, used))
        steps = tuple(split.steps)
        written = (plan, *(step.written for step in split.steps))
        return Prepared(schema, optimized, split.text, self._values, steps, self._pause, _EXPLAINS.get(kind, ""), written)

    def register_functions(self, used: Iterable[str]) -> None:
        called = frozenset(used)
        self._context.register_udf(shift_function())
        if "sleep" in called:
            self._pause = Pause()
            self._context.register_udf(sleep_function(self._pause))

    def register_table(self, name: str, table: LateTable) -> None:
        catalog = self._context.catalog(CATALOG)
        if gapfill.SCHEMA not in catalog.schema_names():
            catalog.register_schema(gapfill.SCHEMA, Schema.memory_schema(self._context))
        schema = catalog.schema(gapfill.SCHEMA)
        if schema.table_exist(name):  # of an earlier statement, whose plan has what it needs
            schema.deregister_table(name)
        schema.register_table(name, PlanTable(table))

    def interval_of(self, text: str) -> tuple[int, int, int] | None:
        if any(word in text.lower() for word in ("select", "from")):
            return None
        try:
            value = self.plan(f"SELECT CAST({text} AS INTERVAL) AS i").to_arrow_table().column(0)[0].as_py()
        except Exception:  # no such interval: the caller says what is wrong
            return None
        return None if value is None else (value.months, value.days, value.nanoseconds)

    def _rest(self, split: Split) -> DataFrame:
        try:
            return self.plan(split.text)
        except QueryRefused:
            for step in split.steps:
                self.plan(step.shadow)
            raise

    def optimized(self, frame: DataFrame, text: str) -> DataFrame:
        """What a text comes to, of which `frame` is the plan: names, and what is wrong, are as they were written."""
        found = self._optimized(frame)
        meant = self._as_meant(frame, text)
        return found if meant is frame else self._optimized(meant)

    def _as_meant(self, frame: DataFrame, text: str) -> DataFrame:
        plain = without_plain_likes(text, self._values)
        return frame if plain == text else self.plan(plain)

    def _optimized(self, frame: DataFrame) -> DataFrame:
        try:
            plan = frame.optimized_logical_plan()
            if _PLAIN_CONDITION.search(plan.display_indent()):
                plan = self._without_pushing(frame).optimized_logical_plan()
            return self._context.create_dataframe_from_logical_plan(plan)
        except Exception as error:
            if self._open:  # what has no type yet can not be made fit; what was written still has its schema
                return frame
            raise self._refused(error) from None

    def _without_pushing(self, frame: DataFrame) -> DataFrame:
        """The same with its conditions above the scans, which look for them there as well."""
        self._context.remove_optimizer_rule("push_down_filter")
        return self._context.create_dataframe_from_logical_plan(frame.logical_plan())

    def _refused(self, error: Exception) -> QueryRefused:
        return QueryRefused(planner_message(error, self._tables, self._functions))

    def _tables(self, schema: str) -> Iterable[str]:
        if schema == "information_schema":
            return show.VIEWS
        try:
            found = self._context.catalog(CATALOG).schema(schema or "iox")
        except KeyError:
            return []
        names: Iterable[str] = found.table_names() if callable(found.table_names) else found.table_names
        return names

    def _functions(self) -> Iterable[str]:
        context = self._context
        return [*context.udfs(), *context.udafs(), *context.udwfs(), *local.NAMES, *gapfill.NAMES]


def _in_words(frame: DataFrame) -> str:
    """Its optimized plan."""
    try:
        return str(frame.optimized_logical_plan().display_indent())
    except Exception:  # whoever looks into the plan finds what is wrong
        return ""


def _names(frame: DataFrame, displays: Mapping[str, str], used: Iterable[str]) -> list[str]:
    found: list[str] = frame.schema().names
    if displays:
        found = [gapfill.display(name, displays) for name in found]
    return names.restored(found, used) if used else found


def _schema(written: pa.Schema, plan: LogicalPlan, typed: pa.Schema, names: list[str]) -> pa.Schema:
    """Types as they are when all are known, marks as they were written (S4)."""
    fields = zip(names, typed, without_strange_marks(written, plan), strict=True)
    return pa.schema([field.with_name(name).with_metadata(marked.metadata) for name, field, marked in fields])


def announced(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """With the names, types and marks that were announced."""
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _at_moment(tokens: Tokens, now_ns: int) -> str:
    """S3, where one statement becomes several."""
    pieces: list[str] = []
    position = 0
    for index, token in enumerate(tokens.all):
        if token.kind != "word" or token.name not in _NOW or tokens.says(index - 1, "."):
            continue
        called = tokens.says(index + 1, "(", ")")
        if not called and token.name == "now":
            continue
        end = tokens[index + 2].end if called else token.end
        pieces += [tokens.text[position : token.start], names.moment(now_ns)]
        position = end
    return "".join(pieces) + tokens.text[position:]


def _explained(step: GapFill, schema: pa.Schema) -> pa.RecordBatch:
    kinds = [f"logical_plan of {step.name}", f"physical_plan of {step.name}"]
    plans = [step.frame.logical_plan().display_indent(), step.frame.execution_plan().display_indent()]
    return pa.record_batch([pa.array(kinds, pa.utf8()), pa.array(plans, pa.utf8())], schema=schema)
