"""What a scan's filter lets through."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from engine.buffer.rows import TimeRange
from engine.query.predicate import ALL_TIME, EVERYTHING, Predicate, read_filter

TAG = pa.dictionary(pa.int32(), pa.utf8())
HOST, REGION, TIME, USAGE = pc.field("host"), pc.field("region"), pc.field("time"), pc.field("usage")
FIRST, LAST = ALL_TIME.start_ns, ALL_TIME.end_ns


def tag(value: str) -> pa.Scalar:
    return pa.scalar(value, TAG)


def at(time_ns: int) -> pa.Scalar:
    return pa.scalar(time_ns, pa.timestamp("ns"))


def one(name: str, *values: str | None) -> Predicate:
    return Predicate(tags={name: frozenset(values)})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (HOST == tag("a"), one("host", "a")),
        (tag("a") == HOST, one("host", "a")),
        ((HOST == tag("a")) | (HOST == tag("b")), one("host", "a", "b")),
        ((HOST == tag("a")) | HOST.is_null(), one("host", "a", None)),
        ((HOST == tag("a")) & (HOST == tag("b")), one("host")),
        (TIME >= at(5), Predicate(TimeRange(5, LAST))),
        (at(5) < TIME, Predicate(TimeRange(6, LAST))),
        ((TIME > at(5)) & (TIME < at(9)), Predicate(TimeRange(6, 8))),
        (TIME == at(7), Predicate(TimeRange(7, 7))),
        ((HOST == tag('a" or b')) & (TIME <= at(3)), Predicate(TimeRange(FIRST, 3), {"host": frozenset(['a" or b'])})),
    ],
)
def test_times_and_tag_values_are_read_exactly(expression: pc.Expression, expected: Predicate) -> None:
    """F1, F2."""
    assert read_filter(expression, ("host", "region")) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ((HOST == tag("a")) & (USAGE > 1.5), Predicate(tags={"host": frozenset(["a"])}, exact=False)),
        ((HOST == tag("a")) | (USAGE > 1.5), Predicate(exact=False)),
        ((HOST == tag("a")) | (REGION == tag("b")), Predicate(exact=False)),
        (((HOST == tag("a")) & (TIME < at(3))) | (TIME > at(8)), Predicate(exact=False)),
        (
            ((HOST == tag("a")) & (REGION == tag("x"))) | (HOST == tag("b")),
            Predicate(tags={"host": frozenset("ab")}, exact=False),
        ),
        (~(HOST == tag("a")), Predicate(exact=False)),
        (TIME > at(LAST), Predicate(TimeRange(LAST, LAST), exact=False)),
    ],
)
def test_what_is_read_in_part_narrows_and_is_not_exact(expression: pc.Expression, expected: Predicate) -> None:
    """F1, F2."""
    assert read_filter(expression, ("host", "region")) == expected


def test_no_filter_lets_everything_through() -> None:
    """F2."""
    assert read_filter(None, ("host",)) is EVERYTHING


def test_a_thousand_values_are_read_without_running_out_of_stack() -> None:
    """F1."""
    expression = HOST == tag("h0")
    for number in range(1, 1500):
        expression = expression | (HOST == tag(f"h{number}"))

    assert read_filter(expression, ("host",)) == one("host", *(f"h{number}" for number in range(1500)))
