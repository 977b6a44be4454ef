"""The catalog's log in the object store: one create-only object a commit.

L1  A number that is taken stays taken: LogTaken, and nothing changed.
L2  A commit that is missing while later ones are there is named when the log is first read to its end. Otherwise the catalog
    would fall back to what it was before that commit, and go on from there.

Held by tests/contract/test_catalog_log.py (L1) and tests/unit/engine/test_catalog_log.py (L2).
"""

from collections.abc import Iterator

import orjson

from catalog.errors import Damaged
from catalog.log import LogTaken
from engine.paths import CatalogPaths, number_of
from engine.storage.base import ObjectExists, ObjectMissing, ObjectStore


class StoredCatalogLog:
    def __init__(self, store: ObjectStore, paths: CatalogPaths) -> None:
        self._store = store
        self._paths = paths
        self._whole = False

    def append(self, sequence: int, data: bytes) -> None:
        try:
            self._store.put_new(self._paths.log(sequence), data)
        except ObjectExists:
            raise LogTaken(sequence) from None

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        sequence = after + 1
        while True:
            try:
                data = self._store.get(self._paths.log(sequence))
            except ObjectMissing:
                self._check_end(sequence)
                return
            yield sequence, data
            sequence += 1

    def is_there(self) -> bool:
        """Whether anybody has founded this catalog."""
        return self.read_checkpoint() is not None or next(iter(self.read(0)), None) is not None

    def write_checkpoint(self, sequence: int, data: bytes) -> None:
        self._store.put(self._paths.checkpoint, orjson.dumps({"sequence": sequence}) + b"\n" + data)

    def read_checkpoint(self) -> tuple[int, bytes] | None:
        try:
            head, _, data = self._store.get(self._paths.checkpoint).partition(b"\n")
        except ObjectMissing:
            return None
        try:
            return int(orjson.loads(head)["sequence"]), data
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise Damaged(f"{self._paths.checkpoint} is damaged", object=self._paths.checkpoint) from None

    def _check_end(self, sequence: int) -> None:
        """Is it the end of the log that this number is missing? Asked once: what follows, this process has read or written."""
        if self._whole:
            return
        later = [info.path for info in self._store.list(self._paths.log_prefix) if number_of(info.path) > sequence]
        if later and not self._is_there(sequence):
            missing = self._paths.log(sequence)
            raise Damaged(f"{missing} is missing: the catalog cannot be read beyond it, up to {later[-1]}", object=missing)
        self._whole = True

    def _is_there(self, sequence: int) -> bool:
        """Another node may have committed while we listed."""
        try:
            return bool(self._store.get(self._paths.log(sequence)))
        except ObjectMissing:
            return False

    def batch_name(self, sequence: int) -> str:
        return self._paths.log(sequence)

    def checkpoint_name(self) -> str:
        return self._paths.checkpoint
