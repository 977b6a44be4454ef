"""Counters of the engine, in Prometheus' text format.

Names and help texts are declared here once; figures that somebody else knows (buffer bytes, files, series) are asked for
when somebody scrapes.
"""

import os
import resource
import threading
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from engine.events import LoggedQuery

disable_created_metrics()  # type: ignore[no-untyped-call]  # they all say when the process began

_LATENCIES_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = tuple(float(4**power) * 1024 for power in range(9))


class Metrics:
    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._rows = Counter("flightline_rows_written", "Rows made durable", registry=registry)
        self._lines = Counter("flightline_lines_rejected", "Lines of line protocol refused", registry=registry)
        self._body_bytes = Counter(
            "flightline_bytes_received", "Bytes of line protocol and Arrow rows received", registry=registry
        )
        self._flushes = Counter("flightline_wal_flushes", "Groups stored in the write-ahead log", registry=registry)
        self._flush_seconds = Histogram(
            "flightline_wal_flush_seconds", "Time to store and show a group", buckets=_LATENCIES_S, registry=registry
        )
        self._flush_bytes = Histogram("flightline_wal_flush_bytes", "Size of a group", buckets=_SIZES, registry=registry)
        self._snapshots = Counter("flightline_snapshots", "Snapshots settled into Parquet files", registry=registry)
        self._snapshot_failures = Counter(
            "flightline_snapshot_failures", "Snapshots that failed and will be tried again", registry=registry
        )
        self._snapshot_rows = Counter("flightline_snapshot_rows", "Rows settled into Parquet files", registry=registry)
        self._snapshot_seconds = Counter("flightline_snapshot_seconds", "Time spent settling", registry=registry)
        self._last_snapshot = Gauge(
            "flightline_last_snapshot_timestamp_seconds", "When rows were settled into files last", registry=registry
        )
        #: with their labels, which are looked up once
        self._queries_by: dict[str, Counter] = {}
        self._calls_by: dict[tuple[str, str], tuple[Counter, Counter]] = {}
        self._queries = Counter("flightline_queries", "Statements run", ["outcome"], registry=registry)
        query_seconds = Histogram(
            "flightline_query_seconds", "Time of statements in each phase", ["phase"], buckets=_LATENCIES_S, registry=registry
        )
        self._plan_seconds = query_seconds.labels("plan")
        self._wait_seconds = query_seconds.labels("wait")
        self._execute_seconds = query_seconds.labels("execute")
        self._query_rows = Counter("flightline_query_rows", "Rows in answers of statements", registry=registry)
        self._query_bytes = Counter("flightline_query_bytes", "Bytes of Arrow data in answers of statements", registry=registry)
        self._query_files = Counter("flightline_query_files", "Parquet files read by statements", registry=registry)
        self._calls = Counter("flightline_flight_calls", "Flight calls that ended", ["method", "outcome"], registry=registry)
        self._call_seconds = Counter("flightline_flight_call_seconds", "Time of Flight calls", ["method"], registry=registry)
        self._store_requests = Counter(
            "flightline_store_requests", "Requests to the object store", ["operation", "outcome"], registry=registry
        )
        self._store_seconds = Counter(
            "flightline_store_request_seconds", "Time of requests to the object store", ["operation"], registry=registry
        )
        self._store_bytes = Counter(
            "flightline_store_bytes", "Bytes read from and written to the object store", ["direction"], registry=registry
        )
        started_s = time.time()
        self.gauge("process_start_time_seconds", "When the engine process started", lambda: started_s)
        self.gauge("process_cpu_seconds_total", "Processor time of the engine process", time.process_time)
        self.gauge("process_resident_memory_bytes", "Memory of the engine process now", resident_bytes)
        self.gauge("process_open_fds", "Files and sockets that the engine process has open", _open_files)
        self.gauge("process_threads", "Threads of the engine process", threading.active_count)
        self.gauge("process_max_resident_memory_bytes", "Memory of the engine process at most so far", _peak_bytes)

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """A figure that is asked for at each scrape."""
        Gauge(name, help_text, registry=self._registry).set_function(value)

    def received(self, byte_count: int, rejected_lines: int) -> None:
        self._body_bytes.inc(byte_count)
        if rejected_lines:
            self._lines.inc(rejected_lines)

    def flushed(self, *, seconds: float, byte_count: int, rows: int) -> None:
        self._rows.inc(rows)
        self._flushes.inc()
        self._flush_seconds.observe(seconds)
        self._flush_bytes.observe(byte_count)

    def snapshot_settled(self, *, rows: int, seconds: float) -> None:
        self._snapshots.inc()
        self._last_snapshot.set_to_current_time()
        self._snapshot_rows.inc(rows)
        self._snapshot_seconds.inc(seconds)

    def snapshot_failed(self) -> None:
        self._snapshot_failures.inc()

    def queried(self, outcome: str, entry: LoggedQuery | None = None) -> None:
        """A statement is over; what is known of it."""
        ended = self._queries_by.get(outcome)
        if ended is None:
            ended = self._queries_by[outcome] = self._queries.labels(outcome)
        ended.inc()
        if entry is None:
            return
        for histogram, span_ns in (
            (self._plan_seconds, entry.plan_ns),
            (self._wait_seconds, entry.permit_ns),
            (self._execute_seconds, entry.execute_ns),
        ):
            if span_ns is not None:
                histogram.observe(span_ns / 1e9)
        self._query_rows.inc(entry.rows)
        self._query_bytes.inc(entry.size_bytes)
        if entry.files:
            self._query_files.inc(entry.files)

    def called(self, method: str, outcome: str, seconds: float) -> None:
        ended = self._calls_by.get((method, outcome))
        if ended is None:
            ended = self._calls_by[method, outcome] = self._calls.labels(method, outcome), self._call_seconds.labels(method)
        ended[0].inc()
        ended[1].inc(seconds)

    def store_asked(self, operation: str, outcome: str, seconds: float) -> None:
        self._store_requests.labels(operation, outcome).inc()
        self._store_seconds.labels(operation).inc(seconds)

    def store_moved(self, direction: str, byte_count: int) -> None:
        self._store_bytes.labels(direction).inc(byte_count)

    def info(self, **labels: str) -> None:
        """Who this is, once, as a figure that is always 1."""
        Gauge("flightline_info", "Version and identity of the server", list(labels), registry=self._registry).labels(
            *labels.values()
        ).set(1)

    def text(self) -> bytes:
        text: bytes = generate_latest(self._registry)
        return text


def resident_bytes() -> float:
    with open("/proc/self/statm") as statm:
        return float(int(statm.read().split()[1]) * resource.getpagesize())


def _open_files() -> float:
    return float(len(os.listdir("/proc/self/fd")))


def _peak_bytes() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
