"""Child processes that do not outlive us, and when to start one again.

K1  A child ends when this process does, however this process ends (parent-death signal, and a check that it was not too late).
K2  A child leads a process group of its own: a terminal's Ctrl-C reaches us alone, and `kill` reaches all that it has started.
K3  Restarts grow rarer, and stop after `most` deaths within `window_s`.

Held by tests/integration/test_serve.py (K1, K2) and tests/unit/flightserver/test_children.py (K3).
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1
EXIT_LOG_STOPPED = 70  # the engine ends so that another one may read the log again
EXIT_TAKEN_OVER = 71  # the engine ends because its node belongs to another server now
ROOT = Path(__file__).parents[1]


def python_command(*arguments: str) -> list[str]:
    """This interpreter, importing this package and nothing from the directory it happens to be started in."""
    return [sys.executable, "-P", *arguments]


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    existing = environment.get("PYTHONPATH")
    return {
        "OPENBLAS_NUM_THREADS": "1",  # numpy would start a thread per core, for nothing we do
        **environment,
        "RUST_LIB_BACKTRACE": "0",  # whatever RUST_BACKTRACE says: the planner would look up its stack for each error
        "PYTHONPATH": f"{ROOT}{os.pathsep}{existing}" if existing else str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }


@dataclass(slots=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    started_at_s: float

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        on_our_death: signal.Signals,
        pass_fds: Sequence[int] = (),
        input_data: bytes = b"",
    ) -> "Child":
        parent = os.getpid()
        libc = ctypes.CDLL(None, use_errno=True)

        def bind_to_parent() -> None:
            libc.prctl(PR_SET_PDEATHSIG, int(on_our_death))
            if os.getppid() != parent:
                os._exit(1)

        process = subprocess.Popen(
            command,
            env=child_environment(environment),
            stdin=subprocess.PIPE,
            pass_fds=pass_fds,
            process_group=0,
            preexec_fn=bind_to_parent,  # safe here: this process has one thread
        )
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(input_data)
        return cls(name, process, time.monotonic())

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        if not self.ended:
            self.process.send_signal(number)

    def kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def how_it_ended(self) -> str:
        code = self.process.returncode
        if code is not None and code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"


@dataclass(slots=True)
class Restarts:
    """When to start a child again that has just died."""

    most: int
    window_s: float = 60.0
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    deaths: deque[float] = field(default_factory=deque)

    def delay_s(self, now_s: float) -> float | None:
        """Seconds to wait, or None: it is no use."""
        self.deaths.append(now_s)
        while self.deaths[0] < now_s - self.window_s:
            self.deaths.popleft()
        if len(self.deaths) > self.most:
            return None
        return min(float(self.first_delay_s * 3.0 ** (len(self.deaths) - 1)), self.longest_delay_s)
