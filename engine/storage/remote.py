"""Objects in a bucket: Amazon S3 and what speaks its language, Google Cloud Storage, Azure Blob Storage, through obstore.

    RemoteStore ─▶ obstore: three clients of one bucket that differ in patience alone
                     short   timeout                             listings, deletions, writes up to LONG_BYTES
                     long    timeout × LONG_PATIENCE             larger writes
                     reader  timeout × LONG_PATIENCE, and `timeout` between any two pieces of an answer

R1  One call is one request: obstore repeats nothing, so what an error says about the outcome is exact (S5).
    Repeating is engine.storage.retry's.
R2  put_new is one conditional request (`If-None-Match: *`, `x-goog-if-generation-match: 0`). The store decides who
    wins; 412, and 409 with Azure's BlobAlreadyExists, mean ObjectExists. Any other 409 is a collision to try again.
R3  A change fails definitely when its request never left (no connection, no credentials), or when the answer says
    that it was refused: 4xx, 503 with SlowDown or ServerBusy. Every other failure of a change is OutcomeUnknown.
R4  A bucket that does not exist is never taken for objects that do not exist.
R5  No more than `connections` requests are under way at a time; the others wait.

There is no fsspec under this: conditional writes are not among fsspec's operations, and `obstore.fsspec` hops to an
event loop thread for each call, keeps listings in a cache and turns errors into OSError without their status. The
other direction is engine.storage.filesystem: any of our stores as an fsspec filesystem, for libraries that read.

Objects are written in one request. LARGEST_BYTES keeps below what the three accept in one, since a multipart upload
cannot be made conditional through obstore.

What obstore is not told it reads from the cloud's own environment variables (workload identity, container credentials).

Held by tests/contract/test_object_store.py and tests/integration/test_stores.py (R1-R5).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Protocol

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, GCSStore, S3Store

from engine.storage.base import (
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
    is_path,
    octets,
)

Bucket = S3Store | GCSStore | AzureStore

LONG_BYTES = 8 << 20
LONG_PATIENCE = 20
LARGEST_BYTES = 4 << 30
CHANGES: frozenset[Doing] = frozenset(("store", "delete"))


class BucketMaker(Protocol):
    def __call__(self, *, timeout_s: float, read_timeout_s: float | None) -> Bucket: ...


class RemoteStore:
    durable_appends: Path | None = None

    def __init__(self, url: str, make: BucketMaker, *, timeout_s: float, connections: int) -> None:
        self.url = url
        self._short = make(timeout_s=timeout_s, read_timeout_s=None)
        self._long = make(timeout_s=timeout_s * LONG_PATIENCE, read_timeout_s=None)
        self._reader = make(timeout_s=timeout_s * LONG_PATIENCE, read_timeout_s=timeout_s)
        self._slots = BoundedSemaphore(connections)

    def get(self, path: str) -> bytes:
        with self._request("read", path):
            return bytes(obstore.get(self._reader, path).bytes())

    def get_range(self, path: str, offset: int, length: int) -> bytes:
        try:
            with self._request("read", path):
                return bytes(obstore.get_range(self._reader, path, start=offset, length=max(length, 1)))[:length]
        except RangeRefused:
            return b""
        except RangeIgnored:
            return self.get(path)[offset : offset + length]

    def put_new(self, path: str, data: Data) -> None:
        with self._request("store", path):
            obstore.put(self._for(path, data), path, octets(data), mode="create", use_multipart=False)

    def put(self, path: str, data: Data) -> None:
        with self._request("store", path):
            obstore.put(self._for(path, data), path, octets(data), mode="overwrite", use_multipart=False)

    def list(self, prefix: str) -> Listing:
        """Asks for the whole directory that `prefix` is in, which is all that obstore can ask for."""
        directory, name = check_prefix(self.url, prefix)
        with self._request("list", directory.rstrip("/"), check=False):
            found = obstore.list(self._short, directory.rstrip("/") or None, chunk_size=1000).collect()
        wanted = directory + name
        infos = [ObjectInfo(meta["path"], meta["size"]) for meta in found if meta["path"].startswith(wanted)]
        return sorted((info for info in infos if is_path(info.path)), key=lambda info: info.path)

    def delete(self, path: str) -> None:
        try:
            with self._request("delete", path):
                obstore.delete(self._short, path)
        except ObjectMissing:
            return

    def local_path(self, path: str) -> Path | None:
        check_path("read", self.url, path)
        return None

    def close(self) -> None:
        """Connections close with the last reference to the store."""

    def _for(self, path: str, data: Data) -> Bucket:
        size = len(octets(data))
        if size > LARGEST_BYTES:
            cause = f"{size} bytes are too much for one object, the limit is {LARGEST_BYTES}"
            raise StoreFull("store", self.url, path, cause)
        return self._long if size > LONG_BYTES else self._short

    @contextmanager
    def _request(self, doing: Doing, path: str, *, check: bool = True) -> Iterator[None]:
        if check:
            check_path(doing, self.url, path)
        with self._slots:
            try:
                yield
            except (BaseError, FileNotFoundError, ValueError, OSError) as error:
                raise explain(doing, self.url, path, error) from error


class RangeRefused(StoreError):
    """The range begins at the end of the object or beyond it (416)."""

    code = "store_range_refused"


class RangeIgnored(StoreError):
    """The store sent the whole object instead of the range."""

    code = "store_range_ignored"


# What went wrong. obstore hands on little but text; these are the parts of it that say something.
STATUS = re.compile(r"status code: (\d{3})([^:\n]*)|\(code: (\d{3})\)")
CODE = re.compile(r"<Code>(\w+)</Code>")
SENTENCE = re.compile(r"<Message>([^<\n]+)")
KIND = re.compile(r"HttpError \{\s*kind: (\w+)")
DETAIL = re.compile(r'(?:message|error): "([^"]+)"|error: (\w+\([^)]*\))|source: (\w+),?\s*\}')
CREDENTIALS = re.compile(
    "//169.254.169.254/|//metadata.google.internal|//oauth2.googleapis.com/|//login.microsoftonline.com/"
    "|token request|[Cc]redential provider|[Cc]redential error"
)  # asked for before the request proper; no path has a space or a double slash in it

NO_BUCKET = {"NoSuchBucket", "InvalidBucketName", "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"}
REFUSED_FOR_NOW = {"SlowDown", "ServerBusy", "TooManyRequests", "RequestLimitExceeded"}
EXPIRED = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed"}
EXISTS = {"BlobAlreadyExists"}
KINDS = {
    "Connect": "no connection",
    "Timeout": "no answer in time",
    "Interrupted": "the connection was lost",
    "Request": "the connection was lost",
    "Decode": "the answer could not be read",
}
HINT_BUCKET = "create the bucket, or name another with --bucket"
HINT_RIGHTS = "check the store's credentials, their rights on the bucket, and the server's clock"
HINT_SETUP = "check the kind of object store, its endpoint, region and bucket"


def explain(doing: Doing, url: str, path: str, error: Exception) -> StoreError:
    """What a failed request means to whoever wanted something done (R2 to R4)."""
    text = str(error)
    answer = STATUS.search(text)
    status = int(answer[1] or answer[3]) if answer else 0
    code = found[1] if (found := CODE.search(text)) else ""

    if "non-partial response" in text:
        return RangeIgnored(doing, url, path, "the store answers ranges with whole objects")
    if "Wanted range starting at" in text:
        return RangeRefused(doing, url, path, summary(text))
    if CREDENTIALS.search(text.partition(" - Server returned")[0].partition("\n\nDebug source")[0]):
        return StorePermission(doing, url, path, f"no credentials to use: {summary(text)}", hint=HINT_RIGHTS)
    if status:
        return explain_answer(doing, url, path, text, status, code)
    if isinstance(error, FileNotFoundError):
        return ObjectMissing(url, path)
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return StorePermission(doing, url, path, summary(text), hint=HINT_RIGHTS)
    if "builder error" in text or "missing from response" in text or isinstance(error, (AlreadyExistsError, ValueError)):
        return StoreUnfit(doing, url, path, summary(text), hint=HINT_SETUP)
    kind = found[1] if (found := KIND.search(text)) else ""
    return failed(doing, url, path, reason(text, kind), sent=kind != "Connect")


def explain_answer(doing: Doing, url: str, path: str, text: str, status: int, code: str) -> StoreError:
    """What the store said no with."""
    said = f"the store answered {status}{f' {code}' if code else ''}"
    if found := SENTENCE.search(text):
        said += f" ({found[1].strip()})"
    if code in NO_BUCKET or (status == 404 and doing in ("store", "list")):
        return StoreUnfit(doing, url, path, f"there is no such bucket: {said}", hint=HINT_BUCKET)
    if status == 404:
        return ObjectMissing(url, path)
    if doing == "store" and (status == 412 or code in EXISTS):
        return ObjectExists(url, path)
    if status == 416:
        return RangeRefused(doing, url, path, said)
    if status in (401, 403) or code in EXPIRED:
        return StorePermission(doing, url, path, said, hint=HINT_RIGHTS)
    if status == 507:
        return StoreFull(doing, url, path, said)
    if status in (408, 409, 429) or code in REFUSED_FOR_NOW:
        return failed(doing, url, path, said, sent=False)
    if status >= 500 or code == "RequestTimeout":
        return failed(doing, url, path, said, sent=True)
    return StoreUnfit(doing, url, path, said, hint=HINT_SETUP)


def failed(doing: Doing, url: str, path: str, cause: str, *, sent: bool) -> StoreError:
    unknown = sent and doing in CHANGES
    return (OutcomeUnknown if unknown else StoreUnavailable)(doing, url, path, cause)


def reason(text: str, kind: str) -> str:
    details = [re.sub(r"\(\s*|,?\s*\)|\s+", tighten, next(filter(None, found))) for found in DETAIL.findall(text)]
    said = KINDS.get(kind, summary(text))
    return f"{said}: {details[-1]}" if details and kind in KINDS and kind != "Timeout" else said


def tighten(space: re.Match[str]) -> str:
    """obstore prints nested values over several lines."""
    return "(" if "(" in space[0] else ")" if ")" in space[0] else " "


def summary(text: str) -> str:
    """obstore's own words without the request and without what it prints for its developers."""
    line = " ".join(text.split("\n\nDebug source")[0].split())
    return line if len(line) <= 300 else line[:297] + "..."
