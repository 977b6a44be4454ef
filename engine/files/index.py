"""Which files are live: a list of manifests, one a snapshot, with a full index now and then.

F1  A file is live when a stored manifest added it and none removed it. Files without a manifest are leftovers.
F2  Manifest numbers are dense; a missing or damaged one stops the start and is named.
F3  Opening reads the newest index and the manifests behind it, so it costs what is live, not what ever was.
F4  Where no lock keeps a second process away, opening claims the next manifest number: the process before can finish no
    snapshot any more, so the files of one that it may have under way are leftovers.

Held by tests/unit/engine/test_file_index.py (F1-F4), tests/crash/test_stops.py (F1).
"""

import logging
from contextlib import suppress
from dataclasses import dataclass

from catalog.errors import Damaged
from engine.files.manifest import (
    DataFile,
    LiveFiles,
    Manifest,
    decode_live_files,
    decode_manifest,
    encode_live_files,
    encode_manifest,
)
from engine.paths import NodePaths, number_of
from engine.storage.base import ObjectExists, ObjectStore, StoreError, store_once

log = logging.getLogger(__name__)

_MANIFESTS_PER_INDEX = 32


@dataclass(frozen=True, slots=True)
class Opened:
    files: tuple[DataFile, ...]
    number: int
    wal_sequence: int


class FileIndex:
    """The live files of one node. One writer, the snapshot in progress."""

    def __init__(self, store: ObjectStore, paths: NodePaths, opened: Opened) -> None:
        self._store = store
        self._paths = paths
        self._live = {file.path: file for file in opened.files}
        self.number = opened.number
        self.wal_sequence = opened.wal_sequence

    @classmethod
    def open(cls, store: ObjectStore, paths: NodePaths) -> "FileIndex":
        objects = [info.path for info in store.list(paths.snapshot_prefix)]
        base = _newest_index(store, [path for path in objects if path.endswith(".index")])
        live = {file.path: file for file in base.files}
        number, wal_sequence = base.number, base.wal_sequence
        for path in (path for path in objects if path.endswith(".manifest") and number_of(path) > base.number):
            if number_of(path) != number + 1:
                missing = paths.manifest(number + 1)
                raise Damaged(f"{missing} is missing: the files it lists cannot be served", object=missing)
            manifest = decode_manifest(store.get(path), path)
            live.update({file.path: file for file in manifest.added})
            for removed in manifest.removed:
                live.pop(removed, None)
            number, wal_sequence = manifest.number, manifest.wal_sequence
        return cls(store, paths, Opened(tuple(live.values()), number, wal_sequence))

    @classmethod
    def claim(cls, store: ObjectStore, paths: NodePaths) -> "FileIndex":
        """Open, and be the only one who can add from now on (F4)."""
        while True:
            index = cls.open(store, paths)
            with suppress(ObjectExists):
                index.add(Manifest(index.number + 1, index.wal_sequence, (), ()))
                return index

    @property
    def files(self) -> tuple[DataFile, ...]:
        return tuple(self._live.values())

    def is_live(self, path: str) -> bool:
        return path in self._live

    def add(self, manifest: Manifest) -> None:
        """The moment a snapshot becomes true. After OutcomeUnknown: to be called again with the same manifest."""
        store_once(self._store, self._paths.manifest(manifest.number), encode_manifest(manifest))
        self._live.update({file.path: file for file in manifest.added})
        for removed in manifest.removed:
            self._live.pop(removed, None)
        self.number, self.wal_sequence = manifest.number, manifest.wal_sequence

    def write_index_if_due(self) -> None:
        """Keep the start short. What fails here is tried again later: the manifests are all there."""
        if self.number == 0 or self.number % _MANIFESTS_PER_INDEX:
            return
        live = LiveFiles(self.number, self.wal_sequence, self.files)
        try:
            self._store.put_new(self._paths.file_index(self.number), encode_live_files(live))
            self._drop_before(self.number - _MANIFESTS_PER_INDEX)
        except StoreError as error:
            log.warning("the file index was not brought up to date: %s", error)

    def _drop_before(self, number: int) -> None:
        """Keep the index before this one with its manifests, in case this one gets damaged."""
        for info in self._store.list(self._paths.snapshot_prefix):
            if number_of(info.path) < number or (number_of(info.path) == number and info.path.endswith(".manifest")):
                self._store.delete(info.path)


def _newest_index(store: ObjectStore, paths: list[str]) -> LiveFiles:
    for path in reversed(paths):
        try:
            return decode_live_files(store.get(path), path)
        except Damaged as error:
            log.error("%s; falling back to the one before", error)
    return LiveFiles(0, 0, ())
