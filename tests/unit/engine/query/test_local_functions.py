"""Functions that are said by others: selectors, differences, time zones, patterns."""

import math
from typing import Any

import pytest

from engine.query.functions.local import LocalFunctions, without_needless_escapes
from engine.query.functions.tokens import Tokens
from engine.query.messages import QueryRefused
from engine.query.statement import prepare
from tests.helpers.sql import ask, column, context_of, read, rows, tuples

NAN = float("nan")
CPU = rows(
    {"host": "a", "time": "2024-01-01T00:00", "busy": 10, "count": 10, "usage": 1.0, "note": "n0", "on": True},
    {"host": "a", "time": "2024-01-01T00:01", "busy": 12, "count": 7, "usage": None, "note": "n1"},
    {"host": "a", "time": "2024-01-01T00:03", "busy": None, "count": None, "usage": 4.0, "note": "n2"},
    {"host": "a", "time": "2024-01-01T00:04", "busy": 9, "count": 9, "usage": 4.0, "note": None},
    {"host": "b", "time": "2024-01-01T00:02", "busy": 5, "count": 5, "usage": -2.0, "note": "m"},
    {"host": "c", "time": "2024-01-01T00:05", "busy": None, "usage": None},
)


@pytest.fixture
def cpu() -> Any:
    return context_of(cpu=CPU)


def rewritten(text: str) -> str:
    return LocalFunctions(Tokens(text), lambda _: None, lambda _: (0, 0, 1)).rewritten()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'tz(x)', \"tz\", tz, -- tz(x)\n t.tz, $$sleep(1)$$ FROM difference /* to_timestamp(1) */",
        "  SELECT  a ,b\nFROM t ;  ",
        "SELECT to_timestamp('2024-01-01'), to_timestamp(a, '%Y')",
        "",
    ],
)
def test_a_text_without_calls_of_these_functions_stays_as_it_is(text: str) -> None:
    """L1."""
    assert rewritten(text) == text


def test_only_the_span_of_a_call_changes() -> None:
    """L1."""
    before, after = "SELECT /* a */ 'it''s', ", "  AS  z -- tz(q)\nFROM t"

    found = rewritten(before + "to_timestamp(n)" + after)

    assert found == before + "to_timestamp_nanos(n)" + after


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("selector_first(usage, time)", {"value": 1.0, "time": "2024-01-01T00:00:00"}),
        ("selector_last(usage, time)", {"value": 4.0, "time": "2024-01-01T00:04:00"}),
        ("selector_min(usage, time)", {"value": -2.0, "time": "2024-01-01T00:02:00"}),
        ("selector_max(usage, time)", {"value": 4.0, "time": "2024-01-01T00:03:00"}),
        ("selector_max(busy, time)", {"value": 12, "time": "2024-01-01T00:01:00"}),
        ("selector_min(count, time)", {"value": 5, "time": "2024-01-01T00:02:00"}),
        ("selector_last(note, time)", {"value": "n2", "time": "2024-01-01T00:03:00"}),
        ("selector_max(note, time)", {"value": "n2", "time": "2024-01-01T00:03:00"}),
        ('selector_first("on", time)', {"value": True, "time": "2024-01-01T00:00:00"}),
        ("selector_last(host, time)", {"value": "c", "time": "2024-01-01T00:05:00"}),
        (
            "selector_first(usage, time, host, busy)",
            {"value": 1.0, "time": "2024-01-01T00:00:00", "other_1": "a", "other_2": 10},
        ),
        ("selector_last(usage + 1, time)", {"value": 5.0, "time": "2024-01-01T00:04:00"}),
        ("selector_last(usage, time) FILTER (WHERE host = 'b' OR false)", {"value": -2.0, "time": "2024-01-01T00:02:00"}),
        ("selector_last(region, time)", None),
    ],
)
def test_a_selector_is_a_struct_of_one_row(cpu: Any, call: str, expected: object) -> None:
    """L2."""
    assert column(cpu, f"SELECT {call} AS s FROM cpu") == [expected]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("selector_max(usage, time)['value']", 4.0),
        ("selector_max(usage, time)['time']", "2024-01-01T00:03:00"),
        ("selector_max(usage, time, note)['other_1']", "n2"),
        ("get_field(selector_min(usage, time), 'value')", -2.0),
        ("selector_last(usage, time)['value'] - selector_first(usage, time)['value']", 3.0),
        ("round(selector_last(usage, time)['value'] * 1.5)", 6.0),
        ("SELECTOR_LAST(usage, time) ['value']", 4.0),
        ("\"selector_last\"(usage, time)['value']", 4.0),
    ],
)
def test_a_selector_is_asked_for_a_part(cpu: Any, call: str, expected: object) -> None:
    """L2."""
    assert column(cpu, f"SELECT {call} AS s FROM cpu") == [expected]


def test_selectors_stand_wherever_an_aggregate_may(cpu: Any) -> None:
    found = tuples(
        cpu,
        """
        WITH last AS (SELECT host, selector_last(usage, time) AS s FROM cpu GROUP BY host)
        SELECT l.host, l.s['value'], f.v, (SELECT selector_min(busy, time)['value'] FROM cpu)
        FROM last l JOIN (SELECT host, selector_first(usage, time)['value'] AS v FROM cpu GROUP BY host
                          HAVING selector_first(usage, time)['value'] IS NOT NULL) f ON f.host = l.host
        ORDER BY l.host
        """,
    )

    assert found == [("a", 4.0, 1.0, 5), ("b", -2.0, -2.0, 5)]


@pytest.mark.parametrize(
    ("values", "smallest", "largest"),
    [
        ([1.0, NAN, 3.0], 1.0, NAN),
        ([math.inf, NAN], math.inf, NAN),
        ([-math.inf, 0.0, None], -math.inf, 0.0),
        ([0.0, -0.0], -0.0, 0.0),
        ([None], None, None),
    ],
)
def test_nan_is_above_everything_and_null_is_not_there(
    values: list[float | None], smallest: float | None, largest: float | None
) -> None:
    table = rows(*({"host": "a", "time": number, "usage": value} for number, value in enumerate(values)))

    found = tuples(context_of(t=table), "SELECT selector_min(usage, time)['value'], selector_max(usage, time)['value'] FROM t")

    assert list(map(repr, found[0])) == [repr(smallest), repr(largest)]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("approx_distinct(host)", 3),
        ("approx_distinct(usage)", 3),
        ("Approx_Distinct(busy + 1)", 4),
        ('approx_distinct("on")', 1),
        ("approx_distinct(time) FILTER (WHERE host = 'a')", 4),
        ("approx_distinct(host) + max(busy)", 15),
    ],
)
def test_values_of_every_type_are_counted_approximately(cpu: Any, call: str, expected: int) -> None:
    assert column(cpu, f"SELECT {call} AS n FROM cpu") == [expected]


def test_among_equal_values_the_earliest_counts() -> None:
    table = rows(*({"host": "a", "time": time, "busy": 7} for time in (30, 10, 20)))

    found = tuples(
        context_of(t=table),
        "SELECT selector_min(busy, time)['time']::BIGINT AS a, selector_max(busy, time)['time']::BIGINT AS b FROM t",
    )

    assert found == [(10, 10)]


def test_parts_of_one_selector_come_from_one_row() -> None:
    """L2: also where several rows have the newest time."""
    table = rows(*({"host": host, "time": 5, "busy": number, "note": f"n{number}"} for number, host in enumerate("abcdef")))

    (found,) = ask(context_of(t=table), "SELECT selector_last(busy, time) AS s, selector_last(busy, time, note) AS o FROM t")

    assert found["o"]["other_1"] == f"n{found['o']['value']}"
    assert found["s"]["value"] == found["o"]["value"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("difference(busy)", [None, 2, None, -3]),
        ("difference(count)", [None, 2**64 - 3, None, 2]),
        ("difference(usage)", [None, None, 3.0, 0.0]),
        ("non_negative_difference(busy)", [None, 2, None, None]),
        ("non_negative_difference(usage)", [None, None, 3.0, 0.0]),
        ("derivative(busy, time)", [None, 2 / 60, None, -3 / 180]),
        ("derivative(busy, time, INTERVAL '1 minute')", [None, 2.0, None, -1.0]),
        ("derivative(usage, time, '1 hour')", [None, None, 60.0, 0.0]),
        ("derivative(count, time, INTERVAL '1 minute')", [None, -3.0, None, 2 / 3]),
        ("non_negative_derivative(busy, time, INTERVAL '1 minute')", [None, 2.0, None, None]),
    ],
)
def test_changes_are_against_the_last_value_that_is_there(cpu: Any, call: str, expected: list[object]) -> None:
    window = "OVER (PARTITION BY host ORDER BY time)"

    found = column(cpu, f"SELECT v FROM (SELECT host, time, {call} {window} AS v FROM cpu) WHERE host = 'a' ORDER BY time")

    assert found == pytest.approx(expected)


def test_a_window_may_have_a_name_and_a_frame(cpu: Any) -> None:
    found = tuples(
        cpu,
        "SELECT difference(busy) OVER w, difference(busy) OVER (ORDER BY time ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) "
        "FROM cpu WHERE host = 'a' WINDOW w AS (ORDER BY time) ORDER BY time",
    )

    assert found == [(None, None), (2, 2), (None, None), (-3, -3)]


@pytest.mark.parametrize(
    ("call", "kind", "expected"),
    [
        ("tz(time)", "timestamp[ns, tz=UTC]", "2024-01-01T00:00:00+00:00"),
        ("tz(time, 'Europe/Berlin')", "timestamp[ns, tz=Europe/Berlin]", "2024-01-01T01:00:00+01:00"),
        ("tz(time, '+05:30')", "timestamp[ns, tz=+05:30]", "2024-01-01T05:30:00+05:30"),
        ("tz(tz(time, 'Asia/Tokyo'), 'UTC')", "timestamp[ns, tz=UTC]", "2024-01-01T00:00:00+00:00"),
        ("tz('2024-06-01T00:00:00Z', 'Europe/Berlin')", "timestamp[ns, tz=Europe/Berlin]", "2024-06-01T02:00:00+02:00"),
        ("tz(time, $zone)", "timestamp[ns, tz=America/New_York]", "2023-12-31T19:00:00-05:00"),
        ("to_timestamp(1704067200000000000)", "timestamp[ns]", "2024-01-01T00:00:00"),
        ("to_timestamp(busy)", "timestamp[ns]", "1970-01-01T00:00:00.000000010"),
        ("to_timestamp(time)", "timestamp[ns]", "2024-01-01T00:00:00"),
        ("to_timestamp(tz(time, 'Asia/Tokyo'))", "timestamp[ns]", "2024-01-01T00:00:00"),
        ("to_timestamp(arrow_cast(7, 'Timestamp(Second, None)'))", "timestamp[ns]", "1970-01-01T00:00:07"),
        ("to_timestamp('2024-01-01T02:00:00+02:00')", "timestamp[ns]", "2024-01-01T00:00:00"),
        ("to_timestamp(concat('2024-01-01', 'T00:00:00Z'))", "timestamp[ns]", "2024-01-01T00:00:00"),
        ("to_timestamp('01-02-2024', '%d-%m-%Y')", "timestamp[ns]", "2024-02-01T00:00:00"),
        ("now() - now() = INTERVAL '0 seconds'", "bool", True),
        ("now() > time", "bool", True),
    ],
)
def test_times_and_zones(cpu: Any, call: str, kind: str, expected: object) -> None:
    parameters = {"zone": "America/New_York"} if "$zone" in call else {}

    table = read(prepare(cpu, f"SELECT {call} AS x FROM cpu WHERE busy = 10", parameters))

    value = table.to_pylist()[0]["x"]
    assert str(table.schema.field("x").type) == kind
    assert (value if isinstance(value, bool) else value.isoformat()) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("influx_regex_match(note, '^n[01]$')", ["n0", "n1"]),
        ("influx_regex_not_match(note, '^n')", ["m"]),
        (r"influx_regex_match(note, 'n\:?0')", ["n0"]),
        ("influx_regex_match(note, NULL)", []),
        ("influx_regex_match(note, $p)", ["n2"]),
        ("note ~ '^n' AND note !~ '0'", ["n1", "n2"]),
        ("note ~* '^M' OR NOT note !~* 'N2'", ["m", "n2"]),
        ("influx_regex_match(host, '^[ab]$') AND note IS NOT NULL", ["m", "n0", "n1", "n2"]),
    ],
)
def test_patterns(cpu: Any, condition: str, expected: list[str]) -> None:
    parameters = {"p": "2$"} if "$p" in condition else {}

    assert column(cpu, f"SELECT note FROM cpu WHERE {condition} ORDER BY note", parameters) == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(r"a\:b", "a:b"), (r"a\.b\d\\:", r"a\.b\d\\:"), (r"\/\"", '/"'), (r"\-\&\~", r"\-\&\~"), ("a\\", "a\\")],
)
def test_escapes_that_a_pattern_does_not_need_go(pattern: str, expected: str) -> None:
    assert without_needless_escapes(pattern) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("selector_first(usage)", "selector_first requires at least 2 arguments, got 1"),
        ("selector_last()", "selector_last requires at least 2 arguments, got 0"),
        ("selector_last(usage, time) OVER ()", "selector_last is an aggregate: it can not have an OVER clause"),
        ("tz()", "tz expects 1 or 2 arguments, got 0"),
        ("tz(time, 'UTC', 1)", "tz expects 1 or 2 arguments, got 3"),
        ("tz(time, 'Mars/Olympus')", 'TZ requires a valid timezone string, got "Mars/Olympus"'),
        ("tz(time, host)", 'TZ requires a valid timezone string, got "host"'),
        ("tz(time, '')", 'TZ requires a valid timezone string, got ""'),
        ("difference(busy)", "difference is a window function: it needs an OVER clause"),
        ("difference(busy, 1) OVER ()", "difference expects 1 argument, got 2"),
        ("derivative(busy) OVER ()", "derivative expects 2 or 3 arguments, got 1"),
        ("derivative(busy, time, INTERVAL '1 day') OVER ()", "derivative unit parameter cannot contain months or days"),
        ("derivative(busy, time, INTERVAL '1 month') OVER ()", "derivative unit parameter cannot contain months or days"),
        ("derivative(busy, time, INTERVAL '0 seconds') OVER ()", "derivative unit parameter must be positive"),
        ("derivative(busy, time, NULL) OVER ()", "derivative unit parameter must be a non-null literal interval"),
        ("derivative(busy, time, busy) OVER ()", "derivative unit parameter must be a non-null literal interval"),
        ("influx_regex_match(note)", "influx_regex_match expects 2 arguments, got 1"),
        ("date_bin_wallclock('1 day')", "DATE_BIN_WALLCLOCK expects 2 or 3 arguments, got 1"),
        ("sleep()", "sleep expects 1 argument, got 0"),
        ("difference(note) OVER (ORDER BY time)", ""),
        ("selector_last(usage, time)['nothing']", ""),
    ],
)
def test_a_call_that_can_not_be_right_is_refused(cpu: Any, text: str, said: str) -> None:
    """L3."""
    with pytest.raises(QueryRefused) as caught:
        prepare(cpu, f"SELECT {text} FROM cpu", {})

    assert said in str(caught.value)
