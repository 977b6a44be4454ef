"""Objects as files below one directory.

    put_new    temporary file beside the name ─▶ write ─▶ fdatasync ─▶ link to the name ─▶ unlink ─▶ fsync directory
    put        temporary file beside the name ─▶ write ─▶ fdatasync ─▶ rename over it ─────────────▶ fsync directory
    put_new_all   the same steps, each for all objects before the next: the file system writes its journal once a step

L1  A name appears by link or rename only, after its bytes are synced: a crash leaves a whole file or none.
L2  link fails when the name is taken, between threads and between processes, so put_new is create-only (S2).
L3  A call returns after the file, its entry, and the entry of every directory that was made for it are synced.
    A name that was found taken is synced too before ObjectExists is raised, so whoever then reads it may rely on it.
L4  Temporary files begin with a dot, which no object's name does. Each is locked (flock) while in use; opening the
    store removes those that nobody holds, which is what a crash left behind.
L5  The root directory is made at open and never again: a file system that was unmounted is an error, not an empty store.
L6  Directories that deletion empties are removed, but for those one and two levels below the root: in these,
    others append to files of their own.
L7  Until the name is there a failure leaves nothing behind and is definite; after that it is OutcomeUnknown.
L8  Who only looks (`only_reading`) changes nothing by opening, not even what a crash left behind.

Held by tests/unit/engine/test_storage_local.py (L1-L8) and tests/contract/test_object_store.py (L2).
Elsewhere: appending to segment files under `durable_appends` (engine.wal); one server per node (flightserver).
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from engine.storage.base import (
    NAME,
    Data,
    Doing,
    Listing,
    ObjectExists,
    ObjectInfo,
    ObjectMissing,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StorePermission,
    StoreUnavailable,
    StoreUnfit,
    check_path,
    check_prefix,
    octets,
)
from engine.storage.syncing import can_sync_whole, sync_whole

TEMPORARY = ".tmp-"
WORTH_WHILE = 4
TOGETHER = 256  # objects at a time: each keeps a file open
KEPT_LEVELS = 2
FULL = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "beyond the largest file allowed",
}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class LocalStore:
    def __init__(self, root: Path | str, *, only_reading: bool = False) -> None:
        self.root = Path(root).absolute()
        self.url = self.root.as_uri()
        self.durable_appends: Path | None = self.root
        self._top = str(self.root)
        self._directories = Lock()  # held while directories are made or removed, and while a file is begun in one
        self._synced: set[str] = {""}  # directories whose own entries are known to be synced
        self._syncs_whole = False
        if only_reading:
            self._check_root("open", "")
            return
        try:
            self.root.mkdir(0o750, parents=True, exist_ok=True)
            with suppress(PermissionError):  # the directory above may be somebody else's
                sync_directory(str(self.root.parent))
            self._sweep()
            self._syncs_whole = can_sync_whole(self._top)
        except (FileExistsError, NotADirectoryError):
            cause = "a file is there, where a directory is needed"
            raise StoreUnfit("open", self.url, "", cause, hint=HINT_DIRECTORY) from None
        except FileNotFoundError as error:
            raise StoreUnfit("open", self.url, "", reason(error), hint=HINT_DIRECTORY) from error
        except OSError as error:
            raise explain("open", self.url, "", error) from error

    def get(self, path: str) -> bytes:
        check_path("read", self.url, path)
        with self._reading("read", path), open(self._file(path), "rb", buffering=0) as file:
            return file.readall()

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        check_path("read", self.url, path)
        with self._reading("read", path), open(self._file(path), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def put_new(self, path: str, data: Data) -> None:
        with self._temporary(path, data) as temporary:
            self._link(path, temporary)
            self._sync_entry("store", path)

    def put_new_all(self, objects: Sequence[tuple[str, Data]]) -> None:
        for at in range(0, len(objects), TOGETHER):
            several = objects[at : at + TOGETHER]
            if len(several) < WORTH_WHILE:
                for path, data in several:
                    self.put_new(path, data)
            else:
                self._put_new_together(several)

    def put(self, path: str, data: Data) -> None:
        with self._temporary(path, data) as temporary:
            os.rename(temporary, self._file(path))
            self._sync_entry("store", path)

    def list(self, prefix: str) -> Listing:
        directory, name = check_prefix(self.url, prefix)
        with self._reading("list", prefix):
            found = list(self._walk(directory, name))
        found.sort(key=lambda info: info.path)
        return found

    def delete(self, path: str) -> None:
        check_path("delete", self.url, path)
        try:
            os.unlink(self._file(path))
        except FileNotFoundError:
            self._check_root("delete", path)
        except OSError as error:
            raise explain("delete", self.url, path, error) from error
        else:
            self._prune(path)

    def local_path(self, path: str) -> Path | None:
        return self.root / check_path("read", self.url, path)

    def close(self) -> None:
        """Nothing is held between calls."""

    # files

    def _file(self, path: str) -> str:
        return f"{self._top}/{path}"

    @contextmanager
    def _reading(self, doing: Doing, path: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._check_root(doing, path)
            raise ObjectMissing(self.url, path) from None
        except OSError as error:
            raise explain(doing, self.url, path, error) from error

    @contextmanager
    def _temporary(self, path: str, data: Data) -> Iterator[str]:
        """A synced file with these bytes beside the object's name; gone afterwards. Failures in here are definite (L7)."""
        with self._storing(path):
            temporary, descriptor = self._written(path, data)
            try:
                os.fdatasync(descriptor)
                yield temporary
            finally:
                _end(temporary, descriptor)

    def _put_new_together(self, objects: Sequence[tuple[str, Data]]) -> None:
        """As put_new, each step for all of them before the next one; nothing is kept that is not named by the end."""
        begun: list[tuple[str, str, int]] = []
        try:
            with self._storing(objects[0][0]), self._directories:
                made = self._make_all(check_path("store", self.url, path).rpartition("/")[0] for path, _ in objects)
            for path, data in objects:
                with self._storing(path):
                    begun.append((path, *self._written(path, data, in_made=True)))
            with self._storing(objects[0][0]):
                if self._syncs_whole:
                    sync_whole(begun[0][2])
                else:
                    self._sync_each([descriptor for *_, descriptor in begun], {each.rpartition("/")[0] for each in made})
                self._synced.update(made)
            for path, temporary, _ in begun:
                with self._storing(path):
                    self._link(path, temporary)
            self._sync_entries([path for path, *_ in begun], begun[0][2])
        finally:
            for _, temporary, descriptor in begun:
                _end(temporary, descriptor)

    def _sync_each(self, descriptors: Iterable[int], directories: Iterable[str]) -> None:
        for descriptor in descriptors:
            os.fdatasync(descriptor)
        for directory in directories:
            sync_directory(self._file(directory))

    def _sync_entries(self, paths: Sequence[str], descriptor: int) -> None:
        """`_sync_entry` for many."""
        if not self._syncs_whole:
            for path in {path.rpartition("/")[0]: path for path in paths}.values():
                self._sync_entry("store", path)
            return
        try:
            sync_whole(descriptor)
        except OSError as error:
            raise OutcomeUnknown("store", self.url, paths[0], f"it could not be synced: {reason(error)}") from error

    @contextmanager
    def _storing(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._check_root("store", path)
            raise explain("store", self.url, path, error) from error

    def _written(self, path: str, data: Data, *, in_made: bool = False) -> tuple[str, int]:
        """A temporary file beside the object's name with these bytes, which are not synced yet, and its descriptor.

        `in_made`: in a directory that has just been made, whose entry somebody is about to sync."""
        check_path("store", self.url, path)
        with self._directories:
            temporary, descriptor = self._begin_in_made(path) if in_made else self._begin(path)
        try:
            write_all(descriptor, data)
        except BaseException:
            _end(temporary, descriptor)
            raise
        return temporary, descriptor

    def _link(self, path: str, temporary: str) -> None:
        """Give the object its name (L1, L2)."""
        try:
            os.link(temporary, self._file(path))
        except FileExistsError:
            self._sync_entry("store", path)  # L3
            raise ObjectExists(self.url, path) from None
        except OSError as error:
            if error.errno in NO_LINKS:
                raise StoreUnfit("store", self.url, path, "the file system has no hard links", hint=HINT_LINKS) from error
            raise
        with suppress(OSError):
            os.unlink(temporary)  # its entry goes with the sync to come; a failure leaves work for the next open

    def _begin(self, path: str) -> tuple[str, int]:
        """A new locked file in the object's directory, which is made when it is missing."""
        directory = path.rpartition("/")[0]
        try:
            self._make(directory)
            return create_held(self._file(directory))
        except FileNotFoundError:  # somebody removed directories that we knew: make them again, or find the root gone
            self._synced = {""}
            self._make(directory)
            return create_held(self._file(directory))

    def _begin_in_made(self, path: str) -> tuple[str, int]:
        try:
            return create_held(self._file(path.rpartition("/")[0]))
        except FileNotFoundError:  # it was empty, and a deletion has taken it along
            return self._begin(path)

    def _sync_entry(self, doing: Doing, path: str) -> None:
        """Make the object's name durable; by now the name is there, so a failure leaves the outcome open (L7)."""
        try:
            sync_directory(self._file(path.rpartition("/")[0]))
        except OSError as error:
            raise OutcomeUnknown(doing, self.url, path, f"its directory could not be synced: {reason(error)}") from error

    # directories

    def _make(self, directory: str) -> None:
        if directory in self._synced:
            return
        parent = directory.rpartition("/")[0]
        self._make(parent)
        with suppress(FileExistsError):
            os.mkdir(self._file(directory), 0o750)
        sync_directory(self._file(parent))
        self._synced.add(directory)

    def _make_all(self, directories: Iterable[str]) -> Sequence[str]:
        """Make what is missing of these directories. Whoever calls syncs the entries of what is returned."""
        made: dict[str, None] = {}
        for directory in directories:
            missing: list[str] = []
            while directory not in self._synced and directory not in made:
                missing.append(directory)
                directory = directory.rpartition("/")[0]
            for each in reversed(missing):
                with suppress(FileExistsError):
                    os.mkdir(self._file(each), 0o750)
                made[each] = None
        return tuple(made)

    def _prune(self, path: str) -> None:
        """Remove the directories that are empty now, from the object's upwards (L6)."""
        names = path.split("/")[:-1]
        with self._directories, suppress(OSError):
            while len(names) > KEPT_LEVELS:
                directory = "/".join(names)
                self._synced.discard(directory)
                os.rmdir(self._file(directory))
                names.pop()

    def _walk(self, directory: str, beginning: str) -> Iterator[ObjectInfo]:
        """The objects in a directory ("" or "a/b/") and below it, unordered; what is no object's name is passed over."""
        try:
            entries = list(os.scandir(self._file(directory)))
        except (FileNotFoundError, NotADirectoryError):
            self._check_root("list", directory)
            return
        for entry in entries:
            if not entry.name.startswith(beginning) or not NAME.fullmatch(entry.name):
                continue
            if entry.is_dir():
                yield from self._walk(f"{directory}{entry.name}/", "")
            elif entry.is_file():
                with suppress(FileNotFoundError):  # deleted meanwhile
                    yield ObjectInfo(directory + entry.name, entry.stat().st_size)

    def _check_root(self, doing: Doing, path: str) -> None:
        if not os.path.isdir(self._top):
            raise StoreUnavailable(doing, self.url, path, "the data directory is gone") from None

    def _sweep(self) -> None:
        """Remove the temporary files that nobody holds (L4)."""
        for directory, _, names in os.walk(self._top):
            for name in names:
                if name.startswith(TEMPORARY):
                    remove_unless_held(os.path.join(directory, name))


HINT_FULL = "free some space or raise the limit; the server goes on by itself"
HINT_FORBIDDEN = "let the server's user read and write the data directory and all in it"
HINT_LINKS = "keep the data directory on a file system with hard links, such as ext4, xfs, btrfs or zfs"
HINT_DIRECTORY = "name a directory with --data-dir that is there or can be made"
CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC


def _end(temporary: str, descriptor: int) -> None:
    os.close(descriptor)
    with suppress(OSError):
        os.unlink(temporary)


def write_all(descriptor: int, data: Data) -> None:
    left = octets(data)
    while left:
        left = left[os.write(descriptor, left) :]


def sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_held(directory: str) -> tuple[str, int]:
    """A new temporary file that no sweep takes away: one that came between its creation and its lock has left no name."""
    while True:
        temporary = f"{directory}/{TEMPORARY}{secrets.token_hex(8)}"
        descriptor = os.open(temporary, CREATE, 0o640)
        with suppress(OSError):  # where there are no locks a sweep gets none either, and leaves the file alone
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)


def remove_unless_held(temporary: str) -> None:
    with suppress(OSError):
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(temporary)
        finally:
            os.close(descriptor)


def explain(doing: Doing, url: str, path: str, error: OSError) -> StoreError:
    """What an operating system error means to whoever wanted something done."""
    if error.errno in FULL:
        return StoreFull(doing, url, path, FULL[error.errno], hint=HINT_FULL)
    if error.errno in FORBIDDEN:
        return StorePermission(doing, url, path, reason(error), hint=HINT_FORBIDDEN)
    return StoreUnavailable(doing, url, path, reason(error))


def reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
