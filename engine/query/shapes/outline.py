"""Statements that are rows or an aggregate of one table, perhaps chosen from, put in order and cut: told without a plan.

    Limit, Sort, Projection of columns, Filter, in any order that makes sense
      over an aggregate that folding.py recognises, the number of rows, or a scan

Most of what a dashboard asks is of this kind, and small: to have such a plan made physical, repartitioned and run costs more
than to look the rows up. Projections rename and choose only, so all of an outline is said in the names of its source.

O1  An outline says what the plan says: the same columns, and the same rows in the same order, where the plan gives them one.
O2  Nothing is read before it runs.

Held by tests/unit/engine/query/shapes/test_outline.py (O1, O2) and tests/property/test_sql_against_duckdb.py (O1).
Elsewhere: how it is answered (direct.py), when (planned.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datafusion import SessionContext
from datafusion.plan import LogicalPlan

from catalog.schema import Table
from engine.hydrate import table_schema
from engine.query.predicate import EVERYTHING, Predicate, narrowed
from engine.query.shapes.conditions import condition_of
from engine.query.shapes.expressions import Aggregate, Call, Column, Literal, Tree, replaced, tree_of
from engine.query.shapes.folding import Folding, Picking, count_of, plain_schema, shape_of
from engine.query.shapes.needs import FindTable, output_name, source_of


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table: those of the predicate, and of these the ones that `rest` keeps."""

    table: str
    predicate: Predicate
    rest: pc.Expression | None


@dataclass(frozen=True, slots=True)
class Counted:
    """How many they are, under one name or several."""

    rows: Rows


@dataclass(frozen=True, slots=True)
class Key:
    column: str
    ascending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True)
class Outline:
    source: Rows | Counted | Folding | Picking
    #: of the source's rows; columns here and below are named as there
    schema: pa.Schema
    kept: pc.Expression | None = None
    order: tuple[Key, ...] = ()
    skip: int = 0
    #: how many, after those that are skipped; None for all
    fetch: int | None = None
    #: the answer's, in order; one may be there twice
    columns: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        return self.source.rows.table if isinstance(self.source, Counted) else self.source.table

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of its source that it wants at all."""
        return tuple(dict.fromkeys([*self.columns, *(key.column for key in self.order)]))

    @property
    def is_cut(self) -> bool:
        return bool(self.skip) or self.fetch is not None

    def in_words(self) -> str:
        said = {Rows: "rows", Counted: "the number of rows", Folding: "sums of rows", Picking: "one row of each group"}
        parts = [f"without the physical plan: {said[type(self.source)]} of {self.table}"]
        if self.kept is not None or (isinstance(self.source, Rows) and self.source.rest is not None):
            parts.append("those that fulfil the condition")
        if self.order:
            keys = (f"{key.column}{'' if key.ascending else ' (descending)'}" for key in self.order)
            parts.append(f"in the order of {' and '.join(keys)}")
        if self.skip:
            parts.append(f"from number {self.skip + 1:,} on")
        if self.fetch is not None:
            parts.append(f"at most {self.fetch:,}")
        return ", ".join(parts)


def outline_of(plan: LogicalPlan, context: SessionContext, find_table: FindTable) -> Outline | None:
    above: list[tuple[str, Any]] = []
    while (kind := type(node := plan.to_variant()).__name__) in _ABOVE:
        above.append((kind, node))
        plan = plan.inputs()[0]
    reading = None
    if kind == "Aggregate":
        reading = _of_aggregate(node, plan, context, find_table)
    elif kind == "TableScan":
        reading = _of_scan(node, find_table)
    if reading is None or not all(_ABOVE[kind](reading, node) for kind, node in reversed(above)):
        return None
    return reading.read()


@dataclass(slots=True)
class _Reading:
    """A plan, read from its source upwards."""

    source: Folding | Picking | Counted | Table
    name: str
    schema: pa.Schema
    #: what the names of the level at hand are in the source
    names: dict[str, Tree]
    conditions: list[Tree] = field(default_factory=list)
    order: tuple[Key, ...] = ()
    skip: int = 0
    fetch: int | None = None
    #: a scan that stops after so many rows: the limit that says so must be among what is above
    is_stopped: bool = False

    @property
    def is_cut(self) -> bool:
        return bool(self.skip) or self.fetch is not None

    def column(self, tree: Tree) -> str | None:
        match replaced(tree, self.names):
            case Column(name):
                return name
        return None

    def filtered(self, node: Any) -> bool:
        self.conditions.append(replaced(tree_of(node.predicate()), self.names))
        return not self.is_cut

    def projected(self, node: Any) -> bool:
        outputs = {output_name(each): self.column(tree_of(each)) for each in node.projections()}
        self.names = {name: Column(column) for name, column in outputs.items() if column is not None}
        return len(self.names) == len(node.projections())

    def sorted(self, node: Any) -> bool:
        keys = [(self.column(tree_of(key.expr())), key) for key in node.sort_exprs()]
        self.order = tuple(Key(name, key.ascending(), key.nulls_first()) for name, key in keys if name is not None)
        fits = not self.is_cut and len(self.order) == len(keys)
        self.fetch = node.get_fetch_val()
        return fits

    def limited(self, node: Any) -> bool:
        skip, fetch = count_of(node.skip()) or 0, count_of(node.fetch())
        if self.fetch is not None:
            left = max(0, self.fetch - skip)
            fetch = left if fetch is None else min(fetch, left)
        self.skip, self.fetch = self.skip + skip, fetch
        return True

    def read(self) -> Outline | None:
        columns = tuple(tree.name for tree in self.names.values() if isinstance(tree, Column))
        if self.is_stopped and self.fetch is None:
            return None
        if isinstance(self.source, Table):
            rows = _rows(self.source, self.name, self.schema, self.conditions)
            if rows is None:
                return None
            return Outline(rows, self.schema, None, self.order, self.skip, self.fetch, columns)
        kept = [condition_of(tree, _types(self.schema)) for tree in self.conditions]
        if any(condition is None for condition in kept):
            return None
        return Outline(self.source, self.schema, _all(kept), self.order, self.skip, self.fetch, columns)


_ABOVE: Mapping[str, Callable[[_Reading, Any], bool]] = {
    "Filter": _Reading.filtered,
    "Projection": _Reading.projected,
    "Sort": _Reading.sorted,
    "Limit": _Reading.limited,
    "SubqueryAlias": lambda reading, node: True,
}


def _of_aggregate(node: Any, plan: LogicalPlan, context: SessionContext, find_table: FindTable) -> _Reading | None:
    source = shape_of(node, plan, find_table) or _counted(node, plan, find_table)
    if source is None:
        return None
    schema = plain_schema(context.create_dataframe_from_logical_plan(plan).schema())
    names: dict[str, Tree] = {name: Column(name) for name in schema.names}
    return _Reading(source, "", schema, names) if len(names) == len(schema) else None


def _counted(node: Any, plan: LogicalPlan, find_table: FindTable) -> Counted | None:
    """Nothing but `count(*)`."""
    source = source_of(plan.inputs()[0], find_table)
    if source is None or node.group_by_exprs() or not node.aggregate_exprs():
        return None
    for expression in node.aggregate_exprs():
        match source.tree(expression):
            case Aggregate("count", (Literal(value),), distinct=False, filter=None) if value.is_valid:
                pass
            case _:
                return None
    conditions = [narrowed(tree_of(each), source.table.tags) for each in source.scan.filters()]
    predicate = reduce(Predicate.both, conditions, source.predicate)
    return Counted(Rows(source.scan.table_name(), predicate, None)) if predicate.exact else None


def _of_scan(node: Any, find_table: FindTable) -> _Reading | None:
    table = find_table(node.table_name())
    if table is None or (node.fqn() or (None, "iox"))[1] not in (None, "iox"):
        return None
    names: dict[str, Tree] = {name: Column(name) for _, name in node.projection()}
    conditions = [tree_of(each) for each in node.filters()]
    return _Reading(table, node.table_name(), table_schema(table), names, conditions, is_stopped=node.fetch() is not None)


def _rows(table: Table, name: str, schema: pa.Schema, conditions: Sequence[Tree]) -> Rows | None:
    predicate, rest = EVERYTHING, []
    for tree in _conjuncts(conditions):
        narrow = narrowed(tree, table.tags)
        if narrow.exact:
            predicate = predicate.both(narrow)
        else:
            rest.append(condition_of(tree, _types(schema)))
    return None if any(condition is None for condition in rest) else Rows(name, predicate, _all(rest))


def _conjuncts(trees: Sequence[Tree]) -> Iterator[Tree]:
    waiting = list(trees)
    while waiting:
        match waiting.pop():
            case Call("And", arguments):
                waiting += arguments
            case tree:
                yield tree


def _all(conditions: Sequence[pc.Expression | None]) -> pc.Expression | None:
    return reduce(and_, conditions) if conditions else None


def _types(schema: pa.Schema) -> Mapping[str, pa.DataType]:
    return dict(zip(schema.names, schema.types, strict=True))
