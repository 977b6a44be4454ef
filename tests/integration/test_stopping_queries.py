"""Queries whose clients go away: no CPU is used for them a moment later. Real processes and sockets."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from flightserver.flightsql import commands, tickets
from flightserver.flightsql.proto import flightsql_pb2 as sql
from tests.helpers.busy import (
    EXPLODING,
    LONG_TO_PLAN,
    SLOW_AFTERWARDS,
    SLOW_SCAN,
    ask,
    becomes_busy,
    becomes_idle,
    cancel,
    fill,
    flight_info,
    http_connection,
    refusal,
)
from tests.helpers.servers import Server, running, wait_until
from tests.integration.test_engine_process import REAL

#: rows first, and then work without rows
ROWS_THEN_WORK = f"SELECT v FROM t WHERE v < 3 UNION ALL ({SLOW_SCAN})"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), command=REAL) as server:
        fill(server)
        yield server


WORK = pytest.mark.parametrize(
    "statement",
    [SLOW_SCAN, ROWS_THEN_WORK, SLOW_AFTERWARDS, EXPLODING],
    ids=["before the first row", "in the middle", "after the last row of a scan", "a join that explodes"],
)

ASKS = """
import json, sys, pyarrow.flight as fl
fl.FlightClient(sys.argv[1]).do_get(fl.Ticket(json.dumps({"database": "db", "sql_query": sys.argv[2]}))).read_all()
"""


@WORK
def test_a_closed_http_connection_ends_the_work(server: Server, statement: str) -> None:
    connection = http_connection(server, statement)
    becomes_busy(server)

    connection.close()

    becomes_idle(server)
    assert ask(server, "SELECT count(*) AS n FROM t") == [{"n": 100_000}]


@WORK
def test_a_flight_client_that_is_gone_ends_the_work(server: Server, statement: str) -> None:
    client = server.flight()
    reader = client.do_get(flight_info(client, statement).endpoints[0].ticket)
    becomes_busy(server)

    reader.cancel()
    client.close()

    becomes_idle(server)


def test_planning_ends_with_its_http_connection(server: Server) -> None:
    connection = http_connection(server, LONG_TO_PLAN)
    becomes_busy(server)

    connection.close()

    becomes_idle(server)


def test_planning_ends_with_its_flight_client(server: Server) -> None:
    """GetFlightInfo that waits no longer, and a DoGet whose connection breaks."""
    with server.flight() as client, pytest.raises(fl.FlightTimedOutError):
        flight_info(client, LONG_TO_PLAN, timeout_s=2)
    becomes_idle(server)

    asking = subprocess.Popen([sys.executable, "-c", ASKS, f"grpc://{server.host}:{server.port}", LONG_TO_PLAN])
    becomes_busy(server)
    asking.kill()
    asking.wait()
    becomes_idle(server)


def test_planning_is_cancelled_by_name(server: Server) -> None:
    told: list[str] = []
    command = commands.pack(sql.CommandStatementQuery(query=LONG_TO_PLAN))
    ticket = fl.Ticket(tickets.encode_command("db", command, b"by this name"))
    info = fl.FlightInfo(pa.schema([]), fl.FlightDescriptor.for_command(b""), [fl.FlightEndpoint(ticket, [])], -1, -1)

    def ask_for_it() -> None:
        with server.flight() as client, pytest.raises(fl.FlightUnavailableError) as refused:
            client.do_get(ticket)
        told.append(str(refused.value))

    with server.flight() as other:
        asking = threading.Thread(target=ask_for_it)
        asking.start()
        becomes_busy(server)
        cancel(other, info)
        asking.join(10)

    assert "the query was cancelled" in told[0]
    becomes_idle(server)


@pytest.mark.parametrize("statement", [SLOW_SCAN, EXPLODING])
def test_a_cancelled_query_ends_its_work_and_its_client_hears_of_it(server: Server, statement: str) -> None:
    with server.flight() as client, server.flight() as other:
        info = flight_info(client, statement)
        reader = client.do_get(info.endpoints[0].ticket)
        becomes_busy(server)

        cancel(other, info)

        with pytest.raises(fl.FlightUnavailableError, match="the query was cancelled"):
            reader.read_all()
        becomes_idle(server)


def test_small_statements_are_answered_while_joins_explode(server: Server) -> None:
    connections = [http_connection(server, EXPLODING) for _ in range(3)]
    becomes_busy(server)

    for _ in range(20):
        assert ask(server, "SELECT count(*) AS n FROM t WHERE host = 'h1' AND v < 70") == [{"n": 10}]

    for connection in connections:
        connection.close()
    becomes_idle(server)


def test_more_memory_than_a_query_may_have_is_one_sentence_for_one_client(tmp_path: Path) -> None:
    with running(tmp_path, "--exec-mem-pool-size", "128mb", command=REAL) as server:
        fill(server, 20_000)

        status, sentence = refusal(server, "SELECT array_agg(a.v * b.v) AS x FROM t a, t b")

        assert status == 400
        assert sentence.startswith("the query needs more than the 61 MiB of memory that it may have")
        assert ask(server, "SELECT count(*) AS n FROM t") == [{"n": 20_000}]


def test_a_query_that_takes_too_long_ends_and_nothing_is_left_of_the_server_afterwards(tmp_path: Path) -> None:
    with running(tmp_path, "--query-timeout", "1s", command=REAL) as server:
        fill(server)

        for statement in (SLOW_SCAN, EXPLODING, LONG_TO_PLAN, "SELECT count(*) FROM generate_series(1, 1000000000000)"):
            assert refusal(server, statement)[1].startswith("the query took longer than 1 s")
        becomes_idle(server)
        family = server.children()
        assert any("engine.query.elsewhere.child" in process.cmdline() for process in family), "one is kept warm"
        assert server.stop() == 0

    wait_until(lambda: not any(process.is_running() for process in family))
