"""Lines on their way in: what is refused leaves nothing, what is taken is in the catalog before it is in the log."""

import threading
from collections.abc import Callable, Iterator

import pytest

from catalog.catalog import Build
from catalog.errors import InvalidRequest, LimitReached, LinesRejected, NotFound, ServiceError, Unavailable
from catalog.state import CatalogState
from engine.batch import WriteBatch
from engine.node import Node
from engine.paths import NodePaths
from engine.requests import WriteReport
from engine.storage.base import Data
from engine.storage.memory import MemoryStore
from engine.wal.codec import decode
from engine.wal.writer import PendingWrite
from tests.helpers.engine import open_node, read, running, write
from tests.helpers.wal import DoubtfulStore

PATHS = NodePaths("n")


@pytest.fixture
def node() -> Iterator[Node]:
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        yield node


def trace(node: Node) -> tuple[int, int, int]:
    """What a refused body must not change: the catalog's commits, the series, the rows."""
    rows = sum(data.unsettled_rows for data in node._views.now().tables.entries())
    return node._catalog.state().sequence, node._series.series_count, rows


def before_next_commit(node: Node, monkeypatch: pytest.MonkeyPatch, *actions: Callable[[], object]) -> None:
    """What another writer does between the parsing of a body and its commit."""
    commit = node._catalog.commit
    waiting = list(actions)

    def raced(build: Build) -> CatalogState:
        if waiting:
            waiting.pop(0)()
        return commit(build)

    monkeypatch.setattr(node._catalog, "commit", raced)


# refused bodies and lines


@pytest.mark.parametrize(
    "body",
    ["", "\n\n# a comment\n", "t v=", "t,host=new,x v=1 1", "brandnew,host=a v=1 1\nbroken", "t,host=new v=1 1\nt v=1i 2"],
)
def test_a_body_that_is_refused_whole_changes_nothing(node: Node, body: str) -> None:
    """I1: not even what its good lines would have made."""
    write(node, "t,host=a v=1 1")
    before = trace(node)

    with pytest.raises(InvalidRequest):
        write(node, body, accept_partial=False)

    assert trace(node) == before


@pytest.mark.parametrize(("database", "door"), [("a/b/c", "v1"), ("", "v3"), ("_internal", "v3"), ("nä", "v3")])
def test_a_database_name_that_is_refused_changes_nothing(node: Node, database: str, door: str) -> None:
    """I1."""
    before = trace(node)

    with pytest.raises(ServiceError):
        write(node, "t v=1 1", database, door=door)

    assert trace(node) == before


def test_a_body_of_bad_lines_alone_makes_no_database(node: Node) -> None:
    """I1, I2."""
    before = trace(node)

    report = write(node, "t v=\nt", "fresh")

    assert (report.rows, len(report.rejected)) == (0, 2)
    assert trace(node) == before


def test_a_refused_line_leaves_no_trace_and_the_others_are_stored(node: Node) -> None:
    """I2: its column, its series and its table are not there."""
    report = write(node, "t,host=a v=1 1\nt,host=ghost v=2,ghost=1,v=3 2\nghost,host=a v=\nt,host=b v=4 3")

    assert report.rows == 2
    assert [line.line_number for line in report.rejected] == [2, 3]
    assert read(node, "SELECT host, v FROM t ORDER BY host") == [{"host": "a", "v": 1.0}, {"host": "b", "v": 4.0}]
    database = node._catalog.state().database("db")
    assert database.find_table("ghost") is None
    assert database.table("t").column_names_sorted == ("host", "time", "v")
    assert node._series.series_count == 2


def test_a_limit_that_is_reached_changes_nothing() -> None:
    """I1."""
    with running(MemoryStore(), wal_flush_interval_ms=1, database_limit=1, table_limit=2, column_limit=3) as node:
        write(node, "t,host=a v=1 1")
        before = trace(node)

        with pytest.raises(LimitReached):
            write(node, "t v=1 1", "another")
        with pytest.raises(LinesRejected):
            write(node, "t2 v=1 1\nt3 v=1 1", accept_partial=False)
        with pytest.raises(LinesRejected):
            write(node, "t,host=a v=1,w=1,x=1,y=1 1", accept_partial=False)

        assert trace(node) == before


def test_a_write_is_refused_before_any_work_while_the_log_is_full(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """I4."""
    monkeypatch.setattr("engine.ingest.pipeline.parse", lambda *_, **__: pytest.fail("parsed all the same"))

    def full() -> None:
        raise Unavailable("5 writes wait for the log already; try again")

    monkeypatch.setattr(node._wal, "refuse_if_full", full)

    with pytest.raises(Unavailable, match="try again"):
        write(node, "t v=1 1")


def test_a_write_is_refused_while_too_many_rows_wait_for_files() -> None:
    """I4: and accepted again once they are settled."""
    with running(MemoryStore(), wal_flush_interval_ms=1, buffer_mem_limit_bytes=20_000) as node:
        body = "\n".join(f"t,host=a v={row} {row}" for row in range(1000))
        write(node, body)
        with pytest.raises(Unavailable, match="wait to be settled into files") as refused:
            write(node, "t v=1 1")
        assert refused.value.hint is not None

        node.snapshot_now()

        assert write(node, "t,host=a v=1 9999").rows == 1


# the catalog first


def test_columns_are_in_the_catalog_before_rows_that_have_them_are_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """I3, A1: one commit a body, whatever it brings."""
    store = DoubtfulStore()
    put_new, order = store.put_new, list[str]()

    def noted(path: str, data: Data) -> None:
        order.append(path.split("/")[1])
        put_new(path, data)

    monkeypatch.setattr(store, "put_new", noted)
    with running(store, wal_flush_interval_ms=1) as node:
        order.clear()
        write(node, 'a,x=1 v=1 1\nb v=1,w=2 1\nc,y=1 s="t" 1')
        write(node, "a,x=1 v=2 2")
        write(node, "a,x=2 v=3,more=1i 3")

        assert order == ["catalog", "wal", "wal", "catalog", "wal"]


def test_a_body_whose_columns_cannot_be_committed_is_not_logged() -> None:
    """I3."""
    store = DoubtfulStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t v=1 1")
        store.faults = ["full"]

        with pytest.raises(ServiceError, match="no space"):
            write(node, "t v=1,w=2 2")

        assert read(node, "SELECT v FROM t") == [{"v": 1.0}]
        assert write(node, "t v=1,w=2 2").rows == 1


def test_a_body_whose_columns_are_sparse_is_taken_whole(node: Node) -> None:
    """A1: the parser hands it over in several parts, of which the later ones build on the earlier."""
    body = "\n".join(f"wide,host=h{row % 3} f{row}={row} {row}" for row in range(2900))
    sequence = node._catalog.state().sequence

    report = write(node, body)

    assert report == WriteReport(2900)
    assert node._catalog.state().sequence == sequence + 1
    assert len(node._catalog.state().database("db").table("wide").fields) == 2900
    assert read(node, "SELECT host, f2899 FROM wide WHERE f2899 IS NOT NULL") == [{"host": "h1", "f2899": 2899.0}]
    assert write(node, body).rows == 2900


# two writers


def test_two_writers_of_one_new_table_with_other_types_get_one_type_and_a_refused_line(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A2: the second reads its lines again, in the light of the first."""
    write(node, "other v=1 1")
    before_next_commit(node, monkeypatch, lambda: write(node, "t,host=a v=1i 1"))

    report = write(node, "t,host=a v=2.5 2\nt,host=a w=1 3")

    assert report.rows == 1
    [rejected] = report.rejected
    assert "expected iox::column_type::field::integer" in rejected.error_message
    assert read(node, "SELECT v, w FROM t ORDER BY time") == [{"v": 1, "w": None}, {"v": None, "w": 1.0}]


def test_two_writers_of_one_new_field_with_other_types(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2."""
    write(node, "t v=1 1")
    before_next_commit(node, monkeypatch, lambda: write(node, 't v=1,w="text" 2'))

    with pytest.raises(LinesRejected):
        write(node, "t w=5i 3", accept_partial=False)

    assert read(node, "SELECT count(*) AS n FROM t") == [{"n": 2}]


def test_two_writers_of_one_new_table_with_other_tags(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: the order of the series key is the first one's; the second's tags in another order are the same series."""
    write(node, "other v=1 1")
    before_next_commit(node, monkeypatch, lambda: write(node, "t,b=1,a=2 v=1 1"))

    assert write(node, "t,a=2,b=1 v=2 1").rows == 1

    assert node._catalog.state().database("db").table("t").tags == ("b", "a")
    assert read(node, "SELECT a, b, v FROM t") == [{"a": "2", "b": "1", "v": 2.0}]


def test_two_writers_of_different_new_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: a value stays with its tag, wherever in the series key that tag comes to stand."""
    with running(MemoryStore(), wal_flush_interval_ms=1, extend_tags=True) as node:
        write(node, "t,a=1 v=1 1")
        before_next_commit(node, monkeypatch, lambda: write(node, "t,a=1,b=B v=2 2"))

        write(node, "t,a=1,c=C v=3 3")

        assert node._catalog.state().database("db").table("t").tags == ("a", "b", "c")
        assert read(node, "SELECT b, c FROM t ORDER BY v") == [
            {"b": None, "c": None},
            {"b": "B", "c": None},
            {"b": None, "c": "C"},
        ]


def test_a_row_keeps_its_new_tag_in_the_log_whoever_shares_its_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: a write that was admitted before the tag came, and reached the log behind it, is no harm to it."""
    store, written = MemoryStore(), threading.Event()
    with running(store, wal_flush_interval_ms=1, extend_tags=True) as node:
        write(node, "t,a=1 v=1 1")
        append = node._wal.append

        def overtaken(batch: WriteBatch, *, waits: bool) -> PendingWrite:
            monkeypatch.setattr(node._wal, "append", append)
            write(node, "t,a=1,b=B v=2 2", no_sync=True)
            pending = append(batch, waits=waits)
            written.set()
            return pending

        def hold_the_log(_: int) -> None:
            monkeypatch.setattr(node._wal, "append", overtaken)
            threads[1].start()
            assert written.wait(60)

        threads = [
            threading.Thread(target=node._wal.boundary, args=(hold_the_log,)),
            threading.Thread(target=write, args=(node, "t,a=1 v=3 3")),
        ]
        threads[0].start()
        threads[0].join(60)
        threads[1].join(60)

    with running(store, extend_tags=True) as node:
        assert read(node, "SELECT b, v FROM t ORDER BY v") == [
            {"b": None, "v": 1.0},
            {"b": "B", "v": 2.0},
            {"b": None, "v": 3.0},
        ]


def test_two_writers_of_one_new_database(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A1."""
    before_next_commit(node, monkeypatch, lambda: write(node, "t,host=a v=1 1", "new"))

    assert write(node, "t,host=b v=2 1\nu v=1 1", "new").rows == 2

    assert read(node, "SELECT host, v FROM t ORDER BY host", "new") == [{"host": "a", "v": 1.0}, {"host": "b", "v": 2.0}]


def test_a_table_made_by_name_takes_lines_with_its_tags_in_any_order(node: Node) -> None:
    """A2: the parser, which did not know of it, is told."""
    write(node, "other v=1 1")
    node.create_table("db", "made", ["b", "a"], {"v": "float64"})

    assert write(node, "made,a=1,b=2 v=1 1").rows == 1

    assert read(node, "SELECT a, b, v FROM made") == [{"a": "1", "b": "2", "v": 1.0}]


def test_a_table_that_is_dropped_while_its_rows_are_read_is_made_anew(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: rows never end up in the deleted table, nor under its series."""
    write(node, "t,host=a v=1 1\nt,host=b v=1 1")
    before_next_commit(node, monkeypatch, lambda: node.drop_table("db", "t"))

    assert write(node, "t,host=b v=2,w=1 2").rows == 1

    assert read(node, "SELECT host, v FROM t") == [{"host": "b", "v": 2.0}]


def test_a_table_that_is_dropped_and_made_anew_while_its_rows_are_read(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: with another type, which the second reading finds out."""

    def race() -> None:
        node.drop_table("db", "t")
        write(node, "t,dc=x v=1i 1")

    write(node, "t,host=a v=1 1")
    before_next_commit(node, monkeypatch, race)

    report = write(node, "t,host=b v=2,w=1 2")

    assert (report.rows, len(report.rejected)) == (0, 1)
    assert read(node, "SELECT * FROM t") == [{"dc": "x", "time": read(node, "SELECT time FROM t")[0]["time"], "v": 1}]


def test_rows_of_known_columns_notice_a_drop_too(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: nothing is committed for them, so they look before they go on."""
    write(node, "t,host=a v=1 1")
    admit, raced = node._ingest._admission.admit, list[bool]()

    def admit_after_drop(*given: object) -> object:
        if not raced:
            raced.append(True)
            node.drop_table("db", "t")
        return admit(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(node._ingest._admission, "admit", admit_after_drop)

    assert write(node, "t,host=b v=2 2").rows == 1

    assert read(node, "SELECT host, v FROM t") == [{"host": "b", "v": 2.0}]


def test_a_database_that_is_dropped_and_made_anew_while_rows_are_read(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: its tables have the same ids and other series."""

    def race() -> None:
        node.drop_database("db")
        write(node, "t,host=z v=0 0")

    write(node, "t,host=a v=1 1\nt,host=b v=1 1")
    before_next_commit(node, monkeypatch, race)

    assert write(node, "t,host=b v=2,w=1 2").rows == 1

    assert read(node, "SELECT host, v FROM t ORDER BY host") == [{"host": "b", "v": 2.0}, {"host": "z", "v": 0.0}]


@pytest.mark.parametrize("restart", [False, True])
def test_what_has_been_deleted_takes_no_rows_under_its_new_name(restart: bool) -> None:
    """A2: nothing is acknowledged that nobody would find."""
    store = MemoryStore()
    node = open_node(store, wal_flush_interval_ms=1)
    write(node, "t v=1 1")
    write(node, "t v=1 1", "gone")
    node.drop_table("db", "t")
    node.drop_database("gone")
    if restart:
        node.close()
        node = open_node(store, wal_flush_interval_ms=1)
    state = node._catalog.state()
    [table] = state.database("db").tables
    [database] = [each for each in state.databases if each.deleted]
    assert table.deleted

    with pytest.raises(InvalidRequest, match="soft-deleted table"):
        write(node, f"{table.name} v=1 1")
    with pytest.raises(InvalidRequest, match="soft-deleted database"):
        write(node, "t v=1 1", database.name)
    node.close()


def test_many_writers_that_make_and_widen_the_same_tables_lose_nothing(node: Node) -> None:
    """A1, A2, I2."""
    failures: list[Exception] = []

    def work(worker: int) -> None:
        try:
            for step in range(25):
                report = write(node, f"t{step % 5},host=w{worker} f{step}={step},own{worker}={step}i {step}")
                assert report == WriteReport(1)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    for table in range(5):
        rows = read(node, f"SELECT * FROM t{table}")
        assert len(rows) == 6 * 5
        for row in rows:
            worker, step = int(row["host"][1:]), next(step for step in range(25) if row.get(f"f{step}") is not None)
            assert row[f"f{step}"] == step
            assert row[f"own{worker}"] == step


def test_no_sync_rows_are_in_the_log_when_the_node_has_closed() -> None:
    """I3: and reported as accepted."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=60_000) as node:
        write(node, "t v=1 1")
        assert write(node, "t v=2 2", no_sync=True) == WriteReport(1)

    groups = [group for info in store.list(PATHS.wal_prefix) for group in decode(memoryview(store.get(info.path)))]
    assert [table.rows["v"].to_pylist() for group in groups for table in group.tables] == [[1.0], [2.0]]


def test_rows_without_a_time_get_one_clock_value_a_request(node: Node) -> None:
    """I2."""
    write(node, "t,host=a v=1\nt,host=b v=2")

    assert read(node, "SELECT count(DISTINCT time) AS n FROM t") == [{"n": 1}]


def test_an_unknown_database_is_not_found_and_not_made_by_a_query(node: Node) -> None:
    """I1."""
    before = trace(node)

    with pytest.raises(NotFound):
        node.query_sql("nowhere", "SELECT 1")

    assert trace(node) == before
