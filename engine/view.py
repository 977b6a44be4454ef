"""What one query may see, and the stage that adds to it.

    ReadView        the catalog and every table's rows at one moment: a value, held without locks
    Views.apply     a durable group becomes visible (stage of the log)
    Views.seal      open batches become a sorted run, duplicates folded; what has expired is dropped
    Views.tidy      the same in the background, where a query would otherwise have to
    Views.join      small open batches become larger ones, in a thread of its own: the log's has enough to do
    Views.settled   runs have become files
    Views.evict     rows of files leave memory, the oldest first
    Views.expire    files whose rows have all expired are let go

V1  A durable row is in `open`, `runs` or `files` of its table: in exactly one of them, at every moment until it expires.
V2  A ReadView shows whole groups, and all of each.
V3  The catalog of a ReadView knows every column of its rows.
V4  A reader of `distinct` rows sees each key once, with the last acknowledged value of each field.
V5  A row that has outlived its table's retention at the moment of the ReadView is in no reader's `distinct` rows: they end
    at their `floor_ns` (buffer/rows.py, B6).
V6  A seal that is given a budget loads files of no more than that, or of as little as can be, and says whether late rows are
    left for another.
V7  Open rows are not sorted while more of them come, unless they may repeat a key and a query has met them: then each query
    would have to. Who only writes pays for one sort, that of the settling.

Held by tests/unit/engine/test_views.py (V1-V5, V7), tests/unit/engine/test_snapshot_steps.py (V6) and
tests/property/test_rows_model.py (V4).
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias
from weakref import ref

import pyarrow as pa

from catalog.catalog import Catalog
from catalog.errors import Damaged
from catalog.persistent import PersistentMap
from catalog.schema import FieldType
from catalog.state import CatalogState
from engine._native import time_range
from engine.batch import Group, TableRows, series_buffer, size_of, time_buffer
from engine.buffer.rows import (
    Arrange,
    HeldFile,
    OpenBatch,
    Run,
    TableData,
    TimeRange,
    as_one,
    cleared,
    distinct,
    fenced,
    first_share,
    joined,
    seal,
    sealed,
    since,
)
from engine.clock import Clock
from engine.files.manifest import DataFile

log = logging.getLogger(__name__)

#: fewer open rows than this are sorted by each query that wants them so
IDLE_ROWS = 32_768
_NOTHING = TableData()
_ROW_BYTES = 12  # series and time
_FIELD_BYTES = {
    FieldType.FLOAT: 8,
    FieldType.INTEGER: 8,
    FieldType.UINTEGER: 8,
    FieldType.STRING: 32,
    FieldType.BOOLEAN: 1,
}


#: by (database, table)
Tables: TypeAlias = PersistentMap[tuple[int, int], TableData]


@dataclass(frozen=True, slots=True)
class ReadView:
    """The catalog and the rows at one moment."""

    state: CatalogState
    tables: Tables
    now_ns: int

    def table(self, database_id: int, table_id: int) -> TableData:
        """Everything that is stored, expired or not."""
        return self.tables.find((database_id, table_id)) or _NOTHING

    def floor_ns(self, database_id: int, table_id: int) -> int | None:
        """Rows of the table before this have expired; None where rows are kept for ever."""
        return floor_ns(self.state, database_id, table_id, self.now_ns)


def floor_ns(state: CatalogState, database_id: int, table_id: int, now_ns: int) -> int | None:
    """Where a table's rows begin at a moment, as far as its retention goes."""
    database = state.find_database_by_id(database_id)
    table = None if database is None else database.find_table_by_id(table_id)
    retention_ns = None if database is None or table is None else database.retention_of(table)
    return None if retention_ns is None else now_ns - retention_ns


@dataclass(frozen=True, slots=True)
class Settled:
    """What a snapshot did to one table."""

    database_id: int
    table_id: int
    written: Sequence[tuple[Sequence[Run], HeldFile]]
    removed: frozenset[str]


class _Folded:
    """What the last reader who met late rows made of them, for others of the same moment, as long as one of them holds it."""

    def __init__(self, data: TableData, times: TimeRange, folded: TableData) -> None:
        self._data = ref(data)
        self._times = times
        self._folded = ref(folded)

    def of(self, data: TableData, times: TimeRange) -> TableData | None:
        return self._folded() if self._data() is data and self._times.covers(times) else None


#: a file's rows under this process's series numbers; raises Damaged for one that cannot be read
LoadRows = Callable[[DataFile], pa.RecordBatch]


class Views:
    """The only mutable picture of the rows. Whoever changes it replaces it under the lock, in one assignment."""

    def __init__(self, catalog: Catalog, files: Iterable[DataFile], load: LoadRows, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock
        self._load = load
        self._lock = threading.Lock()
        self._seal_locks: defaultdict[tuple[int, int], threading.Lock] = defaultdict(threading.Lock)
        self._unsettled_bytes = 0
        self._beside_bytes = 0
        self._open_rows: dict[tuple[int, int], int] = {}
        self._met_late: set[tuple[int, int]] = set()
        self._folded: dict[tuple[int, int], _Folded] = {}
        self._joiner = ThreadPoolExecutor(1, thread_name_prefix="join")
        self._joining: set[tuple[int, int]] = set()
        by_table: dict[tuple[int, int], list[HeldFile]] = defaultdict(list)
        for file in files:
            by_table[file.database_id, file.table_id].append(HeldFile(file))
        self._tables: Tables = PersistentMap({key: TableData(files=tuple(held)) for key, held in by_table.items()})

    # readers

    def now(self) -> ReadView:
        with self._lock:
            return ReadView(self._catalog.state(), self._tables, self._clock.now_ns())

    def unexpired(self, view: ReadView, database_id: int, table_id: int) -> TableData:
        """The rows of a table in a view, but for those that have expired (V5); some may repeat a key."""
        data = view.table(database_id, table_id)
        first_ns = view.floor_ns(database_id, table_id)
        return data if first_ns is None else since(data, first_ns)

    def distinct(self, view: ReadView, database_id: int, table_id: int, times: TimeRange) -> TableData:
        """The same for readers of these times, to whom no key occurs twice (V4)."""
        data = self.unexpired(view, database_id, table_id)
        kept = self._folded.get((database_id, table_id))
        found = None if kept is None else kept.of(data, times)
        if found is None:
            found = distinct(data, times, self._load)
            if len(found.open) < len(data.open):
                self._met_late.add((database_id, table_id))
                self._folded[database_id, table_id] = _Folded(data, times, found)
            elif found is not data and data is view.table(database_id, table_id):  # not where expired rows were left out
                known = [before for before, now in zip(data.open, found.open, strict=True) if now is not before]
                self._replace(database_id, table_id, lambda now: cleared(now, known))
        return found

    @property
    def unsettled_bytes(self) -> int:
        """Bytes of rows that are in memory and not yet in a file."""
        return self._unsettled_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of rows that are in memory and in files too."""
        return sum(data.held_bytes for data in self._tables.entries())

    # the log's thread

    def apply(self, group: Group) -> None:
        arrived = [(rows, _arrived(rows)) for rows in group.tables]
        with self._lock:
            tables = self._tables
            for rows, batch in arrived:
                key = rows.database_id, rows.table_id
                before = tables.find(key) or _NOTHING
                after = before.with_batch(batch)
                tables = tables.with_entry(key, after)
                self._unsettled_bytes += after.unsettled_bytes - before.unsettled_bytes
            self._tables = tables
        for rows, _ in arrived:
            key = rows.database_id, rows.table_id
            if key not in self._joining and tables[key].joinable:
                self._joining.add(key)
                self._joiner.submit(self.join, *key).add_done_callback(_tell_failure)

    # a thread of its own

    def join(self, database_id: int, table_id: int) -> None:
        """Make open batches few (B9). Rows that a seal is about to take are left to it."""
        self._joining.discard((database_id, table_id))  # what comes from now on asks anew
        while few := (self._tables.find((database_id, table_id)) or _NOTHING).joinable:
            one = joined(few)
            self._replace(database_id, table_id, partial(_with_joined, few, one))

    def close(self) -> None:
        """Rows stay as they are from now on."""
        self._joiner.shutdown(cancel_futures=True)

    # the settling thread

    def unsettled(self) -> list[tuple[int, int, TableData]]:
        """(database, table, rows) wherever rows are not yet in files."""
        return [(*key, data) for key, data in self._tables.pairs() if data.open or data.runs]

    def seal(self, database_id: int, table_id: int, arrange: Arrange = as_one, *, whole: bool = False) -> TableData:
        """Sort what is open now, or all that is in no file; what arrives meanwhile stays open."""
        return self.seal_share(database_id, table_id, arrange, whole=whole)[0]

    def seal_share(
        self,
        database_id: int,
        table_id: int,
        arrange: Arrange = as_one,
        *,
        whole: bool = False,
        budget_bytes: int | None = None,
    ) -> tuple[TableData, bool]:
        """`seal`, for as many late rows as the budget lets files be loaded for, and whether that is all (V6)."""
        with self._seal_locks[database_id, table_id]:
            before = self._replace(database_id, table_id, fenced)
            share = None if budget_bytes is None else first_share(before, self._memory_bytes, budget_bytes)
            first_ns = floor_ns(self._catalog.state(), database_id, table_id, self._clock.now_ns())
            sealing = seal(before, self._load_intact, arrange, whole=whole, before_ns=share, floor_ns=first_ns)
            return self._replace(database_id, table_id, lambda data: sealed(data, sealing)), share is None

    def late_bytes(self, data: TableData) -> int:
        """How much memory the files need at most that a seal would load."""
        late = data.late
        return 0 if late is None else sum(self._memory_bytes(held.file) for held in data.files if held.times.overlaps(late))

    def tidy(self, budget_bytes: int, least_rows: int = IDLE_ROWS) -> None:
        """To be called now and then (V7). Rows without duplicates are left as they are when they are few, and what the budget
        leaves of late ones is for later."""
        rows_before, self._open_rows = self._open_rows, {}
        bytes_before = self._unsettled_bytes
        for database_id, table_id, data in self.unsettled():
            key = database_id, table_id
            rests = rows_before.get(key) == data.open_rows
            has_room = self._unsettled_bytes - bytes_before < budget_bytes
            late = data.late
            if late is None and rests and data.open_rows >= least_rows:
                data = self.seal(database_id, table_id)
            elif late is not None and has_room and (rests or key in self._met_late):
                self._met_late.discard(key)
                data, _ = self.seal_share(database_id, table_id, budget_bytes=budget_bytes)
            self._open_rows[key] = data.open_rows

    def settled(self, tables: Iterable[Settled]) -> None:
        for table in tables:
            with self._seal_locks[table.database_id, table.table_id]:
                self._replace(table.database_id, table.table_id, partial(_settled, table))

    def expire(self, files: Iterable[DataFile]) -> None:
        """Let go of files that no manifest lists any more, because all of their rows have expired."""
        paths: dict[tuple[int, int], set[str]] = defaultdict(set)
        for file in files:
            paths[file.database_id, file.table_id].add(file.path)
        for (database_id, table_id), gone in paths.items():
            with self._seal_locks[database_id, table_id]:
                self._replace(database_id, table_id, partial(_without_files, frozenset(gone)))

    def evict(self, budget_bytes: int, beside_bytes: int | None = None) -> None:
        """Let go of rows that files hold too, oldest first, until the rest fits the budget; beside what else takes of it,
        which stays as it is until somebody says otherwise."""
        with self._lock:
            if beside_bytes is not None:
                self._beside_bytes = beside_bytes
            budget_bytes -= self._beside_bytes
            held = sorted(
                (
                    (file.times.end_ns, size_of(file.rows), *key, file.file.path)
                    for key, data in self._tables.pairs()
                    for file in data.files
                    if file.rows is not None
                ),
            )
        excess = sum(size for _, size, *_ in held) - budget_bytes
        for _, size, database_id, table_id, path in held:
            if excess <= 0:
                return
            excess -= size
            self._replace(database_id, table_id, partial(_without_rows, path))

    def tables(self) -> Sequence[tuple[int, int]]:
        """(database, table) of all that have or had rows."""
        return list(self._tables)

    def holds(self, database_id: int, table_id: int) -> bool:
        """Whether a table has rows, in memory or in files."""
        data = self._tables.find((database_id, table_id)) or _NOTHING
        return bool(data.open or data.runs or data.files)

    def forget(self, database_id: int, table_id: int | None) -> None:
        """A table, or a whole database, exists no more."""
        with self._lock:
            gone = [key for key in self._tables if key[0] == database_id and table_id in (None, key[1])]
            for key in gone:
                self._unsettled_bytes -= self._tables[key].unsettled_bytes
                self._tables = self._tables.without(key)

    def _memory_bytes(self, file: DataFile) -> int:
        """About what a file's rows take in memory."""
        database = self._catalog.state().find_database_by_id(file.database_id)
        table = None if database is None else database.find_table_by_id(file.table_id)
        return file.rows * (_ROW_BYTES + (0 if table is None else sum(map(_FIELD_BYTES.__getitem__, table.fields.values()))))

    def _load_intact(self, file: DataFile) -> pa.RecordBatch | None:
        """One damaged file must not keep all others from being settled."""
        try:
            return self._load(file)
        except Damaged as error:
            log.error(
                "late rows are kept beside a file that they cannot be merged with, until it is put back from a backup: %s",
                error,
            )
            return None

    def _replace(self, database_id: int, table_id: int, change: Callable[[TableData], TableData]) -> TableData:
        with self._lock:
            before = self._tables.find((database_id, table_id)) or _NOTHING
            after = change(before)
            if after is not before:
                self._unsettled_bytes += after.unsettled_bytes - before.unsettled_bytes
                self._tables = self._tables.with_entry((database_id, table_id), after)
            return after


def _arrived(rows: TableRows) -> OpenBatch:
    """A batch as readers see it, its late rows found while the index takes note of it."""
    times = time_buffer(rows.rows)
    late_rows, late_start_ns, late_end_ns = rows.index.arrive(series_buffer(rows.rows), times)
    late = TimeRange(late_start_ns, late_end_ns) if late_rows else None
    return OpenBatch(rows.rows, TimeRange(*time_range(times)), late)


def _tell_failure(join: Future[None]) -> None:
    error = None if join.cancelled() else join.exception()
    if error is not None:
        log.error("open rows stay in small batches, so queries are slower until a snapshot has stored them: %r", error)


def _with_joined(few: Sequence[OpenBatch], one: OpenBatch, data: TableData) -> TableData:
    return data.with_joined(few, one)


def _settled(done: Settled, data: TableData) -> TableData:
    return data.settled(done.written, done.removed)


def _without_files(paths: frozenset[str], data: TableData) -> TableData:
    return replace(data, files=tuple(held for held in data.files if held.file.path not in paths))


def _without_rows(path: str, data: TableData) -> TableData:
    return replace(data, files=tuple(replace(held, rows=None) if held.file.path == path else held for held in data.files))
