import pytest

from catalog.deletion import LATEST_NS, removal_time_ns
from catalog.errors import InvalidRequest

NOW_NS = 1_704_110_645_123_456_789  # 2024-01-01T12:04:05.123456789Z
HOUR_NS = 3_600 * 10**9


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("never", None),
        ("now", NOW_NS),
        ("default", NOW_NS + 72 * HOUR_NS),
        ("2024-01-01T12:04:06Z", NOW_NS + 876_543_211),
        ("2024-01-01t14:04:06.000000001+02:00", NOW_NS + 876_543_212),
        ("2024-01-01 06:34:06.5-05:30", NOW_NS + 1_376_543_211),
        ("2125-12-31T23:59:59Z", 4_922_899_199 * 10**9),
        ("2024-01-01T12:04:05Z", NOW_NS),
        ("0001-01-01T00:00:00Z", NOW_NS),
        ("9999-12-31T23:59:59Z", LATEST_NS),
    ],
)
def test_the_words_and_moments_that_are_understood(text: str, expected_ns: int | None) -> None:
    """D1, D2."""
    assert removal_time_ns(text, now_ns=NOW_NS) == expected_ns


def test_the_default_can_be_another() -> None:
    """D1."""
    assert removal_time_ns("default", now_ns=NOW_NS, default_delay_ns=HOUR_NS) == NOW_NS + HOUR_NS
    assert removal_time_ns("default", now_ns=NOW_NS, default_delay_ns=2**64) == LATEST_NS


@pytest.mark.parametrize(
    "text",
    [
        *("", "Never", "tomorrow", " now", "1704110645", "2024-01-01", "2024-01-01T12:04:05", "2024-01-01T12:04Z"),
        *("2024-13-01T00:00:00Z", "2024-01-01T25:00:00Z", "2024-01-01T00:00:00+99:00", "20240101T120405Z"),
        *("2024-01-01T12:04:05.Z", "\u0662\u0660\u0662\u0664-01-01T00:00:00Z"),
    ],
)
def test_whatever_else_is_refused(text: str) -> None:
    """D1."""
    with pytest.raises(InvalidRequest, match=r"^Cannot parse the timestamp: "):
        removal_time_ns(text, now_ns=NOW_NS)
