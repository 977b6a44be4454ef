"""`influxdb3 serve` on remote stores: real servers, real buckets, and two servers that want the same node."""

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.clock import SystemClock
from engine.node import Node
from engine.settings import Settings
from engine.storage.base import ObjectStore
from engine.storage.open import StoreOptions, open_store
from tests.conftest import PRODUCT
from tests.helpers import stores
from tests.helpers.engine import read
from tests.helpers.servers import Server, await_ready, launch, running, wait_until

QUICK = ("--wal-flush-interval", "20ms", "--http-workers", "1")
SETTLING = (*QUICK, "--wal-files-per-snapshot", "10")  # a snapshot 0.2 s after the first row


def post(server: Server, lines: str, *, timeout_s: float = 20.0) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=timeout_s)
    try:
        connection.request("POST", "/api/v3/write_lp?db=db&precision=nanosecond", lines)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def write(server: Server, lines: str) -> None:
    status, body = post(server, lines)
    assert status == 204, body


def rows(server: Server, sql: str) -> list[dict[str, object]]:
    answer = server.get(f"/api/v3/query_sql?db=db&format=json&q={quote(sql)}")
    found: list[dict[str, object]] = json.loads(answer)
    return found


def numbers(server: Server) -> list[int]:
    """The values of all rows of t, in order of their times."""
    return [int(str(row["v"])) for row in rows(server, "SELECT v FROM t ORDER BY time")]


def serve(directory: Path, options: StoreOptions, *more: str) -> Server:
    return launch(directory, *stores.flags(options), *more, command=PRODUCT)


def kill(server: Server) -> None:
    family = [psutil.Process(server.process.pid), *server.children()]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, 5)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[tuple[StoreOptions, ObjectStore]]:
    options = stores.store_options("s3", tmp_path)
    store = open_store(options)
    yield options, store
    store.close()


@pytest.mark.parametrize("kind", ["s3", "google", "azure"])
def test_rows_come_back_after_a_restart_and_lie_in_the_bucket_as_plain_parquet(kind: str, tmp_path: Path) -> None:
    options = stores.store_options(kind, tmp_path)
    arguments = stores.flags(options)
    store = open_store(options)
    with running(tmp_path / "a", *arguments, *SETTLING, command=PRODUCT) as server:
        write(server, "t,host=a v=1i 1\nt,host=b v=2i 2")
        wait_until(lambda: any(info.path.endswith(".parquet") for info in store.list("node/dbs/")))
        write(server, "t,host=a v=3i 3")
        assert server.stop() == 0, server.text
    with running(tmp_path / "b", *arguments, *QUICK, command=PRODUCT) as server:
        assert numbers(server) == [1, 2, 3]
        write(server, "t,host=a v=4i 4")
        assert numbers(server) == [1, 2, 3, 4]
        assert server.stop() == 0, server.text

    paths = [info.path for info in store.list("node/dbs/")]
    found = pa.concat_tables(pq.read_table(pa.BufferReader(store.get(path))) for path in paths)
    store.close()
    assert found.sort_by("time").select(["host", "v"]).to_pylist()[:2] == [{"host": "a", "v": 1}, {"host": "b", "v": 2}]


def test_a_bucket_that_overwrites_is_refused_unless_somebody_insists(tmp_path: Path) -> None:
    options = stores.store_options("rclone", tmp_path)
    refused = serve(tmp_path / "a", options)
    assert refused.wait(60) == 1
    assert "it overwrites objects that it was told to create only when there are none" in refused.text
    assert "--allow-unconditional-writes" in refused.text

    arguments = [*stores.flags(options), "--allow-unconditional-writes"]
    for expected in ([1], [1, 2]):
        with running(tmp_path / "b", *arguments, *QUICK, command=PRODUCT) as server:
            write(server, f"t v={len(expected)}i {len(expected)}")
            assert numbers(server) == expected
            assert server.stop() == 0, server.text


def test_a_store_in_memory_forgets(tmp_path: Path) -> None:
    for _ in range(2):
        with running(tmp_path, "--object-store", "memory", *QUICK, command=PRODUCT) as server:
            write(server, "t v=1i 1")
            assert numbers(server) == [1]
            assert server.stop() == 0, server.text


class Load:
    """One line a request, from several connections, until told to stop; every answer is noted."""

    def __init__(self, server: Server, first: int = 0, writers: int = 4) -> None:
        self.server = server
        self.acknowledged: set[int] = set()
        self.attempted: set[int] = set()
        self.refused = 0
        self._numbers = iter(range(first, first + 1_000_000))
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(writers)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def _write(self) -> None:
        while not self._over.is_set():
            with self._lock:
                number = next(self._numbers)
                self.attempted.add(number)
            try:
                status, _ = post(self.server, f"t,host=h{number % 7} v={number}i {number}", timeout_s=40)
            except (OSError, http.client.HTTPException):
                self._over.wait(0.05)
                continue
            if status == 204:
                with self._lock:
                    self.acknowledged.add(number)
            else:
                assert status == 503
                self.refused += 1
                self._over.wait(0.05)

    def check(self, found: list[int]) -> None:
        assert len(found) == len(set(found)), "a row is there twice"
        assert self.acknowledged <= set(found), f"{len(self.acknowledged - set(found))} acknowledged rows are gone"
        assert set(found) <= self.attempted


def numbers_after_restart(store: ObjectStore) -> list[int]:
    node = Node.open(Settings(node_id="node"), store, SystemClock())
    found = [int(row["v"]) for row in read(node, "SELECT v FROM t")]
    node.close()
    return found


def test_a_second_server_takes_the_node_over_and_the_first_one_ends_with_a_sentence(
    bucket: tuple[StoreOptions, ObjectStore], tmp_path: Path
) -> None:
    """O1: under load, with snapshots on the way; nothing that either acknowledged is lost, and no row is there twice."""
    options, store = bucket
    first = await_ready(serve(tmp_path / "a", options, *SETTLING))
    load = Load(first)
    wait_until(lambda: len(load.acknowledged) > 50)
    with running(tmp_path / "b", *stores.flags(options), *SETTLING, command=PRODUCT) as second:
        other = Load(second, first=1_000_000)
        assert first.wait(60) == 1
        load.stop()
        wait_until(lambda: len(other.acknowledged) > 50)
        other.stop()
        assert "another server has started as node node on the same store and owns its data now" in first.text
        load.acknowledged |= other.acknowledged
        load.attempted |= other.attempted
        load.check(numbers(second))
        assert second.stop() == 0, second.text
    load.check(numbers_after_restart(store))


def test_every_acknowledged_row_survives_kills_under_load(bucket: tuple[StoreOptions, ObjectStore], tmp_path: Path) -> None:
    options, store = bucket
    with running(tmp_path, *stores.flags(options), *SETTLING, command=PRODUCT) as server:
        load = Load(server)
        for _ in range(2):
            enough = len(load.acknowledged) + 50
            wait_until(lambda enough=enough: len(load.acknowledged) > enough)  # type: ignore[misc]
            os.kill(server.engine_pid(), signal.SIGKILL)  # the supervisor starts another one
        wait_until(lambda: len(load.acknowledged) > enough + 50)
        kill(server)
        load.stop()
    load.check(numbers_after_restart(store))


def test_options_of_stores_can_be_given_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that programs for these stores share, without a prefix."""
    options = replace(stores.store_options("s3", tmp_path), max_retries=1)
    assert options.aws_endpoint is not None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", str(options.aws_access_key_id))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", str(options.aws_secret_access_key))
    monkeypatch.setenv("AWS_ENDPOINT", options.aws_endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    with running(tmp_path, "--object-store", "s3", "--bucket", str(options.bucket), *QUICK, command=PRODUCT) as server:
        write(server, "t v=1i 1")
        assert server.stop() == 0, server.text
