"""`influxdb3 serve` while its bucket refuses, hangs and breaks connections, and afterwards. Nobody restarts anything."""

import http.client
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engine.storage.base import ObjectStore
from engine.storage.open import StoreOptions, open_store
from tests.conftest import PRODUCT
from tests.helpers import stores
from tests.helpers.relay import Relay
from tests.helpers.servers import Server, running, wait_until
from tests.integration.test_remote_node import SETTLING, Load, numbers, numbers_after_restart, rows, write

OUTAGE_S = 1.6


pytestmark = pytest.mark.long  # patience is short here: a busy machine would use it up


@pytest.fixture
def relay() -> Iterator[Relay]:
    opened = Relay(stores.moto().url)
    yield opened
    opened.close()


def impatient(relay: Relay, directory: Path) -> tuple[StoreOptions, ObjectStore]:
    """Options of a bucket behind the relay, and a way to it that has no troubles."""
    options = stores.store_options("s3", directory)
    behind = replace(options, aws_endpoint=relay.url, request_timeout_ms=400, max_retries=4, retry_timeout_ms=1500)
    return behind, open_store(options)


def begin(relay: Relay, trouble: str) -> None:
    if trouble == "refuse":
        relay.down()
    else:
        relay.always(trouble)


def end(relay: Relay, trouble: str) -> None:
    if trouble == "refuse":
        relay.up()
    else:
        relay.always("ok")


def ask(server: Server, method: str, path: str, body: str = "") -> tuple[int, str | None]:
    """The status, and how long to wait before trying again."""
    with closing(http.client.HTTPConnection(server.host, server.port, timeout=60)) as connection:
        connection.request(method, path, body)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("Retry-After")


def test_a_store_that_is_away_for_a_while_costs_patience_and_nothing_else(relay: Relay, tmp_path: Path) -> None:
    """S6, W5, W6, F4: refused, hanging and broken connections, answers that are lost, one trouble after another."""
    options, store = impatient(relay, tmp_path)
    with running(tmp_path, *stores.flags(options), *SETTLING, command=PRODUCT) as server:
        engine = server.engine_pid()
        load = Load(server)
        for trouble in ("refuse", "hang", "early", "lose"):
            before = len(load.acknowledged)
            wait_until(lambda before=before: len(load.acknowledged) > before + 20)  # type: ignore[misc]
            begin(relay, trouble)
            time.sleep(OUTAGE_S)
            assert numbers(server), "what is there can be read all the while"
            end(relay, trouble)
            acknowledged = len(load.acknowledged)
            wait_until(lambda acknowledged=acknowledged: len(load.acknowledged) > acknowledged + 20)  # type: ignore[misc]
        wait_until(lambda: ask(server, "GET", "/health") == (200, None))
        files = len(store.list("node/dbs/"))
        wait_until(lambda: len(store.list("node/dbs/")) > files)
        load.stop()

        assert load.refused > 0
        assert server.engine_pid() == engine, "the same process all the time"
        load.check(numbers(server))
        assert server.stop() == 0, server.text
    load.check(numbers_after_restart(store))
    store.close()


def test_a_new_table_is_refused_in_time_and_made_later(relay: Relay, tmp_path: Path) -> None:
    """C4, C8: a commit of the catalog whose answer is lost, or that cannot be sent, is no dead end."""
    options, store = impatient(relay, tmp_path)
    with running(tmp_path, *stores.flags(options), *SETTLING, command=PRODUCT) as server:
        write(server, "t v=0i 0")
        for number, trouble in enumerate(("lose", "early", "hang")):
            relay.plan(trouble)
            write(server, f"u{number},host=a v={number}i 1")
        relay.down()
        assert ask(server, "POST", "/api/v3/write_lp?db=db", "new v=1i 1") == (503, "1")
        relay.up()
        write(server, "new v=2i 2")

        assert [rows(server, f"SELECT v FROM u{number}") for number in range(3)] == [[{"v": number}] for number in range(3)]
        assert {"v": 2} in rows(server, "SELECT v FROM new")
        assert server.stop() == 0, server.text
    store.close()


def test_a_server_ends_in_time_while_its_store_is_away(relay: Relay, tmp_path: Path) -> None:
    options, store = impatient(relay, tmp_path)
    with running(tmp_path, *stores.flags(options), *SETTLING, command=PRODUCT) as server:
        load = Load(server)
        wait_until(lambda: len(load.acknowledged) > 20)
        relay.always("hang")
        time.sleep(1)
        began_s = time.monotonic()
        server.stop()
        assert time.monotonic() - began_s < 30
        load.stop()
    load.check(numbers_after_restart(store))
    store.close()
