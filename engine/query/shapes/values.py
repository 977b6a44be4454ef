"""Values for the places that a plan leaves open, as the columns that they are compared with have them.

V1  A value becomes what the planner makes of it in the same place; where that is not sure, the place stays open.

Held by tests/unit/engine/query/test_templates.py (V1).
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from engine.hydrate import TAG_ARROW
from engine.query.shapes.expressions import Call, Column, Literal, Placeholder, Tree

Values = Mapping[str, object]
"""By the names of placeholders; a pa.Scalar is taken as it is."""

#: the spellings of a moment that everybody reads alike
_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)(?:[T ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS = pa.timestamp("ns")
_COMPARISONS = ("Eq", "NotEq", "Lt", "LtEq", "Gt", "GtEq")


def bound(tree: Tree, values: Values, types: Mapping[str, pa.DataType]) -> Tree:
    """With literals for those of its placeholders that have a value which fits; `types`: of the columns."""
    match tree:
        case Call(name, (Column(column), Placeholder(place))) if name in _COMPARISONS:
            return Call(name, (Column(column), _fitting(place, values, types.get(column))))
        case Call(name, (Placeholder(place), Column(column))) if name in _COMPARISONS:
            return Call(name, (_fitting(place, values, types.get(column)), Column(column)))
        case Call("in_list", (Column(column), *listed)):
            kind = types.get(column)
            return Call(
                "in_list",
                (
                    Column(column),
                    *(_fitting(each.name, values, kind) if isinstance(each, Placeholder) else each for each in listed),
                ),
            )
        case Call(name, arguments) if values:
            return Call(name, tuple(bound(each, values, types) for each in arguments))
    return tree


def has_places(tree: Tree) -> bool:
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Placeholder):
            return True
        if isinstance(part, Call):
            waiting += part.arguments
    return False


def _fitting(place: str, values: Values, kind: pa.DataType | None) -> Tree:
    value = values.get(place)
    if isinstance(value, pa.Scalar):
        return Literal(value) if value.type == kind else Placeholder(place)
    scalar = None
    if isinstance(value, str):
        scalar = moment_of(value) if kind == _NS else pa.scalar(value) if kind in (TAG_ARROW, pa.utf8()) else None
    elif isinstance(value, bool):
        scalar = pa.scalar(value) if kind == pa.bool_() else None
    elif isinstance(value, int):
        scalar = pa.scalar(value, kind) if kind == pa.int64() and -(2**63) <= value < 2**63 else None
    elif isinstance(value, float):
        scalar = pa.scalar(value, kind) if kind == pa.float64() and math.isfinite(value) else None
    return Placeholder(place) if scalar is None else Literal(scalar)


def moment_of(text: str) -> pa.Scalar | None:
    found = _MOMENT.fullmatch(text)
    if found is None:
        return None
    try:
        zone = (found["zone"] or "Z").replace("Z", "+00:00")
        moment = datetime.fromisoformat(f"{found['date']}T{found['time'] or '00:00:00'}{zone}")
    except ValueError:
        return None
    at_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000 + int((found["fraction"] or "").ljust(9, "0"))
    return pa.scalar(at_ns, _NS) if -(2**63) < at_ns < 2**63 - 1 else None
