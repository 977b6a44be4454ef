"""What may befall a server's disk, clock and files, and what it says then: one clear message with the object's name; it refuses
to start, or serves what is intact and says so in health.

Inside of one process: tests/unit/engine/test_node.py. With a store that fails for a while: test_remote_node.py beside this.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from catalog.errors import Damaged, ServiceError
from engine.clock import SystemClock
from engine.node import Node
from engine.paths import NodePaths
from engine.settings import Settings
from engine.storage.base import StoreFull, StorePermission
from engine.storage.local import LocalStore
from tests.conftest import PRODUCT
from tests.helpers.asking import Reached
from tests.helpers.engine import ManualClock, open_node, read, running, times, write
from tests.helpers.servers import Server, launch, wait_until
from tests.helpers.servers import running as serving
from tests.helpers.wal import flip

NOBODY = 65534
HOUR_NS = 3600 * 10**9


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Two MiB, a file system of its own."""
    if os.geteuid() != 0:
        pytest.skip("SKIPPED: only root can mount a small disk")
    with tempfile.TemporaryDirectory() as directory:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "flightline-test", directory], capture_output=True, text=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip(f"SKIPPED: a small disk cannot be mounted here: {mounted.stderr.strip()}")
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", "--lazy", directory], check=True)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Take all the space that is left."""
    ballast = directory / "ballast"
    with ballast.open("wb") as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    os.write(file.fileno(), b"x" * size)
            except OSError:
                continue
    return ballast


# the disk is full


def test_a_full_disk_refuses_writes_by_name_and_takes_them_again_when_there_is_space(small_disk: Path) -> None:
    """Nothing of a refused write is seen, and all that was acknowledged is there after a start."""
    node = open_node(LocalStore(small_disk))
    for time in range(5):
        write(node, f't v=1,s="" {time}')
    ballast = fill(small_disk)

    for _ in range(3):
        with pytest.raises(StoreFull, match=r"could not store file://.*/n/wal/0*1\.wal: no space left on the device"):
            write(node, f't v=2,s="{"x" * 5000}" 100')
    with pytest.raises(StoreFull, match="no space left"):
        write(node, "another_table v=1 1")
    assert times(node) == list(range(5))
    with pytest.raises(StoreFull, match=r"n/dbs/.*parquet: no space left"):
        node.snapshot_now()

    ballast.unlink()
    write(node, "t v=1 5\nanother_table v=1 1")
    node.snapshot_now()
    write(node, "t v=1 6")
    assert times(node) == list(range(7))
    node.close()
    with running(LocalStore(small_disk)) as node:
        assert times(node) == list(range(7))
        assert node.health()["status"] == "pass"


def test_a_node_closes_and_opens_on_a_full_disk_or_says_why_not(small_disk: Path) -> None:
    node = open_node(LocalStore(small_disk))
    write(node, "t v=1 1")
    ballast = fill(small_disk)
    node.close()

    with pytest.raises(StoreFull, match=r"could not store file://.*/n/catalog/log/.*: no space left on the device"):
        open_node(LocalStore(small_disk))

    ballast.unlink()
    with running(LocalStore(small_disk)) as node:
        assert times(node) == [1]


def test_a_full_disk_under_a_server_is_a_503_with_a_sentence(small_disk: Path) -> None:
    with serving(small_disk, "--object-store", "file", command=PRODUCT) as server:
        assert post(server, "t v=1 1") == (204, "")
        ballast = fill(small_disk)

        status, body = post(server, "\n".join(f"t v={row} {row}" for row in range(1000, 2000)))

        assert status == 503
        assert "no space left on the device" in body
        ballast.unlink()
        assert post(server, "t v=3 3")[0] == 204
        assert Reached(server).rows("db", "SELECT v FROM t ORDER BY time") == [{"v": 1.0}, {"v": 3.0}]


def post(server: Server, lines: str) -> tuple[int, str]:
    with closing(HTTPConnection(server.host, server.port, timeout=60)) as connection:
        connection.request("POST", "/api/v3/write_lp?db=db&precision=nanosecond", lines.encode())
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


# the disk cannot be written


def test_a_log_whose_directory_has_gone_is_named_and_rows_stay_readable(tmp_path: Path) -> None:
    node = open_node(LocalStore(tmp_path))
    write(node, "t v=1 1")
    node.snapshot_now()
    node._views.evict(0)
    shutil.rmtree(tmp_path / "n" / "wal")

    with pytest.raises(ServiceError, match=r"could not store file://.*/n/wal/.*: no such file or directory"):
        write(node, "t v=2 2")
    assert times(node) == [1]
    node.close()


def test_a_read_only_directory_stops_the_start_with_its_name(small_disk: Path) -> None:
    with running(LocalStore(small_disk)) as node:
        write(node, "t v=1 1")

    with (
        read_only(small_disk),
        pytest.raises(StorePermission, match=f"could not open file://{small_disk}.*read-only file system"),
    ):
        open_node(LocalStore(small_disk))

    with running(LocalStore(small_disk)) as node:
        assert times(node) == [1]


@contextmanager
def nobody() -> Iterator[None]:
    """The rights of a user that owns nothing."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def owned() -> Iterator[Path]:
    """A data directory of the user whose rights the test takes on, with rows in file and log."""
    directory = Path(tempfile.mkdtemp())
    try:
        if os.geteuid() == 0:
            os.chown(directory, NOBODY, NOBODY)
        with nobody(), running(LocalStore(directory / "data")) as node:
            write(node, "t v=1 1")
            node.snapshot_now()
            write(node, "t v=2 2")
        yield directory / "data"
    finally:
        subprocess.run(["chmod", "-R", "u+rwX", str(directory)], check=True)
        shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("place", "mode", "named"),
    [
        ("", 0o000, ""),
        ("n", 0o000, "n"),
        ("n/lock", 0o000, "n/lock"),
        ("n/wal", 0o000, "n/wal"),
        ("n/catalog/log", 0o500, "n/catalog/log"),
        ("n/snapshots/00000000000000000001.manifest", 0o000, "n/snapshots/00000000000000000001.manifest"),
    ],
)
def test_wrong_permissions_stop_the_start_with_the_place(owned: Path, place: str, mode: int, named: str) -> None:
    path = owned / place
    before = path.stat().st_mode
    path.chmod(mode)

    with nobody(), pytest.raises(StorePermission, match=f"file://{owned}.*{named}.*: permission denied") as refused:
        open_node(LocalStore(owned)).close()

    assert refused.value.hint is not None
    path.chmod(before)
    with nobody(), running(LocalStore(owned)) as node:
        assert times(node) == [1, 2]


def test_a_log_that_may_not_be_written_refuses_writes_and_serves_rows(owned: Path) -> None:
    with nobody():
        node = open_node(LocalStore(owned))
        (owned / "n" / "wal").chmod(0o500)
        try:
            with pytest.raises(StorePermission, match=r"n/wal/.*\.wal: permission denied"):
                write(node, "t v=3 3")
            assert times(node) == [1, 2]
        finally:
            (owned / "n" / "wal").chmod(0o750)
        write(node, "t v=3 3")
        node.close()


# the clock is set back


def test_a_clock_that_is_set_back_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Rows without times get what the clock says; everything else goes by order, not by the clock."""
    clock = ManualClock(100 * HOUR_NS)
    node = open_node(LocalStore(tmp_path), clock)
    write(node, "t,host=a v=1")
    clock.time_ns = 50 * HOUR_NS
    write(node, "t,host=a v=2")
    node.snapshot_now()
    clock.time_ns = 1
    write(node, "t,host=a v=3\nt,host=a v=9 " + str(100 * HOUR_NS))
    node.create_database("later")
    node.close()

    clock.time_ns = -5
    node = open_node(LocalStore(tmp_path), clock)
    write(node, "t,host=a v=4")
    node.snapshot_now()
    assert read(node, "SELECT arrow_cast(time, 'Int64') AS ns, v FROM t ORDER BY ns") == [
        {"ns": -5, "v": 4.0},
        {"ns": 1, "v": 3.0},
        {"ns": 50 * HOUR_NS, "v": 2.0},
        {"ns": 100 * HOUR_NS, "v": 9.0},
    ]
    assert node.health()["status"] == "pass"
    assert "later" in [database.name for database in node.list_databases()]
    node.close()


# damaged objects, as a whole server tells of them


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a node leaves that has settled two tables and has three segments of log behind them."""
    directory = tmp_path_factory.mktemp("written")
    for step in range(4):
        with running_as_server(directory) as node:
            write(node, f"a v={step} {step}\nb v={step} {step}")
            if step == 0:
                node.snapshot_now()
            if step == 3:
                node._catalog.write_checkpoint()
    return directory


@contextmanager
def running_as_server(directory: Path, **options: Any) -> Iterator[Node]:
    settings = Settings("node", wal_files_per_snapshot=10**9, **options)
    node = Node.open(settings, LocalStore(directory), SystemClock())
    try:
        yield node
    finally:
        node.close()


PATHS = NodePaths("node")


def segments(directory: Path) -> list[Path]:
    return sorted((directory / PATHS.wal_prefix).iterdir())


def parquet(directory: Path, table_id: int) -> Path:
    [path] = (directory / f"node/dbs/1/{table_id}").rglob("*.parquet")
    return path


def damage_log(directory: Path) -> Path:
    path = segments(directory)[1]
    flip(path, 200)
    return path


def truncate_file(directory: Path) -> Path:
    path = parquet(directory, 0)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def remove_file(directory: Path) -> Path:
    path = parquet(directory, 0)
    path.unlink()
    return path


def damage_file_inside(directory: Path) -> Path:
    path = parquet(directory, 0)
    flip(path, 20)
    return path


def remove_manifest(directory: Path) -> Path:
    path = directory / PATHS.manifest(1)
    shutil.copy(path, directory / PATHS.manifest(2))
    path.unlink()
    return path


def damage_manifest(directory: Path) -> Path:
    path = directory / PATHS.manifest(1)
    flip(path, 60)
    return path


def damage_catalog(directory: Path) -> Path:
    path = directory / "node/catalog/log/00000000000000000003.catalog"
    flip(path, 30)
    return path


def remove_catalog_commit(directory: Path) -> Path:
    path = directory / "node/catalog/log/00000000000000000002.catalog"
    path.unlink()
    return path


def damage_checkpoint(directory: Path) -> Path:
    path = directory / "node/catalog/checkpoint"
    flip(path, path.stat().st_size // 2)
    return path


Damage = Callable[[Path], Path]


def copied(written: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    shutil.copytree(written, directory)
    return directory


def test_a_server_with_a_damaged_log_serves_what_is_intact_and_says_in_health_what_is_not(
    written: Path, tmp_path: Path
) -> None:
    directory = copied(written, tmp_path)
    name = str(damage_log(directory).relative_to(directory))

    with serving(directory, "--object-store", "file", command=PRODUCT) as server:
        assert server.get("/health").decode().startswith(f"degraded: {name} is damaged")
        assert name in server.text
        assert Reached(server).rows("db", "SELECT count(*) AS n FROM b") == [{"n": 3}]
        assert post(server, "a v=9 9\nb v=9 9")[0] == 204
        assert "Traceback" not in server.text


@pytest.mark.parametrize("damage", [truncate_file, remove_file, damage_file_inside])
def test_a_damaged_file_is_told_by_health_and_by_queries_that_need_it(written: Path, tmp_path: Path, damage: Damage) -> None:
    """What shows in a listing is told soon after the start. What does not is found by a query, perhaps in the middle of its
    answer, which is then cut off; from then on queries fail before they begin to answer."""
    directory = copied(written, tmp_path)
    name = str(damage(directory).relative_to(directory))

    with serving(directory, "--object-store", "file", command=PRODUCT) as server:
        if damage is not damage_file_inside:
            wait_until(lambda: name in server.get("/health").decode())
        with suppress(IncompleteRead):
            assert ask(server, "SELECT * FROM a")[0] == 500
        status, body = ask(server, "SELECT * FROM a")
        assert (status, name in body) == (500, True)
        assert name in server.get("/health").decode()
        assert Reached(server).rows("db", "SELECT count(*) AS n FROM b") == [{"n": 4}]
        assert post(server, "a v=9 9\nb v=9 9")[0] == 204
        assert "Traceback" not in server.text


def ask(server: Server, statement: str) -> tuple[int, str]:
    with closing(HTTPConnection(server.host, server.port, timeout=60)) as connection:
        connection.request("GET", f"/api/v3/query_sql?{urlencode({'db': 'db', 'q': statement, 'format': 'json'})}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_server_whose_manifest_is_missing_does_not_start_and_names_it(written: Path, tmp_path: Path) -> None:
    directory = copied(written, tmp_path)
    name = str(remove_manifest(directory).relative_to(directory))

    server = launch(directory, "--object-store", "file", command=PRODUCT)

    assert server.wait(60) != 0
    assert name in server.text
    assert "Traceback" not in server.text


@pytest.mark.parametrize(
    ("damage", "options"),
    [
        (remove_manifest, {}),
        (damage_manifest, {}),
        (damage_catalog, {}),
        (remove_catalog_commit, {}),
        (damage_checkpoint, {}),
        (damage_log, {"wal_replay_fail_on_error": True}),
    ],
)
def test_a_node_that_cannot_know_what_is_right_does_not_open_and_names_the_object(
    written: Path, tmp_path: Path, damage: Damage, options: dict[str, bool]
) -> None:
    directory = copied(written, tmp_path)
    if damage in (remove_catalog_commit, damage_catalog):
        (directory / "node/catalog/checkpoint").unlink()
    name = str(damage(directory).relative_to(directory))

    with pytest.raises(Damaged, match=name), running_as_server(directory, **options):
        pass
