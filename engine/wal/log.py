"""Where groups are kept: appended to segment files on a local disk, one create-only object each on a remote store.

G1  An object is created once under the sequence number of its first group; a second owner of the node is thereby stopped.
    What stops it is a claim: a group without rows, whose name stays taken when the groups around it are trimmed.
G2  `append` returns when the group is durable. It raises OutcomeUnknown when nobody can tell, and any other StoreError
    when the group is certainly not stored and the log is as it was before.
G3  After OutcomeUnknown nothing is appended until `resolve` has told the outcome.
G4  Trimming leaves what a start needs, the newest objects beyond that as far as they are wanted, and the claims of the last
    thousand starts: the number of objects is bounded.

Held by tests/unit/engine/test_wal_log.py (G1-G4).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from engine.ownership import Fenced
from engine.paths import NodePaths, number_of
from engine.storage.base import ObjectExists, ObjectInfo, ObjectStore, OutcomeUnknown, store_once
from engine.storage.local import explain, sync_directory
from engine.wal.codec import CLAIM_BYTES, encode_claim

Pieces = Sequence[pa.Buffer | bytes]

_DELETIONS_AT_ONCE = 8
_CLAIMS_KEPT = 1000  # of a start each


class GroupLog(Protocol):
    #: how long to wait between groups when nobody forces us: a remote store bills each request
    spacing_matters: bool
    #: how many objects to keep that snapshots have made unnecessary, unless somebody says otherwise
    kept_objects: int

    def append(self, sequence: int, pieces: Pieces) -> None: ...
    def resolve(self) -> bool:
        """Whether the group of unknown outcome is stored; raises StoreError while that still cannot be told."""
        ...

    def roll(self) -> None:
        """The next group starts a new object."""
        ...

    @property
    def open_bytes(self) -> int:
        """Size of the object that is being appended to."""
        ...

    def objects(self) -> list[ObjectInfo]: ...
    def is_claim(self, info: ObjectInfo) -> bool:
        """Whether an object holds nothing but its number: nobody has to read it."""
        ...

    def read(self, path: str) -> bytes: ...
    def cut(self, path: str, size: int) -> bool:
        """Remove the torn end of the last object; False where an object has no torn end, but is whole or damaged."""
        ...

    def trim(self, through_sequence: int, keep: int = 0) -> int:
        """Delete the objects that hold nothing after `through_sequence`, but the newest `keep` of them; how many went."""
        ...

    def close(self) -> None: ...


class SegmentFile(Protocol):
    """An open file at whose end groups are added."""

    size: int

    def append(self, pieces: Pieces) -> None:
        """Write and sync."""
        ...

    def truncate(self, size: int) -> None:
        """Cut and sync."""
        ...

    def close(self) -> None: ...


class SyncedFile:
    """The real one."""

    def __init__(self, path: Path, *, create: bool) -> None:
        flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        self._descriptor = os.open(path, flags, 0o640)
        self.size = os.fstat(self._descriptor).st_size
        if create:
            self._enter(path)

    def append(self, pieces: Pieces) -> None:
        remaining = [memoryview(piece) for piece in pieces]
        at = self.size
        while remaining:
            written = os.pwritev(self._descriptor, remaining[:512], at)
            at += written
            while remaining and written >= remaining[0].nbytes:
                written -= remaining.pop(0).nbytes
            if written:
                remaining[0] = remaining[0][written:]
        os.fdatasync(self._descriptor)
        self.size = at

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)
        self.size = size

    def close(self) -> None:
        os.close(self._descriptor)

    def _enter(self, path: Path) -> None:
        """Make the new name durable, or take it back."""
        try:
            sync_directory(str(path.parent))
        except OSError:
            os.close(self._descriptor)
            os.unlink(path)
            raise


class SegmentLog:
    """Groups appended to files below the store's own directory, one fdatasync a group."""

    spacing_matters = False
    kept_objects = 0  # each has 64 MiB

    def __init__(self, store: ObjectStore, paths: NodePaths, open_file: Callable[..., SegmentFile] = SyncedFile) -> None:
        assert store.durable_appends is not None
        self._store = store
        self._paths = paths
        self._root = store.durable_appends
        self._open_file = open_file
        self._file: SegmentFile | None = None
        self._path = ""
        self._doubtful = False
        directory = self._root / paths.wal_prefix
        try:
            directory.mkdir(parents=True, exist_ok=True)
            sync_directory(str(directory.parent))  # or all groups would be as lost as the name of their directory
        except OSError as error:
            raise explain("open", store.url, paths.wal_prefix.rstrip("/"), error) from error

    @property
    def open_bytes(self) -> int:
        return self._file.size if self._file else 0

    def append(self, sequence: int, pieces: Pieces) -> None:
        assert not self._doubtful, "resolve first"
        try:
            file = self._file or self._create(sequence)
        except FileExistsError:
            raise Fenced(f"{self._paths.wal(sequence)} exists already: another process writes the log of this node") from None
        except OSError as error:
            raise explain("store", self._store.url, self._paths.wal(sequence), error) from error
        before = file.size
        try:
            file.append(pieces)
        except OSError as error:
            self._doubtful = True
            try:
                file.truncate(before)
            except OSError:
                raise OutcomeUnknown(
                    "store", self._store.url, self._path, f"{error.strerror}, and its end cannot be cut off"
                ) from error
            self._doubtful = False
            raise explain("store", self._store.url, self._path, error) from error

    def resolve(self) -> bool:
        """Cutting the file back settles it: the group is not stored."""
        assert self._file is not None
        try:
            self._file.truncate(self._file.size)
        except OSError as error:
            raise explain("store", self._store.url, self._path, error) from error
        self._doubtful = False
        return False

    def roll(self) -> None:
        if self._file is not None and self._file.size > 0:
            self._file.close()
            self._file = None

    def objects(self) -> list[ObjectInfo]:
        return self._store.list(self._paths.wal_prefix)

    def is_claim(self, info: ObjectInfo) -> bool:
        return False

    def read(self, path: str) -> bytes:
        return self._store.get(path)

    def cut(self, path: str, size: int) -> bool:
        if size == 0:  # its name is the one that the next group wants
            self._store.delete(path)
            return True
        try:
            file = self._open_file(self._root / path, create=False)
            file.truncate(size)
            file.close()
        except OSError as error:
            raise explain("store", self._store.url, path, error) from error
        return True

    def trim(self, through_sequence: int, keep: int = 0) -> int:
        objects = self.objects()
        behind = [info for info in _behind(objects, through_sequence) if self._file is None or info.path != self._path]
        return _delete(self._store, _but_newest(behind, keep))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _create(self, sequence: int) -> SegmentFile:
        self._path = self._paths.wal(sequence)
        self._file = self._open_file(self._root / self._path, create=True)
        return self._file


class ObjectLog:
    """One create-only object a group."""

    kept_objects = 300

    def __init__(self, store: ObjectStore, paths: NodePaths, *, spacing_matters: bool = True) -> None:
        self.spacing_matters = spacing_matters
        self._store = store
        self._paths = paths
        self._doubt: tuple[str, bytes] | None = None

    @property
    def open_bytes(self) -> int:
        return 0

    def append(self, sequence: int, pieces: Pieces) -> None:
        assert self._doubt is None, "resolve first"
        path, data = self._paths.wal(sequence), b"".join(pieces)
        try:
            self._store.put_new(path, data)
        except ObjectExists:
            raise Fenced(f"{path} exists already: another process writes the log of this node") from None
        except OutcomeUnknown:
            self._doubt = (path, data)
            raise

    def resolve(self) -> bool:
        """By storing it again: a request that seems lost may still arrive, so only "stored" is certain."""
        assert self._doubt is not None
        path, data = self._doubt
        try:
            store_once(self._store, path, data)
        except ObjectExists:
            raise Fenced(f"{path} was written by another process: this one must stop") from None
        self._doubt = None
        return True

    def roll(self) -> None:
        """Every object is a new one."""

    def objects(self) -> list[ObjectInfo]:
        return self._store.list(self._paths.wal_prefix)

    def is_claim(self, info: ObjectInfo) -> bool:
        return info.size == CLAIM_BYTES

    def read(self, path: str) -> bytes:
        return self._store.get(path)

    def cut(self, path: str, size: int) -> bool:
        return False

    def trim(self, through_sequence: int, keep: int = 0) -> int:
        behind = _behind(self.objects(), through_sequence)
        claims = [info for info in behind if self.is_claim(info)]
        groups = [info for info in behind if not self.is_claim(info)]
        return _delete(self._store, [*_but_newest(claims, _CLAIMS_KEPT), *_but_newest(groups, keep)])

    def close(self) -> None:
        """Nothing is held open."""


def open_log(store: ObjectStore, paths: NodePaths) -> GroupLog:
    if store.durable_appends is not None:
        return SegmentLog(store, paths)
    return ObjectLog(store, paths, spacing_matters=store.url != "memory://")


def claim(groups: GroupLog, after_sequence: int, instance_id: str) -> int:
    """Take the next name of the log, so that whoever wrote it before stops there; its number.

    `after_sequence`: how far the log goes at least, whatever may have been trimmed.
    """
    while True:
        sequence = next_sequence(groups, after_sequence)
        try:
            groups.append(sequence, encode_claim(sequence, instance_id))
        except Fenced:
            continue  # the other one was faster, this time
        return sequence


def next_sequence(groups: GroupLog, last_sequence: int) -> int:
    """The number of the next group: behind the last one, and behind what a damaged object has taken."""
    return max(last_sequence, *(number_of(info.path) for info in groups.objects()[-1:]), 0) + 1


def _behind(objects: Sequence[ObjectInfo], through_sequence: int) -> list[ObjectInfo]:
    """The objects without a group after `through_sequence`: each ends where the next one starts."""
    if not objects:
        return []
    ends = [number_of(later.path) - 1 for later in objects[1:]] + [through_sequence]
    return [
        info
        for info, end in zip(objects, ends, strict=True)
        if number_of(info.path) <= through_sequence and end <= through_sequence
    ]


def _but_newest(objects: Sequence[ObjectInfo], count: int) -> Sequence[ObjectInfo]:
    return objects[: max(0, len(objects) - count)]


def _delete(store: ObjectStore, objects: Sequence[ObjectInfo]) -> int:
    with ThreadPoolExecutor(_DELETIONS_AT_ONCE, thread_name_prefix="trim") as pool:
        for _ in pool.map(lambda info: store.delete(info.path), objects):
            pass
    return len(objects)
