"""Statements that nothing could stop run in a process of their own."""

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from catalog.errors import Damaged, InvalidRequest, ServiceError, Unavailable
from engine.node import Node
from engine.query import weight
from engine.query.elsewhere import workers
from engine.query.elsewhere.workers import QueryCrashed
from engine.query.limits import TooMuchMemory
from engine.query.stop import StatementStopped
from engine.requests import Origin
from engine.storage.memory import MemoryStore
from tests.helpers.busy import LONG_TO_PLAN
from tests.helpers.engine import open_node, read, running, write
from tests.helpers.servers import wait_until
from tests.integration.engine.test_cancelling import in_a_thread
from tests.unit.engine.query.test_weight import DOUBLING

#: needs minutes, and little memory
EXPLODING = "SELECT count(*) FROM t a JOIN generate_series(1, 1000000000) AS s(n) ON a.v < s.n - 2000000000"
HOARDING = "SELECT array_agg(a.v * b.v) FROM t a, t b, (SELECT v FROM t LIMIT 100) c"


def filled(**settings: Any) -> Node:
    node = open_node(MemoryStore(), wal_flush_interval_ms=1, exec_mem_pool_bytes=256 << 20, **settings)
    write(node, "\n".join(f't,host=h{n % 7},rack=r{n % 3} v={n}i,s="{n}" {n * 60_000_000_000}' for n in range(2_000)))
    write(node, "u,host=h1 v=5i 1\nu,host=h2 v=6i 60000000000\nu w=1.5 3")
    return node


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = filled()
    yield node
    node.close()


def processes() -> list[psutil.Process]:
    """Those that run statements for this process, and live."""
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "engine.query.elsewhere.child" in each.cmdline():
                found.append(each)
    return found


def busy() -> list[psutil.Process]:
    found = []
    for each in processes():
        with suppress(psutil.NoSuchProcess):
            if each.cpu_times().user > 1:
                found.append(each)
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT t.host, t.v, u.v AS w FROM t JOIN u ON t.host = u.host WHERE t.v < 20 AND t.rack = 'r1' ORDER BY t.v",
        "SELECT host, count(*) AS n FROM t FULL JOIN u USING (host) GROUP BY host ORDER BY host",
        "SELECT * FROM u a, u b ORDER BY a.time, b.time",
        "SELECT count(*) AS n FROM t, u WHERE t.v < u.v",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT * FROM r",
        "SELECT unnest(range(1, 5)) AS n, unnest(['a', 'b']) AS x",
        "SELECT value FROM generate_series(1, 10)",
        "SELECT date_bin_gapfill('10 minutes', t.time) AS at, locf(max(t.v)) AS v, count(u.v) AS n FROM t JOIN u USING (host) "
        "WHERE t.time >= '1970-01-01T00:00:00Z' AND t.time < '1970-01-01T01:00:00Z' GROUP BY at ORDER BY at",
        "SELECT selector_last(t.v, t.time)['value'] AS v, u.host FROM t JOIN u USING (host) GROUP BY u.host ORDER BY u.host",
        "SELECT c.column_name FROM information_schema.tables t JOIN information_schema.columns c USING (table_name) "
        "WHERE t.table_schema = 'iox' ORDER BY c.column_name",
        "SELECT 1 AS x FROM t, u WHERE false",
    ],
)
def test_a_statement_says_the_same_there_as_here(node: Node, statement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R1."""
    monkeypatch.setattr(weight, "WORK_ROWS", math.inf)
    here = node.query_sql("db", statement)
    expected = pa.Table.from_batches(here.batches, here.schema).to_pylist()
    monkeypatch.setattr(weight, "WORK_ROWS", -1)
    there = node.query_sql("db", statement)
    found = pa.Table.from_batches(there.batches, there.schema)

    assert found.to_pylist() == expected
    assert there.schema.equals(here.schema, check_metadata=True)


def test_parameters_go_along(node: Node) -> None:
    """R1."""
    statement = "SELECT count(*) AS n FROM t a, t b WHERE a.host = $host AND b.v < $2"
    result = node.query_sql("db", statement, {"host": "h1", "2": 3})

    assert pa.Table.from_batches(result.batches, result.schema).to_pylist() == [{"n": 286 * 3}]


def test_a_statement_that_may_explode_while_it_is_planned_is_planned_there(node: Node) -> None:
    """R1: its schema too."""
    assert node.plan_sql("db", "SELECT repeat(host, 2000) AS x FROM t").names == ["x"]
    assert read(node, "SELECT max(length(repeat(host, 2000))) AS n FROM t") == [{"n": 4000}]
    assert dict(node.parameter_types("db", "SELECT repeat('x', $1)")) == {}
    with pytest.raises(InvalidRequest, match=r"table 'public\.iox\.nothing' not found"):
        node.plan_sql("db", "SELECT repeat(host, 2000) AS x FROM nothing")


def test_rows_that_nobody_reads_are_not_sent(node: Node) -> None:
    """R2."""
    assert len(read(node, "SELECT a.v FROM t a, t b LIMIT 3")) == 3
    assert len(read(node, "SELECT a.v FROM t a, t b LIMIT 3")) == 3
    wait_until(lambda: not any(thread.name == "serve-scan" for thread in threading.enumerate()))


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    """R2."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1, file_cache_bytes=0) as node:
        write(node, "\n".join(f"t v={n}i {n}" for n in range(2_000)))
        node.snapshot_now()
        (file,) = [info.path for info in store.list("n/dbs/")]
        result = node.query_sql("db", "SELECT sum(a.v) FROM t a, t b")
        store.delete(file)

        with pytest.raises(Damaged, match=f"file {file} is missing"):
            list(result.batches)


def test_an_exploding_join_is_killed_with_its_client_and_disturbs_nobody(node: Node) -> None:
    """K1."""
    ended: list[Exception | None] = []
    exploding = node.query_sql("db", EXPLODING)
    thread = in_a_thread(exploding, ended)
    wait_until(lambda: len(busy()) == 1)
    (killed,) = busy()

    assert read(node, "SELECT count(*) AS n FROM t") == [{"n": 2_000}]
    assert thread.is_alive()
    exploding.close()

    thread.join(60)
    assert isinstance(ended[0], Unavailable)
    wait_until(lambda: killed not in processes())
    assert read(node, "SELECT count(*) AS n FROM t, u") == [{"n": 6_000}]


@pytest.mark.parametrize("asked", ["plan_sql", "query_sql"])
def test_planning_is_killed_with_its_client(node: Node, asked: str) -> None:
    """K1."""
    killed: list[psutil.Process] = []

    @contextmanager
    def left_when_busy(cancel: Callable[[], None]) -> Iterator[None]:
        def leave() -> None:
            wait_until(lambda: len(busy()) == 1)
            killed.extend(busy())
            cancel()

        threading.Thread(target=leave).start()
        yield

    with pytest.raises(StatementStopped):
        getattr(node, asked)("db", LONG_TO_PLAN, {}, Origin(watched=left_when_busy))

    assert killed
    wait_until(lambda: not set(killed) & set(processes()))


def test_a_statement_that_needs_too_much_memory_fails_alone(node: Node) -> None:
    """K1."""
    joined = "SELECT count(*) FROM t a, t b, t c WHERE a.v + b.v + c.v = -1"
    for statement in (
        HOARDING,
        joined,
        DOUBLING,
        "SELECT lpad('x', 2147483647) AS x",
        "SELECT array_length(range(0, 1000000000)) AS n",
    ):
        with pytest.raises(TooMuchMemory, match="needs more than the 128 MiB of memory that it may have"):
            read(node, statement)

    assert read(node, "SELECT count(*) AS n FROM t") == [{"n": 2_000}]


@pytest.mark.parametrize(
    "statement",
    [
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "SELECT count(*) FROM generate_series(1, 1000000000000)",
        "SELECT sum(x) FROM (SELECT unnest(range(0, 1000)) AS x FROM t a, t b)",
    ],
)
def test_what_never_ends_is_ended_by_the_time_out(statement: str) -> None:
    """K1, K4."""
    others = set(processes())
    node = filled(query_timeout_ms=1_500)
    try:
        with pytest.raises(InvalidRequest, match=r"the query took longer than 1\.5 s"):
            read(node, statement)
    finally:
        node.close()
    wait_until(lambda: set(processes()) <= others)


def test_errors_of_a_statement_come_back_and_leave_the_process_as_it_is(node: Node) -> None:
    """K2."""
    read(node, "SELECT count(*) AS n FROM t, u")
    before = [each.pid for each in processes()]

    with pytest.raises(InvalidRequest, match="Divide by zero"):
        read(node, "SELECT sum(1 / (a.v - a.v)) FROM t a, t b")
    assert read(node, "SELECT count(*) AS n FROM t, u") == [{"n": 6_000}]

    assert [each.pid for each in processes()] == before


def test_a_crash_is_told_to_its_client_only(node: Node) -> None:
    """K1."""
    ended: list[Exception | None] = []
    thread = in_a_thread(node.query_sql("db", EXPLODING), ended)
    wait_until(lambda: len(busy()) == 1)

    for each in processes():
        each.send_signal(signal.SIGSEGV)
    thread.join(60)

    assert isinstance(ended[0], QueryCrashed)
    assert "was ended by signal SIGSEGV" in str(ended[0])
    assert read(node, "SELECT count(*) AS n FROM t, u") == [{"n": 6_000}]


def test_only_so_many_run_at_once_and_who_waits_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """K3, K4."""
    monkeypatch.setattr(workers, "WORKERS_MAX", 1)
    node = filled()
    try:
        ended: list[Exception | None] = []
        first, second = node.query_sql("db", EXPLODING), node.query_sql("db", EXPLODING)
        threads = [in_a_thread(first, ended)]
        wait_until(lambda: len(processes()) > 0)
        threads.append(in_a_thread(second, ended))
        second.close()
        threads[1].join(60)
        assert isinstance(ended[0], Unavailable)
        first.close()
        threads[0].join(60)
        assert read(node, "SELECT count(*) AS n FROM t, u") == [{"n": 6_000}]
    finally:
        node.close()


def test_nothing_is_left_when_the_node_closes_or_one_was_idle_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """K4."""
    monkeypatch.setattr(workers, "IDLE_S", 0.05)
    before = set(processes())
    node = filled()
    try:
        read(node, "SELECT count(*) AS n FROM t, u")
        wait_until(lambda: set(processes()) <= before)
        ended: list[Exception | None] = []
        thread = in_a_thread(node.query_sql("db", EXPLODING), ended)
        wait_until(lambda: len(set(processes()) - before) > 0)
    finally:
        node.close()

    thread.join(60)
    assert isinstance(ended[0], ServiceError)
    assert set(processes()) <= before


OPENS_ONE = """
import threading
from tests.integration.engine.test_elsewhere import EXPLODING, busy, filled
node = filled()
threading.Thread(target=lambda: list(node.query_sql("db", EXPLODING).batches), daemon=True).start()
while not busy():
    pass
(found,) = busy()
print(found.pid, flush=True)
threading.Event().wait()
"""


def test_it_ends_with_the_engine_and_has_less_of_the_machine() -> None:
    """C1, C2, K4: the engine is killed while a join explodes."""
    engine = subprocess.Popen([sys.executable, "-c", OPENS_ONE], stdout=subprocess.PIPE)
    assert engine.stdout is not None
    child = psutil.Process(int(engine.stdout.readline()))

    niceness, score = child.nice(), Path(f"/proc/{child.pid}/oom_score_adj").read_text()
    engine.kill()
    engine.communicate()

    assert niceness >= min(19, os.nice(0) + 10)
    assert score == "1000\n"
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
