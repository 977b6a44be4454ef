"""The catalog's log in the object store: one create-only object a commit.

L1  A number that is taken stays taken: LogTaken, and nothing changed.

Held by tests/contract/test_catalog_log.py (L1).
"""

from collections.abc import Iterator

import orjson

from catalog.errors import Damaged
from catalog.log import LogTaken
from engine.paths import CatalogPaths
from engine.storage.base import ObjectExists, ObjectMissing, ObjectStore


class StoredCatalogLog:
    def __init__(self, store: ObjectStore, paths: CatalogPaths) -> None:
        self._store = store
        self._paths = paths

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
                return
            yield sequence, data
            sequence += 1

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

    def batch_name(self, sequence: int) -> str:
        return self._paths.log(sequence)

    def checkpoint_name(self) -> str:
        return self._paths.checkpoint
