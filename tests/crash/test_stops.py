"""The story: a server takes writes, settles them into files twice, and dies at its n-th change of the store, for every n,
with that change done or not done. Then it starts again and everything acknowledged is there, once.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import ServiceError
from engine import node as node_module
from engine import opening
from engine.node import Node
from engine.storage.base import ObjectStore
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from engine.verify.walk import NothingToVerify, verify_store
from engine.wal.log import Pieces, SegmentLog, SyncedFile
from tests.helpers.engine import bury, open_node, read, running, write
from tests.helpers.stopping_store import Stopped, StoppingStore

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # threads die too
STOPS = range(30)


class Outcome:
    """What the clients know: values acknowledged, and those that may or may not have been kept."""

    def __init__(self) -> None:
        self.acknowledged: dict[tuple[str, int], float] = {}
        self.attempted: dict[tuple[str, int], set[float]] = {}

    def write(self, node: Node, host: str, time: int, value: float) -> None:
        self.attempted.setdefault((host, time), set()).add(value)
        write(node, f"t,host={host} v={value} {time}")
        self.acknowledged[host, time] = value
        self.attempted[host, time] = {value}

    def check(self, rows: list[dict[str, Any]]) -> None:
        seen = [(row["host"], row["ns"]) for row in rows]
        assert len(seen) == len(set(seen)), "a key occurs twice"
        for row in rows:
            key = (row["host"], row["ns"])
            assert row["v"] in self.attempted.get(key, set()) | {self.acknowledged.get(key)}, f"{key} has a value nobody wrote"
        assert set(self.acknowledged) <= set(seen), "an acknowledged row is gone"
        for row in rows:
            key = (row["host"], row["ns"])
            if self.attempted[key] == {self.acknowledged.get(key)}:
                assert row["v"] == self.acknowledged[key], f"{key} went back to an older value"


def live_and_die(store: ObjectStore, outcome: Outcome, **settings: Any) -> None:
    node: Node | None = None
    with suppress(Stopped, ServiceError):
        node = open_node(store, **settings)
        story(node, outcome)
    if node is not None:
        bury(node)


def story(node: Node, outcome: Outcome) -> None:
    for step in range(3):
        outcome.write(node, "a", step, float(step))
    node.snapshot_now()
    outcome.write(node, "a", 2, 20.0)  # settled already: overwritten
    outcome.write(node, "b", 2, 2.0)
    write(node, "other,host=x v=1,w=1 1")
    node.snapshot_now()
    outcome.write(node, "a", 9, 9.0)
    write(node, 't,host=a new="field" 9\nother,host=x w=2 1')
    outcome.write(node, "b", 2, 22.0)


def rows_of(node: Node) -> list[dict[str, object]]:
    database = node._catalog.state().find_database("db")
    if database is None or database.find_table("t") is None:
        return []
    return read(node, "SELECT host, arrow_cast(time, 'Int64') AS ns, v FROM t")


def check_next_lives(disk: ObjectStore, outcome: Outcome) -> None:
    """A start finds what was acknowledged and can be written to; so does the one after it. And a stop leaves nothing on the
    store that somebody who looks at it could take for damage."""
    with suppress(NothingToVerify):
        assert verify_store(disk).findings == ()
    for life in range(2):
        with running(disk, wal_flush_interval_ms=1) as node:
            outcome.check(rows_of(node))
            assert node.health()["status"] == "pass"
            outcome.write(node, "next", life, 1.0)
    with running(disk) as node:
        outcome.check(rows_of(node))
    assert verify_store(disk).findings == ()


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("stop_at", STOPS)
def test_acknowledged_rows_survive_a_stop_anywhere_on_a_remote_store(stop_at: int, landed: bool) -> None:
    """W1, W3, P1, P2, V1, Y1, F1, N2."""
    disk, outcome = MemoryStore(), Outcome()
    live_and_die(StoppingStore(disk, stop_at, landed), outcome, wal_flush_interval_ms=1)

    check_next_lives(disk, outcome)


class StoppingFile(SyncedFile):
    """A segment file that is made, and appended to, in steps that are counted with the store's other changes."""

    store: StoppingStore

    def __init__(self, path: Path, *, create: bool) -> None:
        if create:
            self.store.step(lambda: super(StoppingFile, self).__init__(path, create=True))
        else:
            super().__init__(path, create=False)

    def append(self, pieces: Pieces) -> None:
        self.store.step(lambda: super(StoppingFile, self).append(pieces))


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("stop_at", STOPS)
def test_acknowledged_rows_survive_a_stop_anywhere_on_a_local_disk(
    stop_at: int, landed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W1, W3, P1, P2, V1, Y1, F1, N2, R2: also between making a segment and storing its first group."""
    store, outcome = StoppingStore(LocalStore(tmp_path), stop_at, landed), Outcome()
    file = type("File", (StoppingFile,), {"store": store})
    monkeypatch.setattr(opening, "open_log", lambda store, paths: SegmentLog(store, paths, file))
    monkeypatch.setattr(node_module, "take_lock", lambda root, node_id: None)  # dies with the process, which goes on here
    live_and_die(store, outcome)
    monkeypatch.undo()

    check_next_lives(LocalStore(tmp_path), outcome)
