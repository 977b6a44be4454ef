"""From the log back into memory."""

from pathlib import Path
from typing import Any

import pytest

from catalog import changes
from catalog.errors import Damaged
from catalog.ops import AddTags
from engine._native import SeriesIndex
from engine.batch import Group
from engine.node import Node
from engine.replay import Replay
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from engine.wal.codec import StoredGroup, decode, encode
from tests.helpers.engine import ManualClock, open_node, read, running, times, write
from tests.helpers.rows import Point, points, table_rows
from tests.helpers.wal import objects_with_rows


class Shown:
    def __init__(self) -> None:
        self.groups: list[Group] = []

    def apply(self, group: Group) -> None:
        self.groups.append(group)

    @property
    def points(self) -> list[Point]:
        return [point for group in self.groups for table in group.tables for point in points(table.index, table.rows)]


def stored(sequence: int, epoch: int, index: SeriesIndex, *rows: Point, table_id: int = 0) -> StoredGroup:
    data = b"".join(bytes(memoryview(piece)) for piece in encode(sequence, epoch, [table_rows(index, rows, 1, table_id)]))
    [group] = decode(memoryview(data))
    return group


def replay(node: Node, *groups: StoredGroup) -> tuple[Shown, list[str]]:
    """What is shown, and what is damaged, when a process with this node's catalog finds these groups."""
    shown, damage = Shown(), list[Damaged]()
    state, registry = node._catalog.state(), node._series
    Replay(state, registry, shown, ManualClock(), damage.append).run(groups, 0)
    return shown, [error.message for error in damage]


def rows(node: Node, table: str = "t") -> list[dict[str, Any]]:
    return read(node, f"SELECT host, v, w FROM {table} ORDER BY time, host")


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_every_acknowledged_row_is_back_once(kind: str, tmp_path: Path) -> None:
    """Y1: what is settled comes from files, what is not from the log; also after several starts."""
    store = MemoryStore() if kind == "memory" else LocalStore(tmp_path)
    for start in range(4):
        with running(store, wal_flush_interval_ms=1) as node:
            assert (times(node) if start else []) == list(range(start * 3))
            write(node, f"t,host=a v=1 {start * 3}")
            if start % 2 == 0:
                node.snapshot_now()
            write(node, f"t,host=b v=1 {start * 3 + 1}")
            write(node, f"t,host=c{start} v=1 {start * 3 + 2}\nu v=1 1")

    with running(store) as node:
        assert times(node) == list(range(12))
        assert times(node, "u") == [1]


def test_overwritten_fields_keep_their_last_value_through_a_start() -> None:
    """Y1: whether the older row lies in a file, in the log, or in both."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t,host=a v=1,w=1 1\nt,host=b v=1,w=1 1")
        node.snapshot_now()
        write(node, "t,host=a v=2 1")
        write(node, "t,host=b w=2 1\nt,host=c v=1,w=1 1")
        write(node, "t,host=c v=2 1")

    with running(store) as node:
        assert rows(node) == [
            {"host": "a", "v": 2.0, "w": 1.0},
            {"host": "b", "v": 1.0, "w": 2.0},
            {"host": "c", "v": 2.0, "w": 1.0},
        ]


def test_series_numbers_of_the_log_are_translated_epoch_by_epoch() -> None:
    """Y2: number 0 is another series in each."""
    first, second = SeriesIndex(1), SeriesIndex(1)
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        write(node, "t,tag0=z v=0i 0")
        groups = [
            stored(1, 1, first, (("a",), 1, {"v": 1}), (("b",), 1, {"v": 2})),
            stored(2, 1, first, (("b",), 2, {"v": 3})),
            stored(3, 2, second, (("c",), 3, {"v": 4}), (("a",), 3, {"v": 5})),
            stored(4, 2, second, (("c",), 4, {"v": 6})),
        ]

        shown, damage = replay(node, *groups)

        assert damage == []
        assert [(tags[0], time, fields["v"]) for tags, time, fields in shown.points] == [
            ("a", 1, 1),
            ("b", 1, 2),
            ("b", 2, 3),
            ("c", 3, 4),
            ("a", 3, 5),
            ("c", 4, 6),
        ]
        assert node._series.series_count == 4


def test_series_that_were_logged_before_a_tag_was_added_have_none_of_it() -> None:
    """Y2."""
    with running(MemoryStore(), wal_flush_interval_ms=1, extend_tags=True) as node:
        write(node, "t,tag0=a v=1i 1")
        database = node._catalog.state().database("db")
        node._catalog.commit(lambda _: [AddTags(database.id, database.table("t").id, ("tag1",))])

        shown, _ = replay(
            node,
            stored(1, 1, SeriesIndex(1), (("a",), 1, {"v": 1})),
            stored(2, 2, SeriesIndex(2), (("a", "x"), 2, {"v": 2})),
        )

        assert [tags for tags, _, _ in shown.points] == [("a", None), ("a", "x")]


def test_rows_of_removed_tables_are_passed_over() -> None:
    """Y3: and those of tables that can still be brought back are not."""
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "kept v=1 1\nremoved v=1 1\ndeleted v=1 1")
        write(node, "x v=1 1", "removed_db")
        node.drop_table("db", "deleted")
        node.drop_table("db", "removed", hard_delete_at_ns=1)
        node.drop_database("removed_db", hard_delete_at_ns=1)
        node._catalog.commit(lambda state: changes.removals_due(state, ManualClock().time_ns + 1))

    with running(store) as node:
        names = {table.name.split("-")[0] for table in node._catalog.state().database("db").tables}
        assert names == {"kept", "deleted"}
        assert times(node, "kept") == [1]
        [deleted] = [table.name for table in node._catalog.state().database("db").tables if table.deleted]
        assert times(node, deleted) == [1]
        assert node.health()["status"] == "pass"


def test_rows_whose_series_a_damaged_group_defined_are_reported_and_the_others_kept() -> None:
    """Y3."""
    index = SeriesIndex(1)
    with running(MemoryStore(), wal_flush_interval_ms=1) as node:
        write(node, "t,tag0=z v=0i 0")
        first = stored(1, 1, index, (("a",), 1, {"v": 1}))
        stored(2, 1, index, (("lost",), 2, {"v": 2}))
        third = stored(3, 1, index, (("a",), 3, {"v": 3}), (("lost",), 3, {"v": 4}), (("new",), 3, {"v": 5}))
        fourth = stored(4, 1, index, (("lost",), 4, {"v": 6}))

        shown, damage = replay(node, first, third, fourth)

        assert [(tags[0], fields["v"]) for tags, _, fields in shown.points] == [("a", 1), ("a", 3), ("new", 5)]
        assert [each.split(":")[0] for each in damage] == ["1 rows of db.t are lost", "1 rows of db.t are lost"]


def test_a_group_of_which_nothing_can_be_kept_does_not_stop_the_start() -> None:
    """Y3: nor what comes behind it."""
    store = MemoryStore()
    node = open_node(store, wal_flush_interval_ms=1)
    write(node, "t,host=a v=1 1")
    write(node, "t,host=a v=2 2")
    write(node, "t,host=b v=3 3")
    node.close()
    store.put(objects_with_rows(store)[0], b"rubbish")

    with running(store) as node:
        assert read(node, "SELECT host, v FROM t") == [{"host": "b", "v": 3.0}]
        node.snapshot_now()
        write(node, "t,host=a v=4 4")
        assert times(node) == [3, 4]
    with running(store) as node:
        assert times(node) == [3, 4]


def test_replay_says_how_far_it_came(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Y1."""
    monkeypatch.setattr("engine.replay._PROGRESS_EVERY_S", 0.0)
    store = MemoryStore()
    with running(store, wal_flush_interval_ms=1) as node:
        write(node, "t v=1 1\nt v=2 2")
        write(node, "t v=3 3")

    with caplog.at_level("INFO"), running(store):
        assert "replaying the write-ahead log: 3 rows so far, at group " in caplog.text
        assert "replayed 3 rows in" in caplog.text
