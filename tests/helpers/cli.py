"""The real command as a subprocess, with a pipe or with a terminal."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.servers import PATIENCE_S, ROOT

COMMAND = (sys.executable, "-m", "flightserver.cli.main")
_CONTROLS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass
class Done:
    code: int
    out: str
    err: str = ""

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def environment_of(variables: dict[str, str] | None = None) -> dict[str, str]:
    """What this process has, without what a command could take for its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("INFLUXDB3_", "LOG_"))}
    return {**own, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1", **(variables or {})}


def influxdb3(
    *arguments: str,
    url: str | None = None,
    stdin: str | bytes | None = None,
    directory: Path | None = None,
    variables: dict[str, str] | None = None,
) -> Done:
    if url is not None:
        variables = {"INFLUXDB3_HOST_URL": url, **(variables or {})}
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=directory or ROOT,
        env=environment_of(variables),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def started(*arguments: str, url: str) -> "subprocess.Popen[bytes]":
    """A command that is still running."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment_of({"INFLUXDB3_HOST_URL": url}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def on_a_terminal(
    *arguments: str, url: str, columns: int = 80, typed: str = "", interrupt_at: str = "", plain: bool = True
) -> Done:
    """With a terminal of so many columns for all three streams; `typed` is what the person answers, and Ctrl-C what follows
    once `interrupt_at` has been read."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    variables = environment_of({"INFLUXDB3_HOST_URL": url, "TERM": "xterm"})
    del variables["COLUMNS"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=ROOT, env=variables, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    if typed:
        os.write(ours, typed.encode())
    text = ""
    if interrupt_at:
        text = _everything(ours, until=interrupt_at)
        process.send_signal(signal.SIGINT)
    text += _everything(ours)
    code = process.wait(PATIENCE_S)
    os.close(ours)
    return Done(code, _as_left(text) if plain else text)


def _as_left(text: str) -> str:
    """What stands on the terminal in the end: lines that were written over are gone."""
    lines = (line.rpartition("\r\x1b[K")[2] for line in text.replace("\r\n", "\n").split("\n"))
    return _CONTROLS.sub("", "\n".join(lines))


def _everything(descriptor: int, until: str = "") -> str:
    parts: list[bytes] = []
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # the other side is closed
            break
        if not data:
            break
        parts.append(data)
        if until and until.encode() in b"".join(parts):
            break
    return b"".join(parts).decode("utf-8", "replace")


def rows_of(table: str) -> list[list[str]]:
    """The cells of a table with borders, its header first."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")]
