"""What is done around the questions: load, settle, restart, ask; and the scenarios that are about something else.

U1  Every server is fresh and ends here; Flightline's answers are asked in memory (as written), from Parquet by a warm process
    (restarted, each question asked before it is timed), and from Parquet by a cold one (restarted for each question, the
    system's cache of the files dropped).
U2  DuckDB answers the same wordings over one Parquet file, sorted by host and time, in the client's process, in turn
    with who is measured: ratios are of the same minute. Its first answer to each question is what all others are compared with.

Held by tests/bench/test_query_scenarios.py. Elsewhere: questions (questions.py), goals and tables (query_report.py).
"""

import http.client
import importlib.util
import json
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import flight

from . import data as rows_of
from .answers import verdict
from .data import DATA_SETS, Bodies, DataSet
from .processes import BenchError, Client, Server
from .query_client import Asked, Job, job, part
from .questions import QUESTIONS, Draw, Question, draws, iso
from .scenarios import LINES_PER_BODY, Options, Work, bulk, fresh, http_job, load
from .targets import DATABASE, Flightline, Nothing, Target

COLD = ("single-groupby-1-1-1", "cpu-max-all-8", "double-groupby-1", "lastpoint", "count-all")
WIDE_ROWS = 35_000
MIX = ("single-groupby-1-1-1", "single-groupby-5-1-1", "cpu-max-all-1", "lastpoint", "tag-values", "count-all", "tiny")
PEERS = {"influxdb1": "influxql", "victoriametrics": "metricsql"}
MIX_ROWS = 1_000_000
MIX_CLIENTS = 32
#: a dashboard's pace: each client asks twice a second, 64 questions in all
MIX_INTERVAL_S = 0.5
MIX_SECONDS = 8.0
WRITTEN_ROWS_PER_S = 200_000
MANY_FILES = 5_000
EXPORT_ROWS = 10_000_000
MONTH = rows_of.cpu("month", hosts=10, rows=10 * 30 * 8_640)


@dataclass(slots=True)
class Timing:
    """One question, asked in one way."""

    p50_ms: float | None = None
    p99_ms: float | None = None
    first_ms: float | None = None
    answers: int = 0
    answer_bytes: int = 0
    error: str = ""
    verdict: str = ""
    base_ms: float | None = None  # DuckDB's p50 of the same minute


#: by way ("duckdb", "memory flight", …), then by question
Timings = dict[str, dict[str, Timing]]


@dataclass(slots=True)
class Measured:
    """What a scenario that is not about questions found, by name and in the order of its lines."""

    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Progress = Callable[[str], None]


def duckdb_missing() -> bool:
    return importlib.util.find_spec("duckdb") is None


def asked_in(language: str, names: Iterable[str], wordings: Sequence[Draw]) -> list[Asked]:
    """The questions that a language can ask, in that language or as a whole path."""
    found: list[Asked] = []
    for name in names:
        ask = wording(QUESTIONS[name], language)
        if ask is not None:
            found.append({"name": name, "requests": [ask(draw) for draw in wordings]})
    return found


def wording(question: Question, language: str) -> Callable[[Draw], str] | None:
    sql, influxql = question.sql, question.influxql
    if language == "http":
        return lambda draw: sql_path(sql(draw), "json")
    if language == "influxql":
        return influxql and (lambda draw: f"/query?db={DATABASE}&epoch=ns&q={quote(influxql(draw))}")
    return {"sql": sql, "duckdb": question.duckdb or sql, "metricsql": question.metricsql}[language]


def sql_path(sql: str, form: str) -> str:
    return f"/api/v3/query_sql?db={DATABASE}&format={form}&q={quote(sql)}"


def ask(given: Job) -> Timings:
    """By part, then by question."""
    said = Client("query_client", dict(given)).run()["figures"]
    assert isinstance(said, dict)
    return {part: {name: timing_of(one) for name, one in found.items()} for part, found in said.items()}


def ask_one(way: str, address: str, asked: Sequence[Asked], **more: float) -> Timing:
    """One question to one system."""
    (found,) = ask(job([part("", way, address, asked)], **more))[""].values()  # type: ignore[arg-type]
    return found


def timing_of(one: Mapping[str, Any]) -> Timing:
    return Timing(
        one.get("p50_ms"),
        one.get("p99_ms"),
        one.get("first_ms"),
        one.get("requests", 0),
        one.get("bytes", 0),
        one.get("error", ""),
    )


@dataclass(frozen=True, slots=True)
class Door:
    """Where to ask, in which language, and how the answers are kept."""

    name: str
    way: str
    address: str
    language: str
    reads: str


@dataclass(frozen=True, slots=True)
class Round:
    """One data set's questions, put to everybody."""

    data: DataSet
    rows: int
    names: Sequence[str]
    kinds: Mapping[str, type[Target]]
    with_duckdb: bool
    options: Options
    answers: Path
    progress: Progress

    def parts(self) -> Iterator[Timings]:
        """One system after the other, DuckDB beside each of them; one that cannot be measured says why, in every line."""
        wanted: list[tuple[str, Callable[[], Iterator[Timings]]]] = [
            *([("memory flight", self.flightline)] if "flightline" in self.kinds else []),
            *((name, partial(self.peer, name)) for name in PEERS if name in self.kinds),
        ]
        if not wanted and self.with_duckdb:
            yield self.put([])
        for way, measure in wanted:
            try:
                yield from measure()
            except (BenchError, OSError, flight.FlightError) as error:
                yield {way: {name: Timing(error=str(error), verdict=f"FAILED: {error}") for name in self.names}}

    def peer(self, name: str) -> Iterator[Timings]:
        with self.loaded(self.kinds[name]) as (target, _):
            target.settle()
            self.progress(f"{self.data.name} {name}: asking")
            language = PEERS[name]
            yield self.put([Door(name, "http", f"127.0.0.1:{target.port}", language, language)])

    def flightline(self) -> Iterator[Timings]:
        with self.loaded(self.kinds["flightline"]) as (target, server):
            self.progress(f"{self.data.name} flightline: in memory")
            yield self.put(both_doors("memory", target))
            settle_now(target)
            server.terminate()
            cold: dict[str, Timing] = {}
            for name in [name for name in COLD if name in self.names]:
                self.progress(f"{self.data.name} flightline: cold, {name}")
                cold |= self.cold(target, name)
            if cold:
                yield {"cold flight": cold}
            with target.start("flight"):
                self.progress(f"{self.data.name} flightline: from Parquet")
                yield self.put(both_doors("parquet", target))

    def put(self, doors: Sequence[Door]) -> Timings:
        """Ask at all doors, and DuckDB beside them (U2); compare what was kept with its answers."""
        wordings = draws(self.data, self.rows)
        beside = (
            [Door("duckdb", "duckdb", str(sorted_parquet(self.data, self.rows)), "duckdb", "arrow")] if self.with_duckdb else []
        )
        kept = {door.name: self.answers / door.name.replace(" ", "-") for door in [*beside, *doors]}
        for folder in kept.values():
            folder.mkdir(exist_ok=True)
        asked = [
            part(door.name, door.way, door.address, asked_in(door.language, self.names, wordings), keep=kept[door.name])
            for door in [*beside, *doors]
        ]
        found = ask(job(asked, seconds=self.options.seconds or 0.4))
        base = found.get("duckdb", {})
        for door in doors:
            for name, timing in found[door.name].items():
                timing.base_ms = base.get(name, Timing()).p50_ms
                self.judge(timing, kept[door.name] / name, door.reads, name)
        return found

    def judge(self, timing: Timing, answer: Path, reads: str, name: str) -> None:
        if timing.error:
            timing.verdict = f"FAILED: {timing.error}"
        else:
            timing.verdict = verdict(answer, reads, self.answers / "duckdb" / name, QUESTIONS[name].bucket_ns)

    @contextmanager
    def loaded(self, kind: type[Target]) -> Iterator[tuple[Target, Server]]:
        self.progress(f"{self.data.name} {kind.name}: loading")
        with fresh(kind, "http", self.options) as (target, server, _):
            outcome = load(target, server, bulk(self.data.name, Options(self.rows)))
            if outcome.rows != self.data.steps(self.rows) * self.data.width:
                raise BenchError(f"{kind.name} acknowledged {outcome.rows:,} rows of {self.rows:,}: {outcome.said['outcomes']}")
            yield target, server

    def cold(self, target: Target, name: str) -> dict[str, Timing]:
        """U1. The time is that of the first answer."""
        drop_file_cache(target.directory)
        folder = self.answers / "cold"
        folder.mkdir(exist_ok=True)
        asked = asked_in("sql", [name], draws(self.data, self.rows))
        with target.start("flight") as server:
            found = ask(job([part("", "flight", target.flight_uri(), asked, keep=folder)], seconds=0.0, least=0, most=0))[""]
            server.terminate()
        for timing in found.values():
            timing.p50_ms, timing.p99_ms = timing.first_ms, None
            self.judge(timing, folder / name, "arrow", name)
        return found


def both_doors(where: str, target: Target) -> list[Door]:
    return [
        Door(f"{where} flight", "flight", target.flight_uri(), "sql", "arrow"),
        Door(f"{where} http", "http", f"127.0.0.1:{target.port}", "http", "json"),
    ]


def settle_now(target: Target) -> None:
    """Everything into Parquet, at once."""
    client = flight.connect(target.flight_uri())
    list(client.do_action(flight.Action("flightline.admin.snapshot", b"{}")))
    client.close()


def drop_file_cache(directory: Path) -> None:
    """What the system holds of the files is forgotten; the next reader pays for the disk."""
    for path in directory.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def sorted_parquet(data: DataSet, rows: int) -> Path:
    """The rows in one file, sorted by host and time, as DuckDB writes it."""
    import duckdb

    arrow = rows_of.batches(data, rows)
    path = arrow.with_suffix(".parquet")
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        with duckdb.connect() as connection, pa.memory_map(str(arrow)) as file:
            connection.execute("SET threads = 2")
            connection.register("batches", pa.ipc.open_file(file).read_all())
            connection.execute(
                f"COPY (SELECT * FROM batches ORDER BY hostname, time) TO '{unfinished}' (FORMAT parquet, COMPRESSION zstd)"
            )
        unfinished.rename(path)
    return path


# Scenarios that measure something else. Each starts its own server and gives its figures by name.


def wide(options: Options, progress: Progress) -> Measured:
    """35,000 rows x 21 columns: each format over HTTP against Flight."""
    data, found = DATA_SETS["A"], Measured()
    rows = options.rows or 1_000_000
    steps = min(WIDE_ROWS // data.width, data.steps(rows))
    window = data.start_ns + 1000 * rows_of.STEP_NS if data.steps(rows) > 1000 + steps else data.start_ns
    sql = f"SELECT * FROM cpu WHERE time >= '{iso(window)}' AND time < '{iso(window + steps * rows_of.STEP_NS)}'"
    with fresh(Flightline, "http", options) as (target, server, _):
        progress("wide: loading")
        load(target, server, bulk("A", Options(rows)))
        address = f"127.0.0.1:{target.port}"
        parts = [part("flight", "flight", target.flight_uri(), [{"name": "rows", "requests": [sql]}])]
        for name in ("json", "jsonl", "csv", "json gzip", "json zstd"):
            form, _, encoding = name.partition(" ")
            asked: list[Asked] = [{"name": "rows", "requests": [sql_path(sql, form)]}]
            parts.append(part(name, "http", address, asked, {"Accept-Encoding": encoding or "identity"}))
        progress("wide: asking")
        for name, timings in ask(job(parts, seconds=options.seconds or 2.0)).items():
            timing = timings["rows"]
            note(found, name, timing)
            if timing.p50_ms is not None:
                found.figures[f"{name} ms"] = timing.p50_ms
                found.figures[f"{name} MB"] = timing.answer_bytes / 1e6
    return found


def mixed(options: Options, progress: Progress) -> Measured:
    """32 clients ask small questions, alone and while 200,000 rows/s are written: each twice a second, on schedule whatever the
    answers take; and then without pause, each as soon as it has its answer, which no machine is idle at."""
    data, found = DATA_SETS["A"], Measured()
    rows, seconds = options.rows or MIX_ROWS, options.seconds or MIX_SECONDS
    with fresh(Flightline, "http", options) as (target, server, _):
        progress("mixed: loading")
        load(target, server, bulk("A", Options(rows)))
        questions = asked_in("sql", MIX, draws(data, rows))
        parts = [part("crowd", "flight", target.flight_uri(), questions)]
        alone = ask(job(parts, seconds=0.3))["crowd"]
        found.figures["idle p50 ms"] = statistics.median(one.p50_ms for one in alone.values() if one.p50_ms is not None)
        progress("mixed: writes alone")
        writes = steady_writes(data, 1, target, seconds)
        note_writes(found, "writes alone", Client("http_client", writes).run())
        ways = {"32 clients": MIX_INTERVAL_S, "32 clients without pause": 0.0}
        for number, (name, interval_s) in enumerate(ways.items(), 2):
            crowd = dict(job(parts, clients=MIX_CLIENTS, interval_s=interval_s, seconds=seconds))
            progress(f"mixed: {name}")
            note_crowd(found, name, server, [Client("query_client", crowd)])
            progress(f"mixed: {name}, and writes")
            clients = [
                Client("query_client", crowd),
                Client("http_client", steady_writes(data, number, target, seconds)),
            ]
            (written,) = note_crowd(found, f"{name} during writes", server, clients)
            note_writes(found, f"writes during {name}", written)
    return found


def steady_writes(data: DataSet, number: int, target: Target, seconds: float) -> dict[str, object]:
    """New rows in order of time, 200,000 a second on schedule over four connections."""
    bodies = rows_of.bodies(data, int(WRITTEN_ROWS_PER_S * seconds), LINES_PER_BODY, number=number)
    interval_s = 4 * LINES_PER_BODY / WRITTEN_ROWS_PER_S
    return {
        **http_job(bodies, 4, interval_s=interval_s, duration_s=seconds, retry=False),
        "port": target.port,
        "path": target.write_path(),
    }


def note_crowd(found: Measured, name: str, server: Server, clients: Sequence[Client]) -> list[dict[str, object]]:
    """What the others said who worked beside the first client."""
    before = server.cpu_s()
    with ThreadPoolExecutor(len(clients)) as pool:
        said, *others = pool.map(lambda client: client.run(), clients)
    cpu_s = server.cpu_s() - before
    figures: dict[str, Any] = said["figures"]
    one = figures["crowd"]["together"]
    found.figures[f"{name} p50 ms"] = one["p50_ms"]
    found.figures[f"{name} p99 ms"] = one["p99_ms"]
    found.figures[f"{name} answers/s"] = one["requests"] / one["elapsed_s"]
    if not others:
        found.figures[f"{name} server CPU ms each"] = cpu_s / max(1, one["requests"]) * 1000
        found.figures[f"{name} client CPU ms each"] = float(said["client_cpu_s"]) / max(1, one["requests"]) * 1000
    if one["errors"]:
        found.notes.append(f"FAILED: {one['errors']} questions of {name}: {one['error']}")
    return others


def note_writes(found: Measured, name: str, said: Mapping[str, Any]) -> None:
    found.figures[f"{name} rows/s"] = said["rows"] / said["elapsed_s"]
    found.figures[f"{name} p50 ms"] = said["p50_ms"]
    found.figures[f"{name} p99 ms"] = said["p99_ms"]
    odd = {outcome: count for outcome, count in said["outcomes"].items() if outcome != "204"}
    if odd:
        found.notes.append(f"{name}: outcomes {odd}")


def many_files(options: Options, progress: Progress) -> Measured:
    """30 days of ten hosts in 5,000 files, made by as many writes and snapshots; one host and one hour, asked of a process that
    has just started. Against the same rows where one load leaves them, in memory."""
    rows = min(options.rows or MONTH.full_rows, MONTH.full_rows)
    files = max(1, MANY_FILES * rows // MONTH.full_rows)
    found, questions = Measured(), asked_in("sql", ["single-groupby-1-1-1"], draws(MONTH, rows))
    with fresh(Flightline, "http", options) as (target, server, _):
        progress("many-files: one load")
        load(target, server, Work(None, "http_client", http_job(rows_of.bodies(MONTH, rows, LINES_PER_BODY))))
        note_timing(found, "memory", ask_one("flight", target.flight_uri(), questions))
    with fresh(Flightline, "http", options) as (target, server, _):
        write_files(target, rows_of.bodies(MONTH, rows, -(-rows // files // MONTH.width) * MONTH.width), progress)
        stored = sum(1 for _ in target.directory.rglob("*.parquet"))
        found.figures["files"] = stored
        server.terminate()
        with target.start("flight"):
            note_timing(found, "files", ask_one("flight", target.flight_uri(), questions))
    return found


def write_files(target: Target, made: Bodies, progress: Progress) -> None:
    """Each body becomes one file."""
    text, index = made.data.read_bytes(), made.load_index().tolist()
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=60)
    settling = flight.connect(target.flight_uri())
    for number, (offset, length, _, _) in enumerate(index):
        connection.request("POST", target.write_path(no_sync=True), text[offset : offset + length])
        answer = connection.getresponse()
        answer.read()
        if answer.status != 204:
            raise BenchError(f"a write was answered {answer.status}")
        list(settling.do_action(flight.Action("flightline.admin.snapshot", b"{}")))
        if number % 100 == 0:
            progress(f"many-files: {number} of {len(index)}")
    connection.close()
    settling.close()


def export(options: Options, progress: Progress) -> Measured:
    """All columns of 10 million rows over Flight, against a server that has nothing to do but to send batches of that kind."""
    found, data, wanted = Measured(), DATA_SETS["A"], options.rows or EXPORT_ROWS
    once = min(wanted, data.full_rows)
    with fresh(Flightline, "flight", options) as (target, server, _):
        progress("export: loading")
        stored = put_rounds(target, data, once, -(-wanted // once))
        before = server.cpu_s()
        progress("export: flightline")
        note_export(found, "flightline", ask_one("export", target.flight_uri(), EXPORT, least=2, most=2), stored)
        found.figures["flightline CPU s/M"] = (server.cpu_s() - before) / (3 * stored) * 1e6
    with fresh(Nothing, "flight", options) as (target, server, _):
        progress("export: nothing")
        ticket: list[Asked] = [
            {"name": "export", "requests": [json.dumps({"batches": str(rows_of.batches(data, once)), "rows": stored})]}
        ]
        note_export(found, "nothing", ask_one("doget", target.flight_uri(), ticket, least=2, most=2), stored)
    return found


EXPORT: list[Asked] = [{"name": "export", "requests": ["SELECT * FROM cpu"]}]


def put_rounds(target: Target, data: DataSet, rows: int, rounds: int) -> int:
    """The same rows again and again, each round in a stretch of time of its own, by DoPut."""
    stored = 0
    with pa.memory_map(str(rows_of.batches(data, rows))) as file:
        reader = pa.ipc.open_file(file)
        client = flight.connect(target.flight_uri())
        writer, answers = client.do_put(flight.FlightDescriptor.for_path(DATABASE, data.tables[0]), reader.schema)
        for number in range(rounds):
            offset_ns = data.round_start_ns(rows, number) - data.start_ns
            for place in range(reader.num_record_batches):
                batch = reader.get_batch(place)
                time = pc.add(batch.column("time").cast(pa.int64()), offset_ns).cast(pa.timestamp("ns"))
                writer.write_batch(batch.set_column(batch.num_columns - 1, reader.schema.field("time"), time))
                stored += batch.num_rows
                if answers.read() is None:
                    raise BenchError("the server ended the stream before it had acknowledged every batch")
        writer.close()
        client.close()
    return stored


def note_timing(found: Measured, name: str, timing: Timing) -> None:
    note(found, name, timing)
    if timing.p50_ms is not None and timing.p99_ms is not None:
        found.figures[f"{name} p50 ms"], found.figures[f"{name} p99 ms"] = timing.p50_ms, timing.p99_ms
        found.figures[f"{name} first ms"] = timing.first_ms or 0.0


def note_export(found: Measured, name: str, timing: Timing, rows: int) -> None:
    note(found, name, timing)
    if timing.p50_ms is not None:
        found.figures[f"{name} rows/s"] = rows / timing.p50_ms * 1000
        found.figures[f"{name} MB/s"] = timing.answer_bytes / timing.p50_ms / 1000


def note(found: Measured, name: str, timing: Timing) -> None:
    if timing.error:
        found.notes.append(f"FAILED: {name}: {timing.error}")


SPECIAL: dict[str, Callable[[Options, Progress], Measured]] = {
    "wide": wide,
    "mixed": mixed,
    "many-files": many_files,
    "export": export,
}
#: take too long to be part of a run that names nothing
UNLESS_NAMED = ("many-files",)
