"""SETTLE PATH: read this first. Rows in memory become Parquet files, then the log that held them goes.

    boundary in the log ─▶ seal every table that has rows ─▶ hydrate, sort, cut into files ─▶ store and verify each
      ─▶ manifest ─▶ replace the views ─▶ trim the log ─▶ delete what was replaced

P1  A manifest is stored only after every file that it lists is stored and has been verified.
P2  The log is trimmed only after the manifest that covers it is stored.
P3  A file holds each key once, and no two live files share a key.
P4  Rows are visible throughout: from memory before, from memory or the file after.
P5  A failed snapshot takes back the files that it has stored: the next one starts afresh and needs their room. Those that
    cannot be taken back, or may be listed by a manifest after all, go later.
P6  Nothing is deleted before it is certain that the node is still ours.

A file covers whole gen1 windows, as many as fit `FILE_ROWS`, and ends with a day once it has `DAY_ROWS`: a live load makes one
file a window, a load of old data neither hundreds of small files nor, when it is sparse, one for each day.

Held by tests/unit/engine/test_snapshot.py (P1-P5), tests/unit/engine/test_snapshot_races.py (P4, P5),
tests/unit/engine/test_ownership.py (P6) and tests/crash/test_stops.py (P1, P2).
Elsewhere: when a snapshot is due (schedule.py), what a file looks like (files/parquet.py), dropped tables (removals.py).
"""

import logging
import secrets
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from catalog.catalog import Catalog
from catalog.errors import Damaged, ServiceError
from catalog.schema import Table
from engine._native import SeriesIndex
from engine.batch import series_buffer
from engine.buffer.rows import HeldFile, Run, TableData, TimeRange, fields_of, times_of
from engine.buffer.series import SeriesRegistry
from engine.clock import Clock
from engine.files.index import FileIndex
from engine.files.inspection import Findings, inspect
from engine.files.manifest import DataFile, Manifest
from engine.files.parquet import FileDescription, encode, verify
from engine.hydrate import hydrated, series_rank
from engine.merge import merged_parts, sorted_by_rank, windows
from engine.metrics import Metrics
from engine.ownership import Ownership
from engine.paths import NodePaths
from engine.settings import Settings
from engine.storage.base import ObjectStore, StoreError
from engine.view import Settled, Views
from engine.wal.writer import WalWriter

log = logging.getLogger(__name__)

FILE_ROWS = 1_000_000
DAY_ROWS = 50_000
_GRACE_S = 600.0
_DAY_NS = 24 * 3600 * 1_000_000_000
_LATEST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SnapshotReport:
    number: int
    files: int
    rows: int
    wal_sequence: int
    seconds: float


class Snapshots:
    """Takes one snapshot at a time."""

    def __init__(
        self,
        store: ObjectStore,
        paths: NodePaths,
        catalog: Catalog,
        series: SeriesRegistry,
        views: Views,
        wal: WalWriter,
        files: FileIndex,
        ownership: Ownership,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._paths = paths
        self._catalog = catalog
        self._series = series
        self._views = views
        self._wal = wal
        self._files = files
        self._ownership = ownership
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._one_at_a_time = threading.Lock()
        self._begun: list[str] = []
        self._unwanted: list[tuple[float, str]] = []

    def take(self) -> SnapshotReport | None:
        """Settle every row that is durable now; None when there is none."""
        with self._one_at_a_time:
            started_s = self._clock.monotonic_s()
            number = self._files.number + 1
            covered: list[tuple[int, list[tuple[int, int, TableData]]]] = []
            self._wal.boundary(lambda sequence: covered.append((sequence, self._views.unsettled())))
            wal_sequence, tables = covered[0]
            if not tables:
                return None
            self._begun.clear()
            try:
                settled = self._store_tables(number, tables)
            except ServiceError:
                self._take_back(self._begun)
                raise
            added = tuple(held.file for table in settled for _, held in table.written)
            removed = tuple(path for table in settled for path in table.removed)
            try:
                self._files.add(Manifest(number, wal_sequence, added, removed))
            except ServiceError:
                self._delete_later(self._begun)
                raise
            self._views.settled(settled)
            self._views.evict(self._settings.file_cache_bytes)
            self._clean_up(wal_sequence, removed)
            seconds = self._clock.monotonic_s() - started_s
            rows = sum(file.rows for file in added)
            self._metrics.snapshot_settled(rows=rows, seconds=seconds)
            return SnapshotReport(number, len(added), rows, wal_sequence, seconds)

    def _store_tables(self, number: int, tables: Sequence[tuple[int, int, TableData]]) -> list[Settled]:
        with ThreadPoolExecutor(self._settings.snapshot_concurrency, thread_name_prefix="settle") as pool:
            return [
                done for done in pool.map(lambda each: self._store_table(number, each[0], each[1]), tables) if done is not None
            ]

    def _store_table(self, number: int, database_id: int, table_id: int) -> Settled | None:
        database = self._catalog.state().find_database_by_id(database_id)
        table = None if database is None else database.find_table_by_id(table_id)
        if database is None or table is None:
            self._views.forget(database_id, table_id)
            return None
        index = self._series.index(database, table)
        runs = self._views.seal(database_id, table_id, lambda parts: self._arranged(index, parts), whole=True).runs
        # rows that came until the seal may have columns that came with them
        table = self._catalog.state().database_by_id(database_id).table_by_id(table_id)
        rank = series_rank(index, [series_buffer(run.rows) for run in runs])
        written: list[tuple[Sequence[Run], HeldFile]] = []
        for run in runs:
            for rows in cut([sorted_by_rank(run.rows, rank)], self._settings.gen1_duration_ns):
                written.append(([run], self._store_file(number, database_id, table, index, len(written), rows[0])))
        return Settled(database_id, table_id, written, frozenset().union(*(run.replaces for run in runs)))

    def _arranged(self, index: SeriesIndex, parts: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """One run for each file to be, in the order of files: what is sealed here need not be sorted again."""
        rank, fields = series_rank(index, [series_buffer(part) for part in parts]), fields_of(parts)
        return [rows for span in cut(parts, self._settings.gen1_duration_ns) for rows in merged_parts(span, fields, rank)]

    def _store_file(
        self, number: int, database_id: int, table: Table, index: SeriesIndex, part: int, rows: pa.RecordBatch
    ) -> HeldFile:
        start_ns = pc.min(rows.column(1).cast(pa.int64())).as_py()
        path = self._paths.parquet(database_id, table.id, start_ns, number, part, secrets.token_hex(4))
        described = FileDescription(table.name, table.tags)
        data = encode(pa.Table.from_batches([hydrated(rows, table, index)]), described)
        facts = verify(data, name=path)
        self._begun.append(path)
        self._store.put_new(path, memoryview(data))
        stored = self._store.get_range(path, len(data) - 8, 8)
        if stored != bytes(memoryview(data)[-8:]) or facts.rows != rows.num_rows:
            raise Damaged(f"{path} was not stored as it was written", object=path)
        file = DataFile(path, database_id, table.id, facts.rows, len(data), facts.time_min_ns, facts.time_max_ns)
        return HeldFile(file, rows)

    def drop(self, tables: Collection[tuple[int, int]]) -> None:
        """Take the rows and files of (database, table) out of sight for good. The files themselves stay in the store."""
        with self._one_at_a_time:
            paths = tuple(file.path for file in self._files.files if (file.database_id, file.table_id) in tables)
            if paths:
                self._files.add(Manifest(self._files.number + 1, self._files.wal_sequence, (), paths))
            for database_id, table_id in tables:
                self._views.forget(database_id, table_id)

    def _clean_up(self, wal_sequence: int, removed: Iterable[str]) -> None:
        """All of this is optional: what remains is found and removed after the next start."""
        try:
            self._ownership.check()
            self._delete_later(removed)
            self._wal.trim(wal_sequence)
            self._files.write_index_if_due()
        except StoreError as error:
            log.warning("could not clean up behind a snapshot: %s", error)

    def _take_back(self, paths: Sequence[str]) -> None:
        """Delete files that nobody has heard of."""
        for at, path in enumerate(paths):
            try:
                self._store.delete(path)
            except StoreError:
                self._delete_later(paths[at:])
                return

    def _delete_later(self, paths: Iterable[str]) -> None:
        due_s = self._clock.monotonic_s() + _GRACE_S
        self._unwanted += [(due_s, path) for path in paths]

    def delete_unwanted(self) -> None:
        """Delete what was replaced or never listed, once no query that started before can still want it."""
        with self._one_at_a_time:
            now_s = self._clock.monotonic_s()
            while self._unwanted and self._unwanted[0][0] <= now_s:
                self._store.delete(self._unwanted[0][1])
                del self._unwanted[0]

    def inspect(self) -> Findings:
        """Compare what is stored with what the manifests list, and delete what a snapshot that was cut short has left.

        Files of dropped tables have their own time (removals.py).
        """
        with self._one_at_a_time:
            found = inspect(self._store, self._paths, self._files)
            leftovers = tuple(path for path in found.leftovers if self._is_leftover(path))
            for path in leftovers:
                self._store.delete(path)
            return Findings(found.damaged, leftovers)

    def _is_leftover(self, path: str) -> bool:
        numbers = self._paths.parquet_numbers(path)
        if numbers is None or self._files.is_live(path):
            return False
        database_id, table_id, snapshot = numbers
        database = self._catalog.state().find_database_by_id(database_id)
        table = None if database is None else database.find_table_by_id(table_id)
        if database is not None and table is not None and (database.deleted or table.deleted):
            return False
        last_of_others = self._files.number if self._ownership.shared else self._files.number + 1
        return snapshot <= last_of_others  # not of one who may have taken over from us meanwhile


def cut(parts: Sequence[pa.RecordBatch], gen1_duration_ns: int) -> Iterator[list[pa.RecordBatch]]:
    """The rows of each file to be: of whole gen1 windows, no more than FILE_ROWS unless one window has more."""
    ranges = [times_of(part) for part in parts]
    ends = file_ends(parts, ranges, gen1_duration_ns)
    start_ns = min(times.start_ns for times in ranges)
    for end_ns in ends:
        rows = [
            part if start_ns <= times.start_ns and times.end_ns < end_ns else _between(part, start_ns, end_ns)
            for part, times in zip(parts, ranges, strict=True)
            if times.start_ns < end_ns and start_ns <= times.end_ns
        ]
        yield [part for part in rows if part.num_rows]
        start_ns = end_ns


def file_ends(parts: Sequence[pa.RecordBatch], ranges: Sequence[TimeRange], gen1_duration_ns: int) -> list[int]:
    """Where each file ends (the time after it)."""
    first = min(times.start_ns for times in ranges) // gen1_duration_ns
    last = max(times.end_ns for times in ranges) // gen1_duration_ns
    windows_a_day = _DAY_NS // gen1_duration_ns
    if first // windows_a_day == last // windows_a_day and sum(part.num_rows for part in parts) <= FILE_ROWS:
        return [(last + 1) * gen1_duration_ns]
    ends: list[int] = []
    rows, day = 0, first // windows_a_day
    for window, count in sorted(_rows_by_window(parts, ranges, gen1_duration_ns).items()):
        next_day = window // windows_a_day != day
        if rows and (rows + count > FILE_ROWS or (next_day and rows >= DAY_ROWS)):
            ends.append(window * gen1_duration_ns)
            rows = 0
        rows, day = rows + count, window // windows_a_day
    return [*ends, (last + 1) * gen1_duration_ns]


def _rows_by_window(parts: Sequence[pa.RecordBatch], ranges: Sequence[TimeRange], gen1_duration_ns: int) -> Counter[int]:
    found: Counter[int] = Counter()
    for part, times in zip(parts, ranges, strict=True):
        first = times.start_ns // gen1_duration_ns
        if times.end_ns // gen1_duration_ns == first:
            found[first] += part.num_rows
            continue
        counts = pc.value_counts(windows(part.column(1).view(pa.int64()), gen1_duration_ns))
        for window, count in zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True):
            found[window] += count
    return found


def _between(rows: pa.RecordBatch, start_ns: int, end_ns: int) -> pa.RecordBatch:
    times = rows.column(1).view(pa.int64())
    last_ns = min(end_ns - 1, _LATEST_NS)  # the end of the last window may be later than any time
    return rows.filter(pc.and_(pc.greater_equal(times, start_ns), pc.less_equal(times, last_ns)))
