"""The environment of a process, and the .env file under it. Cheap to import: every command of the command line reads it.

V1  A variable of the process beats the same name in .env; of several .env files the nearest counts, alone.

Held by tests/unit/flightserver/test_config.py (V1).
Elsewhere: what the variables mean (flightserver.options, flightserver.cli.tree).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path


def read_environment(directory: Path | None = None) -> dict[str, str]:
    """The process environment over the first .env file found in `directory` or above it."""
    return {**_read_dotenv(directory or Path.cwd()), **os.environ}


def _read_dotenv(directory: Path) -> dict[str, str]:
    for place in (directory, *directory.parents):
        try:
            content = (place / ".env").read_text()
        except OSError:
            continue
        return dict(parse_dotenv(content))
    return {}


_DOTENV_LINE = re.compile(
    r"""^\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*
        (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^#]*?(?:\S\#[^#]*?)*))\s*(?:\#.*)?$""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse_dotenv(content: str) -> Iterator[tuple[str, str]]:
    """NAME=value lines; quotes, comments and `export` as shells read them, no expansion. Other lines are skipped."""
    for line in content.splitlines():
        found = _DOTENV_LINE.match(line)
        if found is None:
            continue
        if found["double"] is not None:
            yield found["name"], re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), found["double"])
        else:
            yield found["name"], found["single"] if found["single"] is not None else found["bare"].strip()
