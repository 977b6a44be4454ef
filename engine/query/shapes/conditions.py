"""Conditions on fields, from a plan's own terms into those in which rows are compared here.

C1  A row is kept by the expression exactly if the plan's condition holds for it. What cannot be said so is None.

Held by tests/unit/engine/query/shapes/test_conditions.py (C1).
Elsewhere: conditions on times and tags, which choose rows without looking at each (predicate.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_

import pyarrow as pa
import pyarrow.compute as pc

from engine.query.shapes.expressions import Call, Column, Literal, Tree

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


@dataclass(frozen=True, slots=True)
class Condition:
    """All of the trees hold."""

    trees: tuple[Tree, ...]
    expression: pc.Expression = field(compare=False)


def condition_of(trees: Sequence[Tree], types: Mapping[str, pa.DataType]) -> Condition | None:
    """`types`: of the columns that they may speak of."""
    said = [_said(tree, types) if _parts(tree) <= MOST_PARTS else None for tree in trees]
    known = [expression for expression in said if expression is not None]
    return Condition(tuple(trees), reduce(and_, known)) if known and len(known) == len(trees) else None


def _said(tree: Tree, types: Mapping[str, pa.DataType]) -> pc.Expression | None:
    match tree:
        case Call("And" | "Or" as word, (left, right)):
            one, other = _said(left, types), _said(right, types)
            if one is None or other is None:
                return None
            return one & other if word == "And" else one | other
        case Call("not", (inner,)):
            said = _said(inner, types)
            return None if said is None else ~said
        case Column(name) if types.get(name) == pa.bool_():
            return pc.field(name)
        case Call("is_null" | "is_not_null" as word, (Column(name),)) if name in types:
            return pc.field(name).is_null() if word == "is_null" else pc.field(name).is_valid()
        case Call(comparison, (left, Literal(value))) if comparison in _COMPARED:
            return _compared(comparison, left, value, types)
        case Call(comparison, (Literal(value), right)) if comparison in _COMPARED:
            return _compared(_MIRRORED.get(comparison, comparison), right, value, types)
    return None


def _compared(comparison: str, tree: Tree, value: pa.Scalar, types: Mapping[str, pa.DataType]) -> pc.Expression | None:
    match tree:
        case Column(name) if types.get(name) == value.type:
            column = pc.field(name)
        case Call("cast_double", (Column(name),)) if types.get(name) in _INTEGERS and value.type == pa.float64():
            column = pc.field(name).cast(pa.float64(), safe=False)
        case _:
            return None
    if not value.is_valid or value.type not in _COMPARABLE:
        return None
    said = _COMPARED[comparison](column, pc.scalar(value))
    if value.type != pa.float64():
        return said
    if value.as_py() == 0 or math.isnan(value.as_py()):  # there the plan tells zeros apart, and finds nan equal to itself
        return None
    return said | pc.is_nan(column) if comparison in ("Gt", "GtEq") else said  # and what is not a number is the greatest


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
