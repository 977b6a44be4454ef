"""Statements that are rows or an aggregate of one table, perhaps chosen from, put in order and cut: told without a plan.

    Limit, Sort, Projection of columns, Filter, in any order that makes sense
      over an aggregate that folding.py recognises, the number of rows, or a scan

    plan ─▶ Reading, in which values may still be open ─▶ bound to values ─▶ Outline

Most of what a dashboard asks is of this kind, and small: to have such a plan made physical, repartitioned and run costs more
than to look the rows up. Projections rename and choose only, so all of an outline is said in the names of its source.

O1  An outline says what the plan says: the same columns, and the same rows in the same order, where the plan gives them one.
O2  Nothing is read before it runs.
O3  A reading that is bound to values says what the plan says with these values in the places that are open.

Held by tests/unit/engine/query/shapes/test_outline.py (O1, O2), tests/unit/engine/query/test_templates.py (O3) and
tests/property/test_sql_against_duckdb.py (O1).
Elsewhere: how it is answered (direct.py), when (planned.py), which texts share a reading (templates.py).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa
from datafusion import SessionContext
from datafusion.plan import LogicalPlan

from catalog.names import TIME_COLUMN
from catalog.schema import Table
from engine.hydrate import table_schema
from engine.query.predicate import EVERYTHING, Predicate, narrowed
from engine.query.shapes import expressions
from engine.query.shapes.conditions import Condition, condition_of
from engine.query.shapes.expressions import Aggregate, Call, Column, Tree, replaced, tree_of
from engine.query.shapes.folding import Folding, Picking, count_of, plain_schema, shape_over
from engine.query.shapes.needs import ALL_ROWS, MOST_ROWS, End, FindTable, Needs, Source, output_name, source_of
from engine.query.shapes.values import Values, bound, has_places


@dataclass(frozen=True, slots=True)
class Said:
    """Nothing is asked of any table: the statement says this row itself."""

    row: pa.RecordBatch


Asked = Folding | Picking | Said | Literal["rows", "count"]
"""What is asked of the rows that are let through: an aggregate, themselves, or how many they are."""


@dataclass(frozen=True, slots=True)
class Key:
    column: str
    ascending: bool
    nulls_first: bool


@dataclass(frozen=True, slots=True)
class Outline:
    #: None where no table is read
    table: str | None
    asked: Asked
    #: of what is asked; columns here and below are named as there
    schema: pa.Schema
    #: the table's rows that are let through: those of the predicate, and of these the ones that fulfil `rest`
    predicate: Predicate
    rest: Condition | None
    #: fulfilled by the rows that an aggregate made
    kept: Condition | None
    order: tuple[Key, ...]
    skip: int
    #: how many, after those that are skipped; None for all
    fetch: int | None
    #: the answer's, in order; one may be there twice
    columns: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns of what is asked that it wants at all."""
        return tuple(dict.fromkeys([*self.columns, *(key.column for key in self.order)]))

    @property
    def is_cut(self) -> bool:
        return bool(self.skip) or self.fetch is not None

    @property
    def is_in_order(self) -> bool:
        """Whether rows are made in the order that is asked for. It begins with what they are grouped by, and with nothing else:
        bins come by their times, and rows that are picked as it is said."""
        if not self.order:
            return True
        first = self.order[0]
        if first.column != self.schema.names[0]:
            return False
        if isinstance(self.asked, Picking):
            return len(self.asked.tags) == 1
        return isinstance(self.asked, Folding) and self.asked.keys == (self.asked.bin,) and first.ascending

    @property
    def needs(self) -> Needs:
        """The rows that are enough."""
        if self.asked != "rows" or self.fetch is None or not self.order or self.order[0].column != TIME_COLUMN:
            return ALL_ROWS
        count = self.skip + self.fetch
        if not 0 < count <= MOST_ROWS:
            return ALL_ROWS
        return Needs(ends=frozenset([End(not self.order[0].ascending, count)]), each=False)

    def in_words(self) -> str:
        if self.table is None:
            return "without the physical plan: what the statement says"
        said = {"rows": "rows", "count": "the number of rows"}
        what = said[self.asked] if isinstance(self.asked, str) else _SAID[type(self.asked)]
        parts = [f"without the physical plan: {what} of {self.table}"]
        if self.kept is not None or self.rest is not None:
            parts.append("those that fulfil the condition")
        if self.order:
            keys = (f"{key.column}{'' if key.ascending else ' (descending)'}" for key in self.order)
            parts.append(f"in the order of {' and '.join(keys)}")
        if self.skip:
            parts.append(f"from number {self.skip + 1:,} on")
        if self.fetch is not None:
            parts.append(f"at most {self.fetch:,}")
        return ", ".join(parts)


_SAID: Mapping[type, str] = {Folding: "sums of rows", Picking: "one row of each group"}


@dataclass(frozen=True)
class Reading:
    """An outline whose conditions may have places that are open. No slots: some of it is worked out once for all values."""

    table: Table | None
    asked: Asked
    schema: pa.Schema
    #: of rows of the table, and of rows that an aggregate made
    conditions: tuple[Tree, ...]
    having: tuple[Tree, ...]
    order: tuple[Key, ...]
    skip: int
    fetch: int | None
    columns: tuple[str, ...]

    def bound(self, values: Values) -> Outline | None:
        """None where a value does not fit its place, or a condition cannot be said."""
        if self.table is None:
            return Outline(None, self.asked, self.schema, EVERYTHING, None, None, (), 0, None, self.columns)
        closed = self._closed
        predicate, others = closed.predicate, list(closed.others)
        for at, open_tree in closed.open:
            tree = bound(open_tree, values, closed.types)
            narrow = narrowed(tree, self.table.tags)
            if narrow.exact:
                predicate = predicate.both(narrow)
            else:
                others.append((at, tree))
        rest = condition_of([tree for _, tree in sorted(others, key=_place)], closed.types)
        kept = condition_of([bound(each, values, closed.kept_types) for each in self.having], closed.kept_types)
        if (others and (rest is None or isinstance(self.asked, Folding | Picking))) or (self.having and kept is None):
            return None
        asked = replace(self.asked, predicate=predicate) if isinstance(self.asked, Folding | Picking) else self.asked
        given = self.table.name, asked, self.schema, predicate, rest, kept
        return Outline(*given, self.order, self.skip, self.fetch, self.columns)

    @cached_property
    def _closed(self) -> "_Closed":
        assert self.table is not None, "otherwise there are no conditions"
        predicate, others, open_trees = EVERYTHING, [], []
        for at, tree in enumerate(_conjuncts(iter(self.conditions))):
            if has_places(tree):
                open_trees.append((at, tree))
            elif (narrow := narrowed(tree, self.table.tags)).exact:
                predicate = predicate.both(narrow)
            else:
                others.append((at, tree))
        types = _types(table_schema(self.table)), _types(self.schema)
        return _Closed(predicate, tuple(others), tuple(open_trees), *types)


_Placed = tuple[int, Tree]
"""One of the conditions that all hold, and its place among them."""


@dataclass(frozen=True, slots=True)
class _Closed:
    """What a reading says whatever the values."""

    predicate: Predicate
    #: conditions without a place that the predicate does not say
    others: tuple[_Placed, ...]
    #: those with one
    open: tuple[_Placed, ...]
    #: of columns of the table, and of what is asked
    types: Mapping[str, pa.DataType]
    kept_types: Mapping[str, pa.DataType]


def _place(placed: _Placed) -> int:
    return placed[0]


def reading_of(plan: LogicalPlan, context: SessionContext, find_table: FindTable) -> Reading | None:
    above: list[tuple[str, Any]] = []
    whole = plan
    while (kind := type(node := plan.to_variant()).__name__) in _ABOVE:
        above.append((kind, node))
        plan = plan.inputs()[0]
    reader = None
    if kind == "EmptyRelation":
        return _of_values(node, above, context, whole)
    if kind == "Aggregate":
        reader = _of_aggregate(node, plan, context, find_table)
    elif kind == "TableScan":
        reader = _of_scan(node, find_table)
    if reader is None or not all(_ABOVE[kind](reader, node) for kind, node in reversed(above)):
        return None
    return reader.read()


@dataclass(slots=True)
class _Reader:
    """Goes through a plan from its source upwards."""

    table: Table
    asked: Asked
    schema: pa.Schema
    #: what the names of the level at hand are in the source
    names: dict[str, Tree]
    conditions: list[Tree] = field(default_factory=list)
    having: list[Tree] = field(default_factory=list)
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
        conditions = self.conditions if self.asked == "rows" else self.having
        conditions.append(replaced(tree_of(node.predicate()), self.names))
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
        try:
            skip, fetch = count_of(node.skip()) or 0, count_of(node.fetch())
        except ValueError:
            return False
        if self.fetch is not None:
            left = max(0, self.fetch - skip)
            fetch = left if fetch is None else min(fetch, left)
        self.skip, self.fetch = self.skip + skip, fetch
        return True

    def read(self) -> Reading | None:
        if self.is_stopped and self.fetch is None:
            return None
        columns = tuple(tree.name for tree in self.names.values() if isinstance(tree, Column))
        given = self.table, self.asked, self.schema, tuple(self.conditions), tuple(self.having)
        return Reading(*given, self.order, self.skip, self.fetch, columns)


_ABOVE: Mapping[str, Callable[[_Reader, Any], bool]] = {
    "Filter": _Reader.filtered,
    "Projection": _Reader.projected,
    "Sort": _Reader.sorted,
    "Limit": _Reader.limited,
    "SubqueryAlias": lambda reader, node: True,
}


def _of_aggregate(node: Any, plan: LogicalPlan, context: SessionContext, find_table: FindTable) -> _Reader | None:
    source = source_of(plan.inputs()[0], find_table, exactly=False)
    if source is None:
        return None
    conditions = [*source.conditions, *map(tree_of, source.scan.filters())]
    source.predicate = EVERYTHING  # that of the conditions is known when they are bound
    asked: Asked | None = shape_over(node, source)
    if asked is None and _is_count(node, source):
        asked = "count"
    if asked is None:
        return None
    schema = plain_schema(context.create_dataframe_from_logical_plan(plan).schema())
    names: dict[str, Tree] = {name: Column(name) for name in schema.names}
    return _Reader(source.table, asked, schema, names, conditions) if len(names) == len(schema) else None


def _of_values(node: Any, above: Sequence[tuple[str, Any]], context: SessionContext, whole: LogicalPlan) -> Reading | None:
    """One row of literals."""
    if not node.produce_one_row() or [kind for kind, _ in above] != ["Projection"]:
        return None
    schema = plain_schema(context.create_dataframe_from_logical_plan(whole).schema())
    values = [each.value for each in map(tree_of, above[0][1].projections()) if isinstance(each, expressions.Literal)]
    if [value.type for value in values] != schema.types or len(set(schema.names)) < len(schema):
        return None
    row = pa.record_batch([pa.array([value], value.type) for value in values], schema=schema)
    return Reading(None, Said(row), schema, (), (), (), 0, None, tuple(schema.names))


def _is_count(node: Any, source: Source) -> bool:
    """Nothing but `count(*)`, once or more often."""
    for expression in node.aggregate_exprs():
        match source.tree(expression):
            case Aggregate("count", (expressions.Literal(value),), distinct=False, filter=None) if value.is_valid:
                pass
            case _:
                return False
    return bool(node.aggregate_exprs()) and not node.group_by_exprs()


def _of_scan(node: Any, find_table: FindTable) -> _Reader | None:
    table = find_table(node.table_name())
    if table is None or (node.fqn() or (None, "iox"))[1] not in (None, "iox"):
        return None
    names: dict[str, Tree] = {name: Column(name) for _, name in node.projection()}
    conditions = [tree_of(each) for each in node.filters()]
    return _Reader(table, "rows", table_schema(table), names, conditions, is_stopped=node.fetch() is not None)


def _conjuncts(trees: Iterator[Tree]) -> Iterator[Tree]:
    waiting = list(trees)
    while waiting:
        match waiting.pop():
            case Call("And", arguments):
                waiting += arguments
            case tree:
                yield tree


def _types(schema: pa.Schema) -> Mapping[str, pa.DataType]:
    return dict(zip(schema.names, schema.types, strict=True))
