"""Counters of the engine, in Prometheus' text format.

Names and help texts are declared here once; figures that somebody else knows (buffer bytes, files, series) are asked for
when somebody scrapes.
"""

import resource
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

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
        self._queries = Counter("flightline_queries", "Statements run", ["outcome"], registry=registry)
        started_s = time.time()
        self.gauge("process_start_time_seconds", "When the engine process started", lambda: started_s)
        self.gauge("process_cpu_seconds_total", "Processor time of the engine process", time.process_time)
        self.gauge("process_resident_memory_bytes", "Memory of the engine process now", resident_bytes)
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
        self._snapshot_rows.inc(rows)
        self._snapshot_seconds.inc(seconds)

    def snapshot_failed(self) -> None:
        self._snapshot_failures.inc()

    def queried(self, outcome: str) -> None:
        self._queries.labels(outcome).inc()

    def text(self) -> bytes:
        text: bytes = generate_latest(self._registry)
        return text


def resident_bytes() -> float:
    with open("/proc/self/statm") as statm:
        return float(int(statm.read().split()[1]) * resource.getpagesize())


def _peak_bytes() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
