"""The private directory a running server keeps its sockets and hand-over files in.

R1  Only the user who runs the server can look into it (0700), and its name cannot be guessed.
R2  It is gone after the server: removed at the end, or by the next server of the same user when the end was violent.

Held by tests/unit/flightserver/test_rundir.py (R1, R2).
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PREFIX = "flightline-"
LONGEST_SOCKET_PATH = 100  # the system allows 107 bytes


@dataclass(frozen=True, slots=True)
class RunDirectory:
    path: Path

    @property
    def engine_socket(self) -> Path:
        return self.path / "engine.sock"

    @property
    def handover(self) -> Path:
        return self.path / "handover"

    @property
    def counters(self) -> Path:
        """What the HTTP workers have counted, those that are gone included."""
        return self.path / "counters"

    @property
    def log_config(self) -> Path:
        return self.path / "logging.json"


def places() -> tuple[Path, ...]:
    """Where run directories may lie, memory first: what is handed over should not touch a disk."""
    return tuple(dict.fromkeys((Path("/dev/shm"), Path(tempfile.gettempdir()), Path("/tmp"))))


@contextlib.contextmanager
def run_directory(candidates: tuple[Path, ...] | None = None) -> Iterator[RunDirectory]:
    usable = [place for place in candidates or places() if _usable(place)]
    if not usable:
        raise OSError("no directory for temporary files is writable")
    for place in usable:
        _remove_abandoned(place)
    made = RunDirectory(Path(tempfile.mkdtemp(prefix=PREFIX, dir=usable[0])))
    lock = os.open(made.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.handover.mkdir(0o700)
        made.counters.mkdir(0o700)
        yield made
    finally:
        shutil.rmtree(made.path, ignore_errors=True)
        os.close(lock)


def _usable(place: Path) -> bool:
    return (
        place.is_dir() and os.access(place, os.W_OK | os.X_OK) and len(str(place)) + len(PREFIX) + 8 + 12 < LONGEST_SOCKET_PATH
    )


def _remove_abandoned(place: Path) -> None:
    for found in place.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if not found.is_symlink() and found.stat().st_uid == os.getuid() and _is_abandoned(found):
                shutil.rmtree(found, ignore_errors=True)


def _is_abandoned(found: Path) -> bool:
    """Its lock is free; or it has none, which is a moment of its making or the rest of a removal that was disturbed."""
    try:
        lock = os.open(found / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return found.stat().st_mtime < time.time() - 60
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
