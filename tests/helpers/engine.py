"""A node in this process, over any store, and words for what goes in and comes out."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from engine.clock import SystemClock
from engine.lineprotocol.precision import Precision
from engine.node import Node
from engine.requests import WriteReport, WriteRequest
from engine.settings import Settings
from engine.storage.base import ObjectStore


class ManualClock:
    """Wall-clock time that moves when told to; seconds that only grow move by themselves."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self.time_ns = now_ns
        self._real = SystemClock()

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_s(self) -> float:
        return self._real.monotonic_s()


def open_node(
    store: ObjectStore,
    clock: ManualClock | None = None,
    on_fatal: Callable[[BaseException], None] = lambda _: None,
    **settings: Any,
) -> Node:
    """Snapshots are taken when the test says so, not because time passes."""
    settings.setdefault("wal_files_per_snapshot", 10**9)
    return Node.open(Settings(node_id="n", **settings), store, clock or ManualClock(), on_fatal)


def bury(node: Node) -> None:
    """End the threads of a node whose process is thought to have died: a real death would have taken them along."""
    node._schedule._stop.set()
    node._schedule._thread.join()


@contextmanager
def running(store: ObjectStore, **settings: Any) -> Iterator[Node]:
    node = open_node(store, **settings)
    try:
        yield node
    finally:
        node.close()


def write(node: Node, body: str | bytes, database: str = "db", **options: Any) -> WriteReport:
    data = body.encode() if isinstance(body, str) else body
    return node.write_lp(WriteRequest(database, data, options.pop("precision", Precision.NANOSECOND), **options))


def read(node: Node, sql: str, database: str = "db", params: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
    result = node.query_sql(database, sql, params)
    rows: list[dict[str, Any]] = pa.Table.from_batches(result.batches, result.schema).to_pylist()
    return rows


def times(node: Node, table: str = "t", database: str = "db") -> list[int]:
    """The times of all rows, in order."""
    return [row["ns"] for row in read(node, f"SELECT arrow_cast(time, 'Int64') AS ns FROM \"{table}\" ORDER BY ns", database)]
