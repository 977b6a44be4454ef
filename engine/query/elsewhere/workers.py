"""Processes in which statements run that nothing but a kill could stop. Read child.py for the other side.

    take a process ─▶ send the statement ─▶ answer what it asks about tables, stream it the rows of scans ─▶ read batches

K1  The process of a statement that is stopped, is too late, or has more memory than it may is killed: at once, and alone,
    whether it runs or is being planned.
K2  A process is used again after a statement that ended well, so that the next one need not wait for its start.
K3  At most WORKERS_MAX statements run so; the others wait, and can be stopped while they do.
K4  Nothing is left behind: no process after the engine, no file at all.

Held by tests/integration/engine/test_elsewhere.py (K1-K4).
Elsewhere: which statements run here (weight.py).
"""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from catalog.errors import InvalidRequest, ServiceError, Unavailable, decode_error
from engine.query.deadlines import Deadlines
from engine.query.elsewhere.channel import Messages, received_batches, send_batch
from engine.query.limits import QueryLimits, TooMuchMemory, Turn, Turns
from engine.query.params import Parameters
from engine.query.stop import Stop

log = logging.getLogger(__name__)

WORKERS_MAX = 4
IDLE_S = 300.0
WATCH_INTERVAL_S = 0.025
PLANNING_S = 30.0
#: what the libraries take
LEAST_BYTES = 192 << 20
#: memory that a process may keep from its last statement; one that has more is not used again
KEPT_BYTES = 256 << 20

#: of a process's last words
SAID_BYTES = 4096

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ROOT = Path(__file__).parents[3]


class PlanningTooLong(InvalidRequest):
    """Planning the statement took too long. Make it simpler."""

    code = "query_planning_timeout"


class QueryCrashed(ServiceError):
    """The process that ran the statement has died of it."""

    code = "query_crashed"


class Schema(Protocol):
    @property
    def table_names(self) -> Sequence[str]: ...
    def dataset(self, name: str) -> ds.Dataset | None: ...


class Tables(Protocol):
    """What a statement reads."""

    @property
    def schemas(self) -> Mapping[str, Schema]: ...


class Workers:
    """`memory_bytes` of the limits are what one statement may have here."""

    def __init__(self, limits: QueryLimits) -> None:
        self._limits = limits
        self._turns = Turns(WORKERS_MAX)
        self._deadlines = Deadlines()
        self._lock = threading.Lock()
        self._idle: list[tuple[_Worker, Stop]] = []
        self._busy: dict[_Worker, Turn] = {}
        self._is_closed = False

    def schema(self, text: str, parameters: Parameters | None, tables: Tables, stop: Stop) -> pa.Schema:
        """The schema of a statement whose planning may be too much for this process, too."""
        planning = Stop()

        def end() -> None:
            planning.set(stop.reason)

        stop.then(end)
        self._deadlines.add(planning, PlanningTooLong(f"planning the query took longer than {PLANNING_S:g} s"), PLANNING_S)
        try:
            statement = Statement(self, text, parameters, tables, planning, rows=False)
            for _ in statement.batches():
                raise AssertionError("rows were not asked for")
            assert statement.schema is not None
            return statement.schema
        finally:
            stop.forget(end)
            planning.set()

    def batches(self, text: str, parameters: Parameters, tables: Tables, stop: Stop) -> Iterator[pa.RecordBatch]:
        return Statement(self, text, parameters, tables, stop, rows=True).batches()

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            busy, idle = list(self._busy), self._idle
            self._idle = []
        for worker in busy:
            worker.is_stopping = True
            worker.kill()  # and whoever waits for it ends it
        for worker, idling in idle:
            idling.set(_USED)
            worker.end()

    @property
    def limits(self) -> QueryLimits:
        return self._limits

    def take(self, stop: Stop) -> "_Worker":
        turn = self._turns.take(stop)
        try:
            return self._taken(turn)
        except BaseException:
            self._turns.give_back(turn)
            raise

    def give_back(self, worker: "_Worker", *, is_fit: bool) -> None:
        """After its statement. What replaces one that is not fit starts now, and is ready when it is needed."""
        with self._lock:
            turn = self._busy.pop(worker)
        is_fit = is_fit and worker.memory_bytes() < LEAST_BYTES + KEPT_BYTES
        if not is_fit:
            worker.end()
        self._turns.give_back(turn)
        with self._lock:
            is_wanted = not self._idle and not self._is_closed
        if is_wanted or is_fit:
            self._keep(worker if is_fit else _Worker())

    def _taken(self, turn: Turn) -> "_Worker":
        with self._lock:
            while self._idle:
                worker, idling = self._idle.pop()
                idling.set(_USED)
                if worker.is_alive:
                    self._busy[worker] = turn
                    return worker
        worker = _Worker()
        with self._lock:
            self._busy[worker] = turn
        return worker

    def _keep(self, worker: "_Worker") -> None:
        """For IDLE_S, unless one is kept already."""
        idling = Stop()
        with self._lock:
            is_wanted = not self._idle and not self._is_closed
            if is_wanted:
                self._idle.append((worker, idling))
        if not is_wanted:
            worker.end()
            return
        idling.then(lambda: self._end_idle(worker) if idling.reason is not _USED else None)
        self._deadlines.add(idling, ServiceError("idle"), IDLE_S)

    def _end_idle(self, worker: "_Worker") -> None:
        with self._lock:
            kept = [(each, idling) for each, idling in self._idle if each is not worker]
            was_idle, self._idle = len(kept) < len(self._idle), kept
        if was_idle:
            worker.end()


_USED = ServiceError("used again")


class Statement:
    """One statement in a process of its own, which is taken when the first batch is wanted."""

    def __init__(
        self, workers: Workers, text: str, parameters: Parameters | None, tables: Tables, stop: Stop, *, rows: bool
    ) -> None:
        limits = workers.limits
        self._workers = workers
        self._order = (text, parameters, tuple(tables.schemas), limits.threads, limits.memory_bytes, rows)
        self._rows = rows
        self._tables = tables
        self._stop = stop
        self.schema: pa.Schema | None = None
        self._failure: ServiceError | None = None
        self._is_over = False
        self._is_fit = True
        self._scans: list[list[Any]] = []

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Raises what went wrong here or there; a process whose batches are not read to the end is killed."""
        worker = self._workers.take(self._stop)
        self._stop.then(worker.kill)
        serving = threading.Thread(target=self._serve, args=(worker,), name="serve-statement", daemon=True)
        serving.start()
        is_whole = False
        try:
            with suppress(EOFError, OSError):  # it is dead: `_serve` knows why
                worker.messages.send("order", *self._order)
                if self._rows:
                    yield from received_batches(worker.results)
                serving.join()
                is_whole = self._is_over
        finally:
            self._stop.forget(worker.kill)
            if not is_whole:
                worker.kill()
            serving.join()
            self._workers.give_back(worker, is_fit=is_whole and self._is_fit)
        self._stop.check()
        if self._failure is not None:
            raise self._failure

    def _serve(self, worker: "_Worker") -> None:
        """Until the process has said how the statement ended, or has ended itself."""
        limit_bytes = self._workers.limits.memory_bytes
        while not self._is_over:
            try:
                if worker.has_message(WATCH_INTERVAL_S):
                    self._hear(worker)
            except (EOFError, OSError):
                if self._failure is None and self._stop.reason is None:
                    self._failure = worker.obituary(limit_bytes)
                return
            if self._failure is None and worker.memory_bytes() > LEAST_BYTES + limit_bytes:
                self._failure = TooMuchMemory(limit_bytes)
                worker.kill()

    def _hear(self, worker: "_Worker") -> None:
        (kind, *values), attached = worker.messages.receive()
        match kind:
            case "done":
                self._is_over = True
            case "failed" | "panicked":
                self._is_fit = kind == "failed"
                self._failure = decode_error(values[0])  # type: ignore[arg-type]  # as it was sent
                self._is_over = True
            case "planned":
                self.schema = values[0]
            case "read":
                assert attached is not None
                threading.Thread(target=self._read, args=(*values, attached), name="serve-scan", daemon=True).start()
            case _:
                self._answer(worker, str(kind), values)

    def _answer(self, worker: "_Worker", kind: str, values: list[Any]) -> None:
        try:
            worker.messages.send("answer", self._answers[kind](*values))
        except Exception as error:  # whatever it is, the other side must not wait for ever
            if not isinstance(error, ServiceError):
                log.exception("a scan for another process failed")
            worker.messages.send("failed", str(error))

    @property
    def _answers(self) -> Mapping[str, Callable[..., object]]:
        return {"tables": self._names, "schema": self._schema_of, "scan": self._scan}

    def _names(self, schema: str) -> list[str]:
        return list(self._tables.schemas[schema].table_names)

    def _schema_of(self, schema: str, name: str) -> pa.Schema | None:
        dataset = self._tables.schemas[schema].dataset(name)
        return None if dataset is None else dataset.schema

    def _scan(self, schema: str, name: str, filter: ds.Expression | None) -> tuple[int, int]:
        dataset = self._tables.schemas[schema].dataset(name)
        if dataset is None:
            raise InvalidRequest(f"table {name} is gone")
        parts = list(dataset.get_fragments(filter))
        self._scans.append(parts)
        return len(self._scans) - 1, len(parts)

    def _read(self, scan: int, part: int, columns: list[str], filter: ds.Expression | None, to: socket.socket) -> None:
        """What goes wrong is known to who owns the table; the other side sees the rows break off."""
        try:
            with to:
                for batch in self._scans[scan][part].scanner(columns=columns, filter=filter).to_batches():
                    send_batch(to, batch)
                send_batch(to, None)
        except (OSError, ServiceError) as error:
            log.debug("a scan for another process ended early: %s", error)
        except Exception:
            log.exception("a scan for another process failed")


class _Worker:
    """A process, seen from here. It has the files of this one, and begins to load them when this is constructed."""

    def __init__(self) -> None:
        here, there = socket.socketpair()
        self.results, results = socket.socketpair()
        self.messages = Messages(here)
        self._said: IO[bytes] = os.fdopen(os.memfd_create("said"), "rb")
        with there, results:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine.query.elsewhere.child", str(there.fileno()), str(results.fileno())],
                cwd=_ROOT,
                pass_fds=(there.fileno(), results.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said.fileno(),
            )
        self._statm = Path(f"/proc/{self._process.pid}/statm")
        self.is_stopping = False
        self._ready = select.poll()
        self._ready.register(here, select.POLLIN)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def memory_bytes(self) -> int:
        """What it has for itself; 0 when it is gone."""
        try:
            _, resident, shared, *_ = self._statm.read_text().split()
        except (OSError, ValueError):
            return 0
        return (int(resident) - int(shared)) * _PAGE_BYTES

    def has_message(self, timeout_s: float) -> bool:
        return bool(self._ready.poll(timeout_s * 1000))

    def kill(self) -> None:
        """From any thread, any number of times; at once."""
        self._process.kill()

    def end(self) -> None:
        """By whoever has it: nothing is left of it."""
        self.kill()
        self._process.wait()
        self.messages.socket.close()
        self.results.close()
        self._said.close()

    def obituary(self, memory_bytes: int) -> ServiceError:
        """What a client is told of a process that was not killed by us."""
        code = self._process.wait()
        if self.is_stopping:
            return Unavailable("the server is stopping")
        size = os.fstat(self._said.fileno()).st_size
        said = os.pread(self._said.fileno(), SAID_BYTES, max(0, size - SAID_BYTES)).decode(errors="replace")
        if "memory allocation of" in said:
            return TooMuchMemory(memory_bytes)
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        log.error("a process that ran a query ended %s: %s", how, said)
        return QueryCrashed(f"the process that ran the query was ended {how}; other queries go on")
