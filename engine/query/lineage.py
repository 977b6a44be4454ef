"""Which columns of a result are a table's own, handed through as they are.

DataFusion lets a column's marks survive casts, negation, first_value and more. A client reads a mark as "these are the values
of that tag or field", so what is computed must not carry one.

Y1  A marked column of a result came through nothing but projections, aliases, filters, sorts, joins, unions and grouping keys.

Held by tests/unit/engine/query/test_lineage.py (Y1).
"""

from typing import Any

import pyarrow as pa
from datafusion.plan import LogicalPlan

_PASSING = frozenset({"Filter", "Sort", "Limit", "Distinct", "Repartition"})


def without_strange_marks(schema: pa.Schema, plan: LogicalPlan) -> pa.Schema:
    """Y1. A schema without marks costs nothing."""
    if not any(field.metadata for field in schema):
        return schema
    top = plan
    while _kind(top) in _PASSING:
        top = top.inputs()[0]
    if _kind(top) == "Projection":
        below = top.inputs()[0]
        whole = _is_one_table(below)
        own = [_is_own(expression, below, whole) for expression in top.to_variant().projections()]
    else:
        own = [own_column(None, name, top) is not False for name in schema.names]
    fields = [field if kept else field.remove_metadata() for field, kept in zip(schema, own, strict=True)]
    return pa.schema(fields, schema.metadata)


def _kind(plan: LogicalPlan) -> str:
    return type(plan.to_variant()).__name__


def _is_one_table(plan: LogicalPlan) -> bool:
    """Whether all columns are a table's: the usual case, which needs no search for each."""
    while (kind := _kind(plan)) in _PASSING or kind == "SubqueryAlias":
        plan = plan.inputs()[0]
    return kind == "TableScan"


def _is_own(expression: Any, plan: LogicalPlan, whole: bool = False) -> bool:
    while expression.variant_name() == "Alias":
        expression = expression.to_variant().expr()
    if expression.variant_name() != "Column":
        return False
    if whole:
        return True
    column = expression.to_variant()
    found = own_column(column.relation(), column.name(), plan)
    return found is None or found


def own_column(relation: str | None, name: str, plan: LogicalPlan) -> bool | None:
    """Whether a plan's column is a table's own; None if the plan has no such column."""
    node = plan.to_variant()
    match type(node).__name__:
        case "Projection":
            for expression in node.projections():
                if is_named(expression, relation, name):
                    return _is_own(expression, plan.inputs()[0])
            return None
        case "Aggregate":
            for expression in node.group_by_exprs():
                if is_named(expression, relation, name):
                    return _is_own(expression, plan.inputs()[0])
            return False if any(expression.schema_name() == name for expression in node.aggregate_exprs()) else None
        case "SubqueryAlias":
            return own_column(None, name, plan.inputs()[0]) if relation in (None, node.alias()) else None
        case "TableScan":
            known = any(field == name or field.endswith(f".{name}") for field in node.schema().field_names())
            return (
                True
                if known and (relation is None or relation.rpartition(".")[2] == node.table_name().rpartition(".")[2])
                else None
            )
        case "Union":
            answers = [own_column(None, name, arm) for arm in plan.inputs()]
            return all(answer is True for answer in answers)
        case "WindowExpr":
            below = own_column(relation, name, plan.inputs()[0])
            return False if below is None else below
        case "Values" | "EmptyRelation":
            return False
    for below in plan.inputs():
        found = own_column(relation, name, below)
        if found is not None:
            return found
    return None


def is_named(expression: Any, relation: str | None, name: str) -> bool:
    """Whether an output expression makes the column of that name."""
    match expression.variant_name():
        case "Alias":
            return bool(expression.to_variant().alias() == name)
        case "Column":
            column = expression.to_variant()
            return bool(column.name() == name) and (relation is None or column.relation() in (None, relation))
    return bool(expression.schema_name() == name)
