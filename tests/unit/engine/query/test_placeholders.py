"""The types of a statement's parameters, read off its plan."""

import pyarrow as pa
import pytest
from datafusion import SessionContext

from engine.query.placeholders import placeholder_types

TIME = pa.timestamp("ns")
ROWS = pa.record_batch(
    {
        "time": pa.array([1], TIME),
        "host": pa.array(["a"]),
        "v": pa.array([1.0]),
        "n": pa.array([1]),
    }
)


def types(sql: str) -> dict[str, pa.DataType]:
    context = SessionContext()
    context.register_record_batches("t", [[ROWS]])
    return placeholder_types(context.sql(sql).logical_plan())


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", {}),
        ("SELECT * FROM t WHERE v > $1 AND host = $host AND time >= $2", {"1": pa.float64(), "host": pa.string(), "2": TIME}),
        ("SELECT * FROM t WHERE n BETWEEN $low AND $high", {"low": pa.int64(), "high": pa.int64()}),
        ("SELECT * FROM t WHERE host IN ($1, $2)", {"1": pa.string(), "2": pa.string()}),
        ("SELECT * FROM t WHERE host LIKE $1", {"1": pa.string()}),
        ("SELECT v + $1 FROM t", {"1": pa.float64()}),
        ("SELECT * FROM t AS a JOIN t AS b ON a.n = b.n + $1", {"1": pa.int64()}),
        ("SELECT n FROM t GROUP BY n HAVING sum(v + $1) > 0 ORDER BY n + $2", {"1": pa.float64(), "2": pa.int64()}),
        ("SELECT v FROM t WHERE n = $1 UNION ALL SELECT v FROM t WHERE host = $2", {"1": pa.int64(), "2": pa.string()}),
    ],
)
def test_a_parameter_has_the_type_of_what_it_is_compared_or_combined_with(sql: str, expected: dict[str, pa.DataType]) -> None:
    """Y1."""
    assert types(sql) == expected


def test_counts_of_rows_are_integers() -> None:
    """Y1: their place says so."""
    assert types("SELECT * FROM t LIMIT $1 OFFSET $2") == {"1": pa.int64(), "2": pa.int64()}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT $1",
        "SELECT $1 + $2",
        "SELECT sum(v) OVER (ORDER BY n + $1) FROM t",
        "SELECT * FROM t WHERE v > (SELECT max(v) FROM t WHERE n = $1)",
    ],
)
def test_a_parameter_of_unknown_type_is_left_out(sql: str) -> None:
    """Y1: nothing says anything about it, or only what the bindings do not show."""
    assert types(sql) == {}


def test_what_is_unknown_in_one_place_is_known_from_another() -> None:
    """Y1."""
    assert types("SELECT $1, v FROM t WHERE n = $1") == {"1": pa.int64()}


def test_a_long_chain_of_conditions_is_walked_without_recursion() -> None:
    """Y1."""
    assert len(types("SELECT * FROM t WHERE " + " OR ".join(f"v = ${n}" for n in range(1, 301)))) == 300
