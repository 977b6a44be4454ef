"""DataFusion's expressions as trees (X1)."""

import pyarrow as pa
import pytest
from datafusion import SessionContext

from engine.query.shapes.expressions import (
    OPAQUE,
    Aggregate,
    Call,
    Column,
    Interval,
    Literal,
    SortKey,
    Tree,
    columns_of,
    is_known,
    replaced,
    tree_of,
)

HOST, TIME, N, F = Column("host"), Column("time"), Column("i"), Column("f")
TAG = pa.dictionary(pa.int32(), pa.utf8())


def literal(value: object, kind: pa.DataType | None = None) -> Literal:
    return Literal(pa.scalar(value, kind))


@pytest.fixture(scope="module")
def context() -> SessionContext:
    schema = pa.schema([("host", TAG), ("time", pa.timestamp("ns")), ("i", pa.int64()), ("f", pa.float64())])
    context = SessionContext()
    context.register_record_batches("t", [[pa.RecordBatch.from_pylist([], schema)]])
    return context


def trees(context: SessionContext, sql: str, kind: str, expressions: str) -> list[Tree]:
    plan = context.sql(sql).optimized_logical_plan()
    while type(plan.to_variant()).__name__ != kind:
        plan = plan.inputs()[0]
    found = getattr(plan.to_variant(), expressions)()
    return [tree_of(each) for each in (found if isinstance(found, list) else [found])]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("upper(host) = 'A'", Call("Eq", (Call("upper", (HOST,)), literal("A")))),
        ("i + 1 > 3", None),
        ("host IN ('a', 'b', 'c', 'd') OR f > 1.5", None),
        ("abs(i) = -3", Call("Eq", (Call("abs", (N,)), literal(-3)))),
        ("abs(f) < 2.5", Call("Lt", (Call("abs", (F,)), literal(2.5)))),
        ("i % 2 = 0 AND f IS NOT NULL", None),
    ],
)
def test_conditions_are_read(context: SessionContext, condition: str, expected: Tree | None) -> None:
    """X1."""
    (tree,) = trees(context, f"SELECT i FROM t WHERE {condition}", "Filter", "predicate")

    assert is_known(tree)
    if expected is not None:
        assert tree == expected


def test_a_list_of_values_is_read(context: SessionContext) -> None:
    """X1."""
    (tree,) = trees(context, "SELECT i FROM t WHERE host NOT IN ('a', 'b', 'c', 'd')", "Filter", "predicate")

    assert tree == Call("not", (Call("in_list", (HOST, *map(literal, "abcd"))),))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("max(time)", Aggregate("max", (TIME,))),
        ("avg(i)", Aggregate("avg", (Call("cast_double", (N,)),))),
        ("count(DISTINCT host), count(DISTINCT f)", Aggregate("count", (HOST,), distinct=True)),
        ("sum(i) FILTER (WHERE f IS NOT NULL)", Aggregate("sum", (N,), filter=Call("is_not_null", (F,)))),
        (
            "last_value(i ORDER BY time DESC, host)",
            Aggregate("last_value", (N,), order=(SortKey(TIME, False), SortKey(HOST, True))),
        ),
        (
            "last_value(i ORDER BY time) IGNORE NULLS",
            Aggregate("last_value", (N,), order=(SortKey(TIME, True),), ignores_nulls=True),
        ),
    ],
)
def test_aggregates_are_read_whole(context: SessionContext, expression: str, expected: Tree) -> None:
    """X1: with order, filter and null treatment, which the bindings do not show."""
    found = trees(context, f"SELECT i, {expression} FROM t GROUP BY i, f", "Aggregate", "aggregate_exprs")

    assert expected in found


def test_bins_are_read(context: SessionContext) -> None:
    """X1."""
    sql = "SELECT date_bin(INTERVAL '5 minutes', time, TIMESTAMP '1960-01-01T00:00:01') AS b FROM t GROUP BY b"

    (tree,) = trees(context, sql, "Aggregate", "group_by_exprs")

    origin = literal(-315_619_199 * 10**9, pa.timestamp("ns"))
    assert tree == Call("date_bin", (Interval(0, 0, 300 * 10**9), TIME, origin))


def test_what_is_not_known_fits_nothing(context: SessionContext) -> None:
    """X1."""
    (tree,) = trees(context, "SELECT i FROM t WHERE CAST(f AS INT) = 3", "Filter", "predicate")

    assert isinstance(tree, Call)
    assert OPAQUE in tree.arguments
    assert not is_known(tree)


def test_columns_are_found_and_put_in_place() -> None:
    """X1."""
    tree = Aggregate("last_value", (N,), filter=Call("is_not_null", (F,)), order=(SortKey(TIME, True),))

    assert set(columns_of(tree)) == {"i", "f", "time"}
    assert replaced(Call("abs", (N,)), {"i": F}) == Call("abs", (F,))
    assert not is_known(replaced(tree, {"i": F}))
