"""Results on their way: bounded when the client is slow, alive when the engine is, and ended when nobody wants them."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from flightserver.flightsql.results import BATCH_BYTES_MAX
from flightserver.handlers.brief import BRIEF_S
from flightserver.handlers.streams import AHEAD_BYTES
from flightserver.server import EngineServer
from tests.helpers.flight_process import within
from tests.helpers.memory_node import MemoryNode, wait_until_closed

KEEP_ALIVE_S = 0.1
WIDE = "SELECT value, repeat('x', 1000) AS text FROM generate_series(1, 1000000)"


@pytest.fixture
def server(node: MemoryNode) -> Iterator[EngineServer]:
    node.create_database("db")
    server = EngineServer(node, "grpc://127.0.0.1:0", keep_alive_s=KEEP_ALIVE_S)
    yield server
    server.shutdown()


def ticket(query: str) -> fl.Ticket:
    return fl.Ticket(json.dumps({"database": "db", "sql_query": query}))


def test_a_client_that_does_not_read_stops_the_engine(flight: fl.FlightClient, node: MemoryNode) -> None:
    """Z1."""
    stream = flight.do_get(ticket(WIDE))
    stream.read_chunk()

    def read_bytes() -> int:
        return node.batches_read * 8192 * 1000

    def stands_still() -> bool:
        before = node.batches_read
        time.sleep(0.3)
        return node.batches_read == before

    within(60, lambda: read_bytes() >= AHEAD_BYTES)
    within(60, stands_still)

    assert read_bytes() <= AHEAD_BYTES + 64 * 2**20, "what gRPC's window and both sides' buffers hold"
    stream.cancel()


def test_a_client_that_reads_a_byte_a_second_holds_up_nobody(
    server: EngineServer, node: MemoryNode, flight: fl.FlightClient
) -> None:
    """Z1: a raw connection that asked for a big result and then hardly reads."""
    with slow_reader(server.port, WIDE) as connection:
        within(60, lambda: node.batches_read > 0)
        connection.recv(1)
        standing = 0
        while node.batches_read != standing:
            standing = node.batches_read
            time.sleep(0.2)

        assert standing * 8192 * 1000 < 64 * 2**20
        assert flight.do_get(ticket("SELECT 1 AS one")).read_all().to_pylist() == [{"one": 1}]

    within(60, lambda: node.closed_results == 2)


def slow_reader(port: int, query: str) -> socket.socket:
    """HTTP/2 by hand: preface, settings, and a DoGet whose answer nobody takes from the socket."""
    body = ticket(query).serialize()
    message = b"\x00" + len(body).to_bytes(4, "big") + body
    headers = b"".join(
        b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/arrow.flight.protocol.FlightService/DoGet"),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ]
    )

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    connection = socket.create_connection(("127.0.0.1", port))
    window = (2**31 - 1 - 65535).to_bytes(4, "big")
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, b"\x00\x04" + (2**31 - 1).to_bytes(4, "big"))
        + frame(8, 0, 0, window)
        + frame(1, 4, 1, headers)
        + frame(0, 1, 1, message)
    )
    return connection


def test_silence_is_filled_with_empty_batches(flight: fl.FlightClient, node: MemoryNode) -> None:
    """Z3."""
    node.before_batch = lambda closed: time.sleep(6 * KEEP_ALIVE_S)

    chunks = [chunk.data for chunk in flight.do_get(ticket("SELECT 1 AS one, 'a' AS two"))]

    assert 3 <= len(chunks) <= 20
    assert [chunk.num_rows for chunk in chunks] == [0] * (len(chunks) - 1) + [1]
    assert pa.Table.from_batches(chunks).to_pylist() == [{"one": 1, "two": "a"}]


def test_a_quick_result_needs_no_empty_batches(node: MemoryNode) -> None:
    """Z3: quick, compared with the silence that is filled."""
    node.create_database("quick")
    patient = EngineServer(node, "grpc://127.0.0.1:0", keep_alive_s=60)
    with fl.FlightClient(f"grpc://127.0.0.1:{patient.port}") as flight:
        found = flight.do_get(fl.Ticket(json.dumps({"database": "quick", "sql_query": "SELECT 1 AS one"})))
        assert [chunk.data.num_rows for chunk in found] == [1]
    patient.shutdown()


def test_a_statement_that_was_brief_is_run_by_its_calls_own_thread(flight: fl.FlightClient, node: MemoryNode) -> None:
    """Z3: and is not filled with empty batches if it takes its time after all, but is the next time."""
    threads = []

    def run(pause_s: float) -> int:
        def work(closed: threading.Event) -> None:
            threads.append(threading.current_thread().name.partition("-")[0])
            time.sleep(pause_s)

        node.before_batch = work
        return len([chunk.data for chunk in flight.do_get(ticket("SELECT 1 AS one"))])

    counts = [run(0), run(2 * BRIEF_S), run(6 * KEEP_ALIVE_S)]

    assert counts[:2] == [1, 1]
    assert counts[2] > 2
    assert threads == ["read", "Dummy", "read"]


def test_a_statement_that_waited_long_for_its_turn_was_brief_all_the_same(
    flight: fl.FlightClient, node: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of handlers.brief V1: or many small statements would make each other dearer."""
    threads = []

    def work(closed: threading.Event) -> None:
        threads.append(threading.current_thread().name.partition("-")[0])
        time.sleep(2 * BRIEF_S)

    answer = node.query_sql
    monkeypatch.setattr(node, "query_sql", lambda *given: replace(answer(*given), waited_s=lambda: 2 * BRIEF_S))
    node.before_batch = work
    for _ in range(2):
        flight.do_get(ticket("SELECT 1 AS one")).read_all()

    assert threads == ["read", "Dummy"]


def run_before(flight: fl.FlightClient, node: MemoryNode, was_brief: bool) -> int:
    """How many results are closed by now."""
    if was_brief:
        flight.do_get(ticket("SELECT 1")).read_all()
        within(60, lambda: node.closed_results == 1)
    return node.closed_results


def waiting_query(node: MemoryNode) -> threading.Event:
    """From now on each query's engine works until it is told to stop; the event tells that one has begun."""
    begun = threading.Event()

    def work(closed: threading.Event) -> None:
        begun.set()
        wait_until_closed(closed)

    node.before_batch = work
    return begun


@pytest.mark.parametrize("was_brief", [False, True])
def test_a_client_that_cancels_ends_the_work_at_once(flight: fl.FlightClient, node: MemoryNode, was_brief: bool) -> None:
    """Z2, Z4."""
    closed_before = run_before(flight, node, was_brief)
    begun = waiting_query(node)
    stream = flight.do_get(ticket("SELECT 1"))
    assert begun.wait(60)

    started = time.monotonic()
    stream.cancel()
    within(60, lambda: node.closed_results == closed_before + 1)

    assert time.monotonic() - started < 20, "on a busy machine; alone it takes some 20 ms"


@pytest.mark.parametrize("was_brief", [False, True])
def test_a_client_whose_connection_breaks_ends_the_work(
    flight: fl.FlightClient, server: EngineServer, node: MemoryNode, was_brief: bool
) -> None:
    """Z2, Z4."""
    closed_before = run_before(flight, node, was_brief)
    begun = waiting_query(node)
    connection = slow_reader(server.port, "SELECT 1")
    assert begun.wait(60)

    connection.close()

    within(60, lambda: node.closed_results == closed_before + 1)


@pytest.mark.parametrize("was_brief", [False, True])
def test_a_deadline_ends_the_work(flight: fl.FlightClient, node: MemoryNode, was_brief: bool) -> None:
    """Z2, Z4."""
    closed_before = run_before(flight, node, was_brief)
    waiting_query(node)

    with pytest.raises(fl.FlightTimedOutError):
        flight.do_get(ticket("SELECT 1"), fl.FlightCallOptions(timeout=1)).read_all()

    within(60, lambda: node.closed_results == closed_before + 1)


def test_a_result_is_closed_when_it_has_been_read(flight: fl.FlightClient, node: MemoryNode) -> None:
    """Z2."""
    for query in ("SELECT 1 AS one", WIDE + " LIMIT 20000"):
        flight.do_get(ticket(query)).read_all()

    within(60, lambda: node.closed_results == 2)


def test_a_result_is_closed_when_it_fails(flight: fl.FlightClient, node: MemoryNode) -> None:
    """Z2."""
    with pytest.raises(pa.ArrowInvalid, match="Divide by zero"):
        flight.do_get(ticket("SELECT 1 / (value - 20000) FROM generate_series(0, 30000)")).read_all()

    within(60, lambda: node.closed_results == 1)


def test_what_was_ready_before_a_failure_still_arrives(flight: fl.FlightClient) -> None:
    stream = flight.do_get(ticket("SELECT 1 / (value - 29000) AS x FROM generate_series(0, 30000)"))
    rows: list[int] = []

    with pytest.raises(pa.ArrowInvalid, match="Divide by zero"):
        rows.extend(chunk.data.num_rows for chunk in stream)

    assert sum(rows) >= 8_192  # of the batches of one thread those before the last; another thread may be slower


def test_many_streams_at_once_are_all_answered(server: EngineServer, node: MemoryNode) -> None:
    """Z2, Z4: and every one of them is closed."""
    own_connection = [("grpc.use_local_subchannel_pool", 1)]

    def ask(number: int) -> list[dict[str, int]]:
        with fl.FlightClient(f"grpc://127.0.0.1:{server.port}", generic_options=own_connection) as client:
            held.wait(60)
            rows: list[dict[str, int]] = client.do_get(ticket(f"SELECT {number} AS n")).read_all().to_pylist()
            return rows

    held = threading.Barrier(100)
    with ThreadPoolExecutor(100) as callers:
        found = list(callers.map(ask, range(100)))

    assert found == [[{"n": number}] for number in range(100)]
    within(60, lambda: node.closed_results == 100)


def test_a_thousand_connections_at_once_are_served(server: EngineServer, node: MemoryNode) -> None:
    """Each holds a query open; another client is answered meanwhile, and when they vanish nothing is left."""
    release = threading.Event()
    node.before_batch = lambda closed: None if release.is_set() else wait_until_closed(closed)
    connections = [slow_reader(server.port, "SELECT 1") for _ in range(1000)]
    within(60, lambda: node.opened_results == 1000)

    release.set()
    with fl.FlightClient(f"grpc://127.0.0.1:{server.port}") as client:
        assert client.do_get(ticket("SELECT 1 AS one")).read_all().num_rows == 1
    for connection in connections:
        connection.close()

    within(60, lambda: node.closed_results == 1001)


def test_every_message_is_below_two_mebibytes(server: EngineServer) -> None:
    """As other stacks count: the whole gRPC message."""
    import grpc  # type: ignore[import-untyped]  # ships no types

    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        do_get = channel.unary_stream("/arrow.flight.protocol.FlightService/DoGet")
        columns = ", ".join(f"value + {n} AS c{n}" for n in range(64))
        sizes = [len(message) for message in do_get(ticket(f"SELECT {columns} FROM generate_series(1, 50000)").serialize())]

    assert sum(sizes) > 50_000 * 64 * 8
    assert max(sizes) < BATCH_BYTES_MAX
