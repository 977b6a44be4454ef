"""Which rows of a table a plan can do without.

The plan stays as it is and runs as a whole: a scan that is told what is needed may yield less than its filter lets through, and
the answer is the same. Recognised are plans that look at the ends of series only:

    Sort by time … with a limit                                    the newest (oldest) rows of all
    Aggregate by tags of first_value, last_value by time,          the newest, the oldest row of each series;
      min and max of time or tags, or of nothing (DISTINCT)          of those with a value, where nulls are left out
    Filter row_number() or rank() over tags by time ≤ n            the n newest (oldest) rows of each series

Between these and the table may lie projections, aliases, and conditions that times and tag values express exactly.

N1  Whatever the rows, a plan gives a right answer over the needed ones exactly if it does over all that its scan may see.
    (Where the statement leaves a choice, such as between rows of one time, either may choose differently.)
N2  What holds for a table holds for each of its scans in the plan: needs of several are put together, and a scan in a place
    where it cannot be seen, such as a sub-query inside of an expression, makes all rows needed.

Held by tests/unit/engine/query/shapes/test_needs.py (N1, N2) and tests/property/test_sql_against_duckdb.py (N1).
Elsewhere: which rows those are (select.py, tables.py); aggregates that are not asked of DataFusion at all (folding.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from datafusion.plan import LogicalPlan

from catalog.names import TIME_COLUMN
from catalog.schema import Table
from engine.query.predicate import ALL_TIME, EVERYTHING, Predicate, narrowed
from engine.query.shapes.expressions import (
    OPAQUE,
    Aggregate,
    Call,
    Column,
    Interval,
    Literal,
    SortKey,
    Tree,
    Window,
    is_known,
    replaced,
    tree_of,
)

FindTable = Callable[[str], Table | None]

#: how many rows of a series (or of all) are worth cutting out
MOST_ROWS = 10_000
#: functions whose value depends on nothing but their arguments
_PURE = frozenset(
    {
        *("upper", "lower", "concat", "concat_ws", "substr", "substring", "left", "right", "trim", "btrim", "ltrim", "rtrim"),
        *("replace", "split_part", "coalesce", "nullif", "length", "character_length", "char_length", "strpos", "starts_with"),
        *("Eq", "NotEq", "Lt", "LtEq", "Gt", "GtEq", "And", "Or", "StringConcat", "not", "is_null", "is_not_null"),
        *("in_list", "like", "cast_text"),
    }
)
_RANKS = frozenset({"row_number", "rank", "dense_rank"})


@dataclass(frozen=True, slots=True)
class End:
    """So many rows at the new or the old end; with `field`, the one that is nearest to it and has a value there."""

    newest: bool
    count: int = 1
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What is needed of a table: rows that `predicate` lets through, and of those the `ends` only, unless these are None.
    `each`: of each series, rather than of all rows together."""

    predicate: Predicate = EVERYTHING
    ends: frozenset[End] | None = None
    each: bool = True

    @property
    def is_all(self) -> bool:
        predicate = self.predicate
        return self.ends is None and predicate.times == ALL_TIME and not predicate.tested

    def either(self, other: "Needs") -> "Needs":
        ends = None if self.ends is None or other.ends is None else self.ends | other.ends
        return Needs(self.predicate.either(other.predicate), ends, self.each or other.each)


ALL_ROWS = Needs()


@dataclass(slots=True)
class Source:
    """A table under projections, aliases and conditions: its columns by the names that they have above these."""

    scan: Any
    table: Table
    columns: Mapping[str, Tree]
    predicate: Predicate = EVERYTHING
    #: as they were written, over the table
    conditions: list[Tree] = field(default_factory=list)

    def tree(self, expression: Any) -> Tree:
        """An expression over the source, said over the table."""
        return replaced(tree_of(expression), self.columns)


class _Unchanged(dict[str, Tree]):
    """Every name for itself."""

    def __missing__(self, name: str) -> Tree:
        return Column(name)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]


@dataclass(slots=True)
class _Search:
    find_table: FindTable
    found: dict[str, Needs] = field(default_factory=dict)
    scans: int = 0

    def visit(self, plan: LogicalPlan) -> None:
        waiting = [plan]
        while waiting:
            each = waiting.pop()
            node = each.to_variant()
            kind = type(node).__name__
            needs = _needs_of(kind, node, each, self.find_table)
            if needs is not None:
                source, needed = needs
                self.note(source.scan, needed)
            elif kind == "TableScan":
                self.note(node, ALL_ROWS)
            else:
                waiting += self._below(kind, node, each)

    def _below(self, kind: str, node: Any, plan: LogicalPlan) -> list[LogicalPlan]:
        """The inputs to look at; a condition right above a table narrows it."""
        if kind == "Filter":
            source = source_of(plan, self.find_table, exactly=False)
            if source is not None and source.predicate != EVERYTHING:
                self.note(source.scan, Needs(source.predicate))
                return []
        return list(plan.inputs())

    def note(self, scan: Any, needs: Needs) -> None:
        self.scans += 1
        name = scan.table_name()
        self.found[name] = self.found[name].either(needs) if name in self.found else needs


def needs_of(plans: list[LogicalPlan], find_table: FindTable) -> Mapping[str, Needs]:
    """By name, for tables of which less than everything is needed by all these plans together."""
    search = _Search(find_table)
    for plan in plans:
        search.visit(plan)
    if all(needs.is_all for needs in search.found.values()):
        return {}
    if sum(plan.display_indent().count("TableScan: ") for plan in plans) != search.scans:
        return {}  # N2
    return {name: needs for name, needs in search.found.items() if not needs.is_all}


def source_of(plan: LogicalPlan, find_table: FindTable, *, exactly: bool = True) -> Source | None:
    """The table that a plan reads without doing more than choose and rename; `exactly`: its conditions are all understood."""
    node = plan.to_variant()
    match type(node).__name__:
        case "TableScan":
            table = find_table(node.table_name())
            if table is None or node.fetch() is not None or (node.fqn() or (None, "iox"))[1] not in (None, "iox"):
                return None
            return Source(node, table, _Unchanged())
        case "SubqueryAlias":
            return source_of(plan.inputs()[0], find_table, exactly=exactly)
        case "Projection":
            source = source_of(plan.inputs()[0], find_table, exactly=exactly)
            if source is not None:
                outputs = [(output_name(expression), expression) for expression in node.projections()]
                if len(outputs) != len({name for name, _ in outputs}):
                    return None
                source.columns = {name: _passed_on(source, expression) for name, expression in outputs}
            return source
        case "Filter":
            source = source_of(plan.inputs()[0], find_table, exactly=exactly)
            if source is not None:
                condition = source.tree(node.predicate())
                predicate = narrowed(condition, source.table.tags)
                if exactly and not predicate.exact:
                    return None
                source.conditions.append(condition)
                source.predicate = source.predicate.both(predicate)
            return source
    return None


def output_name(expression: Any) -> str:
    match expression.variant_name():
        case "Alias":
            return str(expression.to_variant().alias())
        case "Column":
            return str(expression.to_variant().name())
    return str(expression.schema_name())


def _passed_on(source: Source, expression: Any) -> Tree:
    if expression.variant_name() == "Column":
        return source.columns.get(expression.to_variant().name(), OPAQUE)
    return source.tree(expression)


def _needs_of(kind: str, node: Any, plan: LogicalPlan, find_table: FindTable) -> tuple[Source, Needs] | None:
    """What a node and all below it need of the one table that they read; None where that is not known."""
    match kind:
        case "Sort" if node.get_fetch_val() is not None:
            return _limited(node, plan, find_table)
        case "Aggregate":
            return _aggregated(node, plan, find_table)
        case "Filter":
            return _ranked(node, plan, find_table)
    return None


def _limited(node: Any, plan: LogicalPlan, find_table: FindTable) -> tuple[Source, Needs] | None:
    first, count = node.sort_exprs()[0], node.get_fetch_val()
    if not 0 < count <= MOST_ROWS:
        return None
    source = source_of(plan.inputs()[0], find_table)
    if source is None or source.tree(first.expr()) != Column(TIME_COLUMN):
        return None
    return source, Needs(source.predicate, frozenset([End(not first.ascending(), count)]), each=False)


def _aggregated(node: Any, plan: LogicalPlan, find_table: FindTable) -> tuple[Source, Needs] | None:
    source = source_of(plan.inputs()[0], find_table)
    if source is None:
        return None
    tags = frozenset(source.table.tags)
    keys = [source.tree(expression) for expression in node.group_by_exprs()]
    if not all(_is_of_series(key, tags) for key in keys):
        return None
    ends: set[End] = set()
    for expression in node.aggregate_exprs():
        needed = end_of(source.tree(expression), keys, source.table)
        if needed is None:
            return None
        ends.add(needed)
    if all(end.field is not None for end in ends):
        ends.add(End(newest=True))  # a group is there, whether it has a value or not
    aggregates = node.aggregate_exprs()
    of_all = not keys and aggregates and all(_is_time_end(source.tree(expression)) for expression in aggregates)
    return source, Needs(source.predicate, frozenset(ends), each=not of_all)


def _is_time_end(tree: Tree) -> bool:
    return isinstance(tree, Aggregate) and tree.name in ("min", "max") and tree.arguments == (Column(TIME_COLUMN),)


def _is_of_series(tree: Tree, tags: frozenset[str]) -> bool:
    """Whether all rows of a series have the same value of it."""
    match tree:
        case Column(name):
            return name in tags
        case Literal() | Interval():
            return True
        case Call(name, arguments):
            return name in _PURE and all(_is_of_series(each, tags) for each in arguments)
    return False


def end_of(tree: Tree, keys: list[Tree], table: Table) -> End | None:
    """The one row of each series that an aggregate can be about."""
    if not isinstance(tree, Aggregate) or not is_known(tree):
        return None
    tags = frozenset(table.tags)
    field = None
    match tree.filter:
        case None:
            pass
        case Call("is_not_null", (Column(name),)) if name in table.fields:
            field = name
        case other if not _is_of_series(other, tags):
            return None
    if tree.name in ("first_value", "last_value"):
        return _value_end(tree, keys, table, field)
    if field is not None or tree.ignores_nulls or tree.order or len(tree.arguments) != 1:
        return None
    argument = tree.arguments[0]
    if tree.name in ("min", "max"):
        if argument == Column(TIME_COLUMN):
            return End(newest=tree.name == "max")
        return End(newest=True) if _is_of_series(argument, tags) else None
    if tree.name == "count" and tree.distinct and _is_of_series(argument, tags):
        return End(newest=True)
    return None


def _value_end(tree: Aggregate, keys: list[Tree], table: Table, field: str | None) -> End | None:
    newest = _time_order(tree.order, keys)
    if newest is None or tree.distinct or len(tree.arguments) != 1:
        return None
    if tree.name == "first_value":
        newest = not newest
    if tree.ignores_nulls:
        match tree.arguments[0]:
            case Column(name) if name in table.fields and field in (None, name):
                field = name
            case argument if not _is_of_series(argument, frozenset({*table.tags, TIME_COLUMN})):
                return None
    return End(newest, 1, field)


def _time_order(order: tuple[SortKey, ...], keys: list[Tree]) -> bool | None:
    """Whether time rises, where it decides within a group; None where it does not."""
    for key in order:
        if key.expression == Column(TIME_COLUMN):
            return key.ascending
        if key.expression not in keys:
            return None
    return None


def _ranked(node: Any, plan: LogicalPlan, find_table: FindTable) -> tuple[Source, Needs] | None:
    """Filter(rank <= n) over windows that all count the rows of a partition by tags from one end of time."""
    below = plan.inputs()[0]
    names: Mapping[str, Tree] = _Unchanged()
    while type(below.to_variant()).__name__ in ("Projection", "SubqueryAlias"):
        inner = below.to_variant()
        if type(inner).__name__ == "Projection":
            outputs = {output_name(expression): tree_of(expression) for expression in inner.projections()}
            names = outputs if isinstance(names, _Unchanged) else {key: replaced(tree, outputs) for key, tree in names.items()}
        below = below.inputs()[0]
    window = below.to_variant()
    if type(window).__name__ != "WindowExpr":
        return None
    source = source_of(below.inputs()[0], find_table)
    expressions = window.get_window_expr()
    if source is None or not expressions:
        return None
    ends = {_rank_end(source.tree(expression), source.table) for expression in expressions}
    end = ends.pop()
    if end is None or ends:
        return None
    ranks = {expression.schema_name() for expression in expressions}
    condition = replaced(tree_of(node.predicate()), names)
    count = min(_at_most(condition, ranks), default=None)
    if count is None or not 0 < count <= MOST_ROWS:
        return None
    return source, Needs(source.predicate, frozenset([End(end.newest, count)]))


def _rank_end(tree: Tree, table: Table) -> End | None:
    tags = frozenset(table.tags)
    if not isinstance(tree, Window) or tree.name not in _RANKS or tree.arguments or not tree.order:
        return None
    if not all(_is_of_series(each, tags) for each in tree.partition):
        return None
    first = tree.order[0]
    return End(not first.ascending) if first.expression == Column(TIME_COLUMN) else None


def _at_most(condition: Tree, ranks: set[str]) -> list[int]:
    """The bounds from above that a condition sets to ranks."""
    bounds: list[int] = []
    waiting = [condition]
    while waiting:
        match waiting.pop():
            case Call("And", arguments):
                waiting += arguments
            case Call(comparison, (Column(name), Literal(value))) if name in ranks and pa.types.is_integer(value.type):
                bound = {"Eq": 0, "LtEq": 0, "Lt": -1}.get(comparison)
                if bound is not None:
                    bounds.append(value.as_py() + bound)
    return bounds
