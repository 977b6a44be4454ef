"""The scenarios: one function that loads a fresh server and measures, and what each scenario does around it.

S1  Every run starts a fresh server on an empty directory and asks the rows back afterwards: count and sum must be what was
    acknowledged (rows without an answer may be there or not). A run that fails this is marked, whatever its speed.
S2  A load begins when its server has come to rest: what a start costs is measured for itself. What a run costs is the CPU
    time of the server's tree; the client's is told apart, and so is what others used meanwhile.

Held by tests/bench/test_scenarios.py. Elsewhere: goals and tables (report.py).
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from . import data as rows_of
from .data import DATA_SETS, Bodies, DataSet
from .processes import BenchError, Client, Server, Usage, disk_bytes
from .targets import DATABASE, Span, Target

LINES_PER_BODY = 5_000
CONNECTIONS = 4
RESTART_TIMEOUT_S = 60.0
SOAK_ROWS = 30_000_000


@dataclass(frozen=True, slots=True)
class Options:
    rows: int | None = None  # of each data set; None is all of it
    seconds: float | None = None  # of the scenarios that run for a time
    connections: int = 1000  # of `thousand`
    work: Path | None = None


@dataclass(slots=True)
class Figures:
    """One run on one target. What a scenario does not measure stays None."""

    target: str
    rows: int = 0
    rows_per_s: float = 0.0
    cpu_s_per_million: float | None = None
    client_cpu_s_per_million: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    peak_rss_mb: float | None = None
    others_cpu_share: float | None = None
    start_s: float | None = None
    settled_cpu_s_per_million: float | None = None
    disk_bytes_per_row: float | None = None
    restart_s: float | None = None
    lost_rows: int | None = None
    rss_over_time_mb: list[float] = field(default_factory=list)
    rates_over_time: list[float] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    first_error: str = ""
    checked: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What the clients send: the rows, and the job but for the server's address."""

    span: Span | None
    client: str
    job: dict[str, object]
    no_sync: bool = False


@dataclass(slots=True)
class Outcome:
    """What the client said, and what the server used meanwhile."""

    said: dict[str, object]
    usage: Usage
    others_cpu_share: float = 0.0

    def number(self, key: str) -> float:
        value = self.said[key]
        assert isinstance(value, int | float)
        return float(value)

    @property
    def rows(self) -> int:
        return int(self.number("rows"))


def load(target: Target, server: Server, work: Work) -> Outcome:
    """Send all of it, and watch."""
    job = dict(work.job)
    if work.client == "http_client":
        job |= {"port": target.port, "path": target.write_path(no_sync=work.no_sync)}
    else:
        job |= {"uri": target.flight_uri(), "database": DATABASE}
    client = Client(work.client, job)
    before, started, busy = server.cpu_s(), time.monotonic(), busy_cpu_s()
    said = client.run()
    elapsed, usage = time.monotonic() - started, server.usage_since(before, started)
    outcome = Outcome(said, usage)
    others = busy_cpu_s() - busy - usage.cpu_s - outcome.number("client_cpu_s")
    outcome.others_cpu_share = max(0.0, others) / elapsed / (os.cpu_count() or 1)
    return outcome


def figures(target: str, outcome: Outcome) -> Figures:
    millions = max(outcome.rows, 1) / 1e6
    said = outcome.said
    outcomes = said["outcomes"]
    assert isinstance(outcomes, dict)
    return Figures(
        target,
        rows=outcome.rows,
        rows_per_s=outcome.rows / max(outcome.number("elapsed_s"), 1e-9),
        cpu_s_per_million=outcome.usage.cpu_s / millions,
        client_cpu_s_per_million=outcome.number("client_cpu_s") / millions,
        p50_ms=outcome.number("p50_ms"),
        p99_ms=outcome.number("p99_ms"),
        max_ms=outcome.number("max_ms"),
        peak_rss_mb=outcome.usage.peak_rss_bytes / 1e6,
        others_cpu_share=outcome.others_cpu_share,
        outcomes=outcomes,
        first_error=str(said.get("first_error", "")),
    )


def check(target: Target, work: Work, outcome: Outcome) -> str:
    """S1. Waits a little: a peer may show rows later than it acknowledges them."""
    if not target.keeps or work.span is None:
        return "not kept"
    deadline, said = time.monotonic() + 15, ""
    while time.monotonic() < deadline:
        count, total = count_patiently(target, work.span)
        said = compare(outcome, count, total)
        if said == "ok":
            break
        time.sleep(0.3)
    return said


def count_patiently(target: Target, span: Span) -> tuple[int, int]:
    """A server that has just started may still refuse; that is part of the time it takes."""
    deadline = time.monotonic() + RESTART_TIMEOUT_S
    while True:
        try:
            return target.count(span)
        except BenchError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def compare(outcome: Outcome, count: int, total: int) -> str:
    unknown = int(outcome.number("unknown_rows"))
    if not outcome.rows <= count <= outcome.rows + unknown:
        return f"WRONG: {outcome.rows} rows acknowledged, {count} found"
    if unknown == 0 and outcome.said["check"] not in (None, total):
        return f"WRONG: the sum is {total}, not {outcome.said['check']}"
    return "ok"


@contextmanager
def fresh(kind: type[Target], door: str, options: Options) -> Iterator[tuple[Target, Server, float]]:
    """A target on an empty directory, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="flightline-bench-", dir=options.work))
    try:
        target = kind(folder / kind.name)
        started = time.monotonic()
        with target.start(door) as server:
            took = time.monotonic() - started
            target.create_database()
            server.come_to_rest()
            yield target, server, took
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_simple(kind: type[Target], work: Work, door: str, options: Options) -> Figures:
    with fresh(kind, door, options) as (target, server, start_s):
        outcome = load(target, server, work)
        found = figures(target.name, outcome)
        found.start_s = start_s
        found.rss_over_time_mb = quarters(outcome.usage)
        found.checked = check(target, work, outcome)
        return found


def run_disk(kind: type[Target], work: Work, options: Options) -> Figures:
    """Load, settle, measure the directory, stop, start again."""
    with fresh(kind, "http", options) as (target, server, start_s):
        before = server.cpu_s()
        outcome = load(target, server, work)
        found = figures(target.name, outcome)
        found.start_s = start_s
        target.settle()
        found.settled_cpu_s_per_million = (server.cpu_s() - before) / max(outcome.rows, 1) * 1e6
        found.peak_rss_mb = server.usage_since(before).peak_rss_bytes / 1e6
        found.disk_bytes_per_row = disk_bytes(target.directory) / max(outcome.rows, 1)
        found.checked = check(target, work, outcome)  # not earlier: a query costs too
        server.terminate()
        restart(target, work, outcome, found)
        return found


def run_replay(kind: type[Target], work: Work, options: Options) -> Figures:
    """Load, kill -9 as soon as the last row is acknowledged, start again."""
    with fresh(kind, "http", options) as (target, server, start_s):
        outcome = load(target, server, work)
        server.kill()
        found = figures(target.name, outcome)
        found.start_s = start_s
        restart(target, work, outcome, found)
        return found


def restart(target: Target, work: Work, outcome: Outcome, found: Figures) -> None:
    """From the start of the process to the answer that counts the rows."""
    assert work.span is not None
    started = time.monotonic()
    with target.start("http"):
        count, total = count_patiently(target, work.span)
        found.restart_s = time.monotonic() - started
        found.lost_rows = max(0, outcome.rows - count)
        after = f"LOST {found.lost_rows:,}" if found.lost_rows else compare(outcome, count, total)
        found.checked = after if found.checked in ("", "ok") else found.checked


def run_soak(kind: type[Target], options: Options) -> Figures:
    """Rounds over both data sets in turn, each a new stretch of time; a restart between two, and then the last one is
    asked back once more."""
    goal, sets = options.rows or SOAK_ROWS, [DATA_SETS["A"], DATA_SETS["B"]]
    found, rounds = Figures(kind.name, checked="ok"), 0
    cpu_s, client_cpu_s, elapsed_s, others_cpu_s = 0.0, 0.0, 0.0, 0.0
    last: tuple[Work, Outcome] | None = None
    with fresh(kind, "http", options) as (target, first_server, start_s):
        found.start_s, server = start_s, first_server
        while found.rows < goal:
            data, number = sets[rounds % 2], rounds // 2
            size = min(data.full_rows, max(goal // 4, data.width))
            bodies = rows_of.bodies(data, size, LINES_PER_BODY, number=number)
            span = Span(data, data.round_start_ns(size, number), data.round_start_ns(size, number + 1))
            work = Work(span, "http_client", http_job(bodies))
            if rounds:
                server = target.start("http")
            with server:
                checks = [check(target, *last)] if last else []
                outcome = load(target, server, work)
                checks.append(check(target, work, outcome))
                server.terminate()
            if number:
                rows_of.forget(bodies)
            last = work, outcome
            one = figures(kind.name, outcome)
            found.rates_over_time.append(one.rows_per_s)
            found.rss_over_time_mb.append(one.peak_rss_mb or 0.0)
            found.outcomes = {key: found.outcomes.get(key, 0) + count for key, count in one.outcomes.items()}
            found.checked = next((f"{said} (round {rounds})" for said in checks if said != "ok"), found.checked)
            found.rows += outcome.rows
            elapsed_s += outcome.number("elapsed_s")
            cpu_s += outcome.usage.cpu_s
            client_cpu_s += outcome.number("client_cpu_s")
            others_cpu_s += outcome.others_cpu_share * outcome.number("elapsed_s")
            rounds += 1
            if not outcome.rows:
                raise BenchError(f"round {rounds}: nothing was acknowledged: {outcome.said['outcomes']}")
    found.rows_per_s = found.rows / elapsed_s
    found.cpu_s_per_million = cpu_s / found.rows * 1e6
    found.client_cpu_s_per_million = client_cpu_s / found.rows * 1e6
    found.peak_rss_mb = max(found.rss_over_time_mb)
    found.others_cpu_share = others_cpu_s / elapsed_s
    return found


def run_append(work: Work, options: Options) -> Figures:
    """The limit of durability: no server, the bodies appended to a file and synced one by one."""
    with tempfile.NamedTemporaryFile(prefix="flightline-bench-", dir=options.work) as file:
        said = Client("append_client", {**work.job, "file": file.name}).run()
    return figures("append", Outcome(said, Usage()))


def quarters(usage: Usage) -> list[float]:
    """Memory at the end of each quarter of a run, in MB."""
    samples = [rss / 1e6 for _, rss in usage.rss]
    return [samples[max(0, len(samples) * part // 4 - 1)] for part in (1, 2, 3, 4)] if samples else []


def busy_cpu_s() -> float:
    """CPU seconds of the whole machine, whoever used them; what the hypervisor took counts too."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def http_job(bodies: Bodies, connections: int = CONNECTIONS, *, gzip: bool = False, **more: object) -> dict[str, object]:
    encoding = {"Content-Encoding": "gzip"} if gzip else {}
    return {
        "headers": {"Content-Type": "text/plain; charset=utf-8", **encoding},
        "data": str(bodies.data),
        "index": str(bodies.index),
        "connections": connections,
        "interval_s": None,
        "duration_s": None,
        "retry": True,
        **more,
    }


def whole(data: DataSet, rows: int) -> Span:
    return Span(data, *data.time_range_ns(rows))


def bulk(name: str, options: Options, *, gzip: bool = False, no_sync: bool = False) -> Work:
    """4 connections, 5,000 lines a body."""
    data = DATA_SETS[name]
    rows = min(options.rows or data.full_rows, data.full_rows)
    bodies = rows_of.bodies(data, rows, LINES_PER_BODY, gzip=gzip)
    return Work(whole(data, rows), "http_client", http_job(bodies, gzip=gzip), no_sync)


def arrow(name: str, options: Options, way: str) -> Work:
    """4 streams of Arrow batches of 10,000 rows."""
    data = DATA_SETS[name]
    rows = min(options.rows or data.full_rows, data.full_rows)
    job = {"way": way, "table": data.tables[0], "check_field": data.check_field, "batches": str(rows_of.batches(data, rows))}
    return Work(whole(data, rows), "flight_client", {**job, "streams": CONNECTIONS})


def one_line(options: Options, connections: int) -> Work:
    """One line a request, the next one after the answer, for ten seconds."""
    data = rows_of.cpu("line", hosts=100, rows=200_000)
    bodies = rows_of.bodies(data, data.full_rows, 1)
    return Work(
        whole(data, data.full_rows),
        "http_client",
        http_job(bodies, connections, duration_s=options.seconds or 10.0, retry=False),
    )


def thousand(options: Options) -> Work:
    """Many connections, each with one line a second, on schedule."""
    seconds = max(1, int(options.seconds or 60))
    data = rows_of.cpu("thousand", hosts=options.connections, rows=options.connections * seconds)
    bodies = rows_of.bodies(data, data.full_rows, 1)
    job = http_job(bodies, options.connections, interval_s=1.0, duration_s=float(seconds), retry=False)
    return Work(whole(data, data.full_rows), "http_client", job)


Prepare = Callable[[str, Options], Work]
Run = Callable[[type[Target], str, Options], Figures]
KEEPING = ("flightline", "victoriametrics", "influxdb1")
HTTP = (*KEEPING, "nothing")
FLIGHT = ("flightline", "nothing")
APPEND = "append"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`data`: the sets it can take, or one empty name when it brings its own."""

    title: str
    run: Run
    data: tuple[str, ...] = ("A", "B", "C")
    targets: tuple[str, ...] = HTTP
    unless_named: bool = True  # part of a run that names no scenarios


def simple(prepare: Prepare, door: str = "http") -> Run:
    return lambda kind, data, options: run_simple(kind, prepare(data, options), door, options)


def arrow_run(way: str) -> Run:
    return simple(lambda data, options: arrow(data, options, way), "flight")


SCENARIOS: dict[str, Scenario] = {
    "http": Scenario("HTTP, 4 connections x 5,000 lines, durable", simple(bulk), targets=(*HTTP, APPEND)),
    "http-gzip": Scenario("the same gzipped", simple(lambda data, options: bulk(data, options, gzip=True))),
    "http-nosync": Scenario(
        "the same with no_sync", simple(lambda data, options: bulk(data, options, no_sync=True)), targets=FLIGHT
    ),
    "adbc": Scenario("ADBC ingest, 4 streams", arrow_run("adbc"), ("A", "B"), FLIGHT),
    "doput": Scenario("DoPut, 4 streams", arrow_run("doput"), ("A", "B"), FLIGHT),
    "one-line-idle": Scenario(
        "one line a request, 1 connection", simple(lambda _, options: one_line(options, connections=1)), ("",)
    ),
    "one-line-64": Scenario(
        "one line a request, 64 connections", simple(lambda _, options: one_line(options, connections=64)), ("",)
    ),
    "thousand": Scenario("many connections, one line a second each", simple(lambda _, options: thousand(options)), ("",)),
    "disk": Scenario(
        "settled on disk, and a restart",
        lambda kind, data, options: run_disk(kind, bulk(data, options), options),
        targets=KEEPING,
    ),
    "replay": Scenario(
        "kill -9 after the last answer, and a restart",
        lambda kind, data, options: run_replay(kind, bulk(data, options), options),
        targets=KEEPING,
    ),
    "soak": Scenario(
        "both data sets in turn, with a restart between two rounds",
        lambda kind, _, options: run_soak(kind, options),
        ("",),
        KEEPING,
        unless_named=False,
    ),
}


def run_once(name: str, data: str, target: str, kinds: dict[str, type[Target]], options: Options) -> Figures:
    """One cell of a table. A run that cannot be measured says why."""
    try:
        if target == APPEND:
            return run_append(bulk(data, options), options)
        return SCENARIOS[name].run(kinds[target], data, options)
    except (BenchError, OSError) as error:
        return Figures(target, checked=f"FAILED: {error}")
