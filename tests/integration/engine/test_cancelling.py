"""Statements that are ended before they end: their work ends with them."""

import threading
import time
from collections.abc import Iterator

import pytest

from catalog.errors import InvalidRequest, ServiceError, Unavailable
from engine.node import Node
from engine.requests import QueryResult
from engine.storage.memory import MemoryStore
from tests.helpers.engine import open_node, read, running, write
from tests.helpers.servers import wait_until

ROWS = 200_000
#: three hundred regular expressions on each row: half a minute
SLOW = "SELECT count(*) FROM t WHERE " + " OR ".join(f"regexp_like(s, '(a|b|ab)*{n}$')" for n in range(300))


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    node = open_node(MemoryStore(), wal_flush_interval_ms=1)
    for start in range(0, ROWS, 20_000):
        write(node, "\n".join(f't,host=h{n % 7} s="{"ab" * 50}",v={n} {n}' for n in range(start, start + 20_000)))
    yield node
    node.close()


def in_a_thread(result: QueryResult, ended: list[Exception | None]) -> threading.Thread:
    def work() -> None:
        try:
            list(result.batches)
            ended.append(None)
        except ServiceError as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def is_idle() -> bool:
    """Whether this process has hardly used a core for a while."""
    before_s = time.process_time()
    time.sleep(0.2)
    return time.process_time() - before_s < 0.05


@pytest.mark.parametrize("settled", [False, True])
def test_closing_a_statement_ends_its_work(node: Node, settled: bool) -> None:
    """T5, Q3: rows in memory, and in files."""
    if settled:
        node.snapshot_now()
        node._views.evict(0)
    ended: list[Exception | None] = []
    result = node.query_sql("db", SLOW)
    before_s = time.process_time()
    thread = in_a_thread(result, ended)
    wait_until(lambda: time.process_time() - before_s > 0.5)
    assert ended == []

    result.close()

    thread.join(60)
    assert not thread.is_alive()
    assert isinstance(ended[0], Unavailable)
    wait_until(is_idle)


def test_a_statement_that_takes_too_long_says_so() -> None:
    """L4, Q3."""
    with running(MemoryStore(), wal_flush_interval_ms=1, query_timeout_ms=300) as node:
        write(node, "\n".join(f't s="{"ab" * 50}" {n}' for n in range(20_000)))

        with pytest.raises(InvalidRequest, match=r"the query took longer than 0\.3 s"):
            read(node, SLOW)
        with pytest.raises(InvalidRequest, match=r"the query took longer than 0\.3 s"):
            read(node, "SELECT sleep(600)")

        assert read(node, "SELECT count(*) AS n FROM t") == [{"n": 20_000}]


def test_a_statement_that_waits_for_its_turn_can_be_closed_and_can_be_too_late() -> None:
    """L3, L4."""
    with running(MemoryStore(), wal_flush_interval_ms=1, concurrent_query_limit=1, query_timeout_ms=2_000) as node:
        write(node, "t v=1 1\nt v=2 2")
        first = node.query_sql("db", "SELECT v FROM t")
        next(first.batches)
        ended: list[Exception | None] = []
        waiting = node.query_sql("db", "SELECT v FROM t")
        thread = in_a_thread(waiting, ended)
        late = node.query_sql("db", "SELECT v FROM t")

        waiting.close()
        thread.join(60)

        assert isinstance(ended[0], Unavailable)
        with pytest.raises(InvalidRequest, match="took longer than 2 s"):
            list(late.batches)
        first.close()
        assert len(read(node, "SELECT v FROM t")) == 2
