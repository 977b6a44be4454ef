"""A node: opens, wires and closes everything in the engine, and is all that a server calls.

    open    lock ─▶ live files, log, catalog (opening) ─▶ views ─▶ replay the log ─▶ accept writes ─▶ settle in the background
    close   refuse writes ─▶ flush the log ─▶ finish the snapshot in progress ─▶ release the lock

N1  One process at a time owns a node's objects: a second one is told so (local store), or stopped at its first group.
N2  Between open and close every acknowledged write is visible; after close every acknowledged write is durable.
N3  What is damaged is named: by the error that stops the start, or by `health`, which serves what is intact.

Held by tests/unit/engine/test_node.py (N1-N3), tests/crash.
Elsewhere: what is found on the store, or is refused (opening), what is asked of a node (requests).
"""

import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from catalog import changes, deletion
from catalog.catalog import Catalog
from catalog.errors import Damaged, ServiceError
from catalog.schema import FieldType
from engine.buffer.series import SeriesRegistry
from engine.catalog_tail import CatalogTail
from engine.clock import Clock
from engine.events import QueryLog
from engine.files.access import FileAccess
from engine.files.manifest import DataFile
from engine.hydrate import numbered, table_schema
from engine.ingest.admission import Admission
from engine.ingest.pipeline import Ingest
from engine.metrics import Metrics
from engine.opening import found_on, take_lock
from engine.ownership import Ownership
from engine.paths import NodePaths
from engine.persist.removals import Removals
from engine.persist.retention import Retention
from engine.persist.schedule import Schedule
from engine.persist.snapshot import Snapshots
from engine.query.system_tables import SCHEMA as SYSTEM
from engine.query.system_tables import Live, system_tables
from engine.replay import Replay, Replayed
from engine.requests import (
    FROM_SQL,
    DatabaseListing,
    IngestOptions,
    IngestSession,
    Keep,
    Origin,
    QueryResult,
    StartedWrite,
    TableDescription,
    TableListing,
    WriteReport,
    WriteRequest,
)
from engine.settings import Settings
from engine.storage.base import ObjectExists, ObjectMissing, ObjectStore, StoreError
from engine.storage.counted import counted
from engine.storage.retry import hurried
from engine.view import Views
from engine.wal.log import GroupLog, claim, next_sequence
from engine.wal.reader import read_groups
from engine.wal.writer import WalLimits, WalWriter

if TYPE_CHECKING:
    from engine.query.executor import Executor

log = logging.getLogger(__name__)

_WAITING_BYTES = 256 << 20
_WAIT_TIMEOUT_S = 30.0
_READY_PATIENCE_S = 2.0
_READY_EVERY_S = 1.0


class Node:
    """Built by `open`; every method may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        clock: Clock,
        metrics: Metrics,
        lock: int | None,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._lock = lock
        self.node_id = settings.node_id
        self.instance_id = str(uuid.uuid4())
        self._problems: dict[str, None] = {}
        self._store_trouble: tuple[float, str | None] = (-_READY_EVERY_S, None)
        self._access = FileAccess(store, self._noted)
        queries = QueryLog(clock, settings.query_log_max_entries)
        self._live = Live(queries, settings.gen1_duration_ns, settings.with_tokens)

        paths = NodePaths(settings.node_id)
        self._background = ThreadPoolExecutor(1, thread_name_prefix="background")
        found = found_on(store, paths, settings.node_id, settings.cluster_id, clock, self._in_background)
        self._files, self._catalog, groups = found.files, found.catalog, found.groups
        self._ownership = Ownership(self._catalog, self.node_id, self.instance_id, clock, shared=store.durable_appends is None)
        self._register()
        if self._ownership.shared:
            self._take_over(groups)
        self._series = SeriesRegistry(
            self._catalog.state,
            extend_tags=settings.extend_tags,
            column_limit=settings.column_limit,
            floors_ns=self._files.newest_ns(),
        )
        self._catalog.subscribe(self._series.catalog_changed)
        self._views = Views(self._catalog, self._files.files, self._load, clock)
        replayed = self._replay(groups)
        self._wal = self._open_writer(groups, replayed, on_fatal)
        admission = Admission(self._catalog, self._series, self._views, self._wal, settings)
        self._limits = admission.limits
        self._ingest = Ingest(self._catalog, self._series, admission, self._wal, settings, clock, metrics)
        loader = ThreadPoolExecutor(1, thread_name_prefix="load-sql")
        self._executor = loader.submit(self._load_executor)
        loader.shutdown(wait=False)
        parts = self._catalog, self._series, self._views, self._wal, self._files, self._ownership
        self._snapshots = Snapshots(store, paths, *parts, settings, clock, metrics)
        self._schedule = self._planned_settling(paths, replayed, on_fatal)
        self._declare_gauges()
        self._tail: CatalogTail | None = None
        if settings.cluster_id is not None:
            self._tail = CatalogTail(self._catalog, interval_s=settings.catalog_sync_interval_ms / 1000)
        self._schedule.start()

    @classmethod
    def open(
        cls,
        settings: Settings,
        store: ObjectStore,
        clock: Clock,
        on_fatal: Callable[[BaseException], None] = lambda _: None,
    ) -> "Node":
        """`on_fatal` is called when the log has stopped for good: the process should end and be started anew."""
        lock = take_lock(store, settings.node_id)
        try:
            metrics = Metrics()
            return cls(settings, counted(store, metrics), clock, metrics, lock, on_fatal)
        except BaseException:
            if lock is not None:
                os.close(lock)
            raise

    def close(self) -> None:
        self._executor.result().close()
        self._files.give_up()
        self._wal.close()  # first: a snapshot may be waiting for a log that waits for its store
        self._schedule.close()
        self._views.close()
        if self._tail is not None:
            self._tail.close()
        try:
            self._sign_off()
        except ServiceError as error:  # all rows are safe: nothing depends on this note
            log.warning("could not note in the catalog that this server has stopped, and nothing depends on it: %s", error)
        finally:
            self._release_lock()

    # rows

    def write_lp(self, request: WriteRequest) -> WriteReport:
        return self._ingest.start_lp(request).finish()

    def start_lp(self, request: WriteRequest) -> StartedWrite:
        return self._ingest.start_lp(request)

    def start_together(self, request: WriteRequest, line_counts: Sequence[int]) -> Sequence[StartedWrite] | None:
        return self._ingest.start_together(request, line_counts)

    def ingest(self, database: str, table: str, schema: pa.Schema, options: IngestOptions) -> IngestSession:
        return self._ingest.session(database, table, schema, options, self._replace_table)

    def query_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> QueryResult:
        return self._executor.result().run(database, sql, params, origin)

    def plan_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> pa.Schema:
        """The schema of a statement's result; nothing runs."""
        return self._executor.result().plan(database, sql, params, origin)

    def parameter_types(self, database: str, sql: str, origin: Origin = FROM_SQL) -> Mapping[str, pa.DataType]:
        return self._executor.result().parameter_types(database, sql, origin)

    def snapshot_now(self) -> int:
        """Settle the rows that are in no file yet; how many they were."""
        report = self._snapshots.take()
        return 0 if report is None else report.rows

    # names

    def list_databases(self, *, show_deleted: bool = False) -> Sequence[DatabaseListing]:
        """Those that are there first, each kind by name."""
        found = [
            DatabaseListing(database.name, database.retention_ns, database.deleted, database.hard_delete_at_ns)
            for database in self._catalog.state().databases
            if show_deleted or not database.deleted
        ]
        return sorted(found, key=lambda database: (database.deleted, database.name))

    def list_tables(self, database: str) -> Sequence[TableListing]:
        found = self._catalog.state().database(database)
        own = [
            TableListing("iox", table.name, "BASE TABLE", table_schema(table, pa.utf8()), table.tags) for table in found.tables
        ]
        beside = system_tables(found, with_tokens=self._settings.with_tokens).values()
        return own + [TableListing(SYSTEM, table.name, "BASE TABLE", table.schema) for table in beside]

    def describe_tables(self, database: str, *, show_deleted: bool = False) -> Sequence[TableDescription]:
        """Those that are there first, each kind by name."""
        found = [
            TableDescription(
                table.name,
                table.tags,
                {name: kind.api_name for name, kind in table.fields.items()},
                table.retention_ns,
                table.deleted,
                table.hard_delete_at_ns,
            )
            for table in self._catalog.state().database(database).tables
            if show_deleted or not table.deleted
        ]
        return sorted(found, key=lambda table: (table.deleted, table.name))

    def create_database(self, name: str, retention_ns: int | None = None) -> None:
        self._catalog.commit(lambda state: changes.create_database(state, name, retention_ns=retention_ns, limits=self._limits))

    def drop_database(self, name: str, hard_delete_at_ns: int | None = None, keep: Keep = "nothing") -> None:
        now_ns = self._clock.now_ns()
        at_ns = _not_before(now_ns, hard_delete_at_ns)
        if keep == "nothing":
            self._catalog.commit(lambda state: changes.drop_database(state, name, now_ns=now_ns, hard_delete_at_ns=at_ns))
        else:
            keep_tables = keep == "tables"
            self._catalog.commit(
                lambda state: changes.empty_database(
                    state, name, keep_tables=keep_tables, now_ns=now_ns, hard_delete_at_ns=at_ns
                )
            )

    def set_retention(self, name: str, retention_ns: int | None) -> None:
        self._catalog.commit(lambda state: changes.set_retention(state, name, retention_ns))

    def create_table(
        self, database: str, name: str, tags: Sequence[str], fields: Mapping[str, str], retention_ns: int | None = None
    ) -> None:
        typed = [(field, FieldType.from_api_name(kind)) for field, kind in fields.items()]
        self._catalog.commit(
            lambda state: changes.create_table(
                state, database, name, tags, typed, retention_ns=retention_ns, limits=self._limits
            )
        )

    def set_table_retention(self, database: str, name: str, retention_ns: int | None) -> None:
        self._catalog.commit(lambda state: changes.set_table_retention(state, database, name, retention_ns))

    def drop_table(self, database: str, name: str, hard_delete_at_ns: int | None = None, *, keep_table: bool = False) -> None:
        now_ns = self._clock.now_ns()
        at_ns = _not_before(now_ns, hard_delete_at_ns)
        change = changes.empty_table if keep_table else changes.drop_table
        self._catalog.commit(lambda state: change(state, database, name, now_ns=now_ns, hard_delete_at_ns=at_ns))

    def removal_time_ns(self, text: str) -> int | None:
        delay_ns = self._settings.hard_delete_default_ms * 1_000_000
        return deletion.removal_time_ns(text, now_ns=self._clock.now_ns(), default_delay_ns=delay_ns)

    def _replace_table(self, database: str, name: str) -> None:
        """A bulk ingest that replaces a table: what was there goes as if somebody had deleted it."""
        self.drop_table(database, name, self.removal_time_ns("default"))

    # itself

    @property
    def catalog(self) -> Catalog:
        """For what concerns the catalog alone: tokens."""
        return self._catalog

    @property
    def cluster_uuid(self) -> str:
        return self._catalog.state().uuid

    def health(self) -> dict[str, object]:
        problems = self._problems_now()
        closed = self._wal.problem is not None
        return {"status": "fail" if closed else "degraded" if problems else "pass", "problems": problems}

    def _problems_now(self) -> list[str]:
        """What keeps writes from being taken first."""
        tail = None if self._tail is None else self._tail.problem
        passing = (self._wal.problem, self._wal.failure, self._schedule.problem, tail)
        return [*(problem for problem in passing if problem is not None), *self._problems]

    def readiness(self) -> list[str]:
        """Why no traffic should come here now: nothing, while writes are taken and the object store answers."""
        asked_s, trouble = self._store_trouble
        now_s = self._clock.monotonic_s()
        if now_s - asked_s > _READY_EVERY_S:  # a store bills each request
            trouble = self._ask_store()
            self._store_trouble = now_s, trouble
        return [problem for problem in (self._wal.problem, trouble) if problem is not None]

    def _ask_store(self) -> str | None:
        local = self._store.durable_appends is not None
        try:
            hurried(self._store, _READY_PATIENCE_S).get(f"{self.node_id}/{'lock' if local else 'ready'}")
        except ObjectMissing as error:
            return error.message if local else None  # elsewhere that is an answer
        except StoreError as error:
            return error.message
        return None

    def introduce(self, version: str) -> None:
        """Say in the metrics who this is."""
        self._metrics.info(version=version, node_id=self.node_id, instance_id=self.instance_id, cluster_uuid=self.cluster_uuid)

    def call_ended(self, method: str, outcome: str, seconds: float) -> None:
        self._metrics.called(method, outcome, seconds)

    def metrics_text(self) -> bytes:
        return self._metrics.text()

    def _open_writer(self, groups: GroupLog, replayed: Replayed, on_fatal: Callable[[BaseException], None]) -> WalWriter:
        """The log, going on where replay ended."""
        settings = self._settings
        limits = WalLimits(
            settings.wal_flush_interval_ms / 1000,
            _WAITING_BYTES,
            settings.wal_max_buffered_writes,
            _WAIT_TIMEOUT_S,
            settings.snapshotted_wal_files_to_keep,
        )
        return WalWriter(
            groups,
            (self._views,),
            limits,
            self._clock,
            self._metrics,
            next_sequence=next_sequence(groups, replayed.sequence),
            epoch=replayed.epoch + 1,
            on_fatal=on_fatal,
        )

    def _planned_settling(self, paths: NodePaths, replayed: Replayed, on_fatal: Callable[[BaseException], None]) -> Schedule:
        """What happens by itself: snapshots when they are due, removals, retention."""
        settings = self._settings
        removals = Removals(
            self._store,
            paths,
            self._catalog,
            self._views,
            self._files,
            self._snapshots,
            self._ownership,
            self._clock,
            grace_ns=settings.delete_grace_period_ms * 1_000_000,
            strangers_in_log=replayed.passed_over,
        )
        return Schedule(
            self._snapshots,
            removals,
            Retention(self._snapshots, self._clock, interval_s=settings.retention_check_interval_ms / 1000),
            self._views,
            self._ownership,
            settings,
            self._clock,
            self._metrics,
            on_fatal,
            self._access.note,
        )

    def _register(self) -> None:
        """From now on a process that ran this node before deletes nothing any more."""
        self._catalog.commit(
            lambda state: changes.register_node(
                state,
                self.node_id,
                instance_id=self.instance_id,
                modes=("all",),
                core_count=os.cpu_count() or 1,
                now_ns=self._clock.now_ns(),
                cli_params=self._settings.cli_params,
            )
        )

    def _sign_off(self) -> None:
        self._catalog.commit(
            lambda state: changes.stop_node(state, self.node_id, instance_id=self.instance_id, now_ns=self._clock.now_ns())
        )
        self._background.shutdown()
        self._catalog.checkpoint_if_behind()

    def _take_over(self, groups: GroupLog) -> None:
        """Stop whoever ran this node before, and see all that it has stored until then."""
        self._files.claim(self.instance_id)
        self._files.write_index_if_due()
        claim(groups, self._files.wal_sequence, self.instance_id)
        self._catalog.refresh()

    def _replay(self, groups: GroupLog) -> Replayed:
        behind = self._files.wal_sequence
        replay = Replay(self._catalog.state(), self._series, self._views, self._clock, self._damaged)
        replayed = replay.run(read_groups(groups, behind, self._damaged), behind)
        if replayed.rows:
            log.info("replayed %d rows in %.2f s", replayed.rows, replayed.seconds)
        return replayed

    def _in_background(self, task: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the process ends, which does what is left
            self._background.submit(task)

    def _declare_gauges(self) -> None:
        metrics = self._metrics
        metrics.gauge("flightline_buffer_bytes", "Bytes of rows that no file holds yet", lambda: self._views.unsettled_bytes)
        metrics.gauge("flightline_files", "Live Parquet files", lambda: len(self._files.files))
        metrics.gauge(
            "flightline_file_bytes", "Bytes of live Parquet files", lambda: sum(f.size_bytes for f in self._files.files)
        )
        metrics.gauge("flightline_held_bytes", "Bytes of rows in memory that files hold too", lambda: self._views.held_bytes)
        metrics.gauge("flightline_databases", "Databases", lambda: self._catalog.state().live_database_count)
        metrics.gauge("flightline_tables", "Tables of all databases", lambda: self._catalog.state().live_table_count)
        metrics.gauge("flightline_catalog_sequence", "Commits of the catalog", lambda: self._catalog.state().sequence)
        metrics.gauge("flightline_queries_running", "Statements that run or wait", lambda: self._live.queries.running_count)
        metrics.gauge("flightline_problems", "What /health names", lambda: len(self._problems_now()))
        metrics.gauge("flightline_accepts_writes", "Whether writes are taken", lambda: self._wal.problem is None)
        metrics.gauge("flightline_series", "Series known in memory", lambda: self._series.series_count)
        metrics.gauge("flightline_series_bytes", "Memory of the series indexes", lambda: self._series.memory_bytes)

    def _damaged(self, error: Damaged) -> None:
        """Damage in the log: the end of the start, or known to everyone who asks for health. The bytes are kept aside."""
        if self._settings.wal_replay_fail_on_error:
            raise error
        self._noted(error)
        damaged = error.details.get("object")
        if damaged is not None:
            with suppress(ObjectExists):
                self._store.put_new(f"{self.node_id}/damaged/{damaged.rpartition('/')[2]}", self._store.get(damaged))

    def _load_executor(self) -> "Executor":
        """Importing the SQL engine takes longer than everything else at start; writes need not wait for it."""
        from engine.query.decoded import Decoded
        from engine.query.executor import Executor
        from engine.query.limits import QueryLimits

        settings = self._settings
        limits = QueryLimits(
            memory_bytes=settings.exec_mem_pool_bytes,
            threads=settings.query_threads or os.cpu_count() or 1,
            concurrent=settings.concurrent_query_limit,
            files=settings.query_file_limit,
            timeout_ms=settings.query_timeout_ms,
        )
        budget_bytes = settings.file_cache_bytes
        decoded = Decoded(self._access, budget_bytes // 2, lambda used: self._views.evict(budget_bytes, beside_bytes=used))
        return Executor(self._series, self._views, self._access, self._metrics, limits, self._live, decoded)

    def _noted(self, damage: Damaged) -> None:
        """Known to everyone who asks for health; logged once."""
        if damage.message not in self._problems:
            log.error(
                "%s; serving what is intact: put it back from a backup (influxdb3 debug verify names all that is wrong)", damage
            )
            self._problems[damage.message] = None

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _load(self, file: DataFile) -> pa.RecordBatch:
        """A file's rows as they were in memory, under this process's series numbers."""
        state = self._catalog.state()
        database = state.database_by_id(file.database_id)
        table = database.table_by_id(file.table_id)
        rows = self._access.rows(file).combine_chunks()
        index = self._series.index(database, table)
        with self._series.database(database).lock:
            return numbered(rows, table.tags, index)


def _not_before(now_ns: int, at_ns: int | None) -> int | None:
    """A moment that is past means now: the grace that deleted files get begins then."""
    return None if at_ns is None else max(now_ns, at_ns)
