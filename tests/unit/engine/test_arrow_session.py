"""Arrow rows, batch after batch, into one table that others may change meanwhile."""

import threading
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from catalog.catalog import Build
from catalog.errors import Conflict, InvalidRequest, NotFound, ServiceError, TableNotFound
from catalog.state import CatalogState
from engine.node import Node
from engine.requests import IngestOptions, IngestSession
from engine.storage.memory import MemoryStore
from tests.helpers.engine import open_node, read, running, write
from tests.helpers.wal import DoubtfulStore

SCHEMA = pa.schema([("time", pa.timestamp("ns")), ("host", pa.dictionary(pa.int32(), pa.utf8())), ("v", pa.float64())])


@pytest.fixture
def node() -> Iterator[Node]:
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        yield node


def session(node: Node, table: str = "t", schema: pa.Schema = SCHEMA, database: str = "db", **options: Any) -> IngestSession:
    return node.ingest(database, table, schema, IngestOptions(**options))


def rows(*points: tuple[int, str | None, float], schema: pa.Schema = SCHEMA) -> pa.RecordBatch:
    columns = [pa.array([point[at] for point in points], schema.field(at).type) for at in range(3)]
    return pa.record_batch(columns, schema=schema)


def stored(node: Node, table: str = "t") -> list[dict[str, Any]]:
    return read(node, f"SELECT host, v FROM {table} ORDER BY time, host")


def test_rows_are_durable_and_visible_when_waited_for(node: Node) -> None:
    """G2: several batches may be on their way."""
    arrow = session(node)

    pending = [arrow.write(rows((number, "a", number), (number, None, -number))) for number in range(1, 5)]
    for write_ in pending:
        write_.wait()

    assert len(stored(node)) == 8
    assert read(node, "SELECT v FROM t WHERE host IS NULL ORDER BY v LIMIT 1") == [{"v": -4.0}]
    arrow.close()


def test_a_batch_that_is_refused_leaves_those_before_it_and_nothing_of_itself(node: Node) -> None:
    """G1."""
    arrow = session(node)
    arrow.write(rows((1, "a", 1.0))).wait()
    series = node._series.series_count

    with pytest.raises(InvalidRequest, match="row 2 of the batch has no time"):
        arrow.write(rows((2, "new", 2.0), (None, "b", 3.0)))  # type: ignore[arg-type]

    assert stored(node) == [{"host": "a", "v": 1.0}]
    assert node._series.series_count == series
    arrow.write(rows((3, "c", 3.0))).wait()
    assert len(stored(node)) == 2


def test_a_session_that_is_refused_makes_nothing(node: Node) -> None:
    """G1: neither a table nor a database."""
    before = node._catalog.state().sequence

    with pytest.raises(InvalidRequest, match="needs at least one field"):
        session(node, schema=pa.schema([("host", SCHEMA.field(1).type)]), database="new")
    with pytest.raises(TableNotFound):
        session(node, if_not_exists="fail")
    with pytest.raises(ServiceError):
        session(node, database="ü")

    assert node._catalog.state().sequence == before


def test_what_exists_may_be_refused_replaced_or_appended_to(node: Node) -> None:
    """G3."""
    write(node, "t,host=a v=1 1")

    with pytest.raises(Conflict, match="exists already"):
        session(node, if_exists="fail")
    session(node).write(rows((2, "b", 2.0))).wait()
    assert len(stored(node)) == 2

    session(node, if_exists="replace").write(rows((3, "c", 3.0))).wait()
    assert stored(node) == [{"host": "c", "v": 3.0}]


def test_a_replacement_that_cannot_be_stored_does_not_drop_the_table(node: Node) -> None:
    """G1."""
    write(node, "t,host=a v=1 1")

    with pytest.raises(InvalidRequest):
        session(node, schema=pa.schema([("v", pa.list_(pa.int8()))]), if_exists="replace")

    assert stored(node) == [{"host": "a", "v": 1.0}]


def test_a_batch_without_rows_makes_its_table_and_nothing_else(node: Node) -> None:
    """G1: and the log, the views and files go on."""
    arrow = session(node, "empty")

    arrow.write(rows()).wait()
    arrow.write(rows((1, "a", 1.0))).wait()
    arrow.write(rows()).wait()
    node.snapshot_now()
    arrow.write(rows()).wait()

    assert stored(node, "empty") == [{"host": "a", "v": 1.0}]
    assert node._catalog.state().database("db").table("empty").tags == ("host",)


def test_empty_batches_survive_a_restart() -> None:
    """G1."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        arrow = session(node)
        for batch in (rows(), rows((1, "a", 1.0)), rows()):
            arrow.write(batch).wait()

    with running(store) as node:
        assert stored(node) == [{"host": "a", "v": 1.0}]


def test_a_table_that_is_widened_meanwhile_is_written_as_it_is_now(node: Node) -> None:
    """G3."""
    arrow = session(node)
    arrow.write(rows((1, "a", 1.0))).wait()
    write(node, "t,host=a w=5i 1")

    arrow.write(rows((2, "a", 2.0))).wait()

    assert read(node, "SELECT v, w FROM t ORDER BY time") == [{"v": 1.0, "w": 5}, {"v": 2.0, "w": None}]


def test_a_field_that_another_writer_gave_another_type_refuses_the_next_batch(node: Node) -> None:
    """G3, G1."""
    arrow = session(node)
    write(node, "t,host=a v=1i 1")

    with pytest.raises(InvalidRequest, match=r"invalid column type for column 'v' of table t, expected .*integer"):
        arrow.write(rows((2, "a", 2.0)))

    assert read(node, "SELECT v FROM t") == [{"v": 1}]


def test_a_table_that_is_dropped_meanwhile_is_made_anew(node: Node) -> None:
    """G3."""
    arrow = session(node)
    arrow.write(rows((1, "a", 1.0))).wait()
    node.drop_table("db", "t")

    arrow.write(rows((2, "b", 2.0))).wait()

    assert stored(node) == [{"host": "b", "v": 2.0}]


def test_a_table_made_by_name_takes_arrow_rows(node: Node) -> None:
    """G3: the parser's knowledge of tables is not waited for."""
    write(node, "other v=1 1")
    node.create_table("db", "t", ["dc", "host"], {"v": "float64"})

    session(node).write(rows((1, "a", 1.0))).wait()

    assert read(node, "SELECT dc, host, v FROM t") == [{"dc": None, "host": "a", "v": 1.0}]


def test_tags_that_are_new_are_refused_unless_the_server_extends_them() -> None:
    """G3."""
    schema = pa.schema([("time", pa.timestamp("ns")), ("dc", pa.dictionary(pa.int32(), pa.utf8())), ("v", pa.float64())])
    for extend_tags in (False, True):
        with running(MemoryStore(), wal_flush_interval_ms=1, extend_tags=extend_tags) as node:
            write(node, "t,host=a v=1 1")
            if not extend_tags:
                with pytest.raises(InvalidRequest, match="unknown tag 'dc'"):
                    session(node, schema=schema)
                continue
            arrow = session(node, schema=schema)
            arrow.write(rows((2, "x", 2.0), schema=schema)).wait()
            write(node, "t,host=a v=3 3")
            assert read(node, "SELECT host, dc, v FROM t ORDER BY time") == [
                {"host": "a", "dc": None, "v": 1.0},
                {"host": None, "dc": "x", "v": 2.0},
                {"host": "a", "dc": None, "v": 3.0},
            ]


def test_a_tag_that_another_writer_adds_meanwhile_takes_no_value_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """G3."""
    schema = pa.schema([("time", pa.timestamp("ns")), ("dc", pa.dictionary(pa.int32(), pa.utf8())), ("v", pa.float64())])
    with running(MemoryStore(), wal_flush_interval_ms=1, extend_tags=True) as node:
        write(node, "t,host=a v=1 1")
        arrow, commit = session(node, schema=schema), node._catalog.commit

        def raced(build: Build) -> CatalogState:
            monkeypatch.setattr(node._catalog, "commit", commit)
            write(node, "t,host=a,rack=r v=2 2")
            return commit(build)

        monkeypatch.setattr(node._catalog, "commit", raced)
        arrow.write(rows((3, "x", 3.0), schema=schema)).wait()

        assert read(node, "SELECT host, rack, dc FROM t WHERE v = 3") == [{"host": None, "rack": None, "dc": "x"}]


def test_rows_without_times_get_the_clock(node: Node) -> None:
    """G1."""
    schema = pa.schema([("v", pa.int64())])

    session(node, schema=schema).write(pa.record_batch([pa.array([1, 2])], schema=schema)).wait()

    assert read(node, "SELECT count(*) AS n, count(DISTINCT time) AS times FROM t") == [{"n": 1, "times": 1}]


def test_what_kept_rows_from_the_log_is_raised_by_wait() -> None:
    """G2."""
    store = DoubtfulStore()
    with running(store, wal_flush_interval_ms=1) as node:
        arrow = session(node)
        arrow.write(rows((1, "a", 1.0))).wait()
        store.faults = ["full"]

        pending = arrow.write(rows((2, "a", 2.0)))

        with pytest.raises(ServiceError, match="no space"):
            pending.wait()
        arrow.write(rows((3, "a", 3.0))).wait()
        assert [row["v"] for row in stored(node)] == [1.0, 3.0]


def test_sessions_and_lines_into_one_table_at_a_time(node: Node) -> None:
    """G1, G3."""
    failures: list[Exception] = []

    def stream(worker: int) -> None:
        try:
            arrow = session(node)
            pending = [arrow.write(rows((step, f"h{worker}", float(step)), (step, f"s{step}", 0.0))) for step in range(20)]
            for write_ in pending:
                write_.wait()
        except Exception as error:
            failures.append(error)

    def lines() -> None:
        try:
            for step in range(20):
                write(node, f"t,host=line{step} v={step},w={step} {step}")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=stream, args=(worker,)) for worker in range(3)] + [threading.Thread(target=lines)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    found = {(row["host"], row["v"]) for row in stored(node)}
    assert found == {(f"h{worker}", float(step)) for worker in range(3) for step in range(20)} | {
        (f"line{step}", float(step)) for step in range(20)
    } | {(f"s{step}", 0.0) for step in range(20)}


def test_a_database_that_was_deleted_takes_no_session(node: Node) -> None:
    """G3."""
    write(node, "t v=1 1")
    node.drop_database("db")
    [name] = [database.name for database in node._catalog.state().databases if database.deleted]

    with pytest.raises(InvalidRequest, match="soft-deleted database"):
        session(node, database=name)
    with pytest.raises(NotFound):
        node.query_sql("db", "SELECT 1")


def test_a_table_that_was_deleted_takes_no_rows_under_its_new_name(node: Node) -> None:
    """G3."""
    write(node, "t v=1 1")
    node.drop_table("db", "t")
    [table] = node._catalog.state().database("db").tables
    schema = pa.schema([("time", pa.timestamp("ns")), ("v", pa.float64())])

    with pytest.raises(InvalidRequest, match="soft-deleted table"):
        session(node, table.name, schema=schema).write(pa.record_batch([pa.array([1], schema[0].type), [1.0]], schema=schema))


def test_a_closed_node_takes_no_rows() -> None:
    """G2."""
    node = open_node(MemoryStore(), wal_flush_interval_ms=1)
    arrow = session(node)
    node.close()

    with pytest.raises(ServiceError, match="stopping"):
        arrow.write(rows((1, "a", 1.0)))
