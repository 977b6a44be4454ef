"""`influxdb3 debug verify` on the store of a server, while it runs and afterwards."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import PRODUCT
from tests.helpers.cli import influxdb3
from tests.helpers.servers import running


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Looked at once while its server runs."""
    directory = tmp_path_factory.mktemp("verified")
    with running(directory, "--object-store", "file", command=PRODUCT) as server:
        assert influxdb3("write", "-d", "db", "cpu,host=a usage=1", url=server.url).code == 0
        looked = influxdb3("debug", "verify", "--data-dir", str(directory), "--node-id", "node")
        assert (looked.code, looked.err) == (0, "")
        assert "1 row that no file holds yet" in looked.out
    return directory


def test_a_sound_store_is_described_and_the_exit_code_is_0(store: Path) -> None:
    """G1."""
    done = influxdb3("debug", "verify", "--data-dir", str(store), "--all")

    assert (done.code, done.err) == (0, "")
    assert "catalog node: " in done.out
    assert "node node: " in done.out
    assert "sound    node/catalog/log/00000000000000000001.catalog" in done.out
    assert done.lines[-1].endswith(" objects sound, nothing found")


def test_damage_is_named_with_a_next_step_and_the_exit_code_is_3(store: Path, tmp_path: Path) -> None:
    """G1, G2."""
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    commit = f"node/catalog/log/{2:020}.catalog"
    data = (copy / commit).read_bytes()
    (copy / commit).write_bytes(data[:30] + b"!" + data[31:])

    done = influxdb3("debug", "verify", "--data-dir", str(copy))
    document = json.loads(influxdb3("debug", "verify", "--data-dir", str(copy), "--format", "json").out)

    assert done.code == 3
    assert (
        f"damaged  {commit}\n         Its checksum does not match its bytes. Restore this object from a backup.\n" in done.out
    )
    assert done.lines[-1].startswith("1 finding; ")
    assert [(finding["kind"], finding["object"]) for finding in document["findings"]] == [("damaged", commit)]
    assert document["nodes"][0]["node_id"] == "node"


def test_what_cannot_be_looked_at_is_said_and_the_exit_code_is_1(tmp_path: Path) -> None:
    """G1."""
    empty = influxdb3("debug", "verify", "--data-dir", str(tmp_path))
    memory = influxdb3("debug", "verify", "--object-store", "memory")

    assert empty.code == memory.code == 1
    assert "holds no catalog and no node" in empty.err
    assert memory.err == "Debug command failed: the object store memory ends with its server; there is nothing to look at\n"
    assert list(tmp_path.iterdir()) == []
