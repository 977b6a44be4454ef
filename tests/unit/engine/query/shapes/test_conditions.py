"""Conditions on fields (C1)."""

import itertools
import math

import pyarrow as pa
import pytest
from datafusion import SessionContext, col

from engine.query.shapes.conditions import MOST_PARTS, condition_of
from engine.query.shapes.expressions import Call, Column, Literal, Tree, tree_of

ROWS = pa.record_batch(
    {
        "f": pa.array([1.5, -1.5, 0.0, -0.0, math.nan, math.inf, None, 90.0], pa.float64()),
        "i": pa.array([90, 91, -1, None, 2**53 + 1, -(2**63), 0, 3], pa.int64()),
        "u": pa.array([0, 1, 2**64 - 1, None, 4, 5, 6, 7], pa.uint64()),
        "s": pa.array(["", "a", "ä", None, "b", "A", "aa", "z"], pa.utf8()),
        "b": pa.array([True, False, None, True, True, False, None, False]),
        "number": pa.array(range(8), pa.int64()),
    }
)
TYPES = dict(zip(ROWS.schema.names, ROWS.schema.types, strict=True))


def kept_by_the_plan(condition: str) -> tuple[Tree, list[int]]:
    context = SessionContext()
    context.register_record_batches("t", [[ROWS]])
    frame = context.sql(f"SELECT number FROM t WHERE {condition}")
    plan = frame.optimized_logical_plan()
    while type(plan.to_variant()).__name__ != "Filter":
        plan = plan.inputs()[0]
    found = [row for batch in frame.sort(col("number").sort()).collect() for row in batch.column(0).to_pylist()]
    return tree_of(plan.to_variant().predicate()), found


def kept(tree: Tree) -> list[int]:
    said = condition_of([tree], TYPES)
    assert said is not None
    found: list[int] = said.kept(ROWS).column("number").to_pylist()
    assert pa.Table.from_batches([ROWS]).filter(said.expression).column("number").to_pylist() == found
    return found


@pytest.mark.parametrize(
    "condition",
    [
        *(f"f {sign} {value}" for sign, value in itertools.product(("=", "<>", "<", "<=", ">", ">="), (1.5, -2))),
        *(f"i {sign} 90" for sign in ("=", "<>", "<", "<=", ">", ">=")),
        "i > 90.5",
        "i >= 9007199254740992.0",
        "90 < i",
        "u > 4",
        "s > 'a'",
        "s = 'ä'",
        "s <> 'a'",
        "f IS NULL",
        "b",
        "NOT b",
        "b <> true",
        "b IS NOT NULL",
        "NOT (i > 2) OR f > 1",
        "(i = 90 OR s = 'b') AND NOT (f = 1.5)",
        "f > 1 AND (i IS NULL OR u < 5)",
    ],
)
def test_a_row_is_kept_where_the_plan_keeps_it(condition: str) -> None:
    """C1: nulls, what is no number, numbers that a double cannot hold."""
    tree, expected = kept_by_the_plan(condition)

    assert kept(tree) == expected


@pytest.mark.parametrize("condition", ["f > 0.0", "f = 'nan'::double", "i % 2 = 0", "s LIKE 'a%'", "i = u", "upper(s) = 'A'"])
def test_what_cannot_be_said_so_is_left_to_the_plan(condition: str) -> None:
    """C1."""
    tree, _ = kept_by_the_plan(condition)

    assert condition_of([tree], TYPES) is None
    assert condition_of([Call("Or", (tree, Call("is_null", (Column("f"),))))], TYPES) is None


def test_columns_of_other_types_and_long_chains_are_left_to_the_plan() -> None:
    """C1."""
    one: Tree = Call("Eq", (Column("i"), Literal(pa.scalar(1))))
    chain = one
    for _ in range(MOST_PARTS):
        chain = Call("And", (chain, one))

    assert condition_of([one], TYPES) is not None
    assert condition_of([chain], TYPES) is None
    assert condition_of([one], {"i": pa.uint64()}) is None
    assert condition_of([one], {}) is None
