"""Two servers on one object store and one catalog, each a process of its own (G1, F1)."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.helpers.servers import Server, running, wait_until

REAL = ("-m", "flightserver.cli.main", "serve")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    shared = ("--data-dir", str(tmp_path / "data"), "--cluster-id", "c")
    with ExitStack() as servers:
        yield tuple(  # type: ignore[misc]
            servers.enter_context(running(tmp_path / name, "--node-id", name, *shared, command=REAL)) for name in ("a", "b")
        )


def call(server: Server, method: str, path: str, body: object = None) -> bytes:
    data = None if body is None else json.dumps(body).encode() if isinstance(body, dict) else str(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: bytes = answer.read()
        return found


def databases(server: Server) -> list[str]:
    listed = json.loads(call(server, "GET", "/api/v3/configure/database?format=json"))
    return [found["iox::database"] for found in listed if found["iox::database"] != "_internal"]


def test_each_sees_the_others_catalog_changes_within_a_second(pair: tuple[Server, Server]) -> None:
    """G1."""
    here, there = pair
    took_s: list[float] = []
    request_s: list[float] = []

    for number in range(7):  # the first ones also warm both up; whose machine is busy may be late now and then
        one, other = (here, there) if number % 2 else (there, here)
        call(one, "POST", "/api/v3/configure/database", {"db": f"db{number}"})
        began_s = time.monotonic()
        wait_until(partial(knows, other, f"db{number}"))
        took_s.append(time.monotonic() - began_s)
        began_s = time.monotonic()
        databases(one)
        request_s.append(time.monotonic() - began_s)
    call(here, "DELETE", "/api/v3/configure/database?db=db1")
    wait_until(lambda: not knows(there, "db1"))

    assert sorted(took_s)[3] < 1 + 10 * sorted(request_s)[3], "a second, as far as the machine has time for us"


def knows(server: Server, database: str) -> bool:
    return database in databases(server)


def test_they_say_that_they_are_one_cluster_and_keep_their_rows_apart(pair: tuple[Server, Server]) -> None:
    """G1."""
    uuids, rows = [], []
    for number, server in enumerate(pair):
        call(server, "POST", "/api/v3/write_lp?db=db", f"t,host=h v={number} {number + 1}")
        with urllib.request.urlopen(server.url + "/ping", timeout=10) as answer:
            uuids.append(answer.headers["cluster-uuid"])
        rows.append(json.loads(call(server, "GET", "/api/v3/query_sql?db=db&format=json&q=SELECT%20v%20FROM%20t")))

    assert uuids[0] == uuids[1]
    assert rows == [[{"v": 0.0}], [{"v": 1.0}]]
