"""The private directories a running server keeps its sockets and hand-over files in.

R1  Only the user who runs the server can look into them (0700), and their names cannot be guessed.
R2  They are gone after the server: removed at the end, or by the next server of the same user when the end was violent.
R3  They stay while the server runs. Whoever tidies up temporary directories spares one with a lock on it (systemd-tmpfiles
    does); and where logging out removes a user's files from shared memory (systemd-logind does, for people, not for
    services), only hand-over files lie there, which a server can do without.

Held by tests/unit/flightserver/test_rundir.py (R1-R3).
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PREFIX = "flightline-run-"  # nothing else may begin so: what does and is not locked is removed
LONGEST_SOCKET_PATH = 100  # the system allows 107 bytes
FIRST_UID_OF_PEOPLE = 1000
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    path: Path
    handover: Path

    @property
    def engine_socket(self) -> Path:
        return self.path / "engine.sock"

    @property
    def counters(self) -> Path:
        """What the HTTP workers have counted, those that are gone included."""
        return self.path / "counters"

    @property
    def recovered(self) -> Path:
        """There once the operator token was replaced through the recovery listener, which then stays closed."""
        return self.path / "recovered"

    @property
    def log_config(self) -> Path:
        return self.path / "logging.json"


def places(uid: int) -> tuple[Path, ...]:
    """Where a run directory may lie, best first (R3)."""
    disk = (Path(tempfile.gettempdir()), Path("/tmp"))
    return (*disk, SHARED_MEMORY) if uid >= FIRST_UID_OF_PEOPLE else (SHARED_MEMORY, *disk)


@contextlib.contextmanager
def run_directory(candidates: Sequence[Path] | None = None, memory: Path = SHARED_MEMORY) -> Iterator[RunDirectory]:
    chosen = places(os.getuid()) if candidates is None else candidates
    short = [place for place in chosen if len(str(place / PREFIX / "12345678" / "engine.sock")) < LONGEST_SOCKET_PATH]
    with private_directory(short) as path, contextlib.ExitStack() as stack:
        apart = path.parent != memory and _usable(memory)
        handover = (stack.enter_context(private_directory((memory,))) if apart else path) / "handover"
        made = RunDirectory(path, handover)
        made.handover.mkdir(0o700)
        made.counters.mkdir(0o700)
        yield made


@contextlib.contextmanager
def private_directory(candidates: Sequence[Path]) -> Iterator[Path]:
    """A new directory in the first usable place, locked as long as it is in use."""
    usable = [place for place in candidates if _usable(place)]
    if not usable:
        raise OSError("no directory for temporary files is writable")
    for place in usable:
        _remove_abandoned(place)
    unlocked = Path(tempfile.mkdtemp(prefix="." + PREFIX, dir=usable[0]))
    lock = os.open(unlocked, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    path = unlocked.rename(unlocked.with_name(unlocked.name.removeprefix(".")))  # only now others look at its lock
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _usable(place: Path) -> bool:
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def _remove_abandoned(place: Path) -> None:
    for found in place.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if found.stat(follow_symlinks=False).st_uid == os.getuid() and not _is_locked(found):
                shutil.rmtree(found, ignore_errors=True)


def _is_locked(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
