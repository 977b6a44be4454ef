"""Stores and what happens to them: real servers, real disks, and a relay that plays the network."""

import errno
import json
import mmap
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from engine.storage.base import (
    ObjectExists,
    ObjectMissing,
    ObjectStore,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StorePermission,
    StoreUnavailable,
    StoreUnfit,
    store_once,
)
from engine.storage.local import LocalStore
from engine.storage.open import StoreOptions, open_store
from engine.storage.probe import check_store
from engine.storage.remote import LARGEST_BYTES, LONG_BYTES
from tests.helpers import stores
from tests.helpers.relay import Relay
from tests.helpers.tools import REPOSITORY

REMOTE = ["s3", "google", "azure"]


@pytest.fixture(scope="module")
def network() -> Iterator[Relay]:
    relay = Relay(stores.moto().url)
    yield relay
    relay.close()


@pytest.fixture
def relay(network: Relay) -> Relay:
    """Between us and moto, free of trouble."""
    network.always("ok")
    network.seen.clear()
    return network


@pytest.fixture
def near(relay: Relay, tmp_path: Path) -> tuple[StoreOptions, ObjectStore]:
    """Options of a bucket in moto through the relay, and the bucket reached directly."""
    direct = stores.store_options("s3", tmp_path)
    far = replace(direct, aws_endpoint=relay.url, request_timeout_ms=400, max_retries=3, retry_timeout_ms=5_000)
    return far, open_store(direct)


# conditional writes


def test_a_server_that_ignores_if_none_match_is_recognised_and_refused(tmp_path: Path) -> None:
    """P1, P2."""
    store = open_store(stores.store_options("rclone", tmp_path))

    with pytest.raises(StoreUnfit, match="overwrites objects") as refused:
        check_store(store, "node")

    assert "--allow-unconditional-writes" in str(refused.value.hint)
    assert store.list("") == []


def test_with_the_override_a_server_that_ignores_if_none_match_works(tmp_path: Path) -> None:
    """P2."""
    store = check_store(open_store(stores.store_options("rclone", tmp_path)), "node", allow_unconditional_writes=True)

    store.put_new("node/wal/1", b"0123456789")
    store.put_new("node/wal/2", b"")
    store.put("node/wal/3", b"x")
    store.put("node/wal/3", b"yy")
    store.delete("node/wal/2")

    with pytest.raises(ObjectExists):
        store.put_new("node/wal/1", b"other")
    with pytest.raises(ObjectMissing):
        store.get("node/wal/2")
    assert [store.get_range("node/wal/1", *span) for span in ((0, 3), (4, 100), (10, 5))] == [b"012", b"456789", b""]
    assert [(info.path, info.size) for info in store.list("node/")] == [("node/wal/1", 10), ("node/wal/3", 2)]


def test_a_google_server_that_lacks_what_conditions_need_is_refused_and_named(tmp_path: Path) -> None:
    """P1: gcp-storage-emulator itself, without its front."""
    emulator, _front = stores.gcs()
    options = stores.store_options("google", tmp_path)
    store = open_store(replace(options, google_service_account=stores.google_key(tmp_path / "bare", emulator.url)))

    with pytest.raises(StoreUnfit, match=f"gs://{options.bucket}/dbs/probe/.*ETag Header missing from response"):
        check_store(store, "")


# a network that loses things


@pytest.mark.parametrize("trouble", ["lose", "hang", "early", "half", "busy", "broken", "throttled", "collision"])
def test_a_write_whose_answer_is_lost_is_stored_once_and_succeeds(
    near: tuple[StoreOptions, ObjectStore], relay: Relay, trouble: str
) -> None:
    """R1, Y1, Y2, S2."""
    options, direct = near
    store = open_store(options)
    relay.plan(trouble)

    store.put_new("node/wal/1", b"mine")

    assert direct.get("node/wal/1") == b"mine"
    assert len([line for line in relay.seen if line.startswith("PUT")]) <= 2


def test_a_write_whose_answer_is_lost_is_no_success_when_another_took_the_name(
    near: tuple[StoreOptions, ObjectStore], relay: Relay
) -> None:
    """Y2, S2."""
    options, direct = near
    store = open_store(options)
    direct.put_new("node/wal/1", b"another's")
    relay.plan("lose")

    with pytest.raises(ObjectExists, match="node/wal/1"):
        store.put_new("node/wal/1", b"mine")

    assert direct.get("node/wal/1") == b"another's"


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ("busy", StoreUnavailable),
        ("throttled", StoreUnavailable),
        ("collision", StoreUnavailable),
        ("broken", OutcomeUnknown),
        ("early", OutcomeUnknown),
        ("hang", OutcomeUnknown),
        ("full", StoreFull),
    ],
)
def test_trouble_that_does_not_end_is_told_for_what_it_is(
    near: tuple[StoreOptions, ObjectStore], relay: Relay, trouble: str, expected: type[StoreError]
) -> None:
    """R3, S5, S6."""
    options, direct = near
    store = open_store(replace(options, request_timeout_ms=200, max_retries=1))
    relay.always(trouble)
    with pytest.raises(StoreError, match=f"could not store s3://{options.bucket}/node/wal/1: ") as failed:
        store.put_new("node/wal/1", b"mine")

    assert type(failed.value) is expected
    relay.always("ok")
    store_once(store, "node/wal/1", b"mine")
    assert direct.get("node/wal/1") == b"mine"


def test_an_unknown_outcome_is_settled_by_storing_the_same_again(near: tuple[StoreOptions, ObjectStore], relay: Relay) -> None:
    """S5: what the log does before it takes writes again."""
    options, direct = near
    store = open_store(replace(options, max_retries=0))
    relay.plan("lose")
    with pytest.raises(OutcomeUnknown):
        store.put_new("node/wal/1", b"mine")

    store_once(store, "node/wal/1", b"mine")

    assert direct.get("node/wal/1") == b"mine"


@pytest.mark.parametrize("trouble", ["lose", "hang", "early", "half", "stall", "busy", "broken", "throttled"])
def test_reading_tries_again_until_all_has_come(near: tuple[StoreOptions, ObjectStore], relay: Relay, trouble: str) -> None:
    """Y1, S1."""
    options, direct = near
    store = open_store(options)
    data = bytes(range(256)) * 400
    direct.put("a/1", data)

    relay.plan(trouble)
    whole = store.get("a/1")
    relay.plan(trouble)
    part = store.get_range("a/1", 1000, 50_000)
    relay.plan(trouble)
    listed = store.list("a/")

    assert whole == data
    assert part == data[1000:51_000]
    assert [info.path for info in listed] == ["a/1"]


@pytest.mark.parametrize("trouble", ["lose", "early", "busy", "broken"])
def test_put_and_delete_try_again(near: tuple[StoreOptions, ObjectStore], relay: Relay, trouble: str) -> None:
    """Y1."""
    options, direct = near
    store = open_store(options)
    relay.plan(trouble)
    store.put("a/1", b"x")
    stored = direct.get("a/1")
    relay.plan(trouble)
    store.delete("a/1")

    assert stored == b"x"
    assert direct.list("") == []


def test_a_store_that_is_away_for_a_while_works_again_by_itself(
    near: tuple[StoreOptions, ObjectStore], relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    """S6, Y1, Y6: writes wait, none is lost, and nobody restarts anything."""
    options, direct = near
    store = open_store(replace(options, max_retries=50, retry_timeout_ms=20_000))
    store.put_new("w/before", b"")
    caplog.clear()  # it may have been slow
    failed: list[BaseException] = []

    def write(number: int) -> None:
        try:
            store.put_new(f"w/{number}", b"x" * number)
        except StoreError as error:
            failed.append(error)

    relay.down()
    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    time.sleep(0.7)
    waiting = [writer.is_alive() for writer in writers]
    relay.up()
    for writer in writers:
        writer.join(60)

    assert all(waiting)
    assert failed == []
    assert [info.path for info in direct.list("w/")] == [*(f"w/{number}" for number in range(6)), "w/before"]
    assert len([record for record in caplog.records if "trying again" in record.message]) == 1
    assert len([record for record in caplog.records if "works again" in record.message]) == 1


def test_a_store_that_cannot_be_reached_is_a_definite_failure(near: tuple[StoreOptions, ObjectStore], relay: Relay) -> None:
    """R3, S6."""
    options, _direct = near
    store = open_store(replace(options, max_retries=1))
    relay.down()
    calls: list[Callable[[], object]] = [
        lambda: store.put_new("a/1", b""),
        lambda: store.put("a/1", b""),
        lambda: store.get("a/1"),
        lambda: store.get_range("a/1", 0, 1),
        lambda: store.list("a/"),
        lambda: store.delete("a/1"),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable, match="no connection: Connection refused"):
            call()
    relay.up()

    store.put_new("a/1", b"x")

    assert store.get("a/1") == b"x"


def test_no_more_requests_are_under_way_than_allowed(near: tuple[StoreOptions, ObjectStore], relay: Relay) -> None:
    """R5."""
    own = Relay(f"http://{relay.target}")
    options, direct = near
    store = open_store(replace(options, aws_endpoint=own.url, connection_limit=2, request_timeout_ms=5_000))
    threads = [threading.Thread(target=store.put_new, args=(f"a/{number}", b"x")) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own.close()

    assert len(direct.list("a/")) == 16
    assert own.most_busy == 2


# setup that is wrong


@pytest.mark.parametrize("kind", [*REMOTE, "rclone"])
def test_a_bucket_that_does_not_exist_is_not_taken_for_missing_objects(kind: str, tmp_path: Path) -> None:
    """R4."""
    store = open_store(replace(stores.store_options(kind, tmp_path), bucket=stores.new_name()))
    calls: list[Callable[[], object]] = [
        lambda: store.put_new("a/1", b""),
        lambda: store.put("a/1", b""),
        lambda: store.get("a/1"),
        lambda: store.list(""),
        lambda: store.list("a/"),
    ]
    for call in calls:
        with pytest.raises(StoreUnfit, match="there is no such bucket") as failed:
            call()
        assert "--bucket" in str(failed.value.hint)


def test_a_bucket_that_is_made_later_is_used_without_reopening(tmp_path: Path) -> None:
    """S6."""
    options = replace(stores.store_options("s3", tmp_path), bucket=stores.new_name())
    store = open_store(options)
    with pytest.raises(StoreUnfit):
        store.put_new("a", b"x")
    stores.ask("PUT", f"{options.aws_endpoint}/{options.bucket}")

    store.put_new("a", b"x")

    assert store.get("a") == b"x"


@pytest.mark.parametrize("kind", REMOTE)
def test_options_beat_the_environment(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O5."""
    options = stores.store_options(kind, tmp_path)
    other = stores.google_key(tmp_path / "other", "http://127.0.0.1:1")
    for name in ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AZURE_ENDPOINT", "AZURE_STORAGE_ENDPOINT"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"):
        monkeypatch.setenv(name, str(other))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_BUCKET", "AZURE_STORAGE_ACCOUNT_NAME", "GOOGLE_BUCKET"):
        monkeypatch.setenv(name, "somethingelse")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")

    store = check_store(open_store(options), "node")

    assert store.list("") == []


@pytest.mark.parametrize("kind", ["rclone", "azure"])
def test_wrong_keys_are_told_as_such(kind: str, tmp_path: Path) -> None:
    """S5, O3."""
    options = stores.store_options(kind, tmp_path)
    if kind == "azure":
        store = open_store(replace(options, azure_storage_access_key="d3JvbmdzZWNyZXQ="))
    else:
        store = open_store(replace(options, aws_secret_access_key="wrongsecret"))
    calls: list[Callable[[], object]] = [
        lambda: store.put_new("a/1", b""),
        lambda: store.get("a/1"),
        lambda: store.list(""),
        lambda: store.delete("a/1"),
    ]

    for call in calls:
        with pytest.raises(StorePermission) as failed:
            call()
        assert "credentials" in str(failed.value.hint)
        assert "wrongsecret" not in str(failed.value)


def test_rotated_keys_in_the_credentials_file_are_used_without_reopening(tmp_path: Path) -> None:
    """O4, S6: rclone checks signatures."""
    file = tmp_path / "aws.json"
    file.write_text(json.dumps({"aws_access_key_id": stores.S3_KEY, "aws_secret_access_key": "old"}))
    options = stores.store_options("rclone", tmp_path)
    store = open_store(
        replace(options, aws_credentials_file=file, aws_access_key_id=None, aws_secret_access_key=None),
    )
    with pytest.raises(StorePermission):
        store.put("a", b"x")
    file.write_text(json.dumps({"aws_access_key_id": stores.S3_KEY, "aws_secret_access_key": stores.S3_SECRET}))

    deadline_s = time.monotonic() + 5
    while True:
        try:
            store.put("a", b"x")
            break
        except StorePermission:  # the client keeps keys for a moment
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    assert store.get("a") == b"x"


def test_a_missing_credentials_file_is_named(tmp_path: Path) -> None:
    """S5."""
    options = stores.store_options("rclone", tmp_path)
    file = tmp_path / "none.json"
    store = open_store(replace(options, aws_credentials_file=file, aws_access_key_id=None, aws_secret_access_key=None))

    with pytest.raises(StorePermission, match=r"none\.json is not a readable AWS credentials file"):
        store.get("a")


def test_a_server_with_a_private_authority_needs_it_named_or_the_check_left_out(tmp_path: Path) -> None:
    """O1: --object-store-tls-ca, --object-store-tls-allow-insecure."""
    options = replace(stores.store_options("s3", tmp_path), max_retries=0)
    relay = Relay(str(options.aws_endpoint), certificate(tmp_path))
    secure = replace(options, aws_endpoint=relay.url, aws_allow_http=False)
    try:
        with pytest.raises(StoreUnavailable, match=r"InvalidCertificate\(UnknownIssuer\)"):
            open_store(secure).list("")
        open_store(replace(secure, tls_ca=tmp_path / "ca.pem")).put_new("a", b"1")
        open_store(replace(secure, tls_allow_insecure=True)).put_new("b", b"2")
    finally:
        relay.close()

    assert [info.path for info in open_store(options).list("")] == ["a", "b"]


def certificate(directory: Path) -> ssl.SSLContext:
    """A server's context for 127.0.0.1; the certificate is its own authority, in ca.pem."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a store")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "ca.pem", directory / "key.pem")
    return context


# large objects


@pytest.mark.parametrize("kind", REMOTE)
def test_a_large_object_goes_in_one_conditional_request(kind: str, tmp_path: Path) -> None:
    """S1, S2, R2."""
    store = open_store(stores.store_options(kind, tmp_path))
    data = os.urandom(1 << 20) * (LONG_BYTES // (1 << 20) + 1)

    store.put_new("a", memoryview(data))

    with pytest.raises(ObjectExists):
        store.put_new("a", data)
    assert store.get("a") == data
    assert store.get_range("a", len(data) - 10, 100) == data[-10:]


def test_an_object_too_large_for_one_request_is_refused_before_it_is_sent() -> None:
    store = open_store(StoreOptions("s3", bucket="b", aws_endpoint="http://127.0.0.1:1", aws_allow_http=True))
    with mmap.mmap(-1, LARGEST_BYTES + 1) as untouched, memoryview(untouched) as data:
        for call in (store.put_new, store.put):
            with pytest.raises(StoreFull, match="s3://b/a: 4294967297 bytes are too much for one object"):
                call("a", data)


# disks


def mount(directory: Path, options: str) -> None:
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs of our own can be mounted: {done.stderr.decode().strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system takes root")
    directory = tmp_path / "disk"
    directory.mkdir()
    mount(directory, "size=256k")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.parametrize("call", ["put_new", "put"])
def test_a_full_disk_is_told_and_works_again_when_there_is_space(small_disk: Path, call: str) -> None:
    """S5, S6, L7."""
    store = LocalStore(small_disk)
    store.put_new("a/1", bytes(150_000))

    with pytest.raises(StoreFull, match="a/2: no space left on the device"):
        getattr(store, call)("a/2", bytes(150_000))
    listed = [info.path for info in store.list("")]
    store.delete("a/1")
    getattr(store, call)("a/2", bytes(150_000))

    assert listed == ["a/1"]
    assert store.get("a/2") == bytes(150_000)


def test_a_disk_that_turns_read_only_is_told_still_read_and_works_again(small_disk: Path) -> None:
    """S5, S6."""
    store = LocalStore(small_disk)
    store.put_new("a/1", b"x")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    try:
        calls: list[Callable[[], object]] = [
            lambda: store.put_new("a/2", b""),
            lambda: store.put("a/1", b""),
            lambda: store.delete("a/1"),
        ]
        for call in calls:
            with pytest.raises(StorePermission, match="read-only file system"):
                call()
        read = store.get("a/1")
        with pytest.raises(StorePermission, match="read-only file system"):
            check_store(LocalStore(small_disk), "node")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)

    store.put_new("a/2", b"y")
    assert (read, store.get("a/2")) == (b"x", b"y")


IN_A_CHILD = """
import json, os, resource, sys
from pathlib import Path
from engine.storage.base import StoreError
from engine.storage.local import LocalStore
root = Path(sys.argv[1])
limit, user = int(sys.argv[2]), int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
said = {}
def attempt(name, call):
    try:
        call()
        said[name] = ["", ""]
    except StoreError as error:
        said[name] = [type(error).__name__, str(error)]
attempt("open", lambda: LocalStore(root))
if said["open"][0] == "":
    store = LocalStore(root)
    attempt("put_new", lambda: store.put_new("a/new", b"x" * 5000))
    attempt("put", lambda: store.put("a/1", b"x" * 5000))
    attempt("small", lambda: store.put("a/small", b"x"))
    attempt("get", lambda: store.get("a/1"))
    attempt("list", lambda: store.list("a/"))
    attempt("delete", lambda: store.delete("a/1"))
print(json.dumps(said))
"""


def in_a_child(root: Path, *, limit: int = 0, user: int = 0) -> dict[str, list[str]]:
    """What the calls of a process with these limits or of this user end with: error class and sentence, by call."""
    command = [sys.executable, "-c", IN_A_CHILD, str(root), str(limit), str(user)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=REPOSITORY)
    said: dict[str, list[str]] = json.loads(done.stdout)
    return said


def test_a_file_size_limit_is_told_and_smaller_objects_still_go(tmp_path: Path) -> None:
    """S5."""
    LocalStore(tmp_path).put_new("a/1", b"x")

    said = in_a_child(tmp_path, limit=4096)

    assert said["put_new"][0] == said["put"][0] == "StoreFull"
    assert "a/new: beyond the largest file allowed" in said["put_new"][1]
    assert said["small"] == said["get"] == ["", ""]


NOBODY = 65534


def as_other_user(root: Path) -> dict[str, list[str]]:
    """As nobody when we are root, who may do everything; otherwise as ourselves."""
    if os.geteuid() == 0:
        for parent in filter(Path.exists, root.parents):
            if parent.stat().st_mode & 0o001 == 0:
                parent.chmod(parent.stat().st_mode | 0o011)
    return in_a_child(root, user=NOBODY if os.geteuid() == 0 else 0)


def test_a_directory_without_write_permission_is_told(tmp_path: Path) -> None:
    """S5."""
    root = tmp_path / "data"
    LocalStore(root).put_new("a/1", b"x")
    for path in (root / "a" / "1", root / "a", root):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for path in (root / "a", root):
        path.chmod(0o555)

    said = as_other_user(root)

    assert said["open"] == said["get"] == said["list"] == ["", ""]
    for call in ("put_new", "put", "delete"):
        assert said[call][0] == "StorePermission", said
        assert "permission denied" in said[call][1]
        assert str(root / "a") in said[call][1]


def test_a_directory_that_may_not_be_read_is_told_and_not_taken_for_empty(tmp_path: Path) -> None:
    """S4, S5."""
    root = tmp_path / "data"
    LocalStore(root).put_new("a/1", b"x")
    root.chmod(0o755)
    (root / "a").chmod(0o000)

    said = as_other_user(root)
    (root / "a").chmod(0o755)

    for call in ("get", "list", "put_new"):
        assert said[call][0] == "StorePermission", said


def test_a_data_directory_that_cannot_be_made_is_told_at_open(tmp_path: Path) -> None:
    """S5."""
    tmp_path.chmod(0o555)

    said = as_other_user(tmp_path / "data" / "deeper")
    tmp_path.chmod(0o755)

    assert said["open"][0] == "StorePermission"
    assert str(tmp_path / "data") in said["open"][1]


def test_an_immutable_directory_is_told(tmp_path: Path) -> None:
    """S5: chattr stops even root."""
    store = LocalStore(tmp_path)
    store.put_new("a/1", b"x")
    if (
        shutil.which("chattr") is None
        or subprocess.run(["chattr", "+i", str(tmp_path / "a")], capture_output=True, check=False).returncode
    ):
        pytest.skip("no directory can be made immutable here")
    try:
        with pytest.raises(StorePermission, match=os.strerror(errno.EPERM).lower()):
            store.put_new("a/2", b"x")
    finally:
        subprocess.run(["chattr", "-i", str(tmp_path / "a")], check=True)

    store.put_new("a/2", b"x")
    assert [info.path for info in store.list("")] == ["a/1", "a/2"]
