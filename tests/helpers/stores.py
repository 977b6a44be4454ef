"""Real object store servers, started once a test run when first asked for, and stores on buckets of their own.

moto (s3), rclone serve s3 (s3 that overwrites), gcp-storage-emulator (google, behind tests/helpers/gcs_front.py) and
Azurite (azure). What cannot be started is skipped with a loud line. All of them keep their objects in memory or in a
temporary directory, listen on 127.0.0.1 and end with the test run.
"""

import atexit
import base64
import functools
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from email.utils import formatdate
from pathlib import Path

import pytest

from engine.metrics import Metrics
from engine.storage.base import ObjectStore
from engine.storage.counted import counted
from engine.storage.open import StoreOptions, open_store
from engine.storage.probe import check_store
from tests.helpers.tools import REPOSITORY, node_modules_with, skip_loudly

SCRIPTS = Path(sys.executable).parent
AZURE_ACCOUNT = "devstoreaccount1"  # Azurite's own, known to everyone
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
S3_KEY, S3_SECRET = "someaccesskey", "somesecretkey"
RCLONE_BUCKETS = [f"bucket-{number}" for number in range(20)]
KINDS = ["memory", "file", "s3", "google", "azure"]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """An empty store of each kind, checked as at start and counted as by a node."""
    options = store_options(request.param, tmp_path)
    opened = check_store(open_store(options), "")
    yield counted(opened, Metrics())
    opened.close()


def store_options(kind: str, directory: Path) -> StoreOptions:
    """Options of an empty store of this kind; its server runs. Patience is short."""
    make = {"memory": memory_options, "file": file_options, "s3": moto_options, "rclone": rclone_options}
    make |= {"google": google_options, "azure": azure_options}
    return replace(make[kind](directory), request_timeout_ms=5_000, max_retries=3, retry_timeout_ms=10_000)


def memory_options(_: Path) -> StoreOptions:
    return StoreOptions("memory")


def file_options(directory: Path) -> StoreOptions:
    return StoreOptions("file", data_dir=directory / "data")


def moto_options(_: Path) -> StoreOptions:
    server, bucket = moto(), new_name()
    ask("PUT", f"{server.url}/{bucket}")
    return s3_options(server.url, bucket)


def rclone_options(_: Path) -> StoreOptions:
    server = rclone()
    return s3_options(server.url, RCLONE_BUCKETS.pop())


def google_options(directory: Path) -> StoreOptions:
    (emulator, front), bucket = gcs(), new_name()
    ask("GET", f"{emulator.url}/wipe")  # it becomes slower with each object
    ask("POST", f"{emulator.url}/storage/v1/b", json.dumps({"name": bucket}).encode(), {"Content-Type": "application/json"})
    return StoreOptions("google", bucket=bucket, google_service_account=google_key(directory, front.url))


def azure_options(_: Path) -> StoreOptions:
    server, container = azurite(), new_name()
    create_container(server.url, container)
    return StoreOptions(
        kind="azure",
        bucket=container,
        azure_storage_account=AZURE_ACCOUNT,
        azure_storage_access_key=AZURE_KEY,
        azure_endpoint=f"{server.url}/{AZURE_ACCOUNT}",
        azure_allow_http=True,
    )


def s3_options(endpoint: str, bucket: str) -> StoreOptions:
    return StoreOptions(
        kind="s3",
        bucket=bucket,
        aws_access_key_id=S3_KEY,
        aws_secret_access_key=S3_SECRET,
        aws_endpoint=endpoint,
        aws_allow_http=True,
    )


def new_name() -> str:
    """A bucket's name that was never used."""
    return f"b{os.urandom(6).hex()}"


def google_key(directory: Path, url: str) -> Path:
    """A key file as emulators take it."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "google.json"
    key = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    file.write_text(json.dumps(key))
    return file


# servers


@dataclass(frozen=True)
class Server:
    url: str
    directory: Path
    pid: int


@functools.cache
def moto() -> Server:
    port = free_port()
    return start("moto", port, [sys.executable, "-m", "tests.helpers.moto_front", str(port)])


@functools.cache
def rclone() -> Server:
    """It remembers directories, so all buckets are there before it starts."""
    port = free_port()
    keys = f"{S3_KEY},{S3_SECRET}"
    command = [str(SCRIPTS / "rclone"), "serve", "s3", ".", "--addr", f"127.0.0.1:{port}", "--auth-key", keys]
    return start("rclone", port, command, RCLONE_BUCKETS)


@functools.cache
def gcs() -> tuple[Server, Server]:
    port, front = free_port(), free_port()
    command = [str(SCRIPTS / "gcp-storage-emulator"), "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    emulator = start("gcp-storage-emulator", port, command)
    return emulator, start("gcs_front", front, [sys.executable, "-m", "tests.helpers.gcs_front", str(front), str(port)])


@functools.cache
def azurite() -> Server:
    port = free_port()
    flags = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry", "--silent"]
    return start("azurite", port, ["node", azurite_script(), *flags, "--skipApiVersionCheck"])


def azurite_script() -> str:
    """Where npm put Azurite, now or in an earlier run."""
    return str(node_modules_with("azurite", "azurite@3") / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js")


def start(name: str, port: int, command: list[str], directories: Iterable[str] = ()) -> Server:
    """Run a server until the test run ends, and wait until it takes connections."""
    if not (Path(command[0]).exists() or shutil.which(command[0])):
        skip_loudly(f"{name}: {command[0]} is not installed")
    directory = Path(tempfile.mkdtemp(prefix=f"test-{name}-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for name_of_bucket in directories:
        (directory / name_of_bucket).mkdir()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "RCLONE_CONFIG": str(directory.parent / "no-such-file")}
    with open(directory / "log", "wb") as output:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=output, stderr=output)
    atexit.register(stop, process)
    deadline_s = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline_s:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return Server(f"http://127.0.0.1:{port}", directory, process.pid)
        time.sleep(0.02)
    raise AssertionError(f"{name} does not start: {(directory / 'log').read_text()[-1000:]}")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def ask(method: str, url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    length = {"Content-Length": str(len(data or b""))}
    request = urllib.request.Request(url, data, {**length, **(headers or {})}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        body: bytes = answer.read()
        return body


def create_container(url: str, container: str) -> None:
    date = formatdate(usegmt=True)
    signed = (
        f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-08-06\n"
        f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{container}\nrestype:container"
    )
    signature = base64.b64encode(hmac.new(base64.b64decode(AZURE_KEY), signed.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {AZURE_ACCOUNT}:{signature}"}
    ask("PUT", f"{url}/{AZURE_ACCOUNT}/{container}?restype=container", headers=headers)


def flags(options: StoreOptions) -> list[str]:
    """The options as `influxdb3 serve` takes them."""
    given = ["--object-store", options.kind]
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name == "kind" or value == field.default:
            continue
        name = field.name.removesuffix("_ms").replace("_", "-")
        if field.name in SHARED_FIELDS:
            name = f"object-store-{name}"
        given += [f"--{name}"] if value is True else [f"--{name}", f"{value}ms" if field.name.endswith("_ms") else str(value)]
    return given


SHARED_FIELDS = {
    "connection_limit",
    "request_timeout_ms",
    "max_retries",
    "retry_timeout_ms",
    "http2_only",
    "tls_ca",
    "tls_allow_insecure",
}
