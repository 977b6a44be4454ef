"""What a scan's filter lets through."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.buffer.rows import TimeRange
from engine.query.predicate import ALL_TIME, EVERYTHING, Predicate, columns_in, expression_for, read_filter

TAG = pa.dictionary(pa.int32(), pa.utf8())
host, region, time, usage = pc.field("host"), pc.field("region"), pc.field("time"), pc.field("usage")
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
        (host == tag("a"), one("host", "a")),
        (tag("a") == host, one("host", "a")),
        ((host == tag("a")) | (host == tag("b")), one("host", "a", "b")),
        ((host == tag("a")) | host.is_null(), one("host", "a", None)),
        ((host == tag("a")) & (host == tag("b")), one("host")),
        (time >= at(5), Predicate(TimeRange(5, LAST))),
        (at(5) < time, Predicate(TimeRange(6, LAST))),
        ((time > at(5)) & (time < at(9)), Predicate(TimeRange(6, 8))),
        (time == at(7), Predicate(TimeRange(7, 7))),
        ((host == tag('a" or b')) & (time <= at(3)), Predicate(TimeRange(FIRST, 3), {"host": frozenset(['a" or b'])})),
    ],
)
def test_times_and_tag_values_are_read_exactly(expression: pc.Expression, expected: Predicate) -> None:
    """F1, F2."""
    assert read_filter(expression, ("host", "region")) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ((host == tag("a")) & (usage > 1.5), Predicate(tags={"host": frozenset(["a"])}, exact=False)),
        ((host == tag("a")) | (usage > 1.5), Predicate(exact=False)),
        ((host == tag("a")) | (region == tag("b")), Predicate(exact=False)),
        (((host == tag("a")) & (time < at(3))) | (time > at(8)), Predicate(exact=False)),
        (
            ((host == tag("a")) & (region == tag("x"))) | (host == tag("b")),
            Predicate(tags={"host": frozenset("ab")}, exact=False),
        ),
        (~(host == tag("a")), Predicate(exact=False)),
        (time > at(LAST), Predicate(TimeRange(LAST, LAST), exact=False)),
    ],
)
def test_what_is_read_in_part_narrows_and_is_not_exact(expression: pc.Expression, expected: Predicate) -> None:
    """F1, F2."""
    assert read_filter(expression, ("host", "region")) == expected


def without(name: str, *values: str | None) -> Predicate:
    return Predicate(without={name: frozenset(values)})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (host != tag("a"), without("host", "a", None)),
        (host.is_valid(), without("host", None)),
        ((host != tag("a")) & (host != tag("b")), without("host", "a", "b", None)),
        ((host != tag("a")) | (host != tag("b")), replace(without("host", None), exact=False)),
    ],
)
def test_values_that_are_ruled_out_are_read(expression: pc.Expression, expected: Predicate) -> None:
    """F1, F2."""
    assert read_filter(expression, ("host", "region")) == expected


VALUES = st.frozensets(st.sampled_from(["a", "b", "z", None]), max_size=3)
TAGS = st.dictionaries(st.sampled_from(["host", "region"]), VALUES)


@settings(max_examples=60, deadline=None)
@given(tags=TAGS, ruled_out=TAGS, first=st.integers(-1, 4), last=st.integers(-1, 4))
def test_a_predicate_as_a_filter_keeps_exactly_its_rows(
    tags: dict[str, frozenset[str | None]], ruled_out: dict[str, frozenset[str | None]], first: int, last: int
) -> None:
    """F3."""
    rows = [{"host": h, "region": r, "time": t} for h in ("a", "b", None) for r in ("b", None) for t in range(4)]
    schema = pa.schema([("host", TAG), ("region", TAG), ("time", pa.timestamp("ns"))])
    table = pa.Table.from_pylist(rows, schema).append_column("at", pa.array(range(len(rows))))

    filter = expression_for(Predicate(TimeRange(first, last), tags, without=ruled_out))
    kept = table if filter is None else table.filter(filter)

    assert kept.column("at").to_pylist() == [
        at
        for at, row in enumerate(rows)
        if first <= int(str(row["time"])) <= last
        and all(row[name] in values for name, values in tags.items())
        and not any(row[name] in values for name, values in ruled_out.items())
    ]


def test_the_columns_of_a_filter_are_read_by_name() -> None:
    """F1: `usage` is part of the other's text, and not of the filter."""
    expression = (pc.field("usage_user") > 1) & (host == tag("usage"))

    assert columns_in(expression, ["host", "usage", "usage_user", "time"]) == {"host", "usage_user"}


def test_no_filter_lets_everything_through() -> None:
    """F2."""
    assert read_filter(None, ("host",)) is EVERYTHING


def test_a_thousand_values_are_read_without_running_out_of_stack() -> None:
    """F1."""
    expression = host == tag("h0")
    for number in range(1, 1500):
        expression = expression | (host == tag(f"h{number}"))

    assert read_filter(expression, ("host",)) == one("host", *(f"h{number}" for number in range(1500)))
