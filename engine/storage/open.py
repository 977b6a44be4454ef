"""From options to a store.

O1  An option that cannot be honoured is refused: what obstore's client lacks stands in UNSUPPORTED with the sentence to
    say, and what does not fit together is StoreUnfit.
O2  Opening reaches over no network. The first question to a remote store is engine.storage.probe's.
O3  Keys and tokens are never part of a message or of a printed StoreOptions.
O4  The AWS credentials file is read again when it has changed, so keys may be rotated under a running server. A file that
    is unreadable at that moment leaves the keys that were read before.
O5  What an option says beats what obstore would take from the environment under whatever name.

Held by tests/unit/engine/test_storage_open.py (O1-O5) and tests/integration/test_stores.py (O4).
Elsewhere: flags, variables and defaults as users see them (flightserver.config).
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeAlias

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from engine.storage.base import ObjectStore, StoreError, StorePermission, StoreUnfit
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore, ThrottledMemoryStore
from engine.storage.remote import Bucket, BucketMaker, RemoteStore, summary
from engine.storage.retry import RetryingStore, RetryPolicy

if TYPE_CHECKING:  # obstore has these for type checkers alone
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig, S3Config, S3Credential

Kind: TypeAlias = Literal["memory", "memory-throttled", "file", "s3", "google", "azure"]

UNSUPPORTED: Mapping[str, str] = {
    "object-store-http2-max-frame-size": "the HTTP client of the object stores has no setting for the frame size",
    "object-store-cache-endpoint": "there is no separate cache service; recent data is kept by the server itself",
}


@dataclass(frozen=True, slots=True)
class StoreOptions:
    kind: Kind
    data_dir: Path | None = None
    bucket: str | None = None
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    aws_default_region: str = "us-east-1"
    aws_endpoint: str | None = None
    aws_allow_http: bool = False
    aws_skip_signature: bool = False
    aws_credentials_file: Path | None = None
    google_service_account: Path | None = None
    azure_storage_account: str | None = None
    azure_storage_access_key: str | None = field(default=None, repr=False)
    azure_endpoint: str | None = None
    azure_allow_http: bool = False
    connection_limit: int = 64
    request_timeout_ms: int = 30_000
    max_retries: int = 10
    retry_timeout_ms: int = 180_000
    http2_only: bool = False
    tls_ca: Path | None = None
    tls_allow_insecure: bool = False
    allow_unconditional_writes: bool = False


def open_store(options: StoreOptions, *, only_reading: bool = False) -> ObjectStore:
    """The store that the options name, not yet asked anything. With `only_reading`, opening changes nothing either."""
    if options.kind == "memory":
        return MemoryStore()
    if options.kind == "memory-throttled":
        return ThrottledMemoryStore()
    if options.kind == "file":
        if options.data_dir is None:
            raise StoreUnfit("open", "file://", "", "there is no data directory", hint="name one with --data-dir")
        return LocalStore(options.data_dir, only_reading=only_reading)
    return open_remote(options)


def open_remote(options: StoreOptions) -> ObjectStore:
    scheme = {"s3": "s3", "google": "gs", "azure": "azure"}[options.kind]
    url = f"{scheme}://{options.bucket or ''}"
    check_fit(url, options)
    try:
        remote = RemoteStore(
            url,
            MAKERS[options.kind](options),
            timeout_s=options.request_timeout_ms / 1000,
            connections=options.connection_limit,
        )
    except (BaseError, ValueError) as error:
        raise StoreUnfit("open", url, "", summary(str(error))) from error
    except OSError as error:
        raise StorePermission("open", url, "", f"{error.filename}: {(error.strerror or str(error)).lower()}") from error
    return RetryingStore(remote, RetryPolicy(options.max_retries, options.retry_timeout_ms / 1000))


def check_fit(url: str, options: StoreOptions) -> None:
    """Refuse what cannot work, before a request fails for it (O1)."""

    def unfit(cause: str, hint: str) -> StoreError:
        return StoreUnfit("open", url, "", cause, hint=hint)

    if not options.bucket:
        raise unfit("there is no bucket", "name one with --bucket")
    endpoint, allow_http, flag = {
        "s3": (options.aws_endpoint, options.aws_allow_http, "--aws-allow-http"),
        "google": (None, False, ""),
        "azure": (options.azure_endpoint, options.azure_allow_http, "--azure-allow-http"),
    }[options.kind]
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise unfit(f"the endpoint {endpoint} does not begin with https:// or http://", "write it as a URL")
    if endpoint is not None and endpoint.startswith("http://") and not allow_http:
        raise unfit(f"the endpoint {endpoint} is not encrypted", f"use https://, or allow it with {flag}")
    if options.kind == "azure" and options.azure_storage_account is None:
        raise unfit("there is no storage account", "name one with --azure-storage-account")
    if (options.aws_access_key_id is None) != (options.aws_secret_access_key is None):
        raise unfit("an AWS key needs both its id and its secret", "give --aws-access-key-id and --aws-secret-access-key")


@dataclass(frozen=True, slots=True)
class S3Maker:
    options: StoreOptions

    def __call__(self, *, timeout_s: float, read_timeout_s: float | None) -> Bucket:
        options = self.options
        config: S3Config = {
            "region": options.aws_default_region,
            "skip_signature": options.aws_skip_signature,
            "conditional_put": "etag",
            "disable_bulk_delete": True,
        }
        if options.aws_endpoint is not None:
            config["endpoint"] = config["aws_endpoint_url_s3"] = options.aws_endpoint
        if options.aws_access_key_id is not None and options.aws_secret_access_key is not None:
            config["access_key_id"] = options.aws_access_key_id
            config["secret_access_key"] = options.aws_secret_access_key
        if options.aws_session_token is not None:
            config["session_token"] = options.aws_session_token
        file = options.aws_credentials_file
        return S3Store(
            options.bucket,
            config=config,
            client_options=client_options(options, timeout_s, read_timeout_s, allow_http=options.aws_allow_http),
            retry_config=no_retries(),
            credential_provider=None if file is None else AwsCredentialsFile(file),
        )


@dataclass(frozen=True, slots=True)
class GoogleMaker:
    options: StoreOptions

    def __call__(self, *, timeout_s: float, read_timeout_s: float | None) -> Bucket:
        options = self.options
        config: GCSConfig = {}
        allow_http = False
        if options.google_service_account is not None:
            allow_http = key_of_an_emulator(options.google_service_account)
            config["service_account"] = str(options.google_service_account)
        return GCSStore(
            options.bucket,
            config=config,
            client_options=client_options(options, timeout_s, read_timeout_s, allow_http=allow_http),
            retry_config=no_retries(),
        )


def key_of_an_emulator(file: Path) -> bool:
    try:
        return str(json.loads(file.read_text()).get("gcs_base_url", "")).startswith("http://")
    except (ValueError, AttributeError):
        raise ValueError(f"{file} is not a service account's key file") from None


@dataclass(frozen=True, slots=True)
class AzureMaker:
    options: StoreOptions

    def __call__(self, *, timeout_s: float, read_timeout_s: float | None) -> Bucket:
        options = self.options
        config: AzureConfig = {"account_name": options.azure_storage_account or "", "use_emulator": False}
        if options.azure_storage_access_key is not None:
            config["account_key"] = options.azure_storage_access_key
        if options.azure_endpoint is not None:
            config["endpoint"] = options.azure_endpoint
        return AzureStore(
            options.bucket,
            config=config,
            client_options=client_options(options, timeout_s, read_timeout_s, allow_http=options.azure_allow_http),
            retry_config=no_retries(),
        )


MAKERS: Mapping[str, Callable[[StoreOptions], BucketMaker]] = {"s3": S3Maker, "google": GoogleMaker, "azure": AzureMaker}


def client_options(
    options: StoreOptions, timeout_s: float, read_timeout_s: float | None, *, allow_http: bool
) -> "ClientConfig":
    config: ClientConfig = {
        "allow_http": allow_http,
        "allow_invalid_certificates": options.tls_allow_insecure,
        "timeout": timedelta(seconds=timeout_s),
        "connect_timeout": timedelta(seconds=min(5.0, timeout_s)),
        "pool_max_idle_per_host": str(options.connection_limit),
        "user_agent": "flightline",
    }
    if read_timeout_s is not None:
        config["read_timeout"] = timedelta(seconds=read_timeout_s)
    if options.http2_only:
        config["http2_only"] = True
    if options.tls_ca is not None:
        config["root_certificate"] = options.tls_ca.read_bytes()
    return config


def no_retries() -> "RetryConfig":
    return {"max_retries": 0, "retry_timeout": timedelta(seconds=60)}


class AwsCredentialsFile:
    """Credentials from a JSON file: `aws_access_key_id`, `aws_secret_access_key`, `aws_session_token` (O4).

    obstore asks again for what has expired, so these always have: a question costs a stat.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: Mapping[str, str | None] = {}

    def __call__(self) -> "S3Credential":
        with self._lock:
            try:
                self._refresh()
            except (OSError, ValueError, KeyError, TypeError) as error:
                if not self._keys:
                    raise ValueError(f"{self._file} is not a readable AWS credentials file: {error!r}") from None
            keys = self._keys
        return {
            "access_key_id": keys["id"] or "",
            "secret_access_key": keys["secret"] or "",
            "token": keys["token"],
            "expires_at": datetime.now(UTC),
        }

    def _refresh(self) -> None:
        found = os.stat(self._file)
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen == self._seen:
            return
        fields = json.loads(self._file.read_bytes())
        self._keys = {
            "id": str(fields["aws_access_key_id"]),
            "secret": str(fields["aws_secret_access_key"]),
            "token": fields.get("aws_session_token"),
        }
        self._seen = seen
