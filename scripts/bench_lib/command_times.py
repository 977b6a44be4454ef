"""How long a command of `influxdb3` takes from its start to its end, with a local server where it needs one.

M1  Commands take turns, so that all share the machine's moods; a figure is the median, beside the least and the CPU time.
M2  Every command must succeed in every round: a fast failure is no figure.

Held by tests/bench/test_command_times.py (M1, M2).
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from .processes import ROOT, BenchError, Server

PROGRAM = (sys.executable, "-m", "flightserver.cli.main")
START_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Command:
    name: str
    arguments: Sequence[str]
    goal_ms: float | None
    program: Sequence[str] = PROGRAM
    stdin: bytes = b""
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)


def commands() -> list[Command]:
    to = ("--database", "bench_cli")
    return [
        Command("python, nothing", ("-c", "pass"), None, (sys.executable,)),
        Command("--version", ("--version",), 150),
        Command("--help", ("--help",), 150),
        Command("query --help", ("query", "--help"), 150),
        Command("show databases", ("show", "databases"), 400),
        Command("show retention", ("show", "retention"), 400),
        Command("write, one line", ("write", *to, "-q", "cpu,host=a usage=1 1"), 400),
        Command("query, one row", ("query", *to, "SELECT * FROM cpu"), 600),
        Command(
            "query, 100,000 rows as csv", ("query", *to, "--format", "csv", "SELECT * FROM generate_series(1, 100000)"), None
        ),
        Command("show databases, grpc://", ("show", "databases", "--host", "grpc"), None),
    ]


def measure(rounds: int, progress: Callable[[str], None]) -> str:
    found = commands()
    with tempfile.TemporaryDirectory(prefix="flightline-bench-") as directory, _server(Path(directory)) as port:
        for number in range(rounds + 1):  # the first one warms the disk's cache and the server, and is not counted
            for command in found:
                progress(f"{command.name} {number}/{rounds}")
                wall_ms, cpu_ms = _once(command, port)
                if number:
                    command.wall_ms.append(wall_ms)
                    command.cpu_ms.append(cpu_ms)
    progress("")
    return table(found, rounds)


def table(found: Sequence[Command], rounds: int) -> str:
    load = psutil.getloadavg()[0]
    lines = [
        f"## cli, {rounds} rounds, {psutil.cpu_count()} cores, load {load:.1f}",
        "",
        "| command | median ms | least ms | CPU ms | goal | |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for command in found:
        median = statistics.median(command.wall_ms)
        goal = "" if command.goal_ms is None else f"{command.goal_ms:.0f}"
        verdict = _verdict(command, median, is_busy=load > (psutil.cpu_count() or 1))
        figures = f"{median:.0f} | {min(command.wall_ms):.0f} | {statistics.median(command.cpu_ms):.0f}"
        lines.append(f"| {command.name} | {figures} | {goal} | {verdict} |")
    return "\n".join(lines)


def _verdict(command: Command, median: float, *, is_busy: bool) -> str:
    if command.goal_ms is None:
        return ""
    if median <= command.goal_ms:
        return "met"
    return (
        "MISSED; the machine is busy, the least meets it" if is_busy and min(command.wall_ms) <= command.goal_ms else "MISSED"
    )


def _once(command: Command, port: int) -> tuple[float, float]:
    url = f"http://127.0.0.1:{port}"
    arguments = [f"grpc://127.0.0.1:{port}" if word == "grpc" else word for word in command.arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "INFLUXDB3_HOST_URL": url}
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*command.program, *arguments],
        cwd=ROOT,
        env=environment,
        input=command.stdin,
        capture_output=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    wall_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise BenchError(f"{command.name}: {done.stderr.decode('utf-8', 'replace').strip()}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s * 1000, cpu_s * 1000


class _server:  # noqa: N801  # used as a with-statement only
    """A server on a free port, with one row to ask for."""

    def __init__(self, directory: Path) -> None:
        self._listener = directory / "listener"
        options = ["--node-id", "bench", "--data-dir", str(directory / "data"), "--http-bind", "127.0.0.1:0", "--without-auth"]
        command = [*PROGRAM, "serve", *options, "--tcp-listener-file-path", str(self._listener)]
        self._process = Server(command, directory / "log", {"PYTHONPATH": str(ROOT)})

    def __enter__(self) -> int:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._listener.exists():
            if time.monotonic() > deadline_s or not self._process.alive:
                self._process.kill()
                raise BenchError(f"the server did not start: {self._process.log.read_text()[-2000:]}")
            time.sleep(0.05)
        port = int(self._listener.read_text().rpartition(":")[2])
        _once(Command("", ("write", "--database", "bench_cli", "-q", "cpu,host=a usage=1 1"), None), port)
        return port

    def __exit__(self, *_: object) -> None:
        self._process.kill()
