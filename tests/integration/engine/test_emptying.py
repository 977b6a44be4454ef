"""Data that is deleted without the table or database that held it (H4)."""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from catalog.errors import NotFound
from engine.node import Node
from engine.requests import IngestOptions
from engine.storage.memory import MemoryStore
from tests.helpers.engine import ManualClock, open_node, read, times, write
from tests.helpers.servers import wait_until


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def node(clock: ManualClock, store: MemoryStore) -> Iterator[Node]:
    node = open_node(store, clock, wal_flush_interval_ms=1, delete_grace_period_ms=1)
    yield node
    node.close()


def in_memory(node: Node) -> None:
    """Rows stay where they are."""


def in_files(node: Node) -> None:
    node.snapshot_now()
    node._views.evict(0)


PLACES = [in_memory, in_files]


def living(node: Node) -> list[str]:
    return [table.name for table in node.describe_tables("db")]


@pytest.mark.parametrize("place", PLACES)
def test_a_table_begins_anew_with_the_same_columns_and_takes_the_same_series(node: Node, place: Callable[[Node], None]) -> None:
    """H4: rows of before are read under the other name until they go."""
    write(node, 't,host=a,zone=x v=1,s="x" 1\nt,host=b,zone=y v=2 2\nother v=1 1')
    node.set_table_retention("db", "t", 2**62)
    before = node.describe_tables("db")
    place(node)

    node.drop_table("db", "t", keep_table=True)

    assert node.describe_tables("db") == before
    assert times(node) == []
    (gone,) = [table.name for table in node.describe_tables("db", show_deleted=True) if table.deleted]
    assert times(node, gone) == [1, 2]
    write(node, "t,host=a,zone=x v=3 1\nt,host=a,zone=x w=4 1")
    assert read(node, "SELECT host, v, w, s FROM t") == [{"host": "a", "v": 3.0, "w": 4.0, "s": None}]
    assert (times(node, "other"), times(node, gone)) == ([1], [1, 2])


@pytest.mark.parametrize("place", PLACES)
def test_a_database_loses_its_data_and_keeps_its_tables_or_not(
    node: Node, store: MemoryStore, clock: ManualClock, place: Callable[[Node], None]
) -> None:
    """H4."""
    write(node, "t v=1 1\nu v=2 2")
    place(node)

    node.drop_database("db", clock.time_ns, "tables")
    assert (living(node), times(node), times(node, "u")) == (["t", "u"], [], [])
    write(node, "t v=3 3")
    place(node)
    node.drop_database("db", clock.time_ns, "database")
    assert living(node) == []
    with pytest.raises(NotFound):
        node.drop_table("db", "t")

    clock.time_ns += 10**9
    wait_until(lambda: node.describe_tables("db", show_deleted=True) == [])
    assert store.list("n/dbs/") == []


def test_a_line_that_was_read_in_the_light_of_the_old_table_goes_into_the_new_one(node: Node) -> None:
    """H4: what a parser knew of a table that went is not taken for the one in its place."""
    write(node, "t,host=a v=1 1")
    homes = node._ingest._admission.admit
    emptied: list[bool] = []

    def admit(*arguments: object) -> object:
        if not emptied:
            emptied.append(True)
            node.drop_table("db", "t", keep_table=True)
        return homes(*arguments)  # type: ignore[arg-type]

    node._ingest._admission.admit = admit  # type: ignore[assignment, method-assign]
    write(node, "t,host=a v=2 2")

    assert emptied
    assert times(node) == [2]


def test_rows_that_an_ingest_replaces_go_when_deleted_rows_do(node: Node, clock: ManualClock) -> None:
    """H4: they are not kept for ever."""
    write(node, "t v=1 1")
    schema = read_schema(node)

    node.ingest("db", "t", schema, IngestOptions(if_exists="replace")).close()

    (gone,) = [table for table in node.describe_tables("db", show_deleted=True) if table.deleted]
    assert gone.hard_delete_at_ns == clock.time_ns + 72 * 3600 * 10**9


def read_schema(node: Node) -> pa.Schema:
    return node.query_sql("db", "SELECT v, time FROM t").schema
