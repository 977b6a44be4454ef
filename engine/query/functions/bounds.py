"""What a gap-filling aggregate covers, read off the plan beneath it: the width of its bins and the range of time.

    Aggregate ─▶ the grouping expression of the bins ─▶ its column ─▶ down the plan, every condition on it on the way

B1  A bound is a comparison of the column with a constant, one that every row must satisfy. Of several the tightest counts.
B2  A bound that is missing, or that is no constant, is named.

Held by tests/unit/engine/query/test_bounds.py (B1, B2) and, in whole statements, test_gapfill.py.
"""

import re
from dataclasses import dataclass
from typing import Any

from datafusion.plan import LogicalPlan

from engine.query.functions.wallclock import SHIFT
from engine.query.lineage import is_named, own_column
from engine.query.messages import planning

_INSTANT = re.compile(r"Timestamp(Second|Millisecond|Microsecond|Nanosecond)\((-?\d+), ")
_INTERVAL = re.compile(r"IntervalMonthDayNano { months: (-?\d+), days: (-?\d+), nanoseconds: (-?\d+) }")
_UNIT_NS = {"Second": 10**9, "Millisecond": 10**6, "Microsecond": 10**3, "Nanosecond": 1}
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_DAY_NS = 86_400_000_000_000


@dataclass
class Cover:
    """Bins of `stride_ns` from `origin_ns` on, over a range with both ends inclusive. `empty`: no row can be there, or none
    will be asked for."""

    stride_ns: int = 1
    origin_ns: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    empty: bool = False
    variable: str | None = None

    def narrow(self, operator: str, value_ns: int) -> None:
        if operator in (">", ">=", "="):
            first = value_ns + (operator == ">")
            self.first_ns = first if self.first_ns is None else max(self.first_ns, first)
        if operator in ("<", "<=", "="):
            last = value_ns - (operator == "<")
            self.last_ns = last if self.last_ns is None else min(self.last_ns, last)

    def complete(self) -> "Cover":
        """B2."""
        if self.empty or (self.first_ns is not None and self.last_ns is not None):
            return self
        if self.variable is not None:
            raise planning(f"{self.variable} time bound for gap fill query must evaluate to a scalar")
        if self.first_ns is None and self.last_ns is None:
            raise planning("gap-filling query is missing both upper and lower time bounds")
        raise planning(f"gap-filling query is missing {'lower' if self.first_ns is None else 'upper'} time bound")


def cover_of(plan: LogicalPlan, function: str) -> Cover:
    """Of the first aggregate on the way down a plan, whose first grouping expression makes the bins of `function`."""
    cover = Cover()
    while (kind := type(plan.to_variant()).__name__) != "Aggregate":
        if kind in ("EmptyRelation", "Values") or not plan.inputs():
            cover.empty = True
            return cover
        plan = plan.inputs()[0]
    _Walk(function, cover).start(plan.to_variant().group_by_exprs()[0], plan.inputs()[0])
    return cover.complete()


Column = tuple[str | None, str]
"""Relation and name; without relation where the name alone is enough."""


class _Walk:
    """From the grouping expression down to where its column comes from."""

    def __init__(self, function: str, cover: Cover) -> None:
        self._function = function
        self._cover = cover
        self._binned = False

    def start(self, expression: Any, plan: LogicalPlan) -> None:
        """`expression` is over the columns of `plan`."""
        self._down(self._within(expression), plan)

    def _down(self, column: Column, plan: LogicalPlan) -> None:
        node = plan.to_variant()
        match type(node).__name__:
            case "EmptyRelation":
                self._cover.empty = not node.produce_one_row()
            case "Projection":
                self._mapped(column, node.projections(), plan)
            case "Aggregate":
                self._mapped(column, node.group_by_exprs(), plan)
            case "SubqueryAlias":
                self._down((None, column[1]), plan.inputs()[0])
            case "Union":
                self._united(column, plan.inputs())
            case "Filter":
                self._collect(column, node.predicate())
                self._down(column, plan.inputs()[0])
            case "TableScan":
                for condition in node.filters():
                    self._collect(column, condition)
            case "Join":
                side = next((side for side in plan.inputs() if own_column(*column, side) is not None), None)
                if side is not None:
                    self._down(column, side)
            case _ if plan.inputs():
                self._down(column, plan.inputs()[0])

    def _within(self, expression: Any) -> Column:
        """The column inside of aliases, casts and the one call that makes bins."""
        while True:
            match expression.variant_name():
                case "Alias" | "Cast":
                    expression = expression.to_variant().expr()
                case "ScalarFunction" if not self._binned and expression.rex_call_operator() == "date_bin":
                    operands = expression.rex_call_operands()
                    self._bins(operands[0], operands[2] if len(operands) == 3 else None)
                    expression = operands[1]
                case "BinaryExpr" if not self._binned and SHIFT in expression.schema_name():
                    operands = expression.to_variant().right().rex_call_operands()
                    self._bins(operands[0], operands[3])
                    expression = expression.to_variant().left()
                case "Column":
                    column = expression.to_variant()
                    return column.relation(), column.name()
                case _:
                    raise planning(f"{self._function} requires a column as the source argument")

    def _bins(self, stride: Any, origin: Any | None) -> None:
        self._binned = True
        interval = _INTERVAL.search(stride.canonical_name()) if stride.variant_name() == "Literal" else None
        if interval is None and _is_open(stride):
            self._cover.empty = True
            return
        if interval is None:
            raise planning(f"stride argument to {self._function} for gap fill query must evaluate to a scalar")
        months, days, nanoseconds = (int(part) for part in interval.groups())
        if months:
            raise planning("gap filling does not support month intervals")
        self._cover.stride_ns = days * _DAY_NS + nanoseconds
        if self._cover.stride_ns <= 0:
            raise planning(f"stride argument to {self._function} must be greater than zero")
        if origin is not None:
            instant = _instant_ns(origin)
            if instant is None:
                raise planning(f"origin argument to {self._function} for gap fill query must evaluate to a scalar")
            self._cover.origin_ns = instant

    def _mapped(self, column: Column, outputs: Any, plan: LogicalPlan) -> None:
        for output in outputs:
            if is_named(output, *column):
                if self._binned and _stripped(output).variant_name() != "Column":
                    return  # computed here: a column all the same, whose conditions stood above
                self.start(output, plan.inputs()[0])
                return

    def _united(self, column: Column, arms: list[LogicalPlan]) -> None:
        """The range that holds the ranges of all arms; a side that one arm leaves open is open."""
        whole, covers = self._cover, list[Cover]()
        for arm in arms:
            self._cover = Cover(whole.stride_ns, whole.origin_ns)
            self._down((None, column[1]), arm)
            covers += [] if self._cover.empty else [self._cover]
        self._cover = whole
        firsts, lasts = [cover.first_ns for cover in covers], [cover.last_ns for cover in covers]
        if covers and None not in firsts:
            whole.narrow(">=", min(first for first in firsts if first is not None))
        if covers and None not in lasts:
            whole.narrow("<=", max(last for last in lasts if last is not None))
        whole.empty = whole.empty or not covers

    def _collect(self, column: Column, condition: Any) -> None:
        """B1: the conjuncts of a condition."""
        waiting = [condition]
        while waiting:
            current = waiting.pop()
            if current.variant_name() == "Between" and not current.to_variant().negated():
                node = current.to_variant()
                self._compare(column, node.expr(), ">=", node.low())
                self._compare(column, node.expr(), "<=", node.high())
            elif current.variant_name() == "BinaryExpr":
                node = current.to_variant()
                if node.op() == "AND":
                    waiting += [node.left(), node.right()]
                elif node.op() in _FLIPPED:
                    self._compare(column, node.left(), node.op(), node.right())
                    self._compare(column, node.right(), _FLIPPED[node.op()], node.left())

    def _compare(self, column: Column, side: Any, operator: str, other: Any) -> None:
        if side.variant_name() != "Column" or side.to_variant().name() != column[1]:
            return
        if column[0] is not None and side.to_variant().relation() not in (None, column[0]):
            return
        instant = _instant_ns(other)
        if instant is not None:
            self._cover.narrow(operator, instant)
        elif _is_open(other):
            self._cover.empty = True
        elif other.variant_name() != "Literal":
            self._cover.variable = "lower" if operator in (">", ">=") else "upper"


def _stripped(expression: Any) -> Any:
    while expression.variant_name() in ("Alias", "Cast"):
        expression = expression.to_variant().expr()
    return expression


def _is_open(expression: Any) -> bool:
    """Whether a parameter is part of it that has no value yet: such a plan is never run."""
    if expression.variant_name() in ("Column", "Literal", "Placeholder"):
        return bool(expression.variant_name() == "Placeholder")
    try:
        return any(map(_is_open, expression.rex_call_operands()))
    except Exception:  # the bindings show most kinds of expressions, and raise plain exceptions for the others
        return False


def _instant_ns(expression: Any) -> int | None:
    if expression.variant_name() != "Literal":
        return None
    found = _INSTANT.match(expression.canonical_name())
    return int(found[2]) * _UNIT_NS[found[1]] if found else None
