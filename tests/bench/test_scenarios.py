"""A run measures, asks back and says when something is missing (scripts/bench_lib/scenarios.py)."""

from pathlib import Path

import pytest

from scripts.bench_lib.cli import installed
from scripts.bench_lib.processes import Usage
from scripts.bench_lib.scenarios import SCENARIOS, Options, Outcome, compare, run_once
from scripts.bench_lib.targets import TARGETS


def outcome(rows: int, check: int | None, unknown: int) -> Outcome:
    return Outcome({"rows": rows, "check": check, "unknown_rows": unknown}, Usage())


@pytest.mark.parametrize(
    ("acknowledged", "count", "total", "said"),
    [
        (outcome(100, 7, 0), 100, 7, "ok"),
        (outcome(100, 7, 0), 99, 7, "WRONG: 100 rows acknowledged, 99 found"),
        (outcome(100, 7, 0), 101, 7, "WRONG: 100 rows acknowledged, 101 found"),
        (outcome(100, 7, 0), 100, 8, "WRONG: the sum is 8, not 7"),
        (outcome(100, None, 20), 120, 9, "ok"),
        (outcome(100, 7, 20), 110, 9, "ok"),
        (outcome(100, 7, 20), 121, 9, "WRONG: 100 rows acknowledged, 121 found"),
    ],
)
def test_rows_asked_back_must_be_those_acknowledged(acknowledged: Outcome, count: int, total: int, said: str) -> None:
    """S1."""
    assert compare(acknowledged, count, total) == said


@pytest.mark.parametrize("scenario", ["http", "http-gzip", "doput", "one-line-64", "thousand"])
def test_the_limit_is_measured_in_every_way(scenario: str, tmp_path: Path) -> None:
    """S2."""
    options = Options(rows=10_000, seconds=0.3, connections=20, work=tmp_path)

    found = run_once(scenario, SCENARIOS[scenario].data[0], "nothing", dict(TARGETS), options)

    assert found.checked == "not kept"
    assert found.rows > 0
    assert found.cpu_s_per_million is not None
    assert found.peak_rss_mb
    assert list(tmp_path.iterdir()) == []


def test_the_limit_of_the_disk_needs_no_server(tmp_path: Path) -> None:
    found = run_once("http", "A", "append", {}, Options(rows=10_000, work=tmp_path))

    assert (found.rows, found.outcomes) == (10_000, {"synced": 2})


@pytest.mark.parametrize("data", ["A", "C"])
@pytest.mark.parametrize("peer", ["victoriametrics", "influxdb1"])
def test_a_peer_gives_back_what_it_acknowledged(peer: str, data: str, tmp_path: Path) -> None:
    """S1, T1."""
    missing = TARGETS[peer].missing()
    if missing:
        pytest.skip(f"{missing} is not installed")

    found = run_once("http", data, peer, dict(TARGETS), Options(rows=10_000, work=tmp_path))

    assert found.checked == "ok"
    assert found.outcomes == {"204": 2}


def test_a_peer_that_is_not_installed_is_skipped_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """T2."""
    monkeypatch.setenv("PATH", "/nonexistent")

    kinds = installed(["victoriametrics", "nothing"])

    assert list(kinds) == ["nothing"]
    assert capsys.readouterr().out == "skipped victoriametrics: victoria-metrics is not installed\n"
