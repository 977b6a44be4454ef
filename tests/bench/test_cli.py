"""The command itself (scripts/bench)."""

import json
import subprocess
import sys
from pathlib import Path

from scripts.bench_lib.processes import ROOT


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "bench"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_a_short_run_prints_its_table_and_keeps_its_figures(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"

    done = bench(
        *("ingest", "--only", "http", "--target", "nothing", "--data", "A", "--rows", "10000"),
        *("--work", str(tmp_path), "--json", str(kept)),
    )

    assert done.returncode == 0, done.stderr
    assert "## http, data set A" in done.stdout
    assert json.loads(kept.read_text())[0]["rows"] == 10_000


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    done = bench("ingest", "--only", "htpp")

    assert done.returncode == 1
    assert "unknown: htpp; there are http, http-gzip" in done.stderr
