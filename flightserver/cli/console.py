"""What every command shares: how it fails, what it asks, and what a terminal gets that a pipe does not.

N1  Colours, progress and shortened tables go to terminals only; a pipe gets plain, complete text.
N2  A question is asked on stderr, and anything but a clear yes is a no.

Held by tests/integration/cli/test_manage.py (N2) and tests/integration/cli/test_query.py (N1).
"""

import os
import shutil
import sys
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


def write_out(data: bytes) -> None:
    """Bytes to the standard output, whatever its encoding."""
    sys.stdout.flush()
    view = memoryview(data)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]
