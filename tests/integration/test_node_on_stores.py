"""A whole engine on each object store: write, settle, restart, read; and what it does while the store is away."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.errors import ServiceError
from engine.storage.open import open_store
from engine.storage.probe import check_store
from engine.verify.walk import verify_store
from tests.helpers import stores
from tests.helpers.engine import open_node, read, write
from tests.helpers.relay import Relay

ROWS = "SELECT host, arrow_cast(time, 'Int64') AS ns, v FROM t ORDER BY host, ns"


@pytest.fixture
def relay() -> Iterator[Relay]:
    opened = Relay(stores.moto().url)
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", ["s3", "google", "azure", "rclone"])
def test_rows_are_written_settled_replayed_and_read_and_the_store_is_whole(kind: str, tmp_path: Path) -> None:
    options = stores.store_options(kind, tmp_path)
    store = check_store(open_store(options), "node", allow_unconditional_writes=kind == "rclone")

    node = open_node(store)
    write(node, "t,host=a v=1 1\nt,host=b v=2 2")
    node.snapshot_now()
    write(node, "t,host=a v=3 3\nt,host=b v=4 2")
    node.close()
    reopened = open_node(check_store(open_store(options), "node", allow_unconditional_writes=kind == "rclone"))
    rows = read(reopened, ROWS)
    while_open = verify_store(open_store(options))
    reopened.close()
    store.put_new("n/wal/copy", b"x")
    store.put_new("another/object", b"x")
    afterwards = verify_store(open_store(options))

    assert [(row["host"], row["ns"], row["v"]) for row in rows] == [("a", 1, 1.0), ("a", 3, 3.0), ("b", 2, 4.0)]
    assert while_open.findings == ()
    assert [finding.about for finding in afterwards.findings] == [("orphan", "n/wal/copy")]
    assert afterwards.others == 1


@pytest.mark.parametrize("trouble", ["lose", "hang", "broken", "busy", "early"])
def test_a_group_whose_answer_is_lost_is_acknowledged_once_and_kept(relay: Relay, tmp_path: Path, trouble: str) -> None:
    options = replace(stores.store_options("s3", tmp_path), aws_endpoint=relay.url, request_timeout_ms=500)
    node = open_node(open_store(options), wal_flush_interval_ms=10)
    write(node, "t,host=a v=0 0")

    relay.plan(trouble)
    write(node, "t,host=a v=1 1")
    write(node, "t,host=a v=2 2")
    node.close()
    reopened = open_node(open_store(options))
    rows = read(reopened, ROWS)
    reopened.close()

    assert [row["v"] for row in rows] == [0.0, 1.0, 2.0]


def test_while_the_store_is_away_writes_wait_or_are_refused_and_afterwards_all_goes_on(relay: Relay, tmp_path: Path) -> None:
    """S6: nobody restarts anything, and every acknowledged row is there after a restart."""
    options = replace(stores.store_options("s3", tmp_path), aws_endpoint=relay.url, max_retries=2, retry_timeout_ms=400)
    node = open_node(open_store(options), wal_flush_interval_ms=10)
    write(node, "t,host=a v=0 0")
    acknowledged, refused, over = [0], [], threading.Event()

    def keep_writing() -> None:
        number = 0
        while not over.is_set():
            number += 1
            try:
                write(node, f"t,host=a v={number} {number}")
                acknowledged.append(number)
            except ServiceError as error:
                refused.append(error.kind)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    time.sleep(0.2)
    relay.down()
    time.sleep(1.5)
    relay.up()
    before = len(acknowledged)
    deadline_s = time.monotonic() + 20
    while len(acknowledged) < before + 3 and time.monotonic() < deadline_s:
        time.sleep(0.05)
    over.set()
    writer.join(60)
    node.close()
    reopened = open_node(open_store(options))
    rows = {int(row["v"]) for row in read(reopened, ROWS)}
    reopened.close()

    assert len(acknowledged) >= before + 3
    assert set(refused) <= {"unavailable"}
    assert set(acknowledged) <= rows
