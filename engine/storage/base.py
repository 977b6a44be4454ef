"""What the engine asks of a place that keeps objects, and what it takes for granted there.

An object is bytes under a path such as `node/wal/00000000001.wal`. Every implementation promises:

S1  An object is there whole or not at all; neither a reader nor a listing ever meets a part of one.
S2  put_new stores under a name that is free, or raises ObjectExists and changes nothing. Of several
    callers that want one name, on any number of machines, one gets it.
S3  What put_new or put returned from survives the death of the process and of the machine (`memory`
    excepted), and every get and every list that begins afterwards sees it.
S4  A listing holds each object whose path begins with the prefix once, sorted by path, and nothing else.
    An object that is created or deleted meanwhile may be in it or not.
S5  An error names the object and the store. It also says what became of a change: after OutcomeUnknown it
    may have happened, may be half durable, or may still happen; after any other error it has not and will not.
S6  No failure lasts longer than its cause: the same store object works again once the cause has gone.
S7  A path is made of names of letters, digits and `_ - = .` that do not begin with a dot, joined by single
    slashes. Nothing else is ever looked up, so no path leaves the store.
S8  All methods may be called from any thread at any time.

And every caller knows:

-   A deleted object may be back after a power failure (`file` does not sync deletions).
-   put is last-come-last-served; a request that was given up for lost may still arrive and win. What must
    not be overwritten is stored with put_new.
-   An object's path is never also a directory of another object.
-   Two callers who store equal bytes under one name may both be told that they did it (store_once); who
    needs to know the winner puts an identifier of its own into the bytes.

    StoreError                  the base; kind "unavailable"
      StoreUnavailable          not now: no connection, an I/O error, refused by the store
      OutcomeUnknown            a change was sent and its answer is missing
      ObjectMissing             nothing under that path
      ObjectExists              put_new found the name taken
      StoreFull                 no space, quota or size limit
      StorePermission           the store may not be read or written with these rights or credentials
      StoreUnfit                the store, or the way it is set up, cannot keep S1 to S3
      BadObjectPath             a path that breaks S7

Held by tests/contract/test_object_store.py (S1-S5, S7, S8), tests/integration/test_stores.py (S2, S3, S5, S6)
and tests/unit/engine/test_storage_local.py (S1, S3, S5-S7).
Elsewhere: trying again (retry), whether a store keeps these promises (probe), which store to open (open),
which paths exist (engine.paths).
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from catalog.errors import Unavailable

Data: TypeAlias = bytes | bytearray | memoryview
Doing: TypeAlias = Literal["open", "read", "list", "store", "delete", "check"]

NAME = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9_.=-]{0,199}")
MAX_PATH_LENGTH = 900


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    path: str
    size: int


# `list` is a method below, where the name would no longer mean the type
Listing: TypeAlias = list[ObjectInfo]


class ObjectStore(Protocol):
    """Objects by path. S1 to S8 of the module's header hold for each implementation."""

    @property
    def url(self) -> str:
        """The store's name in messages: `file:///data`, `s3://bucket`, `memory://`."""

    @property
    def durable_appends(self) -> Path | None:
        """The directory in which files may be appended to and synced, of a store that is one."""

    def get(self, path: str) -> bytes:
        """The whole object."""

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        """What `get(path)[offset:offset + length]` is: fewer bytes, or none, where the object ends sooner."""

    def put_new(self, path: str, data: Data) -> None:
        """Store under a free name (S2)."""

    def put(self, path: str, data: Data) -> None:
        """Store, in place of what is there."""

    def list(self, prefix: str) -> Listing:
        """Every object whose path begins with `prefix`: "" for all, `a/` for a directory, `a/b` for names in it."""

    def delete(self, path: str) -> None:
        """Remove the object; nothing to remove is fine."""

    def local_path(self, path: str) -> Path | None:
        """Where another library may read the object as a file, of a store whose objects are files."""

    def close(self) -> None:
        """Let go of connections; a call that is waiting to try again gives up."""


class StoreError(Unavailable):
    """A store did not do what it was asked. `url` and `path` say where."""

    code = "store_error"

    def __init__(self, doing: Doing, url: str, path: str, cause: str, *, hint: str | None = None) -> None:
        name = url if not path else url + path if url.endswith("/") else f"{url}/{path}"
        super().__init__(f"could not {doing} {name}: {cause}", hint=hint, url=url, path=path, cause=cause)


class StoreUnavailable(StoreError):
    """The store does not answer, or refuses for a time; nothing was stored."""

    code = "store_unavailable"


class OutcomeUnknown(StoreError):
    """The store broke off: the object may or may not be stored."""

    code = "store_outcome_unknown"


class ObjectMissing(StoreError):
    """The store has no object of that name."""

    code = "object_missing"

    def __init__(self, url: str, path: str) -> None:
        super().__init__("read", url, path, "there is no such object")


class ObjectExists(StoreError):
    """The store has an object of that name already."""

    code = "object_exists"

    def __init__(self, url: str, path: str) -> None:
        super().__init__("store", url, path, "an object of that name exists already")


class StoreFull(StoreError):
    """There is no room in the store. Make room; writes go on by themselves."""

    code = "store_full"


class StorePermission(StoreError):
    """The store does not let the server in. Look at its keys and its rules."""

    code = "store_permission"


class StoreUnfit(StoreError):
    """The store does not keep the promises that the server relies on, so it is not used."""

    code = "store_unfit"


class BadObjectPath(StoreError):
    """A path that no object can have."""

    code = "bad_object_path"
    kind = "internal"


def octets(data: Data) -> memoryview:
    """The bytes as numbers from 0 to 255: views of other libraries' buffers may count from -128, and compare so."""
    return memoryview(data).cast("B")


def is_path(path: str) -> bool:
    """Whether a path keeps S7."""
    return len(path) <= MAX_PATH_LENGTH and all(NAME.fullmatch(name) for name in path.split("/"))


def check_path(doing: Doing, url: str, path: str) -> str:
    """The path, if it keeps S7."""
    if not is_path(path):
        raise BadObjectPath(doing, url, repr(path), "not a path of plain names joined by slashes")
    return path


def check_prefix(url: str, prefix: str) -> tuple[str, str]:
    """The directory of a listing prefix ("" or "a/b/") and the beginning of the names wanted in it."""
    directory, slash, name = prefix.rpartition("/")
    if directory:
        check_path("list", url, directory)
    elif slash:
        raise BadObjectPath("list", url, repr(prefix), "not a path of plain names joined by slashes")
    if name:
        check_path("list", url, name)
    return directory + slash, name


def store_once(store: ObjectStore, path: str, data: Data) -> None:
    """put_new for bytes that an earlier put_new of ours may have stored: finding those very bytes is success.

    This is how OutcomeUnknown is settled. ObjectExists means that somebody else's bytes are there.
    """
    try:
        store.put_new(path, data)
    except ObjectExists:
        if store.get(path) != octets(data):
            raise
