"""Processes are measured whole and ended whole (scripts/bench_lib/processes.py)."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from scripts.bench_lib import processes
from scripts.bench_lib.processes import ROOT, BenchError, Client, Server, disk_bytes, wait_until

BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
FAMILY = f"""
import subprocess, sys, time
subprocess.run([sys.executable, "-c", {BURN.format(seconds=0.4)!r}])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_the_cpu_time_of_children_counts_even_when_they_are_gone(tmp_path: Path) -> None:
    """P3."""
    log = tmp_path / "log"
    with Server([sys.executable, "-c", FAMILY], log) as server:
        wait_until(lambda: log.read_text().strip().isdigit(), 20, "child", server)

        assert server.cpu_s() >= 0.4


def test_a_server_comes_to_rest_when_its_work_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P4."""
    monkeypatch.setattr(processes, "_REST_S", 0.01)
    used_s = iter([0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0])
    with Server([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log") as server:
        with monkeypatch.context() as at_work:
            at_work.setattr(server, "cpu_s", lambda: next(used_s))
            server.come_to_rest()

        assert next(used_s) == 3.0


def test_the_end_of_a_server_is_the_end_of_its_children(tmp_path: Path) -> None:
    """P1, P2."""
    log = tmp_path / "log"
    with Server([sys.executable, "-c", FAMILY], log) as server:
        wait_until(lambda: log.read_text().strip().isdigit(), 20, "child", server)
        child = int(log.read_text())
        assert psutil.pid_exists(child)

    wait_until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE, 5, "end")
    assert not server.alive


def test_a_server_that_dies_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with (
        Server([sys.executable, "-c", "raise SystemExit('no such option')"], tmp_path / "log") as server,
        pytest.raises(BenchError, match="died before its answer: no such option"),
    ):
        wait_until(lambda: False, 20, "its answer", server)


def test_memory_is_sampled_while_a_server_runs(tmp_path: Path) -> None:
    with Server([sys.executable, "-c", "kept = b'x' * 80_000_000; import time; time.sleep(60)"], tmp_path / "log") as server:
        started = time.monotonic()
        wait_until(lambda: server.usage_since(0.0, started).peak_rss_bytes > 80_000_000, 20, "memory", server)


def test_a_client_that_fails_says_why() -> None:
    with pytest.raises(BenchError, match="No module named"):
        Client("no_such_client", {})


def test_what_a_directory_occupies_is_counted_in_blocks(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(bytes(100_000))
    (tmp_path / "sparse").touch()

    assert 100_000 <= disk_bytes(tmp_path) < 120_000


def test_a_server_ends_when_the_benchmark_is_killed(tmp_path: Path) -> None:
    """P2."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    started = (
        "import sys, time; from pathlib import Path; from scripts.bench_lib.processes import Server\n"
        f"server = Server(['sleep', '60'], Path({str(tmp_path / 'log')!r}))\n"
        "time.sleep(0.3); print([*server._seen][0], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", started], stdout=subprocess.PIPE, text=True, cwd=ROOT) as bench:
        assert bench.stdout is not None
        server = int(bench.stdout.readline())
        bench.kill()

    wait_until(lambda: not psutil.pid_exists(server) or psutil.Process(server).status() == psutil.STATUS_ZOMBIE, 5, "end")
