"""`influxdb3 debug catalog`: the catalog of a server that has ended."""

import json
from pathlib import Path

import pytest

from tests.conftest import PRODUCT
from tests.helpers.cli import influxdb3, rows_of
from tests.helpers.servers import running


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a database, two tables, one of them deleted, and a token."""
    directory = tmp_path_factory.mktemp("debugged")
    with running(directory, "--object-store", "file", command=PRODUCT, with_tokens=True) as server:
        made = influxdb3("create", "token", "--admin", "--format", "json", url=server.url)
        variables = {"INFLUXDB3_AUTH_TOKEN": json.loads(made.out)["token"]}
        for arguments in (
            ("create", "database", "sensors", "--retention-period", "1d"),
            ("create", "table", "-d", "sensors", "--tags", "room", "--fields", "temp:float64", "home"),
            ("create", "table", "-d", "sensors", "--fields", "n:int64", "gone"),
            ("delete", "table", "-d", "sensors", "gone", "-y"),
        ):
            assert influxdb3(*arguments, url=server.url, variables=variables).code == 0
    return directory


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_the_catalog_is_shown_whole_and_left_alone(store: Path) -> None:
    """E1, E2."""
    before = files_of(store)
    where = ("--node-id", "node", "--data-dir", str(store))

    listed = influxdb3("debug", "catalog", "ls", "--all", *where)
    snapshot = influxdb3("debug", "catalog", "snapshot", "--format", "json", *where)
    last = influxdb3("debug", "catalog", "sequence", *where)
    first = influxdb3("debug", "catalog", "sequence", "1", "--catalog-prefix", "node", "--data-dir", str(store))

    assert files_of(store) == before
    document = json.loads(snapshot.out)
    sensors = next(database for database in document["databases"] if database["name"] == "sensors")
    assert sensors["retention_ns"] == 86_400 * 10**9
    assert sensors["tables"][0]["name"] == "home"
    assert sensors["tables"][0]["fields"] == {"temp": "float64"}
    assert sensors["tables"][1]["deleted_at"].endswith("Z")
    assert [node["node_id"] for node in document["nodes"]] == ["node"]
    assert [(token["name"], len(token["hash"])) for token in document["tokens"]] == [("_admin", 9)]
    rows = rows_of(listed.out)
    assert rows[0] == ["sequence", "time", "changes"]
    assert any(row[2] == "create_database sensors" for row in rows)
    assert json.loads(last.out)["sequence"] == document["sequence"] == int(rows[-1][0])
    assert "found_cluster" in json.loads(first.out)["ops"][0]


def test_a_place_without_a_catalog_is_named_and_stays_empty(tmp_path: Path) -> None:
    """E1, I1."""
    missing = influxdb3("debug", "catalog", "snapshot", "--node-id", "n", "--data-dir", str(tmp_path / "nowhere"))
    empty = influxdb3("debug", "catalog", "snapshot", "--node-id", "n", "--data-dir", str(tmp_path))

    assert missing.code == empty.code == 1
    assert missing.err == f"Debug command failed: {tmp_path}/nowhere is no directory; --data-dir names the one of `serve`\n"
    assert "holds no catalog of n" in empty.err
    assert list(tmp_path.iterdir()) == []


def test_what_only_a_running_server_needs_is_not_read(store: Path) -> None:
    """I2."""
    wrong = {"INFLUXDB3_WAL_FLUSH_INTERVAL": "soon", "INFLUXDB3_TLS_CERT": "/nowhere", "INFLUXDB3_NODE_ID": "node"}

    done = influxdb3("debug", "catalog", "list", "--data-dir", str(store), variables=wrong)

    assert (done.code, done.err) == (0, "")


def test_a_commit_that_is_not_there_is_said(store: Path) -> None:
    done = influxdb3("debug", "catalog", "sequence", "999", "--node-id", "node", "--data-dir", str(store))

    assert (done.code, done.err) == (1, "Debug command failed: there is no commit 999\n")


def test_a_damaged_commit_is_named(store: Path, tmp_path: Path) -> None:
    log = tmp_path / "node" / "catalog" / "log"
    log.mkdir(parents=True)
    (log / f"{1:020}.catalog").write_bytes(b"FLCB nonsense")

    done = influxdb3("debug", "catalog", "list", "--node-id", "node", "--data-dir", str(tmp_path))

    assert done.code == 1
    assert f"node/catalog/log/{1:020}.catalog" in done.err
    assert "Traceback" not in done.err
