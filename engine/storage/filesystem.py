"""Any object store as an fsspec filesystem, for libraries that read through one (pyarrow, DuckDB, pandas).

F1  Reading only: whatever would change something raises NotImplementedError (fsspec's own answer).
F2  A file is read by ranges, with the retries and the errors of the store; a missing object is FileNotFoundError,
    as those libraries expect. Nothing is cached.

    pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(StoreFileSystem(store)))

Held by tests/unit/engine/test_storage_filesystem.py (F1, F2).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from engine.storage.base import ObjectInfo, ObjectMissing, ObjectStore

Info = dict[str, str | int]


class StoreFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    protocol = "flightline"
    root_marker = ""
    cachable = False  # fsspec would hand the first store's filesystem to everyone

    def __init__(self, store: ObjectStore) -> None:
        super().__init__()
        self.store = store

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.strip("/")

    def info(self, path: str, **_: Any) -> Info:
        wanted = self._strip_protocol(path)
        if not wanted:
            return directory_info("")
        for found in self.store.list(wanted):
            if found.path == wanted:
                return file_info(found)
            if found.path.startswith(wanted + "/"):
                return directory_info(wanted)
        raise FileNotFoundError(path)

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Info] | list[str]:
        wanted = self._strip_protocol(path)
        beginning = f"{wanted}/" if wanted else ""
        entries: dict[str, Info] = {}
        for found in self.store.list(beginning):
            name, deeper, _rest = found.path[len(beginning) :].partition("/")
            entries[name] = directory_info(beginning + name) if deeper else file_info(found)
        if not entries:
            entries = {"": self.info(wanted)} if wanted else {}
        return list(entries.values()) if detail else [str(entry["name"]) for entry in entries.values()]

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        wanted = self._strip_protocol(path)
        with missing_is_file_not_found():
            if start is None and end is None:
                return self.store.get(wanted)
            if (start or 0) >= 0 and end is not None and end >= 0:
                return self.store.get_range(wanted, start or 0, max(0, end - (start or 0)))
            return self.store.get(wanted)[start:end]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> "StoreFile":
        if mode != "rb":
            raise NotImplementedError("objects are opened for reading only")
        return StoreFile(self, path, mode, **{**options, "cache_type": "none"})


class StoreFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    def _fetch_range(self, start: int, end: int) -> bytes:
        found: bytes = self.fs.cat_file(self.path, start, end)
        return found


def file_info(found: ObjectInfo) -> Info:
    return {"name": found.path, "size": found.size, "type": "file"}


def directory_info(path: str) -> Info:
    return {"name": path, "size": 0, "type": "directory"}


@contextmanager
def missing_is_file_not_found() -> Iterator[None]:
    try:
        yield
    except ObjectMissing as error:
        raise FileNotFoundError(str(error)) from error
