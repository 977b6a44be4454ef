"""The tables say what was measured, and what was not (scripts/bench_lib/report.py)."""

from scripts.bench_lib.report import table
from scripts.bench_lib.scenarios import Figures


def figures(target: str, rate: float, **more: object) -> Figures:
    return Figures(target, rows=1_000, rows_per_s=rate, checked="ok", **more)  # type: ignore[arg-type]


def test_ratios_and_goals_stand_under_the_table() -> None:
    runs = {"flightline": [figures("flightline", 1_000_000, cpu_s_per_million=1.7)], "victoriametrics": [figures("v", 125_000)]}

    text = table("http", "A", runs)

    assert "flightline rows/s: 8.00 x victoriametrics" in text
    assert "goal 5 x victoriametrics rows/s: 8.00 x: met" in text
    assert "goal at most 1.5 CPU s per million rows: 1.70 s: MISSED" in text


def test_several_runs_show_their_median_and_their_spread() -> None:
    """R1."""
    runs = {"nothing": [figures("nothing", rate) for rate in (300, 100, 150)]}

    assert "150 (100..300)" in table("http", "A", runs)


def test_one_bad_run_among_good_ones_is_shown() -> None:
    """R2."""
    bad = Figures("flightline", checked="WRONG: 10 rows acknowledged, 9 found")
    runs = {"flightline": [figures("flightline", 100), bad, figures("flightline", 110)]}

    assert "WRONG: 10 rows acknowledged, 9 found" in table("http", "A", runs)


def test_a_goal_without_its_peer_is_not_measured() -> None:
    """R2."""
    text = table("disk", "A", {"flightline": [figures("flightline", 100, disk_bytes_per_row=4.0)]})

    assert "goal no more bytes a row than victoriametrics: not measured" in text


def test_gzip_is_measured_against_plain_bodies() -> None:
    plain = {"flightline": [figures("flightline", 1_000)]}

    text = table("http-gzip", "A", {"flightline": [figures("flightline", 500)]}, plain)

    assert "goal 0.6 x the plain figure: 0.50 x: MISSED" in text


def test_a_write_without_a_word_fails_the_goal_of_a_thousand_connections() -> None:
    outcomes = {"204": 900, "503": 90, "dropped": 7, "timeout": 3}
    runs = {
        "flightline": [figures("flightline", 990, outcomes=outcomes, p99_ms=20.0, rss_over_time_mb=[90.0, 100.0, 101.0, 104.0])]
    }

    text = table("thousand", "", runs)

    assert "goal every write acknowledged or told 503: 10.00 others: MISSED" in text
    assert "goal memory flat (second half within 10 %): 1.04 x: met" in text
