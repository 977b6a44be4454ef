"""Every object path, built and parsed here only.

    {node}/lock                                              held by the process that owns the node (local store)
    {node}/wal/{first sequence:020}.wal                      write-ahead log
    {node}/snapshots/{number:020}.manifest                   one settled snapshot
    {node}/snapshots/{number:020}.index                      every live file as of that snapshot
    {node}/dbs/{db}/{table}/{YYYY-MM-DD}/{HH-MM}-{snapshot:010}-{part:03}-{nonce}.parquet
    {catalog prefix}/catalog/log/{sequence:020}.catalog      one catalog commit
    {catalog prefix}/catalog/checkpoint                      the catalog as of some sequence

P1  Numbers are padded, so the order of names is the order of numbers.
P2  A number is read back from the path that it was written into.

Held by tests/unit/engine/test_paths.py (P1, P2).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_PARQUET = re.compile(r"(\d+)/(\d+)/[\d-]+/\d\d-\d\d-(\d{10,})-\d{3,}-\w+\.parquet")


@dataclass(frozen=True, slots=True)
class NodePaths:
    """The paths of one node's own objects."""

    node_id: str

    @property
    def wal_prefix(self) -> str:
        return f"{self.node_id}/wal/"

    def wal(self, first_sequence: int) -> str:
        return f"{self.wal_prefix}{first_sequence:020}.wal"

    @property
    def snapshot_prefix(self) -> str:
        return f"{self.node_id}/snapshots/"

    def manifest(self, number: int) -> str:
        return f"{self.snapshot_prefix}{number:020}.manifest"

    def file_index(self, number: int) -> str:
        return f"{self.snapshot_prefix}{number:020}.index"

    @property
    def data_prefix(self) -> str:
        return f"{self.node_id}/dbs/"

    def parquet(self, database_id: int, table_id: int, time_ns: int, snapshot: int, part: int, nonce: str) -> str:
        """`nonce` keeps a snapshot that is tried again apart from the files its first try left behind."""
        window = (
            datetime.fromtimestamp(time_ns // 1_000_000_000, UTC) if _datable(time_ns) else datetime(1970, 1, 1, tzinfo=UTC)
        )
        name = f"{window:%H-%M}-{snapshot:010}-{part:03}-{nonce}.parquet"
        return f"{self.table_prefix(database_id, table_id)}{window:%Y-%m-%d}/{name}"

    def database_prefix(self, database_id: int) -> str:
        return f"{self.data_prefix}{database_id}/"

    def table_prefix(self, database_id: int, table_id: int) -> str:
        return f"{self.database_prefix(database_id)}{table_id}/"

    def parquet_numbers(self, path: str) -> tuple[int, int, int] | None:
        """(database id, table id, snapshot) of a path that `parquet` has made."""
        found = _PARQUET.fullmatch(path.removeprefix(self.data_prefix))
        return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


@dataclass(frozen=True, slots=True)
class CatalogPaths:
    """The paths of a catalog; nodes that share a prefix share a catalog."""

    prefix: str

    @property
    def log_prefix(self) -> str:
        return f"{self.prefix}/catalog/log/"

    def log(self, sequence: int) -> str:
        return f"{self.log_prefix}{sequence:020}.catalog"

    @property
    def checkpoint(self) -> str:
        return f"{self.prefix}/catalog/checkpoint"


def number_of(path: str) -> int:
    """The number in the last part of a log, manifest or index path."""
    name = path.rpartition("/")[2].partition(".")[0]
    return int(name)


def _datable(time_ns: int) -> bool:
    """Python's calendar starts in year 1; line protocol's times start in 1677."""
    return time_ns >= -62_135_596_800 * 1_000_000_000
