"""The types of a statement's parameters, read off its plan before any value is bound. Pure.

Y1  A parameter compared or combined with something typed has that type; one that nothing says anything about is left out,
    and so is one in a corner of a plan that the bindings do not show (windows, sub-queries of a condition).

Held by tests/unit/engine/query/test_placeholders.py (Y1).
Elsewhere: binding them (executor), which names there are (whoever reads the statement's text).
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

_LEAVES = frozenset(("Column", "Literal"))
_EXPRESSIONS = ("predicate", "projections", "on", "filter", "values", "sort_exprs", "group_by_exprs", "aggregate_exprs")
_COUNTS = ("fetch", "skip")


def placeholder_types(plan: Any) -> dict[str, pa.DataType]:
    """By name, without the `$`. `plan` is a logical plan of the bindings."""
    found: dict[str, pa.DataType] = {}
    for expression, implied in _expressions(plan):
        for placeholder in _placeholders(expression):
            field = placeholder.field()
            kind = implied if field is None else field.type
            if kind is not None and not pa.types.is_null(kind):
                found.setdefault(placeholder.id().removeprefix("$"), kind)
    return found


def _expressions(plan: Any) -> Iterator[tuple[Any, pa.DataType | None]]:
    """Every expression, and the type that its place asks for, if any."""
    waiting = [plan]
    while waiting:
        below = waiting.pop()
        waiting += reversed(below.inputs())
        try:
            node = below.to_variant()
        except Exception:  # the bindings show most kinds of nodes, and raise plain exceptions for the others
            continue
        for names, implied in ((_EXPRESSIONS, None), (_COUNTS, pa.int64())):
            for name in names:
                held = getattr(node, name, None)
                for expression in _flat(held()) if callable(held) else ():
                    yield expression, implied


def _flat(held: Any) -> Iterator[Any]:
    if isinstance(held, list | tuple):
        for each in held:
            yield from _flat(each)
    elif hasattr(held, "variant_name"):
        yield held
    elif hasattr(held, "ascending"):
        yield held.expr()


def _placeholders(expression: Any) -> Iterator[Any]:
    waiting = [expression]
    while waiting:
        each = waiting.pop()
        kind = each.variant_name()
        if kind == "Placeholder":
            yield each.to_variant()
        elif kind not in _LEAVES:
            try:
                waiting += reversed(each.rex_call_operands())
            except Exception:  # as above
                continue
