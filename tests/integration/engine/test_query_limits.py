"""What a statement may ask for, in a running node."""

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest
from engine.node import Node
from engine.query.executor import Executor
from engine.query.limits import TooMuchMemory
from engine.query.planned import Planned
from engine.query.stop import Stop
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write


def test_a_statement_that_would_read_too_many_files_is_refused_and_a_narrower_one_is_not() -> None:
    """L2."""
    with running(MemoryStore(), query_file_limit=2, file_cache_bytes=0, wal_flush_interval_ms=1) as node:
        for day in range(3):
            write(node, f"t v={day} {day * 24 * 3600 * 10**9}")
            node.snapshot_now()

        with pytest.raises(InvalidRequest, match="would read 3 files, the limit is 2"):
            read(node, "SELECT v FROM t")

        assert read(node, "SELECT v FROM t WHERE time < '1970-01-02T12:00:00Z' ORDER BY v") == [{"v": 0.0}, {"v": 1.0}]


def test_a_statement_gives_its_turn_back_however_it_ends() -> None:
    """L1: read to the end, left half way, never begun, refused, failed."""
    with running(MemoryStore(), concurrent_query_limit=1, wal_flush_interval_ms=1) as node:
        write(node, "t v=1 1\nt v=2 2")
        for _ in range(3):
            assert len(read(node, "SELECT v FROM t")) == 2
            node.query_sql("db", "SELECT v FROM t").close()
            result = node.query_sql("db", "SELECT v FROM t")
            next(result.batches)
            result.close()
            with pytest.raises(InvalidRequest):
                node.query_sql("db", "SELECT nothing FROM t")
            with pytest.raises(InvalidRequest):
                list(node.query_sql("db", "SELECT 1 / (v - v)::BIGINT AS x FROM t").batches)

        assert isinstance(node.query_sql("db", "SELECT 1").schema, pa.Schema)


def test_statements_that_never_end_leave_places_for_others() -> None:
    """L6: every place is held by somebody who does not come to an end; planning and running go on all the same."""
    with running(MemoryStore(), query_threads=1, wal_flush_interval_ms=1) as node:
        write(node, "t v=1 1")
        endless = node._executor.result()._places.take(Stop())

        assert read(node, "SELECT v FROM t") == [{"v": 1.0}]
        node._executor.result()._places.give_back(endless)
        assert read(node, "SELECT v FROM t") == [{"v": 1.0}]


def write_many_series(node: Node) -> None:
    text = "x" * 100
    write(node, "\n".join(f't,host=h{n},region=r{n % 3} v={n}i,text="{text}" {n}' for n in range(60_000)))
    node.snapshot_now()


@pytest.mark.parametrize(
    ("sql", "much", "little"),
    [
        ("SELECT {0}, sum(v) FROM t GROUP BY {0}", "host", "region"),
        ("SELECT concat({0}, '!'), sum(v) + 1 FROM t GROUP BY {0}", "host", "region"),
        ("SELECT {0} FROM t ORDER BY {0}", "text", "v"),
    ],
)
def test_what_is_too_much_beside_the_pool_is_left_to_the_plan(
    sql: str, much: str, little: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L5, F3, Y2: also after a restart, when nobody knows how many series there are in files."""
    store, settings = MemoryStore(), {"exec_mem_pool_bytes": 16 << 20, "wal_flush_interval_ms": 1}
    with running(store, **settings) as node:
        write_many_series(node)
    left: list[str] = []
    as_written = Executor._as_written

    def noted(executor: Executor, planned: Planned, stop: Stop) -> Planned:
        left.append(planned.sql)
        return as_written(executor, planned, stop)

    monkeypatch.setattr(Executor, "_as_written", noted)

    for column, expected in ((much, [sql.format(much)]), (little, [])):
        statement = sql.format(column)
        left.clear()
        with running(store, **settings) as node:
            rows = read(node, statement)
            (logged,) = (row for row in read(node, "SELECT * FROM system.queries") if row["query_text"] == statement)

        assert left == expected
        assert len(rows) >= 60_000 or column == "region"
        assert (logged["success"], logged["parquet_files"]) == (True, 1)


def test_newest_rows_of_groups_that_take_too_much_memory_end_the_statement() -> None:
    """P3: they fit where their plan would not, and where even they do not fit it says so."""
    store, sql = MemoryStore(), "SELECT DISTINCT ON (host) host, v, text FROM t ORDER BY host, time DESC"
    with running(store, wal_flush_interval_ms=1) as node:
        write_many_series(node)

    with running(store, exec_mem_pool_bytes=12 << 20, wal_flush_interval_ms=1) as node:
        assert len(read(node, sql)) == 60_000
    with running(store, exec_mem_pool_bytes=6 << 20, wal_flush_interval_ms=1) as node:
        with pytest.raises(TooMuchMemory, match="6 MiB"):
            read(node, sql)
        assert len(read(node, sql.replace("host", "region"))) == 3
