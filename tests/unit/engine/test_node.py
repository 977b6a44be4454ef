"""A node: who owns it, what survives it, and what it says of damage."""

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from catalog.errors import Damaged, InvalidRequest, Unavailable
from engine.clock import SystemClock
from engine.files.manifest import DataFile
from engine.node import Node
from engine.opening import NodeTaken
from engine.ownership import Fenced
from engine.paths import NodePaths
from engine.settings import Settings
from engine.storage.base import ObjectStore, StoreUnavailable
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from tests.helpers.engine import open_node, read, running, times, write
from tests.helpers.servers import wait_until
from tests.helpers.wal import DoubtfulStore, flip, objects_with_rows

PATHS = NodePaths("n")


def problems(node: Node) -> list[str]:
    return list(cast("list[str]", node.health()["problems"]))


# ownership

SECOND = """
import sys
from pathlib import Path
from engine.clock import SystemClock
from engine.node import Node
from engine.settings import Settings
from engine.storage.local import LocalStore
try:
    Node.open(Settings(node_id="n"), LocalStore(Path(sys.argv[1])), SystemClock()).close()
    print("opened")
except Exception as error:
    print(type(error).__name__, error)
"""


def second_process(root: Path) -> str:
    ran = subprocess.run([sys.executable, "-c", SECOND, str(root)], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_a_second_process_is_told_and_the_first_goes_on(tmp_path: Path) -> None:
    """N1, B1: another node id on the same directory is no second process."""
    with running(LocalStore(tmp_path)) as node:
        write(node, "t v=1 1")

        assert second_process(tmp_path) == f"NodeTaken another server runs node n on {tmp_path}"
        with pytest.raises(NodeTaken):
            open_node(LocalStore(tmp_path))
        Node.open(Settings("other"), LocalStore(tmp_path), SystemClock()).close()

        write(node, "t v=2 2")
        node.snapshot_now()
        assert times(node) == [1, 2]
    open_node(LocalStore(tmp_path)).close()


def test_a_start_that_fails_lets_go_of_the_node(tmp_path: Path) -> None:
    """N1."""
    with running(LocalStore(tmp_path)) as node:
        write(node, "t v=1 1")
        node.snapshot_now()
    manifest = tmp_path / PATHS.manifest(1)
    good = manifest.read_bytes()
    manifest.write_bytes(b"rubbish")
    with pytest.raises(Damaged):
        open_node(LocalStore(tmp_path))

    manifest.write_bytes(good)

    open_node(LocalStore(tmp_path)).close()


def test_without_a_lock_the_older_process_is_stopped_at_its_next_group() -> None:
    """N1: it tells its writers and its process, and nothing that either of them acknowledged is lost."""
    store = MemoryStore()
    ended: list[BaseException] = []
    old = Node.open(Settings("n", wal_flush_interval_ms=1), store, SystemClock(), ended.append)
    write(old, "t,host=old v=1 1")
    new = open_node(store, wal_flush_interval_ms=1)
    write(new, "t,host=new v=1 2")

    with pytest.raises(Unavailable, match="another process writes the log of this node"):
        write(old, "t,host=old v=1 3")
    wait_until(lambda: bool(ended))
    assert old.health()["status"] == "fail"
    with pytest.raises(Unavailable):
        old.snapshot_now()

    write(new, "t,host=new v=1 4")
    new.snapshot_now()
    assert times(new) == [1, 2, 4]
    old.close()
    new.close()
    with running(store) as node:
        assert times(node) == [1, 2, 4]


def test_without_a_lock_a_snapshot_of_the_older_process_takes_nothing_from_the_newer() -> None:
    """N1."""
    store = MemoryStore()
    old = open_node(store, wal_flush_interval_ms=1)
    write(old, "t,host=old v=1 1")
    new = open_node(store, wal_flush_interval_ms=1)
    write(new, "t,host=new v=1 2")

    with pytest.raises(Fenced):
        old.snapshot_now()
    new.snapshot_now()

    assert times(new) == [1, 2]
    old.close()
    new.close()
    with running(store) as node:
        assert times(node) == [1, 2]
        assert node.health() == {"status": "pass", "problems": []}


# what survives


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_is_acknowledged_is_visible_and_durable(kind: str, tmp_path: Path) -> None:
    """N2: without sync too, once the node has closed."""
    store: ObjectStore = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    with running(store, wal_flush_interval_ms=20) as node:
        for time in range(5):
            write(node, f"t v={time} {time}")
            assert len(times(node)) == time + 1
        write(node, "t v=5 5", no_sync=True)
        wait_until(lambda: len(times(node)) == 6)
        write(node, "t v=6 6", no_sync=True)

    with running(store) as node:
        assert times(node) == list(range(7))


def test_writes_that_meet_a_close_are_durable_or_refused(tmp_path: Path) -> None:
    """N2."""
    node = open_node(LocalStore(tmp_path))
    write(node, "t,host=first v=1 0")
    acknowledged: list[int] = []
    refused: list[Exception] = []

    def work(worker: int) -> None:
        for step in range(10_000):
            time = worker * 10_000 + step
            try:
                write(node, f"t,host=w{worker} v=1 {time}")
            except Unavailable as error:
                refused.append(error)
                return
            acknowledged.append(time)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(acknowledged) > 20)
    node.close()
    for thread in threads:
        thread.join()

    assert len(refused) == 4
    with running(LocalStore(tmp_path)) as node:
        assert set(acknowledged) <= set(times(node))


def test_a_node_can_be_closed_while_a_snapshot_waits_for_a_log_in_doubt() -> None:
    """N2: nothing more is stored, and nothing fatal has happened that another process would have to make good."""
    store, fatal = DoubtfulStore(), list[BaseException]()
    node = Node.open(Settings(node_id="n", wal_flush_interval_ms=1), store, SystemClock(), fatal.append)
    write(node, "t v=1 1")
    store.faults = ["lost"] * 10_000
    write(node, "t v=2 2", no_sync=True)
    wait_until(lambda: node._wal.problem is not None)
    node._schedule._first_unsettled_s = -1e9
    wait_until(lambda: bool(node._wal._boundaries))
    closing = threading.Thread(target=node.close, daemon=True)

    closing.start()
    closing.join(60)

    assert not closing.is_alive()
    assert fatal == []


def test_a_node_can_be_closed_when_its_store_has_gone() -> None:
    """N2: all rows are in the log; only the note that it stopped is missing."""
    store = DoubtfulStore()
    node = open_node(store, wal_flush_interval_ms=1)
    write(node, "t v=1 1")
    store.faults = ["full"] * 10

    node.close()

    store.faults = []
    with running(store) as node:
        assert times(node) == [1]


# damage


def prepared(store: ObjectStore) -> list[str]:
    """Three groups in three objects, written by a node that has gone; their names."""
    for time in range(1, 4):
        with running(store, wal_flush_interval_ms=1) as node:
            write(node, f"t,host=h{time} v=1 {time}\nu,host=h v=1 {time}")
    return objects_with_rows(store)


def change(store: ObjectStore, path: str, root: Path) -> None:
    if isinstance(store, LocalStore):
        flip(root / path, 100)
    else:
        store.put(path, store.get(path)[:-9])


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_damaged_group_is_named_kept_aside_and_the_rest_is_served(kind: str, tmp_path: Path) -> None:
    """N3: health says so until it has been settled; later starts do not forget what is still there."""
    store: ObjectStore = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    path = prepared(store)[1]
    change(store, path, tmp_path)
    damaged, aside = store.get(path), path.replace("/wal/", "/damaged/")

    for _ in range(2):
        with running(store, wal_flush_interval_ms=1) as node:
            assert times(node) == times(node, "u") == [1, 3]
            assert node.health()["status"] == "degraded"
            assert [path in problem for problem in problems(node)] == [True]
            assert store.get(aside) == damaged

    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t,host=h4 v=1 4")
        node.snapshot_now()
    with running(store) as node:
        assert times(node) == [1, 3, 4]
        assert node.health()["status"] == "pass"
        assert store.get(aside) == damaged


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_damaged_group_stops_the_start_where_that_is_wished(kind: str, tmp_path: Path) -> None:
    """N3: --wal-replay-fail-on-error."""
    store: ObjectStore = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    path = prepared(store)[1]
    change(store, path, tmp_path)
    before = objects_with_rows(store)

    with pytest.raises(Damaged, match=path):
        open_node(store, wal_replay_fail_on_error=True)

    assert objects_with_rows(store) == before


def test_a_damaged_last_object_of_a_remote_store_is_served_around() -> None:
    """N3: and the node can be written to."""
    store = MemoryStore()
    path = prepared(store)[-1]
    store.put(path, b"rubbish")

    with running(store, wal_flush_interval_ms=1) as node:
        assert path in str(node.health()["problems"])
        write(node, "t,host=h4 v=1 4")
    with running(store) as node:
        assert times(node) == [1, 2, 4]


def test_a_hole_in_the_log_is_named() -> None:
    """N3."""
    store = MemoryStore()
    store.delete(prepared(store)[1])

    with running(store) as node:
        assert times(node) == [1, 3]
        assert "has a hole" in str(node.health()["problems"])
    with pytest.raises(Damaged, match="has a hole"):
        open_node(store, wal_replay_fail_on_error=True)


def test_a_process_that_died_before_its_first_group_leaves_no_trace(tmp_path: Path) -> None:
    """N1, N2: its segment file is empty, and the next process needs that name."""
    with running(LocalStore(tmp_path)) as node:
        write(node, "t v=1 1")
    (tmp_path / PATHS.wal(2)).touch()

    with running(LocalStore(tmp_path)) as node:
        write(node, "t v=2 2")
        assert times(node) == [1, 2]
        assert node.health()["status"] == "pass"


def manifests(store: MemoryStore) -> list[str]:
    return [info.path for info in store.list(PATHS.snapshot_prefix)]


def settled(store: MemoryStore) -> list[DataFile]:
    with running(store, wal_flush_interval_ms=1) as node:
        for time in range(3):
            write(node, f"t v=1 {time}")
            write(node, f"u v=1 {time}")
            node.snapshot_now()
        return list(node._files.files)


def test_a_damaged_manifest_stops_the_start_by_name() -> None:
    """N3."""
    store = MemoryStore()
    settled(store)
    path = manifests(store)[2]
    store.put(path, store.get(path).replace(b"rows", b"rovs"))

    with pytest.raises(Damaged, match=path):
        open_node(store)


def test_a_missing_manifest_stops_the_start_by_name() -> None:
    """N3."""
    store = MemoryStore()
    settled(store)
    path = manifests(store)[2]
    store.delete(path)

    with pytest.raises(Damaged, match=f"{path} is missing"):
        open_node(store)


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_the_newest_manifest_is_missed_too_and_its_files_are_kept(kind: str, tmp_path: Path) -> None:
    """N3: though nothing tells of it but the files themselves; a snapshot that was cut short looks otherwise."""
    store: ObjectStore = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    with running(store, wal_flush_interval_ms=1, snapshotted_wal_files_to_keep=0) as node:
        for time in range(2):
            write(node, f"t v=1 {time}")
            node.snapshot_now()
        files = node._files.files
        manifest = PATHS.manifest(node._files.number)
    content = store.get(manifest)
    store.delete(manifest)

    for _ in range(2):
        with pytest.raises(Damaged, match=f"{manifest} is missing"):
            open_node(store)

    store.put_new(manifest, content)
    with running(store) as node:
        assert node._files.files == files
        assert times(node) == [0, 1]


def test_a_lost_manifest_whose_rows_are_still_in_the_log_costs_nothing() -> None:
    """N3."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t v=1 1")
        node.snapshot_now()
        manifest = PATHS.manifest(node._files.number)
    store.delete(manifest)

    with running(store, wal_flush_interval_ms=1) as node:
        assert times(node) == [1]
        node.snapshot_now()
        assert times(node) == [1]


def test_a_missing_catalog_commit_stops_the_start_by_name() -> None:
    """N3."""
    store = MemoryStore()
    settled(store)
    store.delete("n/catalog/log/00000000000000000002.catalog")

    with pytest.raises(Damaged, match=r"n/catalog/log/0*2\.catalog is missing"):
        open_node(store)


@pytest.mark.parametrize("what", ["missing", "cut short"])
def test_files_that_are_missing_or_cut_short_are_named_soon_after_the_start(what: str) -> None:
    """N3: before any query; other files of the table stay readable by time."""
    store = MemoryStore()
    file = settled(store)[0]
    if what == "missing":
        store.delete(file.path)
    else:
        store.put(file.path, store.get(file.path)[:-1])

    with running(store, wal_flush_interval_ms=1) as node:
        wait_until(lambda: node.health()["status"] == "degraded")
        assert [file.path in problem for problem in problems(node)] == [True]
        good = "u" if file.table_id == 0 else "t"
        bad = "t" if good == "u" else "u"
        assert times(node, good) == [0, 1, 2]
        with pytest.raises(Damaged, match=file.path):
            times(node, bad)
        write(node, f"{good} v=1 9\n{bad} v=1 9")
        node.snapshot_now()
        assert times(node, good) == [0, 1, 2, 9]


def test_a_log_that_is_closed_is_told_by_health() -> None:
    """N3: and no longer when it is open again."""
    store = DoubtfulStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t v=1 1")
        store.faults = ["lost", "full", "full"]
        thread = threading.Thread(target=write, args=(node, "t v=2 2"))
        thread.start()
        wait_until(lambda: node.health()["status"] == "fail")
        assert "does not know whether its last group is stored" in str(node.health()["problems"])
        thread.join()

        wait_until(lambda: node.health() == {"status": "pass", "problems": []})
        assert times(node) == [1, 2]


def test_rows_that_cannot_be_settled_are_told_by_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """N3: while it is so."""
    monkeypatch.setattr("engine.persist.schedule._LOOK_EVERY_S", 0.01)
    store = DoubtfulStore()
    with running(store, wal_flush_interval_ms=1, buffer_mem_limit_bytes=40) as node:
        with monkeypatch.context() as broken:
            broken.setattr(node._snapshots, "_store_table", _no_space)
            write(node, "t v=1 1")
            wait_until(lambda: node.health()["status"] == "degraded")
            assert problems(node) == ["rows are not settled into files: no space"]

        wait_until(lambda: node.health()["status"] == "pass")
        assert node._views.unsettled_bytes == 0


def _no_space(*_: object) -> None:
    raise Unavailable("no space")


def test_health_is_good_while_nothing_is_wrong() -> None:
    """N3."""
    with running(MemoryStore()) as node:
        assert node.health() == {"status": "pass", "problems": []}
        assert read(node, "SELECT 1 AS one", "_internal") == [{"one": 1}]


# what it says of itself to machines


def test_a_node_is_ready_while_writes_are_taken_and_its_store_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """N3: the store is asked, though not more often than once a second."""
    monkeypatch.setattr("engine.node._READY_EVERY_S", 0.0)
    with running(LocalStore(tmp_path / "data")) as node:
        assert node.readiness() == []
        (tmp_path / "data" / "n" / "lock").rename(tmp_path / "lock")

        (problem,) = node.readiness()
        monkeypatch.setattr("engine.node._READY_EVERY_S", 3600.0)
        (tmp_path / "lock").rename(tmp_path / "data" / "n" / "lock")

        assert "n/lock" in problem
        assert node.readiness() == [problem]


def test_a_store_far_away_is_ready_when_it_says_that_nothing_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.node._READY_EVERY_S", 0.0)
    store = MemoryStore()
    with running(store) as node:
        assert node.readiness() == []
        monkeypatch.setattr(MemoryStore, "get", _not_now)

        assert node.readiness() == ["could not read memory://n/ready: not now"]


def _not_now(store: ObjectStore, path: str) -> bytes:
    raise StoreUnavailable("read", store.url, path, "not now")


def figures(node: Node) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in node.metrics_text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_metrics_tell_what_was_done_and_what_is_there() -> None:
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        node.introduce("1.2.3")
        write(node, "t,host=a v=1 1\nt,host=b v=2 2")
        read(node, "SELECT v FROM t")
        node.snapshot_now()
        node._views.evict(0)
        read(node, "SELECT v FROM t WHERE host = 'a'")
        with pytest.raises(InvalidRequest):
            read(node, "SELECT nothing FROM t")

        found = figures(node)

    assert found["flightline_rows_written_total"] == 2
    assert found['flightline_queries_total{outcome="done"}'] == 2
    assert found['flightline_queries_total{outcome="refused"}'] == 1
    assert found["flightline_query_rows_total"] == 3
    assert found["flightline_query_files_total"] == 1
    assert found['flightline_query_seconds_count{phase="plan"}'] == 2
    assert found['flightline_query_seconds_count{phase="execute"}'] == 2
    assert (found["flightline_databases"], found["flightline_tables"], found["flightline_series"]) == (1, 1, 2)
    assert (found["flightline_files"], found["flightline_buffer_bytes"], found["flightline_held_bytes"]) == (1, 0, 0)
    assert (found["flightline_problems"], found["flightline_accepts_writes"]) == (0, 1)
    assert found["flightline_last_snapshot_timestamp_seconds"] > 1e9
    assert found['flightline_store_requests_total{operation="put_new",outcome="done"}'] > 2
    assert found["process_open_fds"] > 3
    assert any(name.startswith("flightline_info{") and 'version="1.2.3"' in name for name in found)


def test_every_figure_has_a_name_a_kind_and_a_help() -> None:
    with running(MemoryStore()) as node:
        read(node, "SELECT 1 AS one", "_internal")
        families = list(text_string_to_metric_families(node.metrics_text().decode()))

    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation
        assert re.fullmatch(r"(flightline|process)(_[a-z0-9]+)+", family.name)
        assert family.type in ("counter", "gauge", "histogram")


@pytest.mark.parametrize("settled", [False, True])
def test_a_node_with_data_is_not_opened_on_another_catalog(settled: bool) -> None:
    """B2: neither on a cluster's that it never joined nor on a new one in place of its own."""
    store = MemoryStore()
    with running(store) as node:
        write(node, "t v=1 1")
        if settled:
            node.snapshot_now()

    with pytest.raises(Damaged, match="the catalog c/catalog does not know node n, which has data here"):
        open_node(store, cluster_id="c")
    kept = {info.path: store.get(info.path) for info in store.list("n/catalog/")}
    for path in kept:
        store.delete(path)
    with pytest.raises(Damaged, match="the catalog n/catalog does not know node n"):
        open_node(store)

    assert store.list("c/") == store.list("n/catalog/") == []  # nothing was founded, either
    for path, data in kept.items():
        store.put_new(path, data)
    with running(store) as node:
        assert times(node) == [1]
