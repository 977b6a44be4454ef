"""Statements, clients and files that are wrong in every way: one clear error for whom it concerns, and everyone else goes on.

Real processes and sockets. (Joins that explode and clients that leave: test_stopping_queries.py.)
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pyarrow as pa
import pyarrow.flight as fl
import pytest

from tests.helpers.busy import ask, ask_in_a_body, becomes_idle, fill, flight_info, http_connection, refusal
from tests.helpers.servers import PATIENCE_S, Server, running, wait_until
from tests.integration.test_engine_process import REAL

MIB = 1 << 20
COUNT = "SELECT count(*) AS n FROM t"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), "--wal-flush-interval", "10ms", command=REAL) as server:
        fill(server, 100_000)
        yield server


@pytest.fixture(autouse=True)
def everyone_else_goes_on(server: Server) -> Iterator[None]:
    """The engine is the same process afterwards, of about the same size, and answers."""
    engine = psutil.Process(server.engine_pid())
    before = engine.memory_info().rss
    yield
    assert engine.is_running()
    assert server.engine_pid() == engine.pid
    assert ask(server, COUNT) == [{"n": 100_000}]
    assert engine.memory_info().rss < before + 400 * MIB


def refusal_over_flight(server: Server, statement: str) -> str:
    with server.flight() as client, pytest.raises((pa.ArrowException, fl.FlightError)) as refused:
        client.do_get(flight_info(client, statement).endpoints[0].ticket).read_all()
    return str(refused.value)


WRONG = {
    "nonsense": ("SELEC 1", "SELEC"),
    "unfinished": ("SELECT (1 FROM t", "Expected"),
    "unknown table": ("SELECT * FROM tt", "Did you mean 't'?"),
    "unknown schema": ("SELECT * FROM nowhere.t", "not found"),
    "unknown column": ("SELECT hots FROM t", "host"),
    "unknown function": ("SELECT frist_value(v) FROM t", "Did you mean 'first_value'?"),
    "division by zero": ("SELECT 1 / (v - v) FROM t", "Divide by zero"),
    "types that do not fit": ("SELECT v + true FROM t", "Cannot"),
    "a text that is no number": ("SELECT s::bigint FROM t", "Cannot cast string"),
    "a missing parameter": ("SELECT * FROM t WHERE v = $missing", "missing"),
    "a wrong regular expression": ("SELECT count(*) FROM t WHERE s ~ '('", "unclosed group"),
    "two statements": ("SELECT 1; SELECT 2", "more than one statement"),
    "not a query": ("DROP TABLE t", "DDL not supported"),
    "not a query either": ("SET datafusion.execution.batch_size = 1", "not supported"),
    "ten thousand brackets": ("SELECT " + "(" * 10_000 + "1" + ")" * 10_000, "nested more than 100 levels deep"),
    "ten thousand nots": ("SELECT " + "NOT " * 10_000 + "true", "more than 2,000 parts"),
    "ten thousand signs": ("SELECT " + "- " * 10_000 + "1", "more than 2,000 parts"),
    "ten thousand sub-queries": ("SELECT * FROM " + "(SELECT * FROM " * 10_000 + "t" + ")" * 10_000, "levels deep"),
    "ten thousand cases": ("SELECT " + "CASE WHEN true THEN " * 10_000 + "1" + " END" * 10_000, "deep|parts"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_statement_is_said_in_one_line(server: Server, name: str) -> None:
    statement, said = WRONG[name]

    status, sentence = refusal(server, statement)
    over_flight = refusal_over_flight(server, statement)

    assert status == 400, sentence
    assert any(part in sentence for part in said.split("|")), sentence
    assert any(part in over_flight for part in said.split("|")), over_flight
    assert "\n" not in sentence
    assert len(sentence.encode()) <= 1000
    assert "Traceback" not in over_flight


def test_a_statement_of_ten_megabytes_is_refused_at_every_door(server: Server) -> None:
    statement = "SELECT count(*) FROM t WHERE v IN (" + ", ".join(map(str, range(1_000_000, 2_300_000))) + ")"
    assert len(statement) > 10 * MIB

    status, sentence = refusal(server, statement)

    assert status in (400, 413), sentence
    assert "larger than" in sentence or "exceeded" in sentence, sentence
    assert "the statement is larger than 2 MiB" in refusal_over_flight(server, statement)


def test_a_long_chain_of_conditions_is_a_statement_like_any_other(server: Server) -> None:
    chain = " OR ".join(f"regexp_like(s, 'x{n}')" for n in range(600)) + " OR v = 3"

    assert ask_in_a_body(server, f"{COUNT} WHERE {chain}") == [{"n": 1}]
    assert ask_in_a_body(server, f"SELECT host, max(v) AS v FROM t WHERE {chain} GROUP BY host") == [{"host": "h3", "v": 3}]


def test_an_in_list_of_a_megabyte_is_a_statement_like_any_other(server: Server) -> None:
    body = json.dumps({"db": "db", "q": f"{COUNT} WHERE v IN ({', '.join(map(str, range(0, 240_000, 2)))})"}).encode()
    with socket.create_connection((server.host, server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"POST /api/v3/query_sql HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == [{"n": 50_000}]


def test_a_client_that_reads_a_byte_a_second_holds_up_nobody_and_no_memory(server: Server) -> None:
    """Over HTTP, and over Flight, where it reads nothing at all."""
    everything = "SELECT a.s, a.host, a.v, a.time FROM t a UNION ALL SELECT b.s, b.host, b.v, b.time FROM t b"
    slow = [http_connection(server, everything) for _ in range(4)]
    client = server.flight()
    reader = client.do_get(flight_info(client, everything).endpoints[0].ticket)
    for _ in range(3):
        for connection in slow:
            connection.recv(1)
        assert ask(server, "SELECT max(v) AS v FROM t") == [{"v": 99_999}]
        time.sleep(0.3)

    for connection in slow:
        connection.close()
    reader.cancel()
    client.close()
    becomes_idle(server)


def test_clients_that_vanish_by_the_hundred_leave_nothing_behind(server: Server) -> None:
    threads = psutil.Process(server.engine_pid()).num_threads()
    for number in range(200):
        connection = http_connection(server, f"SELECT s, {number} AS n FROM t")
        if number % 2:
            connection.recv(10)
        connection.close()

    becomes_idle(server)
    wait_until(lambda: psutil.Process(server.engine_pid()).num_threads() < threads + 100)


def test_a_thousand_statements_at_once_are_all_answered(server: Server) -> None:
    """Five hundred connections of each kind, all sent before any answer is read."""
    target = urlencode({"db": "db", "q": "SELECT count(*) AS n, max(v) AS v FROM t WHERE host = 'h1'"})
    request = f"GET /api/v3/query_sql?{target} HTTP/1.0\r\n\r\n".encode()
    connections = [socket.create_connection((server.host, server.port), timeout=PATIENCE_S) for _ in range(500)]

    def over_flight(client: fl.FlightClient, ticket: fl.Ticket) -> object:
        return client.do_get(ticket).read_all().to_pylist()

    answers: list[object] = []
    with server.flight() as client, ThreadPoolExecutor(100) as pool:
        for connection in connections:
            connection.sendall(request)
        info = flight_info(client, "SELECT count(*) AS n, max(v) AS v FROM t WHERE host = 'h1'")
        found = [pool.submit(over_flight, client, info.endpoints[0].ticket) for _ in range(500)]
        for connection in connections:
            answer = b"".join(iter(partial(connection.recv, 65536), b""))
            answers.append(json.loads(answer.partition(b"\r\n\r\n")[2]))
            connection.close()
        answers += [each.result(PATIENCE_S) for each in found]

    assert len(answers) == 1_000
    assert all(answer == [{"n": 14_286, "v": 99_996}] for answer in answers)


def test_statements_beyond_the_limit_wait_for_their_turn_and_who_leaves_gives_it_up(tmp_path: Path) -> None:
    with running(tmp_path, "--max-concurrent-queries", "2", command=REAL) as server:
        fill(server, 20_000)
        pausing = [http_connection(server, f"SELECT sleep(600) AS {name}") for name in "ab"]
        waiting = [http_connection(server, f"SELECT count(*) AS n{number} FROM t") for number in range(20)]
        for connection in waiting[:10]:
            connection.close()
        time.sleep(0.3)

        for connection in pausing:
            connection.close()

        for number, connection in enumerate(waiting[10:], start=10):
            assert f'{{"n{number}":20000}}'.encode() in _answer(connection)


def _answer(connection: socket.socket) -> bytes:
    connection.settimeout(PATIENCE_S)
    answer = b""
    while b"0\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    connection.close()
    return answer


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_a_file_that_is_damaged_while_it_is_read_is_named_to_its_reader(tmp_path: Path, damage: str) -> None:
    """Before, or in the middle of the answer: then the answer ends in a way that cannot be taken for an end."""
    options = ("--parquet-mem-cache-size", "0", "--wal-files-per-snapshot", "1", "--gen1-duration", "1m")
    with running(tmp_path, *options, command=REAL) as server:
        fill(server, 60_000)
        files = _settled(server, tmp_path)
        other = b"u v=1 1"
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(b"POST /api/v3/write_lp?db=db HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(other) + other)
            assert b"204" in connection.recv(100)
        reading = http_connection(server, "SELECT a.s, a.v, sleep(0.00001) AS p FROM t a ORDER BY a.v")
        for file in files:
            _damage(file, damage)

        status, sentence = refusal(server, "SELECT max(s) FROM t")

        assert status == 500
        assert "parquet" in sentence
        assert "is missing" in sentence or "is damaged" in sentence
        assert ask(server, "SELECT v FROM u") == [{"v": 1.0}]
        ended = _to_the_end(reading)
        assert ended.endswith(b"0\r\n\r\n") == (ended.count(b'"v":') == 60_000), "whole, or seen to be cut short"


def _settled(server: Server, directory: Path) -> list[Path]:
    def rows_are_in_files() -> bool:
        files = ask(server, "SELECT sum(row_count) AS n FROM system.parquet_files WHERE table_name = 't'")
        return files == [{"n": 60_000}]

    wait_until(rows_are_in_files)
    return sorted(directory.rglob("*.parquet"))


def _damage(file: Path, how: str) -> None:
    if how == "gone":
        file.unlink()
    elif how == "cut":
        os.truncate(file, file.stat().st_size // 2)
    else:
        with file.open("r+b") as opened:
            opened.seek(file.stat().st_size // 3)
            opened.write(os.urandom(4096))


def _to_the_end(connection: socket.socket) -> bytes:
    connection.settimeout(PATIENCE_S)
    received = b""
    while not received.endswith(b"\r\n0\r\n\r\n") and (data := connection.recv(1 << 20)):
        received += data
    connection.close()
    return received


def test_many_wrong_statements_at_once_each_get_their_own_answer(server: Server) -> None:
    found: dict[str, tuple[int, str]] = {}

    def wrong(name: str) -> None:
        found[name] = refusal(server, f"SELECT {name} FROM t")

    threads = [threading.Thread(target=wrong, args=(f"nothing_{number}",)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert len(found) == 50
    assert all(status == 400 and name in sentence for name, (status, sentence) in found.items())
