"""Does this store keep its promises? Asked once, at start, with an object of its own.

P1  A store is used only after it was seen to refuse a second put_new of one name, to return what was stored, and to
    list it. The object that this took is removed again.
P2  A store that overwrites instead is refused (StoreUnfit), unless `allow_unconditional_writes` is set. Then put_new
    looks before it writes, which keeps one server from overwriting its own objects. Between the look and the write
    another server may still come in: two servers with one node id, or two that share a catalog, would not notice each
    other, and writes that one of them acknowledged could be lost.

Held by tests/unit/engine/test_storage_probe.py and tests/integration/test_stores.py (P1, P2).
"""

import logging
import secrets
from contextlib import suppress
from pathlib import Path

from engine.storage.base import Data, Listing, ObjectExists, ObjectMissing, ObjectStore, StoreError, StoreUnfit

log = logging.getLogger(__name__)
HINT = (
    "use a store that honours If-None-Match on PUT, or set --allow-unconditional-writes; then nothing keeps two "
    "servers with the same node id from overwriting each other's acknowledged writes"
)


def check_store(store: ObjectStore, prefix: str, *, allow_unconditional_writes: bool = False) -> ObjectStore:
    """The store to use: this one, or one that looks before it writes. Raises StoreUnfit for one not to be used."""
    path = "/".join(filter(None, (prefix, "dbs", "probe", secrets.token_hex(16), "object")))  # of a local store, `dbs` stays
    first, second = b"first " + secrets.token_bytes(16), b"second " + secrets.token_bytes(16)
    try:
        store.put_new(path, first)
        conditional = refuses(store, path, second)
        if store.get(path) != (first if conditional else second):
            raise StoreUnfit("check", store.url, path, "it returned other bytes than it was given")
        if path not in [info.path for info in store.list(path.rpartition("/")[0] + "/")]:
            raise StoreUnfit("check", store.url, path, "it does not list what it has just stored")
    finally:
        with suppress(StoreError):
            store.delete(path)
    if conditional:
        return store
    cause = "it overwrites objects that it was told to create only when there are none"
    if not allow_unconditional_writes:
        raise StoreUnfit("check", store.url, path, cause, hint=HINT)
    log.warning("%s: %s. It is used all the same: no second server may ever run with this node id", store.url, cause)
    return LookFirstStore(store)


def refuses(store: ObjectStore, path: str, data: bytes) -> bool:
    try:
        store.put_new(path, data)
    except ObjectExists:
        return True
    return False


class LookFirstStore:
    """put_new for a store that has none: P2 says what it is worth."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self.url = inner.url

    @property
    def durable_appends(self) -> Path | None:
        return self.inner.durable_appends

    def get(self, path: str) -> bytes:
        return self.inner.get(path)

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        return self.inner.get_range(path, offset, length)

    def put_new(self, path: str, data: Data) -> None:
        try:
            self.inner.get_range(path, 0, 1)
        except ObjectMissing:
            self.inner.put_new(path, data)
        else:
            raise ObjectExists(self.url, path)

    def put(self, path: str, data: Data) -> None:
        self.inner.put(path, data)

    def list(self, prefix: str) -> Listing:
        return self.inner.list(prefix)

    def delete(self, path: str) -> None:
        self.inner.delete(path)

    def local_path(self, path: str) -> Path | None:
        return self.inner.local_path(path)

    def close(self) -> None:
        self.inner.close()
