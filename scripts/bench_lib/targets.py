"""Who is measured: this server, its peers, and the limits. Each starts fresh in a directory of its own, on 127.0.0.1.

T1  What a target says about its rows comes from a query to it, never from what the clients sent.
T2  A target that is not installed is skipped with one line.

A target runs with its defaults, except where its class says why not. Held by tests/bench/test_scenarios.py.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pyarrow as pa

from .data import DataSet
from .processes import ROOT, BenchError, Server, disk_bytes, free_port, wait_until

DATABASE = "bench"
SETTLE_TIMEOUT_S = 240.0
QUIET_S = 3.0  # a directory that keeps its size for so long has settled
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Span:
    """The rows to ask back: a data set and the time it covers."""

    data: DataSet
    from_ns: int
    to_ns: int


class Target(ABC):
    """A server's life: start, the paths to write to, counting, settling, stop; and start again on the same directory."""

    name: str
    doors: frozenset[str] = frozenset({"http"})
    keeps: bool = True  # what is written can be asked back

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        directory.mkdir(parents=True, exist_ok=True)

    @classmethod
    def missing(cls) -> str | None:
        """What is not installed, if anything."""
        return None

    @abstractmethod
    def command(self, door: str) -> list[str]: ...

    @abstractmethod
    def is_ready(self) -> bool: ...

    def environment(self) -> dict[str, str]:
        return {}

    def start(self, door: str) -> Server:
        server = Server(self.command(door), self.directory.with_suffix(".log"), self.environment())
        try:
            wait_until(self._ready, START_TIMEOUT_S, f"answer of {self.name}", server)
        except BaseException:
            server.kill()
            raise
        return server

    def create_database(self) -> None:
        return

    def write_path(self, *, no_sync: bool = False) -> str:
        return f"/write?db={DATABASE}"

    def flight_uri(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    def count(self, span: Span) -> tuple[int, int]:
        """Rows, and the sum of the field that all rows have (T1)."""
        raise NotImplementedError

    def settle(self) -> None:
        """Wait until nothing is left to be done with the rows."""
        wait_for_quiet(self.directory)

    def _ready(self) -> bool:
        try:
            return self.is_ready()
        except (OSError, http.client.HTTPException, BenchError):
            return False  # not there yet, or not yet healthy

    def get(self, path: str, query: dict[str, str] | None = None, method: str = "GET") -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            connection.request(method, f"{path}?{urlencode(query)}" if query else path)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise BenchError(f"{self.name}: {path} answered {response.status}: {body[:200].decode(errors='replace')}")
        return body


class Flightline(Target):
    """This tree's server on local disk. Rows are settled when they are in Parquet and the log is trimmed."""

    name = "flightline"
    doors = frozenset({"http", "flight"})

    @classmethod
    def missing(cls) -> str | None:
        return None if cls.program().exists() else f"{cls.program()} (pip install -e .)"

    @staticmethod
    def program() -> Path:
        """`FLIGHTLINE_BENCH_SERVER` names another build to measure."""
        return Path(os.environ.get("FLIGHTLINE_BENCH_SERVER") or Path(sys.executable).with_name("influxdb3"))

    def command(self, door: str) -> list[str]:
        bind = ["--http-bind", f"127.0.0.1:{self.port}", "--without-auth"]
        return [
            str(self.program()),
            "serve",
            "--node-id",
            "bench",
            "--object-store",
            "file",
            "--data-dir",
            str(self.directory),
            *bind,
        ]

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT)}  # this tree, even where the installed command belongs to another one

    def is_ready(self) -> bool:
        return bool(self.get("/health"))

    def write_path(self, *, no_sync: bool = False) -> str:
        return f"/api/v3/write_lp?db={DATABASE}&precision=nanosecond{'&no_sync=true' if no_sync else ''}"

    def count(self, span: Span) -> tuple[int, int]:
        one = 'SELECT count(*) AS n, sum("{field}") AS s FROM "{table}" WHERE time >= {first} AND time < {last}'
        times = {"first": f"to_timestamp_nanos({span.from_ns})", "last": f"to_timestamp_nanos({span.to_ns})"}
        parts = [one.format(field=span.data.check_field, table=table, **times) for table in span.data.tables]
        query = f"SELECT sum(n) AS n, sum(s) AS s FROM ({' UNION ALL '.join(parts)})"
        answer = json.loads(self.get("/api/v3/query_sql", {"db": DATABASE, "q": query, "format": "json"}))
        return int(answer[0]["n"] or 0), int(answer[0]["s"] or 0)

    def settle(self) -> None:
        """Ask for a snapshot of everything, and wait until the buffer is as good as empty."""
        from pyarrow import flight

        with flight.connect(self.flight_uri()) as client, suppress(flight.FlightError, pa.ArrowNotImplementedError):
            list(client.do_action(flight.Action("flightline.admin.snapshot", b"{}")))
        wait_until(self._is_settled, SETTLE_TIMEOUT_S, "end of the snapshots")
        wait_for_quiet(self.directory)

    def _is_settled(self) -> bool:
        metrics = dict(line.rsplit(" ", 1) for line in self.get("/metrics").decode().splitlines() if line[:1] not in ("", "#"))
        return float(metrics["flightline_buffer_bytes"]) < 100_000


class VictoriaMetrics(Target):
    """Debian's victoria-metrics. The retention is raised because the data of the benchmark is old."""

    name = "victoriametrics"
    program = "victoria-metrics"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which(cls.program) else cls.program

    def command(self, door: str) -> list[str]:
        listen = f"-httpListenAddr=127.0.0.1:{self.port}"
        return [self.program, f"-storageDataPath={self.directory}", listen, "-retentionPeriod=100y", "-loggerLevel=WARN"]

    def is_ready(self) -> bool:
        return self.get("/health") == b"OK"

    def count(self, span: Span) -> tuple[int, int]:
        self.get("/internal/force_flush")
        selector = f'{{__name__=~"({"|".join(span.data.tables)})_{span.data.check_field}"}}'
        window = f"[{(span.to_ns - span.from_ns) // 1_000_000_000 + 1}s]"
        rows, total = (
            self._value(f"sum({function}({selector}{window}))", span.to_ns // 1_000_000_000)
            for function in ("count_over_time", "sum_over_time")
        )
        return rows, total

    def _value(self, query: str, time_s: int) -> int:
        answer = json.loads(self.get("/api/v1/query", {"query": query, "time": str(time_s), "nocache": "1", "timeout": "300s"}))
        result = answer["data"]["result"]
        return round(float(result[0]["value"][1])) if result else 0

    def settle(self) -> None:
        """What is in memory goes to disk, and all parts of a month become one, as they would with time."""
        self.get("/internal/force_flush")
        self.get("/internal/force_merge")
        wait_until(self._has_merged, SETTLE_TIMEOUT_S, "end of the merge")
        wait_for_quiet(self.directory)

    def _has_merged(self) -> bool:
        metrics = self.get("/metrics").decode().splitlines()
        return all(line.endswith(" 0") for line in metrics if line.startswith(("vm_active_force_merges", "vm_active_merges")))


class Influx1(Target):
    """Debian's InfluxDB 1.6, which syncs its log for each write. Its idle timers are shortened so that it settles while
    we watch; they change nothing while data comes in."""

    name = "influxdb1"
    program = "influxd"

    @classmethod
    def missing(cls) -> str | None:
        return None if shutil.which(cls.program) else cls.program

    def command(self, door: str) -> list[str]:
        return [self.program, "run", "-config", "/dev/null"]

    def environment(self) -> dict[str, str]:
        return {
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_BIND_ADDRESS": "127.0.0.1:0",
            "INFLUXDB_META_DIR": str(self.directory / "meta"),
            "INFLUXDB_DATA_DIR": str(self.directory / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(self.directory / "wal"),
            "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION": "5s",
            "INFLUXDB_DATA_COMPACT_FULL_WRITE_COLD_DURATION": "5s",
            "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{self.port}",
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
            "INFLUXDB_MONITOR_STORE_ENABLED": "false",
        }

    def is_ready(self) -> bool:
        self.get("/ping")
        return True

    def create_database(self) -> None:
        self.get("/query", {"q": f"CREATE DATABASE {DATABASE}"}, "POST")

    def count(self, span: Span) -> tuple[int, int]:
        field, tables = span.data.check_field, ",".join(f'"{table}"' for table in span.data.tables)
        query = f'SELECT count("{field}"), sum("{field}") FROM {tables} WHERE time >= {span.from_ns} AND time < {span.to_ns}'
        answer = json.loads(self.get("/query", {"db": DATABASE, "q": query}))
        found = [series["values"][0] for series in answer["results"][0].get("series", ())]
        return sum(int(row[1]) for row in found), sum(int(row[2]) for row in found)

    def settle(self) -> None:
        time.sleep(15)  # the idle timers, and the compaction that follows
        wait_for_quiet(self.directory)


class Nothing(Target):
    """gunicorn, or a Flight server, that reads what it gets and answers."""

    name = "nothing"
    doors = frozenset({"http", "flight"})
    keeps = False

    def command(self, door: str) -> list[str]:
        if door == "flight":
            return [sys.executable, "-m", "scripts.bench_lib.nothing", str(self.port)]
        workers = ["--workers", "2", "--threads", "8", "--worker-class", "gthread", "--worker-connections", "2000"]
        listen = ["--bind", f"127.0.0.1:{self.port}", "--keep-alive", "75", "--log-level", "error", "--no-control-socket"]
        return [sys.executable, "-m", "gunicorn", *workers, *listen, "scripts.bench_lib.nothing:application"]

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.connect()
        connection.close()
        return True


TARGETS: dict[str, type[Target]] = {target.name: target for target in (Flightline, VictoriaMetrics, Influx1, Nothing)}


def wait_for_quiet(directory: Path) -> None:
    """Until the size has not changed for QUIET_S; a store that never rests is taken as it is at the end of the time."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    size, since = disk_bytes(directory), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < QUIET_S:
        time.sleep(0.2)
        now = disk_bytes(directory)
        if now != size:
            size, since = now, time.monotonic()


def version(name: str) -> str:
    """What a peer calls itself, for the head of the report."""
    if name == "victoriametrics":
        return _first_line(["dpkg-query", "-W", "-f", "${Version}", "victoria-metrics"])
    if name == "influxdb1":
        return _first_line(["influxd", "version"])
    return ""


def _first_line(command: list[str]) -> str:
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except OSError:
        return ""
    return out.strip().splitlines()[0] if out.strip() else ""
