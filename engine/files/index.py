"""Which files are live: a list of manifests, one a snapshot, with a full index now and then.

F1  A file is live when a stored manifest added it and none removed it. Files without a manifest are leftovers.
F2  Manifest numbers are dense; a missing or damaged one stops the start and is named.
F3  Opening reads the newest index and the manifests behind it, so it costs what is live, not what ever was.
F4  A manifest whose fate is unknown is stored again until it is known: nobody goes on in doubt about which files are live.
F5  A manifest whose number somebody else has taken means that the node is no longer ours (engine.ownership).

Held by tests/unit/engine/test_file_index.py (F1-F5).
"""

import logging
import threading

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
from engine.ownership import Fenced
from engine.paths import NodePaths, number_of
from engine.storage.ahead import read_ahead
from engine.storage.base import ObjectExists, ObjectMissing, ObjectStore, OutcomeUnknown, StoreError, store_once

log = logging.getLogger(__name__)

_MANIFESTS_PER_INDEX = 32
_SETTLE_EVERY_S = 0.25


class FileIndex:
    """The live files of one node. One writer, the snapshot in progress."""

    def __init__(self, store: ObjectStore, paths: NodePaths, base: LiveFiles) -> None:
        """Call `open`."""
        self._store = store
        self._paths = paths
        self._live = {file.path: file for file in base.files}
        self._indexed = base.number
        self._giving_up = threading.Event()
        self.number = base.number
        self.wal_sequence = base.wal_sequence

    @classmethod
    def open(cls, store: ObjectStore, paths: NodePaths) -> "FileIndex":
        objects = store.list(paths.snapshot_prefix)
        index = cls(store, paths, _newest_index(store, [info.path for info in objects if info.path.endswith(".index")]))
        later = [info for info in objects if info.path.endswith(".manifest") and number_of(info.path) > index.number]
        for info, data in read_ahead(store.get, later):
            if number_of(info.path) != index.number + 1:
                missing = paths.manifest(index.number + 1)
                raise Damaged(f"{missing} is missing: the files it lists cannot be served", object=missing)
            index._apply(decode_manifest(data, info.path))
        return index

    def claim(self, instance_id: str) -> None:
        """Take the next number, so that whoever ran the node before cannot; what that one stored until then is taken in."""
        while True:
            number = self.number
            try:
                return self.add(Manifest(number + 1, self.wal_sequence, (), (), instance_id))
            except Fenced:
                self._read_on()
                if self.number == number:
                    raise

    def give_up(self) -> None:
        """The process ends: do not wait any longer for what cannot be known now."""
        self._giving_up.set()

    @property
    def files(self) -> tuple[DataFile, ...]:
        return tuple(self._live.values())

    def newest_ns(self) -> dict[tuple[int, int], int]:
        """The last time in the files of each table, by the ids of database and table."""
        found: dict[tuple[int, int], int] = {}
        for file in self._live.values():
            key = file.database_id, file.table_id
            found[key] = max(found.get(key, file.time_max_ns), file.time_max_ns)
        return found

    def is_live(self, path: str) -> bool:
        return path in self._live

    def add(self, manifest: Manifest) -> None:
        """The moment a snapshot becomes true."""
        path, data = self._paths.manifest(manifest.number), encode_manifest(manifest)
        try:
            self._store.put_new(path, data)
        except OutcomeUnknown as error:
            log.error("whether a snapshot is true is unknown, no other is taken until it is known: %s", error)
            self._make_sure(path, data)
        except ObjectExists:
            raise _taken(path) from None
        self._apply(manifest)

    def write_index_if_due(self) -> None:
        """Keep the start short. What fails here is tried again later: the manifests are all there."""
        if self.number - self._indexed < _MANIFESTS_PER_INDEX:
            return
        live = LiveFiles(self.number, self.wal_sequence, self.files)
        try:
            self._store.put_new(self._paths.file_index(self.number), encode_live_files(live))
            before, self._indexed = self._indexed, self.number
            self._drop_before(before)
        except StoreError as error:
            log.warning("the file index was not brought up to date: %s", error)

    def _apply(self, manifest: Manifest) -> None:
        self._live.update({file.path: file for file in manifest.added})
        for removed in manifest.removed:
            self._live.pop(removed, None)
        self.number, self.wal_sequence = manifest.number, manifest.wal_sequence

    def _read_on(self) -> None:
        while True:
            path = self._paths.manifest(self.number + 1)
            try:
                data = self._store.get(path)
            except ObjectMissing:
                return
            self._apply(decode_manifest(data, path))

    def _make_sure(self, path: str, data: bytes) -> None:
        """Return when the manifest is stored (F4). A lost request may still arrive, so nothing else can become certain."""
        while True:
            try:
                return store_once(self._store, path, data)
            except ObjectExists:
                raise _taken(path) from None
            except StoreError as error:
                log.debug("still unknown: %s", error)
                if self._giving_up.wait(_SETTLE_EVERY_S):
                    raise

    def _drop_before(self, number: int) -> None:
        """Keep the index before this one with its manifests, in case this one gets damaged."""
        for info in self._store.list(self._paths.snapshot_prefix):
            if number_of(info.path) < number or (number_of(info.path) == number and info.path.endswith(".manifest")):
                self._store.delete(info.path)


def _taken(path: str) -> Fenced:
    return Fenced(f"{path} exists already: another server has started as this node and owns its data now")


def _newest_index(store: ObjectStore, paths: list[str]) -> LiveFiles:
    for path in reversed(paths):
        try:
            return decode_live_files(store.get(path), path)
        except Damaged as error:
            log.error("%s; falling back to the one before", error)
    return LiveFiles(0, 0, ())
