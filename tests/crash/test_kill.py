"""The story: clients write as fast as they can, and something is killed -9: the engine, a worker, the supervisor, all of them
at once. Snapshots are taken all the while. What is left starts by itself, or is started again on the same port. Then every
acknowledged value is there, once, overwritten ones with their last value, and nothing that nobody wrote.
"""

import http.client
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.conftest import PRODUCT
from tests.helpers.asking import Reached
from tests.helpers.ledger import Key, Ledger, Value
from tests.helpers.servers import Server, await_ready, launch, wait_until
from tests.helpers.stores import free_port

#: a snapshot is due whenever the schedule looks, once a second
EAGER = ("--object-store", "file", "--wal-flush-interval", "100ms", "--wal-files-per-snapshot", "1")
CLIENTS = 5
RECOVERY_S = 30.0
_FIELDS = ("v", "w", "s")


class Client(threading.Thread):
    """Writes bodies of rows of its own into a table that all share, and into one that only it writes and widens."""

    def __init__(self, number: int, port: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.port = port
        self.chance = random.Random(seed * 1000 + number)
        self.shared = Ledger()
        self.own = Ledger()
        self.written = 0
        self.answers: list[int] = []
        self.failing = False
        self.stop = threading.Event()
        self.paused = threading.Event()
        self.waiting = threading.Event()
        self._time = 0
        self._widened = 0

    def run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.stop.is_set():
            if self.paused.is_set():
                self.waiting.set()
                time.sleep(0.01)
                continue
            self.waiting.clear()
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self.failing = not self._write(connection)
            if self.failing:
                connection.close()
                connection = None
                time.sleep(0.1)
        if connection is not None:
            connection.close()

    def _write(self, connection: http.client.HTTPConnection) -> bool:
        most = 2 if self.failing else 30  # while nothing is stored few rows are worth the doubt
        shared, own = (
            self._points(self.shared, self.chance.randrange(1, most)),
            self._points(self.own, self.chance.randrange(2)),
        )
        lines = [line("t", *point) for point in shared] + [line(f"own{self.number}", *point) for point in own]
        try:
            connection.request("POST", "/api/v3/write_lp?db=db&precision=nanosecond", "\n".join(lines).encode())
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            answer = None
        if answer is not None and answer.status == 204:
            self.shared.acknowledged(shared)
            self.own.acknowledged(own)
            self.written += 1
            return True
        self.answers.append(0 if answer is None else answer.status)
        self.shared.unknown(shared)
        self.own.unknown(own)
        return False

    def _points(self, ledger: Ledger, count: int) -> list[tuple[Key, dict[str, Value]]]:
        """New rows, rows that come late, and rows that are written again, fields of theirs at least. Each key once a body."""
        known = ledger.recent
        points: dict[Key, dict[str, Value]] = {}
        for _ in range(count):
            if known and self.chance.random() < 0.4:
                key = self.chance.choice(known)
            else:
                self._time += self.chance.choice([1, 1, 1, 40])
                key = self._key(ledger, self._time * 10 + self.number)
            points[key] = self._fields(ledger)
        return list(points.items())

    def _key(self, ledger: Ledger, time_ns: int) -> Key:
        late = 10_000_000_000 * self.chance.randrange(200) if self.chance.random() < 0.2 else 0
        if ledger is self.own:
            return None, None, time_ns + late
        return f"c{self.number}", self.chance.choice([None, "x", "y"]), time_ns + late

    def _fields(self, ledger: Ledger) -> dict[str, Value]:
        values: dict[str, Value] = {
            "v": self.chance.randrange(1000) / 4,
            "w": self.chance.randrange(1000),
            "s": self.chance.choice(["text", "", "ü, = ", 'q"']),
        }
        fields = {name: values[name] for name in self.chance.sample(_FIELDS, self.chance.randrange(1, 4))}
        if ledger is self.own:
            if self.chance.random() < 0.02:
                self._widened += 1
            fields[f"f{self._widened}"] = self.chance.random() < 0.5
        return fields

    def check(self, server: Server) -> None:
        shared = rows(server, f"SELECT *, arrow_cast(time, 'Int64') AS ns FROM t WHERE host = 'c{self.number}'")
        assert self.shared.problems(shared)[:10] == []
        if self.own.rows:
            own = rows(server, f"SELECT *, arrow_cast(time, 'Int64') AS ns FROM own{self.number}")
            assert self.own.problems(own)[:10] == []


def line(table: str, key: Key, fields: dict[str, Value]) -> str:
    host, zone, time_ns = key
    tags = (f",host={host}" if host else "") + (f",zone={zone}" if zone else "")
    return f"{table}{tags} {','.join(f'{name}={written(value)}' for name, value in fields.items())} {time_ns}"


def written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    return f'"{value.replace(chr(34), chr(92) + chr(34))}"' if isinstance(value, str) else repr(value)


def rows(server: Server, sql: str) -> list[dict[str, Any]]:
    found = Reached(server).rows("db", sql)
    for row in found:
        row.pop("time", None)
    return found


def healthy(server: Server) -> bool:
    """Nobody is being started, and nothing is damaged."""
    try:
        return server.get("/health") == b"OK"
    except OSError:
        return False


class Victim:
    """A server that is killed in parts or as a whole and comes back on the same port."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.options = options
        self.port = free_port()
        self.start()

    def start(self) -> None:
        self.server = launch(self.directory, *self.options, command=PRODUCT, bind=f"127.0.0.1:{self.port}")
        await_ready(self.server)

    def kill(self, part: str) -> None:
        family = [*self.server.children(), psutil.Process(self.server.process.pid)]
        if part == "engine":
            os.kill(self.server.engine_pid(), signal.SIGKILL)
        elif part == "worker":
            os.kill(random.choice(psutil.Process(self.server.master_pid()).children()).pid, signal.SIGKILL)
        else:
            for process in family if part == "everything" else family[-1:]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.server.process.wait(60)
            psutil.wait_procs(family, timeout=60)
            self.start()

    def end(self) -> None:
        family = self.server.children() if self.server.process.poll() is None else []
        self.server.process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.server.process.wait(60)


@contextmanager
def under_load(directory: Path, seed: int, *options: str) -> Iterator[tuple[Victim, list[Client]]]:
    victim = Victim(directory, *EAGER, *options)
    clients = [Client(number, victim.port, seed) for number in range(CLIENTS)]
    try:
        make_table(victim.server)
        for client in clients:
            client.start()
        yield victim, clients
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(60)
        victim.end()


def make_table(server: Server) -> None:
    """Its tags are fixed by its first line otherwise, which may have no zone."""
    wanted = {"db": "db", "table": "t", "tags": ["host", "zone"], "fields": []}
    headers = {"Content-Type": "application/json"}
    with urlopen(Request(f"{server.url}/api/v3/configure/table", json.dumps(wanted).encode(), headers), timeout=60):
        pass


def await_progress(clients: list[Client], writes: int) -> None:
    goals = [client.written + writes for client in clients]
    wait_until(lambda: all(client.written >= goal for client, goal in zip(clients, goals, strict=True)), within_s=RECOVERY_S)


def check(server: Server, clients: list[Client]) -> None:
    """While nobody writes: an answer that is still due may change what is right."""
    wait_until(lambda: healthy(server), within_s=RECOVERY_S)
    for client in clients:
        client.check(server)
    columns = rows(server, "SELECT column_name FROM information_schema.columns WHERE table_name = 't' ORDER BY 1")
    assert [column["column_name"] for column in columns] == ["host", "s", "time", "v", "w", "zone"]
    assert healthy(server)


@contextmanager
def silence(clients: list[Client]) -> Iterator[None]:
    for client in clients:
        client.paused.set()
    wait_until(lambda: all(client.waiting.is_set() for client in clients), within_s=RECOVERY_S)
    yield
    for client in clients:
        client.paused.clear()


def kill_and_check(directory: Path, seed: int, parts: list[str], *options: str) -> None:
    chance = random.Random(seed)
    with under_load(directory, seed, *options) as (victim, clients):
        for part in parts:
            await_progress(clients, 3)
            time.sleep(chance.uniform(0.0, 1.2))
            victim.kill(part)
            await_progress(clients, 2)
            with silence(clients):
                check(victim.server, clients)
        await_progress(clients, 2)
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join(60)
        assert {answer for client in clients for answer in client.answers} <= {0, 503}
        assert victim.server.stop() == 0, victim.server.text
        victim.start()
        check(victim.server, clients)
        assert len(list(directory.glob("node/dbs/*/*/*/*.parquet"))) > 0, (
            "no snapshot was taken: the test tests less than it says"
        )
        assert "Traceback" not in victim.server.text


def test_nothing_acknowledged_is_lost_and_nothing_comes_back_when_parts_are_killed(tmp_path: Path) -> None:
    """W1, W3, P1, P2, V1, V4, Y1, N2."""
    kill_and_check(tmp_path, 1, ["engine", "everything", "worker", "supervisor"])


@pytest.mark.long
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("options", [(), ("--disable-parquet-mem-cache",)], ids=["cache", "no cache"])
def test_nothing_acknowledged_is_lost_however_often_parts_are_killed(tmp_path: Path, options: tuple[str, ...]) -> None:
    """W1, W3, P1, P2, V1, V4, Y1, N2."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    parts = random.Random(seed).choices(["engine", "everything", "worker", "supervisor"], [4, 4, 1, 1], k=60)
    parts[4::5] = ["everything"] * len(parts[4::5])  # a supervisor gives up when one part dies six times within a minute
    kill_and_check(tmp_path, seed, parts, *options)
