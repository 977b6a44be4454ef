"""A directory that a node has filled, to be damaged."""

import shutil
from pathlib import Path

import pytest

from engine.storage.local import LocalStore
from engine.verify.findings import Report
from engine.verify.walk import verify_store
from tests.helpers.engine import bury, open_node, write


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a node that died: 34 manifests and an index, a file each, and two segments of the log with two groups each."""
    root = tmp_path_factory.mktemp("filled")
    node = open_node(LocalStore(root))
    node.create_database("other")
    for number in range(34):
        write(node, f"cpu,host=a usage={number} {number}")
        node.snapshot_now()
    for number in range(40, 44):
        if number == 42:
            node._wal.boundary(lambda _sequence: None)  # a new segment
        write(node, f"cpu,host=b usage={number} {number}\nmem,host=a free={number}i {number}")
    node._catalog.write_checkpoint()
    bury(node)
    return root


class Damaged:
    """The directory, with words for what is done to it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def all(self, pattern: str) -> list[str]:
        return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern) if path.is_file())

    def flip(self, path: str, at: int) -> str:
        data = bytearray((self.root / path).read_bytes())
        data[at] ^= 0x20
        (self.root / path).write_bytes(data)
        return path

    def cut(self, path: str, by: int = 1) -> str:
        data = (self.root / path).read_bytes()
        (self.root / path).write_bytes(data[:-by])
        return path

    def delete(self, path: str) -> str:
        (self.root / path).unlink()
        return path

    def add(self, path: str, data: bytes = b"stray") -> str:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(data)
        return path

    def report(self) -> Report:
        return verify_store(LocalStore(self.root, only_reading=True))

    def found(self) -> list[tuple[str, str]]:
        return [finding.about for finding in self.report().findings]


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Damaged:
    shutil.copytree(filled, tmp_path / "store")
    return Damaged(tmp_path / "store")


@pytest.fixture
def filled_otherwise(tmp_path: Path) -> Damaged:
    """Another node's data, with a checkpoint of a commit that `store` has, too."""
    node = open_node(LocalStore(tmp_path / "otherwise"))
    for name in ("x", "y", "z"):
        node.create_database(name)
    node._catalog.write_checkpoint()
    node.close()
    return Damaged(tmp_path / "otherwise")
