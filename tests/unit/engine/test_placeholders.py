"""What a plan says of the types of open parameters."""

import pyarrow as pa
import pytest
from datafusion import SessionContext

from engine.query.placeholders import placeholder_types

TAG = pa.dictionary(pa.int32(), pa.utf8())
CPU = pa.schema([("host", TAG), ("usage", pa.float64()), ("time", pa.timestamp("ns"))])


@pytest.fixture
def context() -> SessionContext:
    context = SessionContext()
    context.register_record_batches("cpu", [[pa.RecordBatch.from_pylist([], schema=CPU)]])
    return context


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT * FROM cpu WHERE usage > $1 AND host = $h", {"1": pa.float64(), "h": TAG}),
        ("SELECT * FROM cpu WHERE time BETWEEN $1 AND $2", {"1": pa.timestamp("ns"), "2": pa.timestamp("ns")}),
        ("SELECT * FROM cpu WHERE host IN ($1, $2) OR NOT (host LIKE $3)", {"1": TAG, "2": TAG, "3": TAG}),
        ("SELECT usage * $1 AS x FROM cpu", {"1": pa.float64()}),
        ("SELECT CASE WHEN usage = $1 THEN 1 ELSE 2 END AS x FROM cpu", {"1": pa.float64()}),
        ("SELECT * FROM cpu LIMIT $1 OFFSET $2", {"1": pa.int64(), "2": pa.int64()}),
        ("SELECT * FROM cpu ORDER BY usage + $1", {"1": pa.float64()}),
        ("SELECT usage + $1 AS x FROM cpu GROUP BY usage + $1", {"1": pa.float64()}),
        ("SELECT host FROM cpu GROUP BY host HAVING max(usage) > $1", {"1": pa.float64()}),
        ("SELECT * FROM cpu a JOIN cpu b ON a.usage = b.usage AND a.time > $1", {"1": pa.timestamp("ns")}),
        ("WITH x AS (SELECT * FROM cpu WHERE usage > $1) SELECT count(*) FROM x", {"1": pa.float64()}),
        ("EXPLAIN SELECT * FROM cpu WHERE usage > $1", {"1": pa.float64()}),
        ("SELECT $1 AS x", {}),
        ("SELECT 1", {}),
    ],
)
def test_a_parameter_has_the_type_of_what_it_stands_beside(
    context: SessionContext, query: str, expected: dict[str, pa.DataType]
) -> None:
    """Y1."""
    assert placeholder_types(context.sql(query).logical_plan()) == expected


def test_a_long_chain_of_conditions_is_walked_without_recursion(context: SessionContext) -> None:
    query = "SELECT * FROM cpu WHERE " + " OR ".join(f"usage = ${n}" for n in range(1, 301))

    assert len(placeholder_types(context.sql(query).logical_plan())) == 300
