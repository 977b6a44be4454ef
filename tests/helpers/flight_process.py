"""A Flight server over a node in memory, in a process of its own: `python -m tests.helpers.flight_process LOCATION [DIR]`.

Prints one line when it serves, and ends when its standard input does.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flightserver.server import EngineServer
from tests.helpers.memory_node import MemoryNode


class FlightProcess:
    """The same, seen from a test."""

    def __init__(self, location: str, handover_dir: Path) -> None:
        command = [sys.executable, "-m", "tests.helpers.flight_process", location, str(handover_dir)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"serving\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def pause(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def within(seconds: float, attempt: Callable[[], bool]) -> None:
    """Fails unless the attempt succeeds in time."""
    deadline_s = time.monotonic() + seconds
    while not attempt():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def main() -> None:
    location, handover_dir = sys.argv[1:]
    server = EngineServer(MemoryNode(), location, handover_dir=handover_dir)
    print("serving", flush=True)
    sys.stdin.read()
    assert server is not None
    os._exit(0)


if __name__ == "__main__":
    main()
