"""Every kind of object store as a factory of empty ones, for suites that run over all of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.storage.base import ObjectStore
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """An empty store of each kind."""
    make: dict[str, Callable[[], ObjectStore]] = {"memory": MemoryStore, "file": lambda: LocalStore(tmp_path / "data")}
    opened = make[request.param]()
    yield opened
    opened.close()
