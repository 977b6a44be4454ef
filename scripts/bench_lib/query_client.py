"""One client that asks, one question after another, and times each answer until its last byte is here.

A1  A time is from sending to the last byte read; nothing of an answer is parsed, but that Flight takes it apart into arrays.
A2  The first answer to each question's first wording is kept for comparison, and its time is not among the others.
A3  A question that fails is a figure with its error; the next one is asked all the same.

Held by tests/bench/test_query_client.py. Started by processes.Client: a job as one JSON line on stdin, then `ready`, `go`,
and the result as one JSON line. DuckDB answers in this process, over one Parquet file, with two threads as the servers have.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypedDict

import pyarrow as pa
from pyarrow import flight

from .measure import cpu_s, summary
from .nothing import varint


class Asked(TypedDict):
    name: str
    requests: list[str]  # SQL, or the path and query of a GET


class Job(TypedDict):
    way: str  # of WAYS
    address: str  # a Flight location, host:port, or the Parquet file
    database: str
    headers: dict[str, str]
    questions: list[Asked]
    seconds: float  # for each question
    least: int  # answers to each, whatever the time
    most: int
    keep: str | None  # a directory for the answers
    clients: int  # more than one: each asks the wordings of all questions in turn, on schedule
    interval_s: float


class Asker(Protocol):
    def ask(self, request: str) -> int:
        """The bytes of the answer."""

    def keep(self, path: Path) -> None:
        """Store the last answer."""


class FlightAsker:
    """As Flight SQL drivers ask: GetFlightInfo with the statement, DoGet with the ticket."""

    def __init__(self, job: Job) -> None:
        self._client = flight.connect(job["address"])
        self._options = flight.FlightCallOptions(headers=[(b"database", job["database"].encode())])
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

    def __init__(self, job: Job) -> None:
        self._client = flight.connect(job["address"])
        self._options = flight.FlightCallOptions(headers=[(b"database", job["database"].encode())])

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
    def __init__(self, job: Job) -> None:
        self._connection = http.client.HTTPConnection(job["address"], timeout=300)
        self._headers = job["headers"]
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
    def __init__(self, job: Job) -> None:
        import duckdb  # of the benchmark only, and not of every client

        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 2")
        self._connection.execute(f"CREATE VIEW cpu AS SELECT * FROM read_parquet('{job['address']}')")
        self.last: pa.Table | None = None

    def ask(self, request: str) -> int:
        self.last = self._connection.sql(request).to_arrow_table()
        return int(self.last.nbytes)

    def keep(self, path: Path) -> None:
        assert self.last is not None
        keep_table(self.last, path)


WAYS: dict[str, Callable[[Job], Asker]] = {
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


def ask_one(asker: Asker, asked: Asked, job: Job) -> dict[str, object]:
    """A2, A3."""
    requests = asked["requests"]
    latencies: list[float] = []
    try:
        began = time.perf_counter()
        size = asker.ask(requests[0])
        first_s = time.perf_counter() - began
        if job["keep"]:
            asker.keep(Path(job["keep"]) / asked["name"])
        deadline = time.perf_counter() + job["seconds"]
        while len(latencies) < job["most"] and (len(latencies) < job["least"] or time.perf_counter() < deadline):
            began = time.perf_counter()
            asker.ask(requests[(len(latencies) + 1) % len(requests)])
            latencies.append(time.perf_counter() - began)
    except Exception as error:  # whatever a driver raises: A3
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    return {"first_ms": first_s * 1000, "bytes": size, **summary(latencies or [first_s])}


def ask_each(job: Job) -> dict[str, object]:
    asker = WAYS[job["way"]](job)
    return {asked["name"]: ask_one(asker, asked, job) for asked in job["questions"]}


def ask_together(job: Job) -> dict[str, object]:
    """Many clients at once, each on its own connection and schedule; latency runs from the scheduled moment."""
    requests = [request for asked in job["questions"] for request in asked["requests"]]
    latencies: list[float] = []
    errors: list[str] = []
    start = time.perf_counter() + 0.2

    def one(number: int) -> None:
        asker = WAYS[job["way"]](job)
        due = start + job["interval_s"] * number / job["clients"]
        turn = number
        while due < start + job["seconds"]:
            time.sleep(max(0.0, due - time.perf_counter()))
            try:
                asker.ask(requests[turn % len(requests)])
                latencies.append(time.perf_counter() - due)
            except Exception as error:  # whatever a driver raises: it is counted and named
                errors.append(f"{type(error).__name__}: {error}"[:300])
            turn += 7  # no two clients in step, and every client meets every question
            due = max(due + job["interval_s"], time.perf_counter() - job["interval_s"])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(job["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"together": {**summary(latencies), "errors": len(errors), **({"error": errors[0]} if errors else {})}}


def run(job: Job) -> dict[str, object]:
    return ask_each(job) if job["clients"] == 1 else ask_together(job)


def job(way: str, address: str, questions: Sequence[Asked], **more: object) -> Job:
    plain: dict[str, object] = {
        "way": way,
        "address": address,
        "database": "bench",
        "headers": {},
        "questions": list(questions),
        "seconds": 0.5,
        "least": 5,
        "most": 200,
        "keep": None,
        "clients": 1,
        "interval_s": 0.1,
    }
    return {**plain, **more}  # type: ignore[typeddict-item]  # the keys are those above


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
