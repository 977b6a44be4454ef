"""Aggregates over bins of time and tags, recognised in a plan and asked of the rows themselves.

    Aggregate by [date_bin(width, time [, origin]) or date_trunc] and tags, of count, sum, min, max and avg of columns
      over projections, aliases and conditions that times and tag values express exactly, over one table

Rows of a series follow one another in order of time, so those of one bin are a stretch, and a stretch is one addition per
column (engine/native/fold.cpp) instead of a hash of each row. The plan above the aggregate is built again over its result, by
name and with the same expressions; whatever does not fit leaves the plan as it was.

G1  The plan that comes out has the columns and types of the one that went in, and the same rows.
G2  Nothing is read before the plan runs.

Held by tests/unit/engine/query/shapes/test_folding.py (G1, G2) and tests/property/test_sql_against_duckdb.py (G1).
Elsewhere: how the aggregate is computed (folded.py), plans that need a few rows of each series (needs.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from datafusion import DataFrame, SessionContext
from datafusion.expr import Expr, SortExpr
from datafusion.plan import LogicalPlan

from catalog.names import TIME_COLUMN
from catalog.schema import FieldType, Table
from engine.query.predicate import Predicate, narrowed
from engine.query.shapes.expressions import Aggregate, Call, Column, Interval, Literal, SortKey, Tree, tree_of
from engine.query.shapes.needs import FindTable, Source, end_of, source_of

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS
_TRUNCATED = {
    "second": (_SECOND_NS, 0),
    "minute": (60 * _SECOND_NS, 0),
    "hour": (3600 * _SECOND_NS, 0),
    "day": (_DAY_NS, 0),
    "week": (7 * _DAY_NS, 4 * _DAY_NS),  # from Monday on; 1970 began with a Thursday
}
_NUMBERS = (FieldType.FLOAT, FieldType.INTEGER, FieldType.UINTEGER)
#: tags that a group can be of: their codes share one number
MOST_TAGS = 3


@dataclass(frozen=True, slots=True)
class Bin:
    width_ns: int
    origin_ns: int


@dataclass(frozen=True, slots=True)
class Measure:
    """`count` of no column counts rows; `time` is a column like any other."""

    function: str
    column: str | None


@dataclass(frozen=True, slots=True)
class Folding:
    """What an aggregate asks of a table, each output in order: keys (a tag's name or a bin), then measures."""

    table: str
    predicate: Predicate
    keys: tuple[str | Bin, ...]
    measures: tuple[Measure, ...]

    @property
    def bin(self) -> Bin | None:
        return next((key for key in self.keys if isinstance(key, Bin)), None)

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(key for key in self.keys if isinstance(key, str))


@dataclass(frozen=True, slots=True)
class Picking:
    """The newest (oldest) row of each group by some tags, or of all rows: outputs are the tags, then columns of that row."""

    table: str
    predicate: Predicate
    tags: tuple[str, ...]
    newest: bool
    columns: tuple[str, ...]


#: makes the table of an aggregate's result, of that schema; None when it is better left to the plan
Fold = Callable[[Folding | Picking, pa.Schema], Any]


def folded(frame: DataFrame, context: SessionContext, find_table: FindTable, fold: Fold) -> DataFrame | None:
    """The same with its aggregate folded; None where nothing is recognised, or `fold` declines."""
    above: list[LogicalPlan] = []
    plan = frame.logical_plan()
    while (kind := type(plan.to_variant()).__name__) in _REBUILT:
        above.append(plan)
        plan = plan.inputs()[0]
    if kind != "Aggregate":
        return None
    shape = _shape_of(plan.to_variant(), plan, find_table)
    if shape is None:
        return None
    schema = plain_schema(context.create_dataframe_from_logical_plan(plan).schema())
    if len(set(schema.names)) != len(schema.names):
        return None
    table = fold(shape, schema)
    if table is None:
        return None
    try:
        made = context.read_table(table)
        relations = {relation for relation in map(_relation, plan.to_variant().group_by_exprs()) if relation}
        if len(relations) > 1:
            return None
        for relation in relations:
            made = made.alias(relation)
        for each in reversed(above):
            made = _REBUILT[type(each.to_variant()).__name__](made, each.to_variant())
        return made if plain_schema(made.schema()) == plain_schema(frame.schema()) else None
    except Exception:  # the bindings raise plain Exception: a plan that cannot be built again stays as it is
        return None


def _shape_of(node: Any, plan: LogicalPlan, find_table: FindTable) -> Folding | Picking | None:
    source = source_of(plan.inputs()[0], find_table)
    if source is None:
        return None
    for filter in source.scan.filters():
        source.predicate = source.predicate.both(narrowed(tree_of(filter), source.table.tags))
    return shape_over(node, source) if source.predicate.exact else None


def shape_over(node: Any, source: Source) -> Folding | Picking | None:
    """What an aggregate asks of its source, of the rows of the source's predicate."""
    keys = [source.tree(expression) for expression in node.group_by_exprs()]
    aggregates = [source.tree(expression) for expression in node.aggregate_exprs()]
    return _folding_of(keys, aggregates, source) or _picking_of(keys, aggregates, source)


def _folding_of(keys: list[Tree], aggregates: list[Tree], source: Source) -> Folding | None:
    known = tuple(key for tree in keys if (key := _key_of(tree, source.table)) is not None)
    measures = tuple(measure for tree in aggregates if (measure := _measure_of(tree, source.table)) is not None)
    if len(known) < len(keys) or len(measures) < len(aggregates) or not measures:
        return None
    bins, tags = [key for key in known if isinstance(key, Bin)], [key for key in known if isinstance(key, str)]
    if len(bins) > 1 or len(tags) > MOST_TAGS or len(set(tags)) != len(tags):
        return None
    if not bins and all(measure.column == TIME_COLUMN for measure in measures):
        return None  # the ends of series say that
    if not known and all(measure.column is None for measure in measures):
        return None  # rows are counted without being looked at
    return Folding(source.scan.table_name(), source.predicate, known, measures)


def _picking_of(keys: list[Tree], aggregates: list[Tree], source: Source) -> Picking | None:
    tags = tuple(key.name for key in keys if isinstance(key, Column) and key.name in source.table.tags)
    if len(tags) < len(keys) or not 0 < len(tags) <= MOST_TAGS or len(set(tags)) != len(tags):
        return None
    columns: list[str] = []
    newest: set[bool] = set()
    for tree in aggregates:
        end = end_of(tree, keys, source.table)
        if end is None or end.field is not None or not isinstance(tree, Aggregate) or tree.filter is not None:
            return None
        if len(tags) < len(source.table.tags) and not _is_told_by_time(tree.order, keys):
            return None  # what else is in the order decides between rows of several series at one moment
        match tree.name, tree.arguments:
            case (("first_value" | "last_value"), (Column(name),)):
                pass
            case (("min" | "max"), (Column(name),)) if name == TIME_COLUMN:
                pass
            case _:
                return None
        columns.append(name)
        newest.add(end.newest)
    if len(newest) > 1:
        return None
    return Picking(source.scan.table_name(), source.predicate, tags, newest != {False}, tuple(columns))


def _is_told_by_time(order: tuple[SortKey, ...], keys: list[Tree]) -> bool:
    return all(key.expression == Column(TIME_COLUMN) or key.expression in keys for key in order)


def _key_of(tree: Tree, table: Table) -> str | Bin | None:
    match tree:
        case Column(name) if name in table.tags:
            return name
        case Call("date_bin", (Interval(0, days, nanoseconds), Column(name), *origin)) if name == TIME_COLUMN:
            width_ns = days * _DAY_NS + nanoseconds
            match origin:
                case []:
                    origin_ns = 0
                case [Literal(value)] if value.type == pa.timestamp("ns"):
                    origin_ns = value.value
                case _:
                    return None
            return Bin(width_ns, origin_ns) if 0 < width_ns < 2**62 else None
        case Call("date_trunc", (Literal(unit), Column(name))) if name == TIME_COLUMN and str(unit).lower() in _TRUNCATED:
            return Bin(*_TRUNCATED[str(unit).lower()])
    return None


def _measure_of(tree: Tree, table: Table) -> Measure | None:
    if not isinstance(tree, Aggregate) or tree.distinct or tree.filter is not None or tree.order or tree.ignores_nulls:
        return None
    match tree.name, tree.arguments:
        case "count", (Literal(value),) if value.is_valid:
            return Measure("count", None)
        case "count", (Column(name),) if name == TIME_COLUMN:
            return Measure("count", None)
        case "count", (Column(name),) if name in table.fields:
            return Measure("count", name)
        case ("min" | "max") as function, (Column(name),) if name == TIME_COLUMN:
            return Measure(function, name)
        case ("min" | "max" | "sum") as function, (Column(name),) if table.fields.get(name) in _NUMBERS:
            return Measure(function, name)
        case "avg", (Column(name),) if table.fields.get(name) == FieldType.FLOAT:
            return Measure("avg", name)
        case "avg", (Call("cast_double", (Column(name),)),) if table.fields.get(name) in _NUMBERS:
            return Measure("avg", name)
    return None


# ---- the plan above


def _project(frame: DataFrame, node: Any) -> DataFrame:
    return frame.select(*map(_named, node.projections()))


def _named(expression: Any) -> Expr:
    """Under the name that it has: one that is made of columns' names would change with their qualifiers."""
    plain = expression.variant_name() in ("Alias", "Column")
    return Expr(expression) if plain else Expr(expression).alias(expression.schema_name())


def _filter(frame: DataFrame, node: Any) -> DataFrame:
    return frame.filter(Expr(node.predicate()))


def _sort(frame: DataFrame, node: Any) -> DataFrame:
    keys = [SortExpr(Expr(key.expr()), key.ascending(), key.nulls_first()) for key in node.sort_exprs()]
    made = frame.sort(*keys)
    fetch = node.get_fetch_val()
    return made if fetch is None else made.limit(fetch)


def _limit(frame: DataFrame, node: Any) -> DataFrame:
    skip, fetch = (count_of(each) for each in (node.skip(), node.fetch()))
    return frame.limit(2**62 if fetch is None else fetch, skip or 0)


def count_of(expression: Any) -> int | None:
    if expression is None:
        return None
    match tree_of(expression):
        case Literal(value):
            return int(value.as_py())
    raise ValueError("a limit that is no number")


def _alias(frame: DataFrame, node: Any) -> DataFrame:
    return frame.alias(node.alias())


_REBUILT: Mapping[str, Callable[[DataFrame, Any], DataFrame]] = {
    "Projection": _project,
    "Filter": _filter,
    "Sort": _sort,
    "Limit": _limit,
    "SubqueryAlias": _alias,
}


def _relation(expression: Any) -> str | None:
    if expression.variant_name() != "Column":
        return None
    relation: str | None = expression.to_variant().relation()
    return relation


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """Names and types; what may be null, and marks, are the original plan's to say."""
    return pa.schema([pa.field(field.name, field.type) for field in schema])
