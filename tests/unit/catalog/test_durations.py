"""Durations as text (U1, U2)."""

import pytest

from catalog.durations import SECOND_NS, parse_duration_ns

DAY_NS = 86_400 * SECOND_NS


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("1ns", 1),
        ("2us", 2_000),
        ("2µs", 2_000),
        ("3 ms", 3_000_000),
        ("30s", 30 * SECOND_NS),
        ("5m", 300 * SECOND_NS),
        ("1h 30m", 5_400 * SECOND_NS),
        ("1h30m", 5_400 * SECOND_NS),
        ("4 hours", 4 * 3_600 * SECOND_NS),
        ("2weeks", 14 * DAY_NS),
        ("30d12h", 30 * DAY_NS + DAY_NS // 2),
        ("0d", 0),
        (" 1d ", DAY_NS),
    ],
)
def test_a_number_and_a_unit_add_up(text: str, expected_ns: int) -> None:
    assert parse_duration_ns(text) == expected_ns


def test_months_and_years_are_means() -> None:
    """U2."""
    assert parse_duration_ns("1month") == parse_duration_ns("1M") == int(30.44 * DAY_NS)
    assert parse_duration_ns("1year") == parse_duration_ns("1y") == int(365.25 * DAY_NS)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "expected a duration"),
        ("   ", "expected a duration"),
        ("10", "time unit needed, for example 10sec or 10ms"),
        ("10 parsecs", "unknown time unit 'parsecs'"),
        ("d", "expected a number"),
        ("-1d", "expected a number"),
        ("1.5h", "time unit needed"),
        ("1h later", "expected a number"),
        ("99999999999999999999999d", "too large"),
        ("1000y", "too large"),
        ("٣d", "expected a number"),
    ],
)
def test_what_is_not_understood_is_quoted(text: str, part: str) -> None:
    """U1."""
    with pytest.raises(ValueError, match=part):
        parse_duration_ns(text)
