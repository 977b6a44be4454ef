"""A Flight client: ready Arrow batches over several streams, by plain DoPut or by ADBC's bulk ingest.

F1  A batch counts as acknowledged when the server's answer to it was read: one PutResult a batch for DoPut, the end of
    the call for ADBC.
F2  Each thread has its own connection; all take their batches from one sequence, so that the data arrives in order of
    time as far as parallel streams allow.

Held by tests/bench/test_flight_client.py. Started by processes.Client like the HTTP client.
"""

import itertools
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TypedDict

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import flight

from .measure import cpu_s, summary

WINDOW_BATCHES = 4  # sent and not yet acknowledged, for each stream
ADBC_CALL_BATCHES = 10


class Job(TypedDict):
    way: str  # doput or adbc
    uri: str
    database: str
    table: str
    check_field: str
    batches: str
    streams: int


class Load:
    def __init__(self, job: Job) -> None:
        self.job = job
        with pa.memory_map(job["batches"]) as file:
            reader = pa.ipc.open_file(file)
            self.schema = reader.schema
            self.batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        per_call = 1 if job["way"] == "doput" else ADBC_CALL_BATCHES
        firsts = range(0, len(self.batches), per_call)
        self.calls: Iterator[list[pa.RecordBatch]] = iter([self.batches[first : first + per_call] for first in firsts])
        self.latencies: list[float] = []
        self.rows = 0
        self.failure: str | None = None
        self.lock = threading.Lock()
        stream = DoPutStream if job["way"] == "doput" else AdbcStream
        self.streams = [stream(self) for _ in range(job["streams"])]

    def run(self) -> dict[str, object]:
        started = time.perf_counter()
        threads = [threading.Thread(target=self.run_one, args=(stream,)) for stream in self.streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - started
        check = sum(pc.sum(batch.column(self.job["check_field"])).as_py() for batch in self.batches)
        total = sum(batch.num_rows for batch in self.batches)
        outcomes = {"acknowledged": len(self.latencies)} | ({self.failure: 1} if self.failure else {})
        return {
            "elapsed_s": elapsed,
            "rows": self.rows,
            "check": check if self.rows == total else None,
            "unknown_rows": total - self.rows,
            "outcomes": outcomes,
            **summary(self.latencies),
        }

    def run_one(self, stream: "DoPutStream | AdbcStream") -> None:
        try:
            stream.run()
        except Exception as error:  # the edge of a thread: a failed stream is an outcome, and the report names it
            self.failure = f"{type(error).__name__}: {error}"[:200]

    def next_call(self) -> list[pa.RecordBatch] | None:
        with self.lock:
            return next(self.calls, None)

    def acknowledged(self, rows: int, began: float) -> None:
        with self.lock:
            self.rows += rows
            self.latencies.append(time.perf_counter() - began)


class DoPutStream:
    def __init__(self, load: Load) -> None:
        self.load = load
        client = flight.connect(load.job["uri"])
        descriptor = flight.FlightDescriptor.for_path(load.job["database"], load.job["table"])
        self.writer, self.reader = client.do_put(descriptor, load.schema)

    def run(self) -> None:
        under_way: deque[tuple[int, float]] = deque()
        while call := self.load.next_call():
            under_way.append((call[0].num_rows, time.perf_counter()))
            self.writer.write_batch(call[0])
            if len(under_way) == WINDOW_BATCHES:
                self.read_answer(under_way)
        self.writer.done_writing()
        while under_way:
            self.read_answer(under_way)
        self.writer.close()

    def read_answer(self, under_way: deque[tuple[int, float]]) -> None:
        answer = self.reader.read()
        if answer is None or b'"error"' in answer.to_pybytes():
            self.writer.close()  # raises what the server said
            raise EOFError("the server ended the stream before it had acknowledged every batch")
        self.load.acknowledged(*under_way.popleft())


class AdbcStream:
    def __init__(self, load: Load) -> None:
        from adbc_driver_flightsql import dbapi

        self.load = load
        options = {"adbc.flight.sql.rpc.call_header.database": load.job["database"]}
        self.connection = dbapi.connect(load.job["uri"], db_kwargs=options, autocommit=True)

    def run(self) -> None:
        with self.connection, self.connection.cursor() as cursor:
            for number in itertools.count():
                call = self.load.next_call()
                if call is None:
                    return
                began = time.perf_counter()
                reader = pa.RecordBatchReader.from_batches(self.load.schema, call)
                cursor.adbc_ingest(self.load.job["table"], reader, mode="create_append" if number == 0 else "append")
                self.load.acknowledged(sum(batch.num_rows for batch in call), began)


def main() -> None:
    job: Job = json.loads(sys.stdin.readline())
    load = Load(job)
    print("ready", flush=True)
    if not sys.stdin.readline():
        return  # whoever started us is gone
    before = cpu_s()
    result = load.run()
    print(json.dumps({**result, "client_cpu_s": cpu_s() - before}), flush=True)


if __name__ == "__main__":
    main()
