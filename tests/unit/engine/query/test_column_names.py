"""Names of columns that have no alias."""

import pytest

from engine.query.statement import prepare
from tests.helpers.sql import context_of, rows

CPU = rows({"host": "a", "time": "2024-01-01", "busy": 1, "count": 1, "usage": 0.5, "note": "x"})
FRAME = "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
MINUTE = 'IntervalMonthDayNano("IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 60000000000 }")'


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("selector_first(usage, time)", "selector_first(cpu.usage,cpu.time)"),
        ("selector_last(usage, time)['value']", "selector_last(cpu.usage,cpu.time)[value]"),
        ("selector_min(usage, time)['time']", "selector_min(cpu.usage,cpu.time)[time]"),
        ("selector_max(usage, time, host, busy)['other_2']", "selector_max(cpu.usage,cpu.time,cpu.host,cpu.busy)[other_2]"),
        ("selector_max(usage + 1, time)", "selector_max(cpu.usage + Int64(1),cpu.time)"),
        (
            "selector_first(usage, tz(time, 'Asia/Tokyo'))['time']",
            'selector_first(cpu.usage,tz(cpu.time,Utf8("Asia/Tokyo")))[time]',
        ),
        ("selector_last(usage, tz(time))", "selector_last(cpu.usage,tz(cpu.time))"),
        (
            "selector_last(usage, time) FILTER (WHERE busy > 1)",
            "selector_last(cpu.usage,cpu.time) FILTER (WHERE cpu.busy > Int64(1))",
        ),
        ("round(selector_last(usage, time)['value'])", "round(selector_last(cpu.usage,cpu.time)[value])"),
        ("max(usage)", "max(cpu.usage)"),
        ("approx_distinct(host)", "approx_distinct(cpu.host)"),
        ("count(*)", "count(*)"),
    ],
)
def test_aggregates(expression: str, name: str) -> None:
    """C1."""
    assert prepare(context_of(cpu=CPU), f"SELECT {expression} FROM cpu", {}).schema.names == [name]


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("tz(time)", "tz(cpu.time)"),
        ("tz(time, 'Europe/Berlin')", 'tz(cpu.time,Utf8("Europe/Berlin"))'),
        ("tz(tz(time, 'Asia/Tokyo'), 'UTC')", 'tz(tz(cpu.time,Utf8("Asia/Tokyo")),Utf8("UTC"))'),
        ("to_timestamp(busy)", "to_timestamp(cpu.busy)"),
        ("to_timestamp('2024-01-01')", 'to_timestamp(Utf8("2024-01-01"))'),
        ("influx_regex_match(note, 'x')", 'influx_regex_match(cpu.note,Utf8("x"))'),
        ("influx_regex_not_match(note, 'x')", 'influx_regex_not_match(cpu.note,Utf8("x"))'),
        ("difference(busy) OVER (ORDER BY time)", f"difference(cpu.busy) ORDER BY [cpu.time ASC NULLS LAST] {FRAME}"),
        (
            "non_negative_difference(busy) OVER (PARTITION BY host ORDER BY time)",
            f"non_negative_difference(cpu.busy) PARTITION BY [cpu.host] ORDER BY [cpu.time ASC NULLS LAST] {FRAME}",
        ),
        (
            "derivative(busy, time) OVER (ORDER BY time)",
            f"derivative(cpu.busy,cpu.time) ORDER BY [cpu.time ASC NULLS LAST] {FRAME}",
        ),
        (
            "non_negative_derivative(busy, time, INTERVAL '1 minute') OVER (ORDER BY time)",
            f"non_negative_derivative(cpu.busy,cpu.time,{MINUTE}) ORDER BY [cpu.time ASC NULLS LAST] {FRAME}",
        ),
        (
            "date_bin_wallclock('1 day', tz(time, 'Asia/Tokyo'))",
            'date_bin_wallclock(Utf8("1 day"),tz(cpu.time,Utf8("Asia/Tokyo")))',
        ),
        ("sleep(0)", "sleep(Int64(0))"),
        ("time", "time"),
        ("cpu.time", "time"),
        ("busy + 1", "cpu.busy + Int64(1)"),
    ],
)
def test_expressions(expression: str, name: str) -> None:
    """C1."""
    assert prepare(context_of(cpu=CPU), f"SELECT {expression} FROM cpu", {}).schema.names == [name]


def test_an_alias_stays_and_a_sub_query_hands_names_on() -> None:
    """C1."""
    text = "SELECT * FROM (SELECT selector_last(usage, time), selector_first(usage, time) AS f FROM cpu)"

    assert prepare(context_of(cpu=CPU), text, {}).schema.names == ["selector_last(cpu.usage,cpu.time)", "f"]


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("date_bin_gapfill('1 minute', time), host", ['date_bin_gapfill(Utf8("1 minute"),cpu.time)', "host"]),
        ("locf(avg(usage)), avg(usage)", ["locf(avg(cpu.usage))", "avg(cpu.usage)"]),
        ("round(interpolate(max(busy))) + 1", ["round(interpolate(max(cpu.busy))) + Int64(1)"]),
        ("upper(host)", ["upper(cpu.host)"]),
        ("count(*) AS n", ["n"]),
        ("locf(selector_last(usage, time))['value']", ["locf(selector_last(cpu.usage,cpu.time))[value]"]),
    ],
)
def test_gap_filling(items: str, expected: list[str]) -> None:
    """C1."""
    text = (
        f"SELECT {items} FROM cpu WHERE time >= '2024-01-01' AND time < '2024-01-01T00:10:00' "
        "GROUP BY date_bin_gapfill('1 minute', time), host"
    )

    assert prepare(context_of(cpu=CPU), text, {}).schema.names == expected
