"""Bins by the clock on the wall."""

import datetime as dt
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.query.functions.wallclock import floor_bins, wallclock_bins
from engine.query.statement import prepare
from tests.helpers.sql import at, column, context_of, read, rows

HOUR = 3_600_000_000_000
DAY = 24 * HOUR


def binned(text: str, stride_ns: int, zone: str | None, origin_ns: int = 0) -> str:
    found = wallclock_bins(pa.array([at(text)], pa.int64()), stride_ns, zone, origin_ns)[0].as_py()
    return (dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=found // 1000)).isoformat(timespec="minutes")


@pytest.mark.parametrize("zone", [None, "UTC", "Etc/UTC", "GMT", "+00:00", "Zulu"])
def test_a_clock_that_is_never_set_makes_the_bins_of_date_bin(zone: str | None) -> None:
    """W1."""
    assert binned("2024-03-31T13:45", 2 * HOUR, zone) == "2024-03-31T12:00"
    assert binned("1969-12-31T23:45", 2 * HOUR, zone) == "1969-12-31T22:00"


@pytest.mark.parametrize(
    ("zone", "expected"), [("+02:00", "2024-03-30T22:00"), ("-0330", "2024-03-31T03:30"), ("+05", "2024-03-30T19:00")]
)
def test_a_fixed_offset_moves_the_bins(zone: str, expected: str) -> None:
    """W1."""
    assert binned("2024-03-31T13:45", DAY, zone) == expected


@pytest.mark.parametrize(
    ("time", "stride", "zone", "expected"),
    [
        ("2024-03-31T12:00", DAY, "Europe/Berlin", "2024-03-30T23:00"),
        ("2024-03-31T22:30", DAY, "Europe/Berlin", "2024-03-31T22:00"),
        ("2024-10-27T22:30", DAY, "Europe/Berlin", "2024-10-26T22:00"),
        ("2024-10-27T23:30", DAY, "Europe/Berlin", "2024-10-27T23:00"),
        ("2024-03-10T20:00", DAY, "America/New_York", "2024-03-10T05:00"),
        ("2024-11-04T04:59", DAY, "America/New_York", "2024-11-03T04:00"),
        ("2024-07-01T00:10", HOUR, "Asia/Kolkata", "2024-06-30T23:30"),
        ("2024-03-31T04:10", 6 * HOUR, "Europe/Berlin", "2024-03-31T04:00"),
    ],
)
def test_a_day_begins_at_midnight_there_however_long_it_is(time: str, stride: int, zone: str, expected: str) -> None:
    assert binned(time, stride, zone) == expected


@pytest.mark.parametrize(
    ("time", "stride", "expected"),
    [
        ("2024-03-31T01:30", 2 * HOUR, "2024-03-31T01:00"),
        ("2024-03-31T01:30", HOUR, "2024-03-31T01:00"),
        ("2024-03-31T00:30", 2 * HOUR, "2024-03-30T23:00"),
    ],
)
def test_a_start_that_the_clock_skips_is_that_of_the_clock_before(time: str, stride: int, expected: str) -> None:
    """W2: at 01:00 UTC clocks in Berlin went from 02:00 to 03:00."""
    assert binned(time, stride, "Europe/Berlin") == expected


@pytest.mark.parametrize(
    ("time", "stride", "expected"),
    [
        ("2024-10-27T00:30", HOUR, "2024-10-27T00:00"),
        ("2024-10-27T01:30", HOUR, "2024-10-27T01:00"),
        ("2024-10-27T01:50", HOUR // 2, "2024-10-27T01:30"),
        ("2024-10-27T00:30", 2 * HOUR, "2024-10-27T00:00"),
        ("2024-10-27T01:30", 2 * HOUR, "2024-10-27T00:00"),
        ("2024-10-27T02:30", 2 * HOUR, "2024-10-27T00:00"),
        ("2024-10-27T03:30", 2 * HOUR, "2024-10-27T03:00"),
    ],
)
def test_a_start_that_the_clock_shows_twice_is_the_first_unless_the_bin_is_short(time: str, stride: int, expected: str) -> None:
    """W3: at 01:00 UTC clocks in Berlin went from 03:00 to 02:00."""
    assert binned(time, stride, "Europe/Berlin") == expected


def test_clocks_may_be_set_by_half_an_hour() -> None:
    """W3: Lord Howe, back by 30 minutes on 2024-04-06 at 15:00 UTC, from 02:00 to 01:30."""
    assert binned("2024-04-06T15:10", HOUR // 2, "Australia/Lord_Howe") == "2024-04-06T15:00"
    assert binned("2024-04-06T15:10", HOUR, "Australia/Lord_Howe") == "2024-04-06T14:00"


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2035, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "America/St_Johns"]),
)
def test_a_day_is_the_calendar_s_day(moment: dt.datetime, zone: str) -> None:
    """W2, W3: against Python's own calendar."""
    utc = moment.replace(tzinfo=dt.UTC)
    midnight = utc.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)

    assert binned(moment.isoformat(), DAY, zone) == midnight.astimezone(dt.UTC).replace(tzinfo=None).isoformat(
        timespec="minutes"
    )


@settings(max_examples=100)
@given(st.lists(st.integers(-(10**18), 10**18), max_size=5), st.integers(1, 10**15), st.integers(-(10**15), 10**15))
def test_floor_bins_are_those_of_whole_numbers(values: list[int], stride: int, origin: int) -> None:
    found = floor_bins(pa.array(values, pa.int64()), stride, origin).to_pylist()

    assert found == [(value - origin) // stride * stride + origin for value in values]


def test_the_function_keeps_the_zone_and_takes_an_origin_by_the_wall_clock() -> None:
    table = rows({"host": "a", "time": "2024-07-01T05:00", "busy": 1}, {"host": "a", "time": "2024-07-01T03:00", "busy": 2})
    context = context_of(cpu=table)

    by_day = read(prepare(context, "SELECT date_bin_wallclock('1 day', tz(time, 'Europe/Berlin')) AS t FROM cpu", {}))
    shifted = column(
        context,
        "SELECT date_bin_wallclock(INTERVAL '1 day', tz(time, 'Europe/Berlin'), '2000-01-01T06:00:00') FROM cpu ORDER BY 1",
    )
    plain = column(context, "SELECT date_bin_wallclock('1 day', time) AS t FROM cpu GROUP BY t")

    assert str(by_day.schema.field("t").type) == "timestamp[ns, tz=Europe/Berlin]"
    assert [value.isoformat() for value in by_day.column("t").to_pylist()] == ["2024-07-01T00:00:00+02:00"] * 2
    assert shifted == ["2024-06-30T06:00:00+02:00", "2024-07-01T06:00:00+02:00"]
    assert plain == ["2024-07-01T00:00:00"]


def test_the_zone_may_come_from_anywhere() -> None:
    table = rows({"host": "a", "time": "2024-07-01T05:00", "busy": 1})

    found = column(
        context_of(cpu=table),
        "WITH z AS (SELECT tz(time, 'Asia/Tokyo') AS z FROM cpu) SELECT date_bin_wallclock('1 day', z) AS t FROM z",
    )

    assert found == ["2024-07-01T00:00:00+09:00"]


def test_months_are_no_fixed_time() -> None:
    table = rows({"host": "a", "time": "2024-07-01T05:00", "busy": 1})
    prepared = prepare(context_of(cpu=table), "SELECT date_bin_wallclock('1 month', tz(time, 'Asia/Tokyo')) FROM cpu", {})

    with pytest.raises(Exception, match="DATE_BIN_WALLCLOCK does not support month intervals"):
        read(prepared)
