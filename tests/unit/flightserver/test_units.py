"""Durations and sizes (U1)."""

import pytest

from flightserver.units import parse_duration_ns, parse_size_bytes

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1s", SECOND),
        ("250ms", SECOND // 4),
        ("4 hours", 4 * 3600 * SECOND),
        ("1h 30m", 5400 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("10m", 600 * SECOND),
        ("1d", 86400 * SECOND),
        ("30d", 30 * 86400 * SECOND),
        ("1month", 2_630_016 * SECOND),
        ("1year", 31_557_600 * SECOND),
        ("1M", 2_630_016 * SECOND),
        ("15 µs", 15_000),
        ("0s", 0),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, nanoseconds: int) -> None:
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", " ", "10", "s", "10x", "1h 5", "-1s", "1.5h", "1h,30m"])
def test_a_duration_that_leaves_a_doubt_is_refused(text: str) -> None:
    """U1."""
    with pytest.raises(ValueError, match=r"unit|expected"):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("20%", 200), ("0.5%", 5), ("100%", 1000), ("7b", 7), ("2kb", 2000), ("2 KB", 2000), ("1kib", 1024), ("1.5mb", 1_500_000)],
)
def test_sizes_have_units_or_are_shares_of_the_whole(text: str, size: int) -> None:
    assert parse_size_bytes(text, whole_bytes=1000, bare_unit_bytes=None) == size


def test_a_bare_number_counts_what_the_option_says() -> None:
    assert parse_size_bytes("3", whole_bytes=1, bare_unit_bytes=10**6) == 3_000_000


@pytest.mark.parametrize("text", ["3", "", "-1mb", "101%", "3 cows", "%"])
def test_a_size_that_leaves_a_doubt_is_refused(text: str) -> None:
    """U1."""
    with pytest.raises(ValueError, match=r"unit|expected|whole"):
        parse_size_bytes(text, whole_bytes=1000, bare_unit_bytes=None)
