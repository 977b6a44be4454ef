"""How busy a server is, and statements that would keep it so for minutes."""

import json
import socket
import time
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import psutil
import pyarrow.flight as fl

from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from tests.helpers.servers import PATIENCE_S, Server, wait_until

_SLOW = " OR ".join(f"regexp_like(s, '^(ab|ba?)*x{n}')" for n in range(300))
#: one scan, three hundred regular expressions on each row, whose end does not tell that they do not match
SLOW_SCAN = f"SELECT count(*) FROM t WHERE {_SLOW}"
#: the same, when the scan has long ended
SLOW_AFTERWARDS = f"SELECT count(*) FROM (SELECT s FROM t ORDER BY v LIMIT 90000) WHERE {_SLOW}"

#: pairs without end, and without much memory
EXPLODING = "SELECT count(*) FROM t a JOIN generate_series(1, 1000000000) AS s(n) ON a.v < s.n - 2000000000"

#: worked out while it is planned, for minutes and without much memory
LONG_TO_PLAN = "SELECT levenshtein(repeat('a', 500000), repeat('b', 500000)) AS n"


def fill(server: Server, rows: int = 100_000) -> None:
    """The table `t` of the database `db`: tag host, text s, integer v."""
    text = "ab" * 50
    for start in range(0, rows, 20_000):
        lines = "\n".join(f't,host=h{n % 7} s="{text}",v={n}i {n}' for n in range(start, min(rows, start + 20_000)))
        urlopen(Request(f"{server.url}/api/v3/write_lp?db=db&precision=nanosecond", lines.encode()), timeout=PATIENCE_S)


def ask(server: Server, statement: str, timeout_s: float = PATIENCE_S) -> list[dict[str, Any]]:
    """The rows of a statement over HTTP."""
    with urlopen(f"{server.url}/api/v3/query_sql?{urlencode({'db': 'db', 'q': statement})}", timeout=timeout_s) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return found


def ask_in_a_body(server: Server, statement: str) -> list[dict[str, Any]]:
    with urlopen(Request(f"{server.url}/api/v3/query_sql", json.dumps({"db": "db", "q": statement}).encode())) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return found


def refusal(server: Server, statement: str, **more: object) -> tuple[int, str]:
    """Status and sentence of a statement that is refused, sent in a body."""
    body = json.dumps({"db": "db", "q": statement, **more}).encode()
    try:
        with urlopen(Request(f"{server.url}/api/v3/query_sql", body), timeout=PATIENCE_S) as answer:
            raise AssertionError(f"answered: {answer.read(1000)!r}")
    except HTTPError as error:
        return error.code, json.loads(error.read())["error"]


def http_connection(server: Server, statement: str) -> socket.socket:
    """A connection on which the statement has been asked, and nothing read."""
    connection = socket.create_connection((server.host, server.port))
    target = f"/api/v3/query_sql?{urlencode({'db': 'db', 'q': statement, 'format': 'jsonl'})}"
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return connection


def flight_info(client: fl.FlightClient, statement: str, timeout_s: float | None = None) -> fl.FlightInfo:
    command = commands.pack(sql.CommandStatementQuery(query=statement))
    options = fl.FlightCallOptions(headers=[(b"database", b"db")], timeout=timeout_s)
    return client.get_flight_info(fl.FlightDescriptor.for_command(command), options)


def cancel(client: fl.FlightClient, info: fl.FlightInfo) -> None:
    request = commands.pack(sql.ActionCancelQueryRequest(info=info.serialize()))
    list(client.do_action(fl.Action("CancelQuery", request)))


def cpu_s(server: Server) -> float:
    """CPU time of the server and all processes below it that still live."""
    used = 0.0
    for process in [psutil.Process(server.process.pid), *server.children()]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            used += times.user + times.system
    return used


def becomes_busy(server: Server) -> None:
    """It has begun to work on what was asked."""
    before_s = cpu_s(server)
    wait_until(lambda: cpu_s(server) - before_s > 0.7)


def becomes_idle(server: Server) -> None:
    """Fails if the work goes on: what these statements ask for takes half a minute and more."""

    def is_idle() -> bool:
        before_s = cpu_s(server)
        time.sleep(0.3)
        return cpu_s(server) - before_s < 0.1

    wait_until(is_idle, within_s=20)
