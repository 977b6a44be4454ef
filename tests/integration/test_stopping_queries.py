"""Queries whose clients go away: no CPU is used for them a moment later. Real processes and sockets."""

from collections.abc import Iterator

import pyarrow.flight as fl
import pytest

from tests.helpers.busy import SLOW_SCAN, ask, becomes_busy, becomes_idle, cancel, fill, flight_info, http_connection
from tests.helpers.servers import Server, running
from tests.integration.test_engine_process import REAL

#: rows first, and then work without rows
ROWS_THEN_WORK = f"SELECT v FROM t WHERE v < 3 UNION ALL ({SLOW_SCAN})"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), command=REAL) as server:
        fill(server)
        yield server


@pytest.mark.parametrize("statement", [SLOW_SCAN, ROWS_THEN_WORK], ids=["before the first byte", "in the middle"])
def test_a_closed_http_connection_ends_the_work(server: Server, statement: str) -> None:
    connection = http_connection(server, statement)
    becomes_busy(server)

    connection.close()

    becomes_idle(server)
    assert ask(server, "SELECT count(*) AS n FROM t") == [{"n": 100_000}]


@pytest.mark.parametrize("statement", [SLOW_SCAN, ROWS_THEN_WORK], ids=["before the first batch", "in the middle"])
def test_a_flight_client_that_is_gone_ends_the_work(server: Server, statement: str) -> None:
    client = server.flight()
    reader = client.do_get(flight_info(client, statement).endpoints[0].ticket)
    becomes_busy(server)

    reader.cancel()
    client.close()

    becomes_idle(server)


def test_a_cancelled_query_ends_its_work_and_its_client_hears_of_it(server: Server) -> None:
    with server.flight() as client, server.flight() as other:
        info = flight_info(client, SLOW_SCAN)
        reader = client.do_get(info.endpoints[0].ticket)
        becomes_busy(server)

        cancel(other, info)

        with pytest.raises(fl.FlightUnavailableError, match="the query was cancelled"):
            reader.read_all()
        becomes_idle(server)
