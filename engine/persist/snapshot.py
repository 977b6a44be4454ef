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
P7  Late rows are merged with the files they may repeat in steps that need bounded memory, each with a manifest of its own.
    Only the last one says how far into the log the snapshot goes: after a crash between two, the log brings rows again that
    files have already, and merging them once more changes nothing.
P8  Rows that have expired are not stored again, and files in which every row has expired leave with a manifest.

A file covers whole gen1 windows, as many as fit `FILE_ROWS`, and ends with a day once it has `DAY_ROWS`: a live load makes one
file a window, a load of old data neither hundreds of small files nor, when it is sparse, one for each day.

Held by tests/unit/engine/test_snapshot.py (P1-P5), tests/unit/engine/test_snapshot_races.py (P4, P5),
tests/unit/engine/test_snapshot_steps.py (P7), tests/unit/engine/test_retention.py (P8),
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
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from catalog.catalog import Catalog
from catalog.errors import Damaged, ServiceError
from catalog.schema import Table
from catalog.state import CatalogState
from engine._native import SeriesIndex, count_windows
from engine.batch import series_buffer, time_buffer
from engine.buffer.rows import HeldFile, Run, TableData, TimeRange, fields_of, times_of
from engine.buffer.series import SeriesRegistry
from engine.clock import Clock
from engine.files.index import FileIndex
from engine.files.inspection import Findings, inspect
from engine.files.manifest import DataFile, Manifest
from engine.files.parquet import FileDescription, encode, verify
from engine.hydrate import hydrated, series_rank
from engine.merge import merged_parts, sorted_by_rank
from engine.metrics import Metrics
from engine.ownership import Ownership
from engine.paths import NodePaths
from engine.settings import Settings
from engine.storage.base import ObjectStore, StoreError
from engine.storage.together import put_new_all
from engine.view import Settled, Views, floor_ns
from engine.wal.writer import WalWriter

log = logging.getLogger(__name__)

FILE_ROWS = 1_000_000
DAY_ROWS = 50_000
SHARE_BYTES = 256 << 20
_GRACE_S = 600.0
_BATCH_FILES = 1000
_BATCH_BYTES = 64 << 20
_LOOKS_AT_ONCE = 8
_DAY_NS = 24 * 3600 * 1_000_000_000
_LATEST_NS = 2**63 - 1


#: (database, table, bytes of the files that its late rows may meet)
Waiting: TypeAlias = tuple[int, int, int]


def share_bytes(settings: Settings) -> int:
    """How much of their files late rows are merged with at a time: the result waits in memory until it is stored."""
    return min(SHARE_BYTES, settings.buffer_mem_limit_bytes // 8)


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
        self._share_bytes = share_bytes(settings)
        self._one_at_a_time = threading.Lock()
        self._begun: list[str] = []
        self._unwanted: list[tuple[float, str]] = []

    def take(self) -> SnapshotReport | None:
        """Settle every row that is durable now; None when there is none."""
        with self._one_at_a_time:
            wal_sequence, tables = self._boundary()
            return self._settle(wal_sequence, tables) if tables else None

    def empty_log(self) -> None:
        """Settle every row that is durable now, and keep nothing of the log that held them."""
        with self._one_at_a_time:
            wal_sequence, tables = self._boundary()
            if tables:
                self._settle(wal_sequence, tables)
            elif wal_sequence > self._files.wal_sequence:
                self._files.add(Manifest(self._files.number + 1, wal_sequence, (), ()))
            self._ownership.check()
            self._wal.trim(wal_sequence, keep=0)

    def _boundary(self) -> tuple[int, list[tuple[int, int, TableData]]]:
        """A place between two groups of the log, and the tables that have rows before it."""
        covered: list[tuple[int, list[tuple[int, int, TableData]]]] = []
        self._wal.boundary(lambda sequence: covered.append((sequence, self._views.unsettled())))
        return covered[0]

    def _settle(self, wal_sequence: int, tables: Sequence[tuple[int, int, TableData]]) -> SnapshotReport:
        started_s = self._clock.monotonic_s()
        waiting = [(database_id, table_id, self._views.late_bytes(data)) for database_id, table_id, data in tables]
        added: list[DataFile] = []
        while waiting:
            step, later = _step(waiting, self._share_bytes)
            written, unfinished = self._take_step(step, wal_sequence, last=not later)
            waiting = [*unfinished, *later]
            added += written.added
        self._clean_up(wal_sequence)
        seconds = self._clock.monotonic_s() - started_s
        rows = sum(file.rows for file in added)
        self._metrics.snapshot_settled(rows=rows, seconds=seconds)
        return SnapshotReport(self._files.number, len(added), rows, wal_sequence, seconds)

    def _take_step(self, tables: Sequence[Waiting], wal_sequence: int, *, last: bool) -> tuple[Manifest, list[Waiting]]:
        """One manifest: it covers the log when nothing is left to do, and the tables in which something is (P7)."""
        number = self._files.number + 1
        self._begun.clear()
        try:
            stored = self._store_tables(number, tables)
        except ServiceError:
            self._take_back(self._begun)
            raise
        settled = [table for table, _ in stored if table is not None]
        unfinished = [waiting for waiting, (_, complete) in zip(tables, stored, strict=True) if not complete]
        manifest = Manifest(
            number,
            wal_sequence if last and not unfinished else self._files.wal_sequence,
            tuple(held.file for table in settled for _, held in table.written),
            tuple(path for table in settled for path in table.removed),
        )
        try:
            self._files.add(manifest)
        except ServiceError:
            self._delete_later(self._begun)
            raise
        self._views.settled(settled)
        self._views.evict(self._settings.file_cache_bytes)
        self._let_go(manifest.removed)
        return manifest, unfinished

    def _store_tables(self, number: int, tables: Sequence[Waiting]) -> list[tuple[Settled | None, bool]]:
        files = _Batch(self._store, self._begun)
        with ThreadPoolExecutor(self._settings.snapshot_concurrency, thread_name_prefix="settle") as pool:
            stored = list(pool.map(lambda each: self._store_table(number, files, each[0], each[1]), tables))
        files.store()
        return stored

    def _store_table(self, number: int, files: "_Batch", database_id: int, table_id: int) -> tuple[Settled | None, bool]:
        """What became files, and whether that is all."""
        database = self._catalog.state().find_database_by_id(database_id)
        table = None if database is None else database.find_table_by_id(table_id)
        if database is None or table is None:
            self._views.forget(database_id, table_id)
            return None, True
        index = self._series.index(database, table)
        sealed, complete = self._views.seal_share(
            database_id, table_id, lambda parts: self._arranged(index, parts), whole=True, budget_bytes=self._share_bytes
        )
        runs = sealed.runs
        if not runs:
            return None, complete
        # rows that came until the seal may have columns that came with them
        table = self._catalog.state().database_by_id(database_id).table_by_id(table_id)
        rank = series_rank(index, [series_buffer(run.rows) for run in runs])
        written: list[tuple[Sequence[Run], HeldFile]] = []
        for run in runs:
            for rows in cut([sorted_by_rank(run.rows, rank)], self._settings.gen1_duration_ns):
                held = self._made_file(number, files, database_id, table, index, len(written), rows[0])
                written.append(([run], held))
        return Settled(database_id, table_id, written, frozenset().union(*(run.replaces for run in runs))), complete

    def _arranged(self, index: SeriesIndex, parts: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
        """One run for each file to be, in the order of files: what is sealed here need not be sorted again."""
        rank, fields = series_rank(index, [series_buffer(part) for part in parts]), fields_of(parts)
        return [rows for span in cut(parts, self._settings.gen1_duration_ns) for rows in merged_parts(span, fields, rank)]

    def _made_file(
        self,
        number: int,
        files: "_Batch",
        database_id: int,
        table: Table,
        index: SeriesIndex,
        part: int,
        rows: pa.RecordBatch,
    ) -> HeldFile:
        start_ns = times_of(rows).start_ns
        path = self._paths.parquet(database_id, table.id, start_ns, number, part, secrets.token_hex(4))
        described = FileDescription(table.name, table.tags)
        data = encode(pa.Table.from_batches([hydrated(rows, table, index)]), described)
        facts = verify(data, name=path)
        if facts.rows != rows.num_rows:
            raise Damaged(f"{path} was not encoded as it was: {facts.rows} rows of {rows.num_rows}", object=path)
        files.add(path, data)
        file = DataFile(path, database_id, table.id, facts.rows, len(data), facts.time_min_ns, facts.time_max_ns)
        return HeldFile(file, rows)

    def expire(self) -> int:
        """Take the files out of sight in which every row has expired, and soon after out of the store; how many (P8)."""
        with self._one_at_a_time:
            state, now_ns = self._catalog.refresh(), self._clock.now_ns()  # another node may have a later word
            gone = [file for file in self._files.files if _has_expired(state, file, now_ns)]
            if gone:
                paths = tuple(file.path for file in gone)
                self._files.add(Manifest(self._files.number + 1, self._files.wal_sequence, (), paths))
                self._views.expire(gone)
                self._let_go(paths)
            return len(gone)

    def drop(self, tables: Collection[tuple[int, int]]) -> None:
        """Take the rows and files of (database, table) out of sight for good. The files themselves stay in the store."""
        with self._one_at_a_time:
            paths = tuple(file.path for file in self._files.files if (file.database_id, file.table_id) in tables)
            if paths:
                self._files.add(Manifest(self._files.number + 1, self._files.wal_sequence, (), paths))
            for database_id, table_id in tables:
                self._views.forget(database_id, table_id)

    def _let_go(self, paths: Sequence[str]) -> None:
        """Delete in a while what no manifest lists any more. What remains is found and removed after the next start."""
        try:
            if paths:
                self._ownership.check()
                self._delete_later(paths)
        except StoreError as error:
            log.warning("could not see to %d files that were replaced, the next start deletes them: %s", len(paths), error)

    def _clean_up(self, wal_sequence: int) -> None:
        """All of this is optional: what remains is found and removed after the next start."""
        try:
            self._ownership.check()
            self._wal.trim(wal_sequence)
            self._files.write_index_if_due()
        except StoreError as error:
            log.warning("could not clean up behind a snapshot, the next one does it: %s", error)

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


def _step(waiting: Sequence[Waiting], share_bytes: int) -> tuple[list[Waiting], list[Waiting]]:
    """The tables whose late rows are merged now, and those for which there is no room beside them."""
    step: list[Waiting] = []
    spent = 0
    for at, (_, _, late_bytes) in enumerate(waiting):
        spent += min(late_bytes, share_bytes)
        if step and spent > share_bytes:
            return step, list(waiting[at:])
        step.append(waiting[at])
    return step, []


def _has_expired(state: CatalogState, file: DataFile, now_ns: int) -> bool:
    first_ns = floor_ns(state, file.database_id, file.table_id, now_ns)
    return first_ns is not None and file.time_max_ns < first_ns


class _Batch:
    """Files on their way to the store, many at a time. Threads may share it."""

    def __init__(self, store: ObjectStore, begun: list[str]) -> None:
        self._store = store
        self._begun = begun
        self._lock = threading.Lock()
        self._files: list[tuple[str, pa.Buffer]] = []
        self._byte_count = 0

    def add(self, path: str, data: pa.Buffer) -> None:
        with self._lock:
            self._files.append((path, data))
            self._byte_count += len(data)
            full = self._byte_count >= _BATCH_BYTES or len(self._files) >= _BATCH_FILES
        if full:
            self.store()

    def store(self) -> None:
        """Store and look whether what is there is what was given."""
        with self._lock:
            files, self._files, self._byte_count = self._files, [], 0
            self._begun += [path for path, _ in files]
        put_new_all(self._store, [(path, memoryview(data)) for path, data in files])
        with ThreadPoolExecutor(_LOOKS_AT_ONCE, thread_name_prefix="look") as pool:
            for _ in pool.map(lambda each: self._look(*each), files):
                pass

    def _look(self, path: str, data: pa.Buffer) -> None:
        if self._store.get_range(path, len(data) - 8, 8) != bytes(memoryview(data)[-8:]):
            raise Damaged(f"{path} was not stored as it was written", object=path)


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
        found.update(count_windows(time_buffer(part), gen1_duration_ns))
    return found


def _between(rows: pa.RecordBatch, start_ns: int, end_ns: int) -> pa.RecordBatch:
    times = rows.column(1).view(pa.int64())
    last_ns = min(end_ns - 1, _LATEST_NS)  # the end of the last window may be later than any time
    return rows.filter(pc.and_(pc.greater_equal(times, start_ns), pc.less_equal(times, last_ns)))
