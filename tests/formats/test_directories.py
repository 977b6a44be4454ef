"""Directories that versions of the past have written: each opens, with exactly its rows, and can be used from then on.

tests/formats/make_directory.py made them and says what is in them.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.storage.base import ObjectStore
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from engine.verify.walk import verify_store
from flightserver.version import version
from tests.formats.make_directory import DIRECTORIES, LAYOUTS, SECOND, START, content, made, unpacked
from tests.helpers.engine import ManualClock, open_node, read, write

NAMES = sorted(path.stem for path in DIRECTORIES.glob("*.json"))
LATER = START + 3_600 * SECOND


def stored(name: str, directory: Path) -> ObjectStore:
    files = unpacked(DIRECTORIES / f"{name}.tar.xz")
    if name.endswith("-objects"):
        store = MemoryStore()
        for path, data in files.items():
            store.put_new(path, data)
        return store
    for path, data in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    return LocalStore(directory)


def meant(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DIRECTORIES / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_of_the_past_opens_with_exactly_its_rows(name: str, tmp_path: Path) -> None:
    store = stored(name, tmp_path)
    before = verify_store(store)
    node = open_node(store, ManualClock(LATER))

    found = content(node)
    health = node.health()
    node.close()

    assert before.findings == verify_store(store).findings == ()
    assert found == meant(name)
    assert health == {"status": "pass", "problems": []}


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_of_the_past_is_written_to_settled_and_opened_again(name: str, tmp_path: Path) -> None:
    store = stored(name, tmp_path)
    node = open_node(store, ManualClock(LATER))
    write(node, f"home,room=Kitchen,floor=1 co=-1i {START + 3 * SECOND}\nhome,room=New temp=1 {LATER}", "sensors")
    node.snapshot_now()
    node.close()

    node = open_node(store, ManualClock(LATER))
    (late,) = read(
        node, f"SELECT temp, co FROM home WHERE room = 'Kitchen' AND time = to_timestamp({START + 3 * SECOND})", "sensors"
    )
    (counted,) = read(node, "SELECT count(*) AS n FROM home", "sensors")
    others = content(node)["rows"]
    node.close()

    before = meant(name)["rows"]
    assert late == {"temp": 99.0, "co": -1}
    assert counted == {"n": len(before["sensors: home"]) + 1}
    assert {key: rows for key, rows in others.items() if key != "sensors: home"} == {
        key: rows for key, rows in before.items() if key != "sensors: home"
    }


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_every_kind_of_file(name: str) -> None:
    paths = unpacked(DIRECTORIES / f"{name}.tar.xz").keys()

    kinds = {path.rpartition(".")[2] for path in paths if "." in path}
    assert kinds >= {"wal", "parquet", "manifest", "index", "catalog"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_this_version_has_its_directory_and_still_writes_what_it_means(layout: str, tmp_path: Path) -> None:
    name = f"{version()}-{layout}"
    assert name in NAMES, "python -m tests.formats.make_directory makes this version's directories"

    _files, now = made(layout, tmp_path)

    then = meant(name)
    assert now["rows"] == then["rows"]
    assert now["tables"] == then["tables"]
