"""Timing commands (scripts/bench cli)."""

import pytest

from scripts.bench_lib import command_times
from scripts.bench_lib.command_times import Command, table
from scripts.bench_lib.processes import BenchError


def test_a_figure_is_a_median_beside_the_least_and_the_goal() -> None:
    """M1."""
    quick = Command("quick", (), 150, wall_ms=[100.0, 140.0, 900.0], cpu_ms=[50.0, 60.0, 70.0])
    slow = Command("slow", (), 150, wall_ms=[151.0], cpu_ms=[1.0])

    lines = table([quick, slow], 3).splitlines()

    assert lines[-2:] == ["| quick | 140 | 100 | 60 | 150 | met |", "| slow | 151 | 151 | 1 | 150 | MISSED |"]


def test_a_busy_machine_is_named_as_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """M1."""
    monkeypatch.setattr("psutil.getloadavg", lambda: (99.0, 99.0, 99.0))
    command = Command("slowed", (), 150, wall_ms=[100.0, 900.0, 900.0], cpu_ms=[1.0])

    assert table([command], 3).endswith("| MISSED; the machine is busy, the least meets it |")


def test_every_command_runs_and_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """M1, M2."""
    some = [command for command in command_times.commands() if command.name in ("--version", "query, one row")]
    monkeypatch.setattr(command_times, "commands", lambda: some)

    report = command_times.measure(1, lambda _: None)

    assert all(f"| {command.name} | " in report for command in some)


def test_a_command_that_fails_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """M2."""
    monkeypatch.setattr(command_times, "commands", lambda: [Command("broken", ("--nonsense",), None)])

    with pytest.raises(BenchError, match="broken: "):
        command_times.measure(1, lambda _: None)
