"""One client that asks, one question after another, each of several systems in turn, and times each answer until its last byte.

A1  A time is from sending to the last byte read; nothing of an answer is parsed, but that Flight takes it apart into arrays.
A2  The first answer to each question's first wording is kept for comparison, and its time is not among the others.
A3  A question that fails is a figure with its error; the next one is asked all the same.
A4  Systems that are compared are asked in turn, some answers each time: a busy machine is as busy for one as for the other.
    The first answer of a turn is not timed: it finds the processor's caches as the system before has left them.
A5  Many clients that ask on schedule do so whatever the answers take: a time runs from the moment that was scheduled, so that
    a server that stalls cannot hide the questions it kept from being asked.

Held by tests/bench/test_query_client.py. Started by processes.Client: a job as one JSON line on stdin, then `ready`, `go`,
and the result as one JSON line. DuckDB answers in this process, over one Parquet file, with two threads as the servers have.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict

import pyarrow as pa
from pyarrow import flight

from .measure import cpu_s, summary
from .nothing import varint

DATABASE = b"bench"
#: has no divisor in common with the number of wordings
TURNS = 13
#: answers in a row that are timed
IN_A_ROW = 10


class Asked(TypedDict):
    name: str
    requests: list[str]  # SQL, or the path and query of a GET


class Part(TypedDict):
    """One system, or one door of it, and what it is asked."""

    name: str
    way: str  # of WAYS
    address: str  # a Flight location, host:port, or the Parquet file
    headers: dict[str, str]
    questions: list[Asked]
    keep: str | None  # a directory for the answers


class Job(TypedDict):
    parts: list[Part]
    seconds: float  # for each question and part
    least: int  # answers to each, whatever the time
    most: int
    clients: int  # more than one: each asks the wordings of all questions of the first part in turn
    interval_s: float  # between the questions of each of them; 0: each follows the answer to the last


Figures = dict[str, Any]
#: figures by part, then by question
Found = dict[str, dict[str, Figures]]


class Asker(Protocol):
    def ask(self, request: str) -> int:
        """The bytes of the answer."""

    def keep(self, path: Path) -> None:
        """Store the last answer."""


class FlightAsker:
    """As Flight SQL drivers ask: GetFlightInfo with the statement, DoGet with the ticket."""

    def __init__(self, part: Part) -> None:
        self._client = flight.connect(part["address"])
        self._options = flight.FlightCallOptions(headers=[(b"database", DATABASE)])
        self._last: pa.Table | None = None

    def ask(self, request: str) -> int:
        descriptor = flight.FlightDescriptor.for_command(statement_command(request))
        info = self._client.get_flight_info(descriptor, self._options)
        self._last = self._client.do_get(info.endpoints[0].ticket, self._options).read_all()
        return int(self._last.nbytes)

    def keep(self, path: Path) -> None:
        assert self._last is not None
        keep_table(self._last, path)


class ExportAsker:
    """Batch by batch, and none is kept."""

    def __init__(self, part: Part) -> None:
        self._client = flight.connect(part["address"])
        self._options = flight.FlightCallOptions(headers=[(b"database", DATABASE)])

    def ask(self, request: str) -> int:
        size = 0
        reader = self._client.do_get(self.ticket(request), self._options)
        for chunk in reader:
            size += chunk.data.nbytes
        return size

    def ticket(self, request: str) -> flight.Ticket:
        descriptor = flight.FlightDescriptor.for_command(statement_command(request))
        return self._client.get_flight_info(descriptor, self._options).endpoints[0].ticket

    def keep(self, path: Path) -> None:
        return


class TicketAsker(ExportAsker):
    """The same of a server that only knows tickets."""

    def ticket(self, request: str) -> flight.Ticket:
        return flight.Ticket(request.encode())


class HttpAsker:
    def __init__(self, part: Part) -> None:
        self._connection = http.client.HTTPConnection(part["address"], timeout=300)
        self._headers = part["headers"]
        self._last = b""

    def ask(self, request: str) -> int:
        self._connection.request("GET", request, headers=self._headers)
        response = self._connection.getresponse()
        self._last = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {self._last[:200].decode(errors='replace')}")
        return len(self._last)

    def keep(self, path: Path) -> None:
        path.with_suffix(".json").write_bytes(self._last)


class DuckAsker:
    def __init__(self, part: Part) -> None:
        import duckdb  # of the benchmark only, and not of every client

        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 2")
        self._connection.execute(f"CREATE VIEW cpu AS SELECT * FROM read_parquet('{part['address']}')")
        self.last: pa.Table | None = None

    def ask(self, request: str) -> int:
        self.last = self._connection.sql(request).to_arrow_table()
        return int(self.last.nbytes)

    def keep(self, path: Path) -> None:
        assert self.last is not None
        keep_table(self.last, path)


WAYS: dict[str, Callable[[Part], Asker]] = {
    "flight": FlightAsker,
    "export": ExportAsker,
    "doget": TicketAsker,
    "http": HttpAsker,
    "duckdb": DuckAsker,
}


def statement_command(sql: str) -> bytes:
    """Any { CommandStatementQuery { query } }."""
    text = sql.encode()
    command = b"\x0a" + varint(len(text)) + text
    kind = b"type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
    return b"\x0a" + varint(len(kind)) + kind + b"\x12" + varint(len(command)) + command


def keep_table(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path.with_suffix(".arrow")), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


class Turn:
    """One question to one system: the answers so far."""

    def __init__(self, asker: Asker, asked: Asked, keep: str | None) -> None:
        self._asker = asker
        self._requests = asked["requests"]
        self._kept_at = Path(keep) / asked["name"] if keep else None
        self._latencies: list[float] = []
        self._first_s = 0.0
        self._size = 0
        self._error = ""

    def first(self) -> None:
        """A2."""
        self._first_s = self._ask(self._requests[0])
        if self._kept_at is not None and not self._error:
            self._asker.keep(self._kept_at)

    def some(self, deadline: float, job: Job) -> None:
        """A4."""
        self._ask(self._requests[0])
        for _ in range(IN_A_ROW):
            if not self.wants_more(deadline, job):
                return
            self._latencies.append(self._ask(self._requests[(len(self._latencies) + 1) % len(self._requests)]))

    def wants_more(self, deadline: float, job: Job) -> bool:
        count = len(self._latencies)
        return not self._error and count < job["most"] and (count < job["least"] or time.perf_counter() < deadline)

    def figures(self) -> Figures:
        if self._error:
            return {"error": self._error}
        return {"first_ms": self._first_s * 1000, "bytes": self._size, **summary(self._latencies or [self._first_s])}

    def _ask(self, request: str) -> float:
        began = time.perf_counter()
        try:
            size = self._asker.ask(request)
        except Exception as error:  # whatever a driver raises: A3
            self._error = f"{type(error).__name__}: {error}"[:300]
            return 0.0
        self._size = self._size or size
        return time.perf_counter() - began


def ask_each(job: Job) -> Found:
    """The figures by part and question."""
    askers = [WAYS[part["way"]](part) for part in job["parts"]]
    found: Found = {part["name"]: {} for part in job["parts"]}
    for name in dict.fromkeys(asked["name"] for part in job["parts"] for asked in part["questions"]):
        turns = {
            part["name"]: Turn(asker, asked, part["keep"])
            for part, asker in zip(job["parts"], askers, strict=True)
            for asked in part["questions"]
            if asked["name"] == name
        }
        for turn in turns.values():
            turn.first()
        deadline = time.perf_counter() + job["seconds"] * len(turns)
        while wanting := [turn for turn in turns.values() if turn.wants_more(deadline, job)]:
            for turn in wanting:
                turn.some(deadline, job)
        for part_name, turn in turns.items():
            found[part_name][name] = turn.figures()
    return found


def ask_together(job: Job) -> Found:
    """Many clients at once, each with its own connection, which stands before the clock runs (A5)."""
    part = job["parts"][0]
    requests = [request for asked in part["questions"] for request in asked["requests"]]
    latencies: list[float] = []
    errors: list[str] = []
    starts: list[float] = []

    def begin() -> None:
        errors.clear()  # of the questions by which they connected
        starts.append(time.perf_counter() + 0.05)

    connected = threading.Barrier(job["clients"], begin)

    def ask(asker: Asker, request: str) -> bool:
        try:
            asker.ask(request)
        except Exception as error:  # whatever a driver raises: it is counted and named
            errors.append(f"{type(error).__name__}: {error}"[:300])
            return False
        return True

    def one(number: int) -> None:
        asker = WAYS[part["way"]](part)
        ask(asker, requests[number % len(requests)])
        connected.wait()
        (start,) = starts
        due, turn = start + job["interval_s"] * number / job["clients"], number
        while due < start + job["seconds"]:
            time.sleep(max(0.0, due - time.perf_counter()))
            if ask(asker, requests[turn % len(requests)]):
                latencies.append(time.perf_counter() - due)
            turn += TURNS  # no two clients in step, and every client meets every question
            due = due + job["interval_s"] if job["interval_s"] else time.perf_counter()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(job["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed_s = time.perf_counter() - starts[0]
    figures = {**summary(latencies), "errors": len(errors), "elapsed_s": elapsed_s, **({"error": errors[0]} if errors else {})}
    return {part["name"]: {"together": figures}}


def run(job: Job) -> Found:
    return ask_each(job) if job["clients"] == 1 else ask_together(job)


def part(
    name: str,
    way: str,
    address: str,
    questions: Sequence[Asked],
    headers: Mapping[str, str] | None = None,
    keep: Path | None = None,
) -> Part:
    return {
        "name": name,
        "way": way,
        "address": address,
        "headers": dict(headers or {}),
        "questions": list(questions),
        "keep": None if keep is None else str(keep),
    }


def job(
    parts: Sequence[Part],
    *,
    seconds: float = 0.5,
    least: int = 5,
    most: int = 200,
    clients: int = 1,
    interval_s: float = 0.1,
) -> Job:
    return {
        "parts": list(parts),
        "seconds": seconds,
        "least": least,
        "most": most,
        "clients": clients,
        "interval_s": interval_s,
    }


def main() -> None:
    given: Job = json.loads(sys.stdin.readline())
    print("ready", flush=True)
    if not sys.stdin.readline():
        return  # whoever started us is gone
    before = cpu_s()
    result = run(given)
    print(json.dumps({"figures": result, "client_cpu_s": cpu_s() - before}), flush=True)


if __name__ == "__main__":
    main()
