"""Whole rounds of the query benchmark, on little data (scripts/bench_lib/query_scenarios.py)."""

from pathlib import Path

import pytest

from scripts.bench_lib.answers import OK
from scripts.bench_lib.data import DATA_SETS
from scripts.bench_lib.query_scenarios import SPECIAL, Round, Timings
from scripts.bench_lib.scenarios import Options
from scripts.bench_lib.targets import TARGETS, Target

NAMES = ("single-groupby-1-8-1", "last-value", "tag-values", "count-all", "scan-agg", "high-cpu-all")
ROWS = 72_000  # two hours


def measure(target: str, tmp_path: Path, names: tuple[str, ...] = NAMES) -> Timings:
    pytest.importorskip("duckdb")
    missing = TARGETS[target].missing()
    if missing:
        pytest.skip(f"{missing} is not installed")
    answers = tmp_path / "answers"
    answers.mkdir()
    options = Options(rows=ROWS, seconds=0.01, work=tmp_path)
    asked = Round(DATA_SETS["A"], ROWS, names, {target: TARGETS[target]}, True, options, answers, lambda text: None)
    found: Timings = {}
    for part in asked.parts():
        found |= part
    return found


def test_our_answers_are_duckdbs_wherever_the_rows_lie(tmp_path: Path) -> None:
    """U1, U2."""
    found = measure("flightline", tmp_path)

    ways = {"duckdb", "memory flight", "memory http", "parquet flight", "parquet http", "cold flight"}
    assert found.keys() == ways
    for way in ways - {"duckdb"}:
        assert {name: timing.verdict for name, timing in found[way].items()} == dict.fromkeys(found[way], OK)
    assert set(found["memory flight"]) == set(NAMES)
    assert set(found["cold flight"]) == {"count-all"}
    assert all(timing.p50_ms for timing in found["cold flight"].values())


@pytest.mark.parametrize("peer", ["victoriametrics", "influxdb1"])
def test_a_peers_answers_are_duckdbs(peer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """U2. Nobody waits here until a peer's store is at rest."""

    def shown(self: Target) -> None:
        if peer == "victoriametrics":
            self.get("/internal/force_flush")

    monkeypatch.setattr(TARGETS[peer], "settle", shown)

    found = measure(peer, tmp_path)[peer]

    assert {name: timing.verdict for name, timing in found.items()} == dict.fromkeys(found, OK)
    assert len(found) >= 5


@pytest.mark.parametrize("name", list(SPECIAL))
def test_every_other_scenario_finds_its_figures(name: str, tmp_path: Path) -> None:
    """U1."""
    rows = 4_000 if name == "many-files" else 20_000
    found = SPECIAL[name](Options(rows=rows, seconds=0.3, work=tmp_path), lambda text: None)

    assert found.notes == []
    assert all(value > 0 for value in found.figures.values())
    assert list(tmp_path.iterdir()) == []
