"""When to snapshot: by size, by age, by memory. And the housekeeping that goes with it.

A snapshot is due when the rows that are in no file yet take `SNAPSHOT_BYTES`, or have waited `gen1_duration`, or the log
has grown `wal_files_per_snapshot` flush intervals old while rows wait, or the process passes its memory threshold.

D1  `due` is pure: the same figures give the same answer.
D2  A snapshot that fails is tried again, after a pause that grows to a minute; writes go on meanwhile, up to the budget.
D3  When another process has taken the node over, all of this ends and the process is told to.

Held by tests/unit/engine/test_schedule.py (D1, D2) and tests/unit/engine/test_ownership.py (D3).
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from catalog.errors import Damaged, ServiceError
from engine.clock import Clock
from engine.metrics import Metrics, resident_bytes
from engine.ownership import Fenced, Ownership
from engine.persist.removals import Removals
from engine.persist.retention import Retention
from engine.persist.snapshot import Snapshots, share_bytes
from engine.settings import Settings
from engine.view import Views

log = logging.getLogger(__name__)

SNAPSHOT_BYTES = 256 << 20
_WORTH_WHILE_BYTES = 16 << 20
_LOOK_EVERY_S = 1.0
_LONGEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Figures:
    unsettled_bytes: int
    age_s: float
    resident_bytes: int


def due(figures: Figures, settings: Settings) -> str | None:
    """Why a snapshot should be taken now, if it should."""
    if figures.unsettled_bytes == 0:
        return None
    if figures.unsettled_bytes >= min(SNAPSHOT_BYTES, settings.buffer_mem_limit_bytes // 4):
        return "size"
    if figures.age_s >= min(
        settings.gen1_duration_ns / 1e9, settings.wal_files_per_snapshot * settings.wal_flush_interval_ms / 1000
    ):
        return "age"
    if figures.resident_bytes >= settings.force_snapshot_mem_bytes and figures.unsettled_bytes >= _WORTH_WHILE_BYTES:
        return "memory"
    return None


class Schedule:
    """One thread that looks once a second, or when it is told that much has come."""

    def __init__(
        self,
        snapshots: Snapshots,
        removals: Removals,
        retention: Retention,
        views: Views,
        ownership: Ownership,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        on_fatal: Callable[[BaseException], None],
        on_damage: Callable[[Damaged], None],
    ) -> None:
        self._snapshots = snapshots
        self._removals = removals
        self._retention = retention
        self._views = views
        self._ownership = ownership
        self._on_fatal = on_fatal
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._on_damage = on_damage
        self._inspected = False
        self._failure: str | None = None
        self._stop = threading.Event()
        self._first_unsettled_s: float | None = None
        self._pause_s = 0.0
        self._thread = threading.Thread(target=self._run, name="settle-schedule", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends after the snapshot in progress."""
        self._stop.set()
        self._thread.join()

    @property
    def problem(self) -> str | None:
        """Why rows are not settled into files, while that is so."""
        return self._failure

    @property
    def inspected(self) -> bool:
        """Whether what is stored has been compared with what is listed, which is done once after the start."""
        return self._inspected

    def _run(self) -> None:
        try:
            self._look()
            while not self._stop.wait(self._pause_s or _LOOK_EVERY_S):
                self._look()
        except Fenced as error:
            log.critical("%s; this one stops", error)
            self._on_fatal(error)

    def _inspect(self) -> None:
        """Once after the start, when the store can be listed."""
        try:
            findings = self._snapshots.inspect()
        except ServiceError as error:
            log.warning("could not compare the stored files with the manifests, trying again: %s", error)
            return
        for damage in findings.damaged:
            self._on_damage(damage)
        if findings.leftovers:
            log.info("removed %d files that an unfinished snapshot had left", len(findings.leftovers))
        self._inspected = True

    def _look(self) -> None:
        try:
            figures = self._figures()
            reason = due(figures, self._settings)
            self._ownership.check_now_and_then()
            self._snapshots.delete_unwanted()  # first: a snapshot may fail for want of the room that this makes
            self._views.tidy(share_bytes(self._settings))
            if reason is not None:
                self._settle(reason)
            if figures.resident_bytes >= self._settings.force_snapshot_mem_bytes:
                self._relieve()
            self._retention.look()
            self._removals.look()
            if not self._inspected:
                self._inspect()
            self._pause_s, self._failure = 0.0, None
        except Fenced:
            raise
        except ServiceError as error:
            self._failed(min(_LONGEST_PAUSE_S, max(1.0, self._pause_s * 2)), error)
            log.error("snapshot failed, trying again in %.0f s: %s", self._pause_s, error)
        except Exception as error:
            self._failed(_LONGEST_PAUSE_S, error)
            log.exception("snapshot failed for a reason that nobody planned, trying again in %.0f s", self._pause_s)

    def _relieve(self) -> None:
        """Memory is short: rows that files hold too leave it, half of them at a time."""
        self._views.evict(self._views.held_bytes // 2)
        pa.default_memory_pool().release_unused()

    def _settle(self, reason: str) -> None:
        report = self._snapshots.take()
        self._first_unsettled_s = None
        if report is not None:
            log.info(
                "snapshot %d: %d rows in %d files, %.1f s (%s)",
                report.number,
                report.rows,
                report.files,
                report.seconds,
                reason,
            )

    def _failed(self, pause_s: float, error: Exception) -> None:
        self._pause_s = pause_s
        self._failure = f"rows are not settled into files: {error}"
        self._metrics.snapshot_failed()

    def _figures(self) -> Figures:
        now_s, unsettled = self._clock.monotonic_s(), self._views.unsettled_bytes
        if unsettled == 0:
            self._first_unsettled_s = None
        elif self._first_unsettled_s is None:
            self._first_unsettled_s = now_s
        age_s = 0.0 if self._first_unsettled_s is None else now_s - self._first_unsettled_s
        return Figures(unsettled, age_s, int(resident_bytes()))
