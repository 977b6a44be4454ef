"""Server and client processes: started, measured, and always ended.

P1  Only processes started here are ever signalled: each by its own handle, with the descendants seen while it ran.
P2  Whatever happens to the benchmark, its servers end with it (`with Server(...)`), and its clients end by themselves.
P3  The CPU time of a server is that of its whole tree, children that have already ended included.
P4  A server has come to rest when its tree has used less than a tenth of a core for half a second.

Held by tests/bench/test_processes.py.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_INTERVAL_S = 0.1
TERMINATE_TIMEOUT_S = 30.0
CLIENT_TIMEOUT_S = 1800.0
REST_TIMEOUT_S = 15.0
_REST_S = 0.5
_REST_CORES = 0.1


class BenchError(Exception):
    """A run that cannot be measured; the sentence goes into the report."""


@dataclass(slots=True)
class Usage:
    """What a server used between two moments: memory as (seconds since start, bytes)."""

    cpu_s: float = 0.0
    rss: list[tuple[float, int]] = field(default_factory=list)

    @property
    def peak_rss_bytes(self) -> int:
        return max((rss for _, rss in self.rss), default=0)


class Server:
    """A server's process tree, and a thread that looks at it ten times a second."""

    def __init__(self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._sink: IO[bytes] = log.open("ab")
        environment = {**os.environ, **(env or {})}
        guard = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []  # P2, should we be killed ourselves
        self._process = subprocess.Popen(
            [*guard, *command], stdin=subprocess.DEVNULL, stdout=self._sink, stderr=self._sink, env=environment, cwd=ROOT
        )
        self._root = psutil.Process(self._process.pid)
        self._seen: dict[int, psutil.Process] = {self._root.pid: self._root}
        self._started = time.monotonic()
        self._rss: list[tuple[float, int]] = []
        self._cpu_s = 0.0
        self._ending = threading.Event()
        self._sampler = threading.Thread(target=self._sample_until_end, daemon=True)
        self._sampler.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """User and system seconds of the tree so far (P3)."""
        self._sample()
        return self._cpu_s

    def usage_since(self, cpu_s: float, started: float | None = None) -> Usage:
        """From the moment `started` (time.monotonic; else the server's start) at which the CPU time was `cpu_s`."""
        self._sample()
        offset = started - self._started if started is not None else 0.0
        return Usage(self._cpu_s - cpu_s, [(moment - offset, rss) for moment, rss in self._rss if moment >= offset])

    def come_to_rest(self) -> None:
        """Wait until what a start leaves to be done is done (P4); some servers always do a little, so not for ever."""
        until = time.monotonic() + REST_TIMEOUT_S
        while time.monotonic() < until:
            before = self.cpu_s()
            time.sleep(_REST_S)
            if self.cpu_s() - before < _REST_S * _REST_CORES:
                return

    def terminate(self) -> float:
        """Ask it to stop; the seconds it took. A server that does not stop in time is killed and an error."""
        started = time.monotonic()
        self._sample()
        if self.alive:
            self._process.terminate()
        try:
            self._process.wait(TERMINATE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise BenchError(f"did not stop within {TERMINATE_TIMEOUT_S:.0f} s of SIGTERM") from None
        finally:
            self.kill()
        return time.monotonic() - started

    def kill(self) -> None:
        """SIGKILL to the whole tree, as when the machine loses power as far as processes can tell."""
        self._ending.set()
        self._sampler.join()
        self._find_children()
        for process in self._seen.values():
            if process.is_running():  # psutil compares creation times: never a stranger with a reused id
                process.kill()
        self._process.wait()
        psutil.wait_procs(list(self._seen.values()), timeout=10)
        self._sink.close()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-3:])[-400:]

    def _sample_until_end(self) -> None:
        while not self._ending.wait(SAMPLE_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        self._find_children()
        rss, cpu_s = 0, 0.0
        for process in list(self._seen.values()):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    rss += process.memory_info().rss
                cpu_s += times.user + times.system + times.children_user + times.children_system
            except psutil.NoSuchProcess:
                continue
        self._cpu_s = max(self._cpu_s, cpu_s)
        self._rss.append((time.monotonic() - self._started, rss))

    def _find_children(self) -> None:
        try:
            self._seen.update({child.pid: child for child in self._root.children(recursive=True)})
        except psutil.NoSuchProcess:
            return


class Client:
    """A client process: it prepares, says `ready`, waits for our word, and answers with one JSON object."""

    def __init__(self, module: str, job: Mapping[str, object]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"scripts.bench_lib.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self._guard = threading.Timer(CLIENT_TIMEOUT_S, self._process.kill)
        self._guard.daemon = True
        self._guard.start()
        self._say(json.dumps(job))
        self._expect("ready")

    def run(self) -> dict[str, object]:
        self._say("go")
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise self._failure()
        self.close()
        result: dict[str, object] = json.loads(answer)
        return result

    def close(self) -> None:
        """The client is alone: it has no children, and nothing that needs to be saved."""
        self._guard.cancel()
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None

    def _expect(self, word: str) -> None:
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != word:
            raise self._failure()

    def _failure(self) -> BenchError:
        self._guard.cancel()
        self._process.kill()
        _, errors = self._process.communicate()
        return BenchError("the client failed: " + " / ".join(errors.strip().splitlines()[-2:])[-400:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], bool], timeout_s: float, what: str, server: Server | None = None) -> float:
    """The seconds until `true()`; an error when it takes too long or the server dies meanwhile."""
    started = time.monotonic()
    while not true():
        if server is not None and not server.alive:
            raise BenchError(f"died before {what}: {server.last_words()}")
        if time.monotonic() - started > timeout_s:
            raise BenchError(f"no {what} within {timeout_s:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - started


def disk_bytes(directory: Path) -> int:
    """Blocks that the files of a directory occupy; a file that goes away meanwhile counts as gone."""
    total = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def end_on_signals() -> None:
    """SIGTERM and SIGHUP unwind like Ctrl-C does, so that P2 holds."""

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
