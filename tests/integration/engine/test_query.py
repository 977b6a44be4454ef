"""Statements over a node's rows, in memory and in files."""

import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
from datafusion import SessionContext

from catalog.errors import Damaged, InvalidRequest, NotFound, ServiceError
from engine.node import Node
from engine.storage.memory import MemoryStore
from tests.helpers.engine import read, running, write
from tests.helpers.wal import DoubtfulStore


@pytest.fixture
def node() -> Iterator[Node]:
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        yield node


def in_memory(node: Node) -> None:
    """Rows stay where they are."""


def in_files(node: Node) -> None:
    node.snapshot_now()
    node._views.evict(0)


def in_files_and_cache(node: Node) -> None:
    node.snapshot_now()


def in_runs(node: Node) -> None:
    for database_id, table_id, _ in node._views.unsettled():
        node._views.seal(database_id, table_id)


PLACES = [in_memory, in_runs, in_files_and_cache, in_files]


# what a statement sees


@pytest.mark.parametrize("place", PLACES)
def test_a_statement_sees_the_rows_of_its_beginning(node: Node, place: Callable[[Node], None]) -> None:
    """Q1, T1: whatever is written, dropped, settled or evicted while it is read."""
    write(node, "\n".join(f"t,host=h{row % 7} v={row} {row}" for row in range(3000)))
    place(node)

    result = node.query_sql("db", "SELECT v FROM t")
    write(node, "t,host=h1 v=-1 1\nt,host=new v=-1 5000")
    node.snapshot_now()
    node._views.evict(0)
    node.drop_table("db", "t")
    rows = pa.Table.from_batches(result.batches, result.schema)

    assert sorted(rows.column("v").to_pylist()) == [float(row) for row in range(3000)]


@pytest.mark.parametrize("place", [in_memory, in_files])
@pytest.mark.parametrize(
    ("condition", "params", "hosts"),
    [
        ("host = NULL AND v > 0", {}, []),
        ("host = $host AND time >= '1970-01-01'", {"host": None}, []),
        ("host IN (NULL, 'b', 'c')", {}, ["b"]),
        ("host NOT IN (NULL, 'b') AND v > 0", {}, []),
        ("NOT (v = NULL AND host = 'a')", {}, ["b"]),
        ("NULL AND v > 0 OR host = 'b'", {}, ["b"]),
        ("v < NULL AND host IN (SELECT host FROM t WHERE NULL AND v > 0)", {}, []),
        ("host IN (SELECT max(host) FROM t WHERE time IS NULL AND v > 0 AND host < 'z')", {}, []),
        ("v > 0 AND host = NULL OR host = 'b'", {}, ["b"]),
    ],
)
def test_a_condition_that_is_null_keeps_no_row(
    node: Node, place: Callable[[Node], None], condition: str, params: dict[str, object], hosts: list[str]
) -> None:
    """T2: what the planner hands down as a plain null, alone or in front of others."""
    write(node, "t,host=a v=1 1\nt,host=b v=2 2")
    place(node)

    sql = f"SELECT host FROM t WHERE {condition}"
    assert read(node, sql, params=params) == [{"host": host} for host in hosts]
    assert read(node, f"EXPLAIN ANALYZE {sql}", params=params)


def test_gaps_are_filled_beside_a_condition_that_is_null(node: Node) -> None:
    write(node, "t,host=a v=1 1")
    bins = "SELECT date_bin_gapfill(INTERVAL '1 second', time) AS s, count(*) AS n FROM t"
    when = "time >= '1970-01-01T00:00:00Z' AND time < '1970-01-01T00:00:02Z'"

    assert read(node, f"{bins} WHERE host = NULL AND v > 0 AND {when} GROUP BY s") == []
    assert [row["n"] for row in read(node, f"{bins} WHERE (v = NULL OR host = 'a') AND {when} GROUP BY s ORDER BY s")] == [1, 0]


@pytest.mark.parametrize("place", PLACES)
def test_a_condition_that_can_never_be_true_finds_nothing(node: Node, place: Callable[[Node], None]) -> None:
    """T2: the planner may know, and then hands the scan no condition but a plain false."""
    write(node, "t,host=a v=1 1\nt,host=b v=2 2")
    place(node)

    never = "time BETWEEN to_timestamp(5) AND to_timestamp(5) AND time BETWEEN to_timestamp(1) AND to_timestamp(1)"
    rows = read(node, f"SELECT v FROM t EXCEPT SELECT v FROM t WHERE {never}")

    assert sorted(row["v"] for row in rows) == [1.0, 2.0]


def test_tables_of_one_statement_are_of_one_moment(node: Node) -> None:
    """Q1: each group writes to both, so both have the same rows."""
    write(node, "a v=0 0\nb v=0 0")
    stop = threading.Event()

    def work() -> None:
        step = 0
        while not stop.is_set():
            step += 1
            write(node, f"a v={step} {step}\nb v={step} {step}")
            if step % 20 == 0:
                node.snapshot_now()
                node._views.evict(0)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        counts = [read(node, "SELECT (SELECT count(*) FROM a) AS a, (SELECT count(*) FROM b) AS b")[0] for _ in range(60)]
    finally:
        stop.set()
        thread.join()

    assert all(count["a"] == count["b"] for count in counts)
    assert counts[-1]["a"] > counts[0]["a"]


def test_a_result_that_is_left_unread_lets_go(node: Node) -> None:
    """Q1."""
    write(node, "\n".join(f"t v={row} {row}" for row in range(100)))

    result = node.query_sql("db", "SELECT v FROM t")
    next(result.batches)
    result.batches.close()  # type: ignore[attr-defined]
    result.close()

    assert 'flightline_queries_total{outcome="left"} 1.0' in node.metrics_text().decode()


# what a statement may do


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc/passwd'",
        "DROP TABLE t",
        "INSERT INTO t VALUES (1, 2)",
        "UPDATE t SET v = 1",
        "DELETE FROM t",
        "COPY t TO '/tmp/out.parquet'",
        "SET datafusion.execution.batch_size = 1",
        "BEGIN",
        "SELECT 1; DROP TABLE t",
    ],
)
def test_what_would_change_something_is_refused(node: Node, statement: str) -> None:
    """Q2."""
    write(node, "t v=1 1")

    with pytest.raises(InvalidRequest):
        read(node, statement)

    assert read(node, "SELECT v FROM t") == [{"v": 1.0}]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELEC 1", "SELEC"),
        ("SELECT nothing FROM t", "nothing"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT v + host FROM t", ""),
        ("SELECT arrow_cast(s, 'Int64') FROM t", "text"),
        ("", ""),
    ],
)
def test_a_mistake_is_refused_with_a_sentence_that_names_it(node: Node, statement: str, words: str) -> None:
    """Q2: found while planning or while running."""
    write(node, 't,host=a v=1,s="text" 1')

    with pytest.raises(InvalidRequest) as refused:
        read(node, statement)

    assert words in str(refused.value)
    assert "DataFusion error" not in str(refused.value)


def test_an_unknown_database_is_not_found(node: Node) -> None:
    """Q2."""
    with pytest.raises(NotFound, match="nowhere"):
        read(node, "SELECT 1", "nowhere")


def test_parameters_are_values_and_not_text(node: Node) -> None:
    """Q2."""
    write(node, "t,host=a v=1 1\nt,host=b v=2 2")

    result = node.query_sql("db", "SELECT v FROM t WHERE host = $host", {"host": "b"})
    assert pa.Table.from_batches(result.batches, result.schema).to_pylist() == [{"v": 2.0}]
    result = node.query_sql("db", "SELECT v FROM t WHERE host = $host", {"host": "b' OR 'a' = 'a"})
    assert pa.Table.from_batches(result.batches, result.schema).to_pylist() == []


# filters

ROWS = 400


def body(chance: random.Random) -> str:
    lines = []
    for row in range(ROWS):
        tags = "".join(f",{tag}={value}" for tag in ("host", "zone") if (value := chance.choice(["a", "b", "c d", None])))
        fields = {
            "f": f"{chance.randrange(-9, 9) / 4}",
            "i": f"{chance.randrange(-9, 9)}i",
            "u": f"{chance.randrange(9)}u",
            "s": f'"{chance.choice(["x", "", "host", "é"])}"',
            "b": chance.choice("tf"),
        }
        kept = chance.sample(sorted(fields), chance.randrange(1, 6))
        lines.append(f"t{tags.replace(' ', chr(92) + ' ')} {','.join(f'{name}={fields[name]}' for name in kept)} {row}")
    return "\n".join(lines)


CONDITIONS = [
    "host = 'a'",
    "host <> 'a'",
    "host IS NULL",
    "zone IS NOT NULL AND host IN ('a', 'c d')",
    "host LIKE 'c%'",
    "host > 'a' OR f < 0",
    "host = zone",
    "f >= 1.0 AND f < 2",
    "NOT (i > 0)",
    "i = u",
    "u = 3",
    "s = 'host'",
    "s = ''",
    "s <> 'x' AND b",
    "NOT b",
    "b IS NULL",
    "time >= to_timestamp_nanos(100) AND time < to_timestamp_nanos(120)",
    "time = to_timestamp_nanos(7) OR time > to_timestamp_nanos(395)",
    "time < to_timestamp_nanos(0)",
    "f + i > 1",
    "abs(i) > 5",
    "CASE WHEN host = 'a' THEN f ELSE i END > 0",
    "host ~ '^(a|b)$'",
    "f BETWEEN -1 AND 1 AND zone IN ('b')",
    "length(host) = 3",
    "coalesce(host, 'none') = 'none'",
    "arrow_cast(time, 'Int64') % 10 = 3",
]
LISTS = ["*", "count(*) AS n", "host, zone, f", "max(i) AS m, min(time) AS t", "zone, count(*) AS n, sum(f) AS s"]


@pytest.mark.parametrize("place", PLACES)
def test_filters_keep_exactly_the_rows_that_they_should(node: Node, place: Callable[[Node], None]) -> None:
    """T2, T3: checked against the same statement over the same rows as one plain table."""
    lines = body(random.Random(3)).split("\n")
    random.Random(4).shuffle(lines)
    node.create_table("db", "t", ["host", "zone"], {})
    for first in range(0, ROWS, ROWS // 4):
        write(node, "\n".join(lines[first : first + ROWS // 4]))
        place(node)
    plain = SessionContext()
    whole = node.query_sql("db", "SELECT * FROM t")
    rows = pa.Table.from_batches(whole.batches, whole.schema)
    assert rows.num_rows == ROWS
    plain.from_arrow(pa.table({name: _plain(rows.column(name)) for name in rows.schema.names}), "t")

    for number, condition in enumerate(CONDITIONS):
        columns = LISTS[number % len(LISTS)]
        grouping = " GROUP BY zone" if columns.startswith("zone, count") else ""
        statement = f"SELECT {columns} FROM t WHERE {condition}{grouping}"
        expected = plain.sql(statement).to_arrow_table().to_pylist()
        assert ordered(read(node, statement)) == ordered(expected), statement


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.utf8()) if pa.types.is_dictionary(column.type) else column


def ordered(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(str(sorted(row.items())) for row in rows)


def test_rows_in_all_places_at_once_are_one_table(node: Node) -> None:
    """T1, T2: a file, a cached file, a run, and open rows, with columns that came later."""
    write(node, "t,host=a v=1 1\nt,host=b v=1 1")
    in_files(node)
    write(node, "t,host=a v=2 2\nt,host=a v=10 1")
    in_files_and_cache(node)
    write(node, "t,host=c v=3,w=3i 3")
    in_runs(node)
    write(node, 't v=4,x="new" 4\nt,host=c v=30 3')

    assert read(node, "SELECT host, v, w, x FROM t ORDER BY time, host NULLS FIRST") == [
        {"host": "a", "v": 10.0, "w": None, "x": None},
        {"host": "b", "v": 1.0, "w": None, "x": None},
        {"host": "a", "v": 2.0, "w": None, "x": None},
        {"host": "c", "v": 30.0, "w": 3, "x": None},
        {"host": None, "v": 4.0, "w": None, "x": "new"},
    ]
    assert read(node, "SELECT count(*) AS n FROM t WHERE w IS NULL AND v > 1") == [{"n": 3}]


def test_series_that_lie_in_a_file_alone_are_found_when_late_rows_are_merged_with_it() -> None:
    """T2, T3: after a start nobody has numbered them yet."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t,host=b v=1 1\nt,host=b v=2 2")
        node.snapshot_now()

    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t,host=a v=10 1")
        assert read(node, "SELECT v FROM t WHERE host = 'b' ORDER BY time") == [{"v": 1.0}, {"v": 2.0}]
        assert read(node, "SELECT host FROM t WHERE host <> 'a'") == [{"host": "b"}, {"host": "b"}]


@pytest.mark.parametrize("place", PLACES)
def test_a_table_with_names_that_look_like_others(node: Node, place: Callable[[Node], None]) -> None:
    """T2: columns called series, a column that is part of another's name, names with spaces and capitals."""
    write(node, 'T\\ 1,Host=a,host=b series="s",v=1,vv=2,a\\ b=3 1\nT\\ 1,Host=a,host=c series="r",v=5,vv=6 2')
    place(node)

    statement = 'SELECT "Host", host, series, v, vv, "a b" FROM "T 1" WHERE vv > 2 AND v < 9 AND host <> \'b\''
    assert read(node, statement) == [{"Host": "a", "host": "c", "series": "r", "v": 5.0, "vv": 6.0, "a b": None}]


def test_information_schema_lists_tables_and_columns(node: Node) -> None:
    """Q1: without reading a row."""
    write(node, "t,host=a v=1,w=1i 1\nu v=1 1")
    in_files(node)

    tables = read(node, "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = 'iox' ORDER BY 2")
    columns = read(node, "SELECT column_name FROM information_schema.columns WHERE table_name = 't' ORDER BY 1")

    assert [row["table_name"] for row in tables] == ["t", "u"]
    assert [row["column_name"] for row in columns] == ["host", "time", "v", "w"]


# what cannot be read


def damaged_and_good(node: Node, store: MemoryStore) -> str:
    """Table `bad` with one file, of two, that has gone; table `good`; the name of what is missing."""
    for day in range(2):
        time = day * 86_400_000_000_000
        write(node, f"bad,host=a v={day} {time}\ngood v={day} {time}")
        node.snapshot_now()
    node._views.evict(0)
    path = next(file.path for file in node._files.files if file.table_id == 0)
    store.delete(path)
    return path


def test_a_statement_that_needs_a_missing_file_ends_with_its_name_and_others_go_on() -> None:
    """T4: as what it is, and not as the client's mistake; the schema needs no file."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        path = damaged_and_good(node, store)

        for statement in ("SELECT * FROM bad", "SELECT sum(bad.v) FROM bad JOIN good USING (time)"):
            with pytest.raises(Damaged, match=f"file {path} is missing"):
                read(node, statement)
        assert read(node, "SELECT sum(v) AS s FROM good") == [{"s": 1.0}]
        assert len(read(node, "SELECT * FROM information_schema.columns WHERE table_name = 'bad'")) == 3
        write(node, "bad,host=a v=5 99")
        assert node.health()["problems"] == [f"file {path} is missing"]


def test_late_rows_that_would_have_to_be_merged_with_a_missing_file_are_no_clients_mistake_either() -> None:
    """T4."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        path = damaged_and_good(node, store)
        write(node, "bad,host=a v=7 0")

        with pytest.raises(Damaged, match=path):
            read(node, "SELECT * FROM bad")
        assert len(read(node, "SELECT * FROM information_schema.tables WHERE table_schema = 'iox'")) == 2


def test_a_store_that_does_not_answer_makes_the_statement_unavailable() -> None:
    """T4: it may be tried again."""
    store = DoubtfulStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t v=1 1")
        in_files(node)
        store.unreadable, store.unreadable_ending = 1, ".parquet"  # the catalog is read meanwhile

        with pytest.raises(ServiceError, match="no answer") as failure:
            read(node, "SELECT v FROM t")

        assert failure.value.kind == "unavailable"
        assert read(node, "SELECT v FROM t") == [{"v": 1.0}]
        assert node.health()["status"] == "pass"


def test_statements_share_the_memory_that_is_meant_for_them() -> None:
    """Two that need most of it do not get it twice; it is there again once the first has ended."""
    with running(MemoryStore(), exec_mem_pool_bytes=16 << 20, wal_flush_interval_ms=1) as node:
        write(node, "\n".join(f"t v={n}i {n}" for n in range(200_000)))
        joined = "SELECT a.v FROM t a JOIN t b ON a.time = b.time"
        first = node.query_sql("db", joined)
        next(iter(first))

        with pytest.raises(ServiceError, match="needs more than the 16 MiB of memory that it may have"):
            read(node, joined)

        assert sum(batch.num_rows for batch in first) > 0
        del first
        assert len(read(node, joined)) == 200_000
