"""What every command shares: how it fails, what it asks, and what a terminal gets that a pipe does not.

N1  Colours, progress and shortened tables go to terminals only; a pipe gets plain, complete text.
N2  A question is asked on stderr, and anything but a clear yes is a no.

Held by tests/integration/cli/test_manage.py (N2) and tests/integration/cli/test_query.py (N1).
"""

import os
import shutil
import sys
import time
from typing import TextIO

WIDTH_WITHOUT_TERMINAL = 100


class CommandError(Exception):
    """Printed as `<Verb> command failed: <message>`, exit 1. `more` follows on lines of its own."""

    def __init__(self, message: str, *, more: str = "") -> None:
        super().__init__(message)
        self.more = more


class Interrupted(Exception):
    """Ctrl-C, after everything has been stopped: exit 130."""


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def terminal_width() -> int:
    return shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns


def styled(text: str, style: str, stream: TextIO) -> str:
    """`style` is an SGR number such as 1 (bold) or 31 (red)."""
    if not is_terminal(stream) or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


def confirm(question: str, *accepted: str, stream: TextIO | None = None) -> bool:
    """Whether the person at the keyboard says yes. The end of the input is a no."""
    print(question, file=stream or sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in (accepted or ("yes", "y"))


def refuse_file_name(text: str) -> None:
    """Neither lines nor statements are a single word that names a file."""
    if " " not in text.strip() and os.path.isfile(text):
        raise CommandError(f"{text} is a file; --file {text} takes what is in it")


def write_out(data: bytes) -> None:
    """Bytes to the standard output, whatever its encoding."""
    sys.stdout.flush()
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


class Progress:
    """One line on a terminal that is written over again and again; nothing at all elsewhere."""

    def __init__(self, *, wanted: bool = True, after_s: float = 1.0, every_s: float = 0.1) -> None:
        self._shows = wanted and is_terminal(sys.stderr)
        self._next_s = time.monotonic() + after_s
        self._every_s = every_s
        self._is_shown = False

    def show(self, text: str, *values: object) -> None:
        """`text` with the values in its places (str.format)."""
        now_s = time.monotonic()
        if self._shows and now_s >= self._next_s:
            self._next_s = now_s + self._every_s
            self._is_shown = True
            sys.stderr.write(f"\r\x1b[K{text.format(*values)[: terminal_width() - 1]}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_shown = False


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"
