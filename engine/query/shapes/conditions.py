"""Conditions on fields, from a plan's own terms into those in which rows are compared here.

C1  A row is kept by the expression exactly if the plan's condition holds for it. What cannot be said so is None.

Held by tests/unit/engine/query/shapes/test_conditions.py (C1).
Elsewhere: conditions on times and tags, which choose rows without looking at each (predicate.py).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from engine.query.shapes.expressions import Call, Column, Literal, Tree, columns_of

#: what is longer is left to the plan: expressions are taken apart by recursion
MOST_PARTS = 64

_COMPARED = {
    "Eq": pc.equal,
    "NotEq": pc.not_equal,
    "Lt": pc.less,
    "LtEq": pc.less_equal,
    "Gt": pc.greater,
    "GtEq": pc.greater_equal,
}
_MIRRORED = {"Lt": "Gt", "Gt": "Lt", "LtEq": "GtEq", "GtEq": "LtEq"}


class _Terms(Protocol):
    """What a condition is said in: of an expression, or of rows that are at hand."""

    def column(self, name: str) -> Any: ...
    def value(self, scalar: pa.Scalar) -> Any: ...


class _Symbols:
    column = staticmethod(pc.field)
    value = staticmethod(pc.scalar)


@dataclass(frozen=True, slots=True)
class _Rows:
    batch: pa.RecordBatch

    def column(self, name: str) -> pa.Array:
        return self.batch.column(name)

    def value(self, scalar: pa.Scalar) -> pa.Scalar:
        return scalar


_Said = Callable[[_Terms], Any]


@dataclass(frozen=True, slots=True)
class Condition:
    """All of the trees hold."""

    trees: tuple[Tree, ...]
    _said: tuple[_Said, ...] = field(compare=False, repr=False)

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(name for tree in self.trees for name in columns_of(tree))

    @property
    def expression(self) -> pc.Expression:
        return reduce(pc.and_kleene, (said(_Symbols) for said in self._said))

    def kept(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Those for which it holds. Sooner told than by the expression, which would start an engine of its own."""
        return rows.filter(self.holds(rows))

    def holds(self, rows: pa.RecordBatch) -> pa.BooleanArray:
        return reduce(pc.and_kleene, (said(_Rows(rows)) for said in self._said))


def condition_of(trees: Sequence[Tree], types: Mapping[str, pa.DataType]) -> Condition | None:
    """`types`: of the columns that they may speak of."""
    said = [_said(tree, types) if _parts(tree) <= MOST_PARTS else None for tree in trees]
    known = tuple(each for each in said if each is not None)
    return Condition(tuple(trees), known) if known and len(known) == len(trees) else None


def _said(tree: Tree, types: Mapping[str, pa.DataType]) -> _Said | None:
    match tree:
        case Call("And" | "Or" as word, (left, right)):
            one, other = _said(left, types), _said(right, types)
            if one is None or other is None:
                return None
            join = pc.and_kleene if word == "And" else pc.or_kleene
            return lambda of: join(one(of), other(of))
        case Call("not", (inner,)):
            said = _said(inner, types)
            return None if said is None else lambda of: pc.invert(said(of))
        case Column(name) if types.get(name) == pa.bool_():
            return lambda of: of.column(name)
        case Call("is_null" | "is_not_null" as word, (Column(name),)) if name in types:
            tested = pc.is_null if word == "is_null" else pc.is_valid
            return lambda of: tested(of.column(name))
        case Call(comparison, (left, Literal(value))) if comparison in _COMPARED:
            return _compared(comparison, left, value, types)
        case Call(comparison, (Literal(value), right)) if comparison in _COMPARED:
            return _compared(_MIRRORED.get(comparison, comparison), right, value, types)
    return None


def _compared(comparison: str, tree: Tree, value: pa.Scalar, types: Mapping[str, pa.DataType]) -> _Said | None:
    match tree:
        case Column(name) if types.get(name) == value.type:
            read: _Said = lambda of: of.column(name)  # noqa: E731
        case Call("cast_double", (Column(name),)) if types.get(name) in _INTEGERS and value.type == pa.float64():
            read = lambda of: of.column(name).cast(pa.float64(), safe=False)  # noqa: E731
        case _:
            return None
    if not value.is_valid or value.type not in _COMPARABLE:
        return None
    compare = _COMPARED[comparison]
    if value.type != pa.float64():
        return lambda of: compare(read(of), of.value(value))
    if value.as_py() == 0 or math.isnan(value.as_py()):  # there the plan tells zeros apart, and finds nan equal to itself
        return None
    if comparison not in ("Gt", "GtEq"):
        return lambda of: compare(read(of), of.value(value))
    return lambda of: pc.or_kleene(compare(read(of), of.value(value)), pc.is_nan(read(of)))  # what is no number is the greatest


_INTEGERS = (pa.int64(), pa.uint64())
_COMPARABLE = (pa.float64(), *_INTEGERS, pa.utf8(), pa.bool_(), pa.timestamp("ns"))


def _parts(tree: Tree) -> int:
    count, waiting = 0, [tree]
    while waiting:
        part = waiting.pop()
        count += 1
        if isinstance(part, Call):
            waiting += part.arguments
    return count
