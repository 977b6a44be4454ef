"""Logs and stores that fail when a test says so."""

import errno
from pathlib import Path
from threading import Event

from engine.storage.base import Data, ObjectStore, OutcomeUnknown, StoreFull, StoreUnavailable
from engine.storage.memory import MemoryStore
from engine.wal.codec import CLAIM_BYTES
from engine.wal.log import Pieces, SyncedFile


class DoubtfulStore(MemoryStore):
    """`faults` are taken one by one by put_new: "lost" (the request never came), "unanswered" (it did, its answer did not),
    "full", or None for a store that works. `late` arrives just before the next put_new. So many reads of paths that end with
    `unreadable_ending` have no answer."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str | None] = []
        self.unreadable = 0
        self.unreadable_ending = ""
        self.late: tuple[str, bytes] | None = None

    def put_new(self, path: str, data: Data) -> None:
        if self.late is not None:
            (late_path, late_data), self.late = self.late, None
            super().put_new(late_path, late_data)
        fault = self.faults.pop(0) if self.faults else None
        if fault == "full":
            raise StoreFull("store", self.url, path, "no space")
        if fault == "lost":
            raise OutcomeUnknown("store", self.url, path, "no answer")
        super().put_new(path, data)
        if fault == "unanswered":
            raise OutcomeUnknown("store", self.url, path, "no answer")

    def get(self, path: str) -> bytes:
        if self.unreadable and path.endswith(self.unreadable_ending):
            self.unreadable -= 1
            raise StoreUnavailable("read", self.url, path, "no answer")
        return super().get(path)


class FaultyFile(SyncedFile):
    """A segment file on a disk whose faults are set from outside."""

    #: bytes of the next append that reach the file before it fails; None: it does not fail
    torn_after: int | None = None
    #: so many truncations fail
    stuck = 0
    #: an append waits here for the test's word
    gate: Event | None = None
    appends = 0

    def append(self, pieces: Pieces) -> None:
        type(self).appends += 1
        if self.gate is not None:
            assert self.gate.wait(60)
        if self.torn_after is None:
            super().append(pieces)
            return
        torn, type(self).torn_after = self.torn_after, None
        before = self.size
        super().append([b"".join(bytes(memoryview(piece)) for piece in pieces)[:torn]])
        self.size = before
        raise OSError(errno.EIO, "Input/output error")

    def truncate(self, size: int) -> None:
        if self.stuck:
            type(self).stuck -= 1
            raise OSError(errno.EIO, "Input/output error")
        super().truncate(size)


def faulty_file() -> type[FaultyFile]:
    """A class of its own for a test: faults are set on it."""
    return type("File", (FaultyFile,), {})


def flip(path: Path, at: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


def objects_with_rows(store: ObjectStore) -> list[str]:
    """The objects of node n's log but for its claims, in order."""
    return [info.path for info in store.list("n/wal/") if info.size != CLAIM_BYTES]
