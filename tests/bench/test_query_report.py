"""The tables of `scripts/bench query` say what was measured (scripts/bench_lib/query_report.py)."""

from scripts.bench_lib.query_report import GOALS, is_bad, special, table
from scripts.bench_lib.query_scenarios import Measured, Timing
from scripts.bench_lib.questions import QUESTIONS


def timing(p50_ms: float, verdict: str = "ok", base_ms: float | None = None) -> Timing:
    return Timing(p50_ms, p50_ms * 2, p50_ms * 3, 10, 100, "", verdict, base_ms)


def test_every_question_has_a_goal() -> None:
    assert GOALS.keys() == QUESTIONS.keys()


def test_a_goal_is_judged_in_memory_and_from_parquet() -> None:
    """V1."""
    timings = {
        "duckdb": {"lastpoint": timing(40.0)},
        "memory flight": {"lastpoint": timing(3.0, base_ms=40.0)},
        "parquet flight": {"lastpoint": timing(8.0, base_ms=50.0)},  # the machine was busier then
    }

    text = table("A", 100, 1_000, ["lastpoint"], timings)

    assert "0.07 of 0.1 x, 3.00 of 5 ms: met" in text
    assert "0.16 of 0.1 x, 8.00 of 5 ms: MISSED" in text
    assert "3.00 / 6.00" in text


def test_hosts_decide_which_time_is_the_goal() -> None:
    """V1."""
    timings = {"duckdb": {"lastpoint": timing(400.0)}, "memory flight": {"lastpoint": timing(11.0, base_ms=400.0)}}

    assert "11.0 of 12 ms: met" in table("B", 4_000, 1_000, ["lastpoint"], timings)


def test_without_duckdb_a_ratio_is_not_measured() -> None:
    """V1."""
    text = table("A", 100, 1_000, ["scan-agg"], {"memory flight": {"scan-agg": timing(3.0)}})

    assert "ratio not measured: MISSED" in text


def test_a_wrong_answer_and_a_failure_stand_under_the_table() -> None:
    """V2."""
    wrong = timing(3.0, "WRONG: 1 rows, not 2")
    failed = Timing(error="no", verdict="FAILED: no")
    timings = {"duckdb": {"tiny": timing(1.0, "")}, "memory flight": {"tiny": wrong}, "influxdb1": {"tiny": failed}}

    text = table("A", 100, 1_000, ["tiny"], timings)

    assert "memory flight: tiny: WRONG: 1 rows, not 2" in text
    assert "influxdb1: tiny: FAILED: no" in text
    assert "0 answers are DuckDB's, row by row; 2 are not" in text
    assert is_bad("memory flight", timings["memory flight"])
    assert not is_bad("influxdb1", timings["influxdb1"])


def test_a_scenario_shows_its_goals_or_that_they_were_not_measured() -> None:
    """V1."""
    good = special("wide", "35,000 rows", Measured({"json ms": 30.0, "flight ms": 20.0}))
    bad = special("wide", "35,000 rows", Measured({"flight ms": 20.0}, ["FAILED: json: 500"]))

    assert "goal JSON at most 2 x the Flight time: 1.50 x: met" in good
    assert "goal JSON at most 2 x the Flight time: not measured" in bad
    assert "FAILED: json: 500" in bad
