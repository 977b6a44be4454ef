"""The range of a gap-filling aggregate, read off plans as they are written (B1, B2).

The planner simplifies most conditions before gap filling sees them; what it leaves as it was must be understood all the same.
"""

import pyarrow as pa
import pytest
from datafusion import SessionContext

from engine.query.functions.bounds import Cover, cover_of
from engine.query.messages import QueryRefused
from tests.helpers.sql import context_of, rows

TABLE = rows({"host": "a", "time": "2024-01-01", "busy": 1})


@pytest.fixture
def cpu() -> SessionContext:
    return context_of(cpu=TABLE)


def cover(context: SessionContext, condition: str, source: str = "cpu", *, optimized: bool = False) -> Cover:
    """Of a plan whose `$n` is the n-th nanosecond."""
    moments = {
        f"{number}": pa.scalar(number, pa.timestamp("ns")) for number in range(1, 100) if f"${number}" in condition + source
    }
    text = f"SELECT date_bin(INTERVAL '10 nanoseconds', time) AS t, count(*) FROM {source} WHERE {condition} GROUP BY 1"
    frame = context.sql(text, param_values=moments or None)
    return cover_of(frame.optimized_logical_plan() if optimized else frame.logical_plan(), "DATE_BIN_GAPFILL")


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize(
    ("condition", "first", "last"),
    [
        ("time >= $10 AND time <= $20", 10, 20),
        ("time > $10 AND time < $20", 11, 19),
        ("$10 <= time AND $20 >= time", 10, 20),
        ("$10 < time AND $20 > time", 11, 19),
        ("time BETWEEN $10 AND $20", 10, 20),
        ("time = $15", 15, 15),
        ("$15 = time", 15, 15),
        ("time >= $10 AND time >= $12 AND time <= $20 AND time < $19", 12, 18),
        ("time >= $12 AND time >= $10 AND time < $19 AND time <= $20", 12, 18),
        ("time >= $10 AND time <= $20 AND host = 'a' AND busy < 5", 10, 20),
        ("time >= $10 AND time <= $20 AND (time > $15 OR busy = 1)", 10, 20),
        ("time >= $10 AND time <= $20 AND time <> $11", 10, 20),
        ("cpu.time >= $10 AND public.iox.cpu.time <= $20", 10, 20),
    ],
)
def test_bounds_are_what_every_row_must_satisfy(
    cpu: SessionContext, condition: str, first: int, last: int, optimized: bool
) -> None:
    """B1."""
    found = cover(cpu, condition, optimized=optimized)

    assert (found.first_ns, found.last_ns, found.stride_ns) == (first, last, 10)


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize(
    ("source", "condition", "first", "last"),
    [
        ("(SELECT * FROM cpu WHERE time >= $10) AS s", "time <= $20", 10, 20),
        ("(SELECT time AS later, busy, time FROM cpu WHERE time > $9 AND busy > 0) AS s", "time <= $20", 10, 20),
        (
            "(SELECT * FROM cpu WHERE time >= $5 AND time < $9 UNION ALL SELECT * FROM cpu WHERE time >= $7 AND time < $30)",
            "true",
            5,
            29,
        ),
        ("(SELECT * FROM cpu WHERE time >= $5 UNION ALL SELECT * FROM cpu WHERE time >= $7)", "time <= $20", 5, 20),
        ("(SELECT time, max(busy) AS m FROM cpu WHERE time >= $10 GROUP BY time) AS s", "time <= $20", 10, 20),
        ("(SELECT * FROM cpu ORDER BY busy) AS s", "time >= $10 AND time <= $20", 10, 20),
    ],
)
def test_conditions_are_found_all_the_way_down(
    cpu: SessionContext, source: str, condition: str, first: int, last: int, optimized: bool
) -> None:
    """B1: of several arms the range holds all of theirs."""
    found = cover(cpu, condition, source, optimized=optimized)

    assert (found.first_ns, found.last_ns) == (first, last)


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("true", "missing both upper and lower time bounds"),
        ("time >= $10", "missing upper time bound"),
        ("time <= $10", "missing lower time bound"),
        ("time >= $10 OR time <= $20", "missing both upper and lower time bounds"),
        ("NOT (time BETWEEN $10 AND $20)", "missing both upper and lower time bounds"),
        ("time NOT BETWEEN $10 AND $20", "missing both upper and lower time bounds"),
        ("time >= $10 AND time <= arrow_cast(busy, 'Timestamp(Nanosecond, None)')", "upper time bound for gap fill query must"),
        ("time <= $10 AND time >= arrow_cast(busy, 'Timestamp(Nanosecond, None)')", "lower time bound for gap fill query must"),
        ("other >= $10 AND other <= $20", "missing both upper and lower time bounds"),
    ],
)
def test_what_is_missing_or_no_constant_is_named(cpu: SessionContext, condition: str, said: str) -> None:
    """B2: and a bound of another column is none (B1)."""
    with pytest.raises(QueryRefused, match=said):
        cover(cpu, condition, "(SELECT time, time AS other, busy FROM cpu) AS s")
