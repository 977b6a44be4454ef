"""What a statement may ask for, in a running node."""

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest
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
