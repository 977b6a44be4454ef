"""Group commit: the moment a write becomes durable.

W1  A group is stored once, under its sequence number, and never changed.
W2  Sequence numbers are dense.
W3  A write is acknowledged after its group is stored (no_sync excepted).
W4  Stages are shown a group after it is stored and before it is acknowledged, in order, in one thread.
W5  An append whose outcome is unknown closes the log for new writes until the outcome is known.
W6  A write that failed was never shown; writes behind it go on. One that cannot be encoded fails alone, whoever shared its
    group, and the log goes on.
W7  Bytes that wait for the log are bounded: beyond that a write is refused as Unavailable and may be tried again. So it is
    while the store does not take a group for long, since those who wait cost a thread each.
W8  On a store that bills requests, groups start `flush_interval_s` apart, the first after idleness at once. Only a full group
    comes sooner.

Held by tests/unit/engine/test_wal_writer.py (W1-W8), tests/crash/test_stops.py (W1, W3).
Elsewhere: what a row means (ingest), when to snapshot (persist).
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from catalog.errors import ServiceError, Unavailable
from engine.batch import Group, Stage, TableRows, WriteBatch, concatenated
from engine.clock import Clock
from engine.metrics import Metrics
from engine.ownership import Fenced
from engine.storage.base import OutcomeUnknown, StoreError
from engine.wal.codec import encode
from engine.wal.log import GroupLog, Pieces

log = logging.getLogger(__name__)

_GROUP_BYTES = 64 << 20
_SEGMENT_BYTES = 64 << 20
_GATHER_ROWS = 16_384
_GATHER_BYTES = 16 << 20
_RESOLVE_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class WalLimits:
    flush_interval_s: float
    waiting_bytes: int
    waiting_writes: int
    wait_timeout_s: float
    #: objects kept in the log after a snapshot has made them unnecessary; None leaves it to the log
    kept_objects: int | None = None
    #: how long the store may take for a group before further writes are refused
    stall_s: float = 10.0


class NotEncodable(ServiceError):
    """The rows of a write cannot be encoded for the log; other writes go on."""

    code = "not_encodable"


class PendingWrite:
    """A write on its way: wait() returns when it is durable and visible, or raises why it is not."""

    __slots__ = ("_done", "_error", "_timeout_s", "batch", "byte_count")

    def __init__(self, batch: WriteBatch, timeout_s: float) -> None:
        self.batch = batch
        self.byte_count = batch.byte_count
        self._timeout_s = timeout_s
        self._error: ServiceError | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def wait(self) -> None:
        if not self._done.acquire(timeout=self._timeout_s):
            raise Unavailable(
                f"the write was not durable after {self._timeout_s:g} s; it may still become so",
                hint="write it again: a point that is written twice is stored once",
            )
        self._done.release()
        if self._error is not None:
            raise self._error

    def acknowledge(self) -> None:
        self._done.release()

    def fail(self, error: ServiceError) -> None:
        self._error = error
        self._done.release()


class WalWriter:
    """Takes writes from any thread; one thread of its own stores and shows them."""

    def __init__(
        self,
        groups: GroupLog,
        stages: Sequence[Stage],
        limits: WalLimits,
        clock: Clock,
        metrics: Metrics,
        *,
        next_sequence: int,
        epoch: int,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._groups = groups
        self._stages = tuple(stages)
        self._limits = limits
        self._clock = clock
        self._metrics = metrics
        self._sequence = next_sequence
        self._epoch = epoch
        self._on_fatal = on_fatal
        self._changed = threading.Condition(threading.Lock())
        self._queue: list[PendingWrite] = []
        self._queue_bytes = 0
        self._waiters = 0
        self._oldest_s = 0.0
        self._last_flush_s = -limits.flush_interval_s
        self._storing_since_s: float | None = None
        self._boundaries: list[_Boundary] = []
        self._refusal: ServiceError | None = None
        self._stopped: ServiceError | None = None
        self._failure: ServiceError | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="wal", daemon=True)
        self._thread.start()

    # any thread

    def append(self, batch: WriteBatch, *, waits: bool) -> PendingWrite:
        """Queue a write for the next group. `waits`: somebody will call wait(), so do not let time pass."""
        write = PendingWrite(batch, self._limits.wait_timeout_s)
        with self._changed:
            self._refuse_if_full(write.byte_count)
            if not self._queue:
                self._oldest_s = self._clock.monotonic_s()
            self._queue.append(write)
            self._queue_bytes += write.byte_count
            self._waiters += waits
            if waits or self._queue_bytes >= _GROUP_BYTES or len(self._queue) == 1:
                self._changed.notify()
        return write

    def refuse_if_full(self) -> None:
        """Raise Unavailable now rather than after the work of parsing."""
        with self._changed:
            self._refuse_if_full(0)

    def boundary(self, at_boundary: Callable[[int], None]) -> None:
        """Call `at_boundary(last stored sequence)` between two groups; the next group starts a new object and epoch."""
        request = _Boundary(at_boundary)
        with self._changed:
            if self._stopped is not None:
                raise self._stopped
            if self._closing:
                raise Unavailable("the server is stopping")
            self._boundaries.append(request)
            self._changed.notify()
        request.done.wait()
        if request.error is not None:
            raise request.error

    def trim(self, through_sequence: int, keep: int | None = None) -> int:
        """`keep`: so many objects more than a start needs; without it, as many as there are to be."""
        kept = self._limits.kept_objects if keep is None else keep
        return self._groups.trim(through_sequence, self._groups.kept_objects if kept is None else kept)

    @property
    def problem(self) -> str | None:
        """Why no write is accepted, while that is so."""
        refusal = self._refusal or self._stall()
        return None if refusal is None else refusal.message

    @property
    def failure(self) -> str | None:
        """Why the last group was not stored, until one is."""
        failure = self._failure
        return None if failure is None else failure.message

    def close(self) -> None:
        """Flush what waits, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._groups.close()

    def _refuse_if_full(self, byte_count: int) -> None:
        if self._closing:
            raise Unavailable("the server is stopping")
        if self._refusal is not None:
            raise self._refusal
        if stall := self._stall():
            raise stall
        if self._queue and self._queue_bytes + byte_count > self._limits.waiting_bytes:
            raise Unavailable(f"{self._queue_bytes} bytes wait for the log already; try again")
        if len(self._queue) >= self._limits.waiting_writes:
            raise Unavailable(f"{len(self._queue)} writes wait for the log already; try again")

    def _stall(self) -> ServiceError | None:
        since_s = self._storing_since_s
        waited_s = 0.0 if since_s is None else self._clock.monotonic_s() - since_s
        if waited_s < self._limits.stall_s:
            return None
        return Unavailable(
            f"the log has waited {waited_s:.0f} s for the store to take its last group; try again", retry_after_s=5
        )

    # the log's own thread

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except _LeftUnknown as error:
            log.warning("%s", error)
            self._refuse_for_ever(_stopped(error))
        except BaseException as error:
            log.critical("the write-ahead log stopped: %s", error, exc_info=not isinstance(error, Fenced))
            self._refuse_for_ever(_stopped(error))
            self._on_fatal(error)

    def _step(self) -> bool:
        """One group, then the boundaries that somebody waits for; False when there will be no more."""
        with self._changed:
            while (delay_s := self._delay_s()) != 0:
                self._changed.wait(delay_s)
            writes, boundaries = self._take()
            stop = self._closing and not writes and not boundaries
        try:
            if writes:
                self._flush(writes)
        except BaseException as error:
            for boundary in boundaries:
                boundary.fail(_stopped(error))
            raise
        for boundary in boundaries:
            self._at_boundary(boundary)
        return not stop

    def _delay_s(self) -> float | None:
        """How long the next group should wait: 0 is now, None until something changes."""
        if self._closing or (self._boundaries and not self._queue):
            return 0
        if not self._queue:
            return None
        now_s = self._clock.monotonic_s()
        if self._queue_bytes >= _GROUP_BYTES:
            return 0
        if self._groups.spacing_matters:
            return max(0.0, self._last_flush_s + self._limits.flush_interval_s - now_s)
        return 0 if self._waiters or self._boundaries else max(0.0, self._oldest_s + self._limits.flush_interval_s - now_s)

    def _take(self) -> tuple[list[PendingWrite], list["_Boundary"]]:
        count, taken_bytes = 0, 0
        for write in self._queue:
            if count and taken_bytes + write.byte_count > _GROUP_BYTES:
                break
            count, taken_bytes = count + 1, taken_bytes + write.byte_count
        writes, self._queue = self._queue[:count], self._queue[count:]
        self._queue_bytes -= taken_bytes
        if not self._queue:
            self._waiters = 0
        boundaries, self._boundaries = self._boundaries, []
        return writes, boundaries

    def _flush(self, writes: Sequence[PendingWrite]) -> None:
        """One group for everyone who waited: store, show, acknowledge, in that order."""
        started_s = self._storing_since_s = self._clock.monotonic_s()
        try:
            group = Group(self._sequence, gathered([write.batch for write in writes]))
            pieces = encode(group.sequence, self._epoch, group.tables)
        except Exception as error:
            self._storing_since_s = None
            self._flush_apart(writes, error)
            return
        try:
            self._last_flush_s = self._clock.monotonic_s()
            self._store(group.sequence, pieces)
        except StoreError as error:
            log.error(
                "a group of %d writes was not stored, and its writers were told; later ones try anew: %s", len(writes), error
            )
            self._epoch += 1  # what this group defined is not on disk
            self._failure = error
            _fail(writes, error)
            return
        except BaseException as error:
            _fail(writes, _stopped(error))
            raise
        finally:
            self._storing_since_s = None
        self._sequence += 1
        self._failure = None
        try:
            for stage in self._stages:
                stage.apply(group)
        except BaseException as error:
            _fail(writes, _stopped(error))
            raise
        for write in writes:
            write.acknowledge()
        self._metrics.flushed(
            seconds=self._clock.monotonic_s() - started_s,
            byte_count=sum(len(piece) for piece in pieces),
            rows=sum(write.batch.row_count for write in writes),
        )
        if self._groups.open_bytes >= _SEGMENT_BYTES:
            self._roll()

    def _flush_apart(self, writes: Sequence[PendingWrite], error: Exception) -> None:
        """A group that cannot be encoded: each write by itself, so that only those fail that are to blame."""
        self._epoch += 1  # what the group defined is not on disk
        if len(writes) > 1:
            for write in writes:
                self._flush([write])
            return
        log.error(
            "a write cannot be encoded for the log, and its writer was told; please report this line: %s", error, exc_info=error
        )
        self._failure = NotEncodable(f"the write cannot be encoded for the log: {error}")
        _fail(writes, self._failure)

    def _store(self, sequence: int, pieces: Pieces) -> None:
        """Return when the group is stored; raise a StoreError when it certainly is not."""
        while True:
            try:
                return self._groups.append(sequence, pieces)
            except OutcomeUnknown as error:
                if self._resolved(sequence, error):
                    return None

    def _resolved(self, sequence: int, unknown: OutcomeUnknown) -> bool:
        """Whether the group turned out to be stored. Closed for new writes until then (W5)."""
        log.error("the outcome of group %d is unknown, no write is accepted until it is known: %s", sequence, unknown)
        self._refuse(Unavailable(f"the log does not know whether its last group is stored: {unknown}"))
        while True:
            try:
                stored = self._groups.resolve()
                break
            except StoreError as error:
                log.debug("still unknown: %s", error)
                with self._changed:
                    if self._closing:
                        raise _LeftUnknown(f"stopped while the outcome of group {sequence} was unknown") from unknown
                    self._changed.wait(_RESOLVE_INTERVAL_S)
        self._refuse(None)
        log.warning("the outcome of group %d is known, writes are accepted again", sequence)
        return stored

    def _refuse(self, refusal: ServiceError | None) -> None:
        with self._changed:
            self._refusal = refusal

    def _at_boundary(self, boundary: "_Boundary") -> None:
        try:
            self._roll()
            boundary.at_boundary(self._sequence - 1)
        except Exception as error:
            boundary.fail(error)
        boundary.done.set()

    def _roll(self) -> None:
        self._groups.roll()
        self._epoch += 1

    def _refuse_for_ever(self, error: ServiceError) -> None:
        with self._changed:
            self._refusal = self._stopped = error
            writes, self._queue = self._queue, []
            boundaries, self._boundaries = self._boundaries, []
        _fail(writes, error)
        for boundary in boundaries:
            boundary.fail(error)


class _Boundary:
    def __init__(self, at_boundary: Callable[[int], None]) -> None:
        self.at_boundary = at_boundary
        self.done = threading.Event()
        self.error: Exception | None = None

    def fail(self, error: Exception) -> None:
        self.error = error
        self.done.set()


class _LeftUnknown(Exception):
    """The server stops and cannot tell whether the last group is stored: the next start will find out."""


def _stopped(error: BaseException) -> Unavailable:
    return Unavailable(f"the write-ahead log stopped: {error}")


def _fail(writes: Sequence[PendingWrite], error: ServiceError) -> None:
    for write in writes:
        write.fail(error)


def gathered(batches: Sequence[WriteBatch]) -> tuple[TableRows, ...]:
    """The rows of a group by table, each table's in order; many small writes to one table become one."""
    by_table: dict[tuple[int, int], list[TableRows]] = {}
    for batch in batches:
        for table in batch.tables:
            by_table.setdefault((table.database_id, table.table_id), []).append(table)
    result: list[TableRows] = []
    for tables in by_table.values():
        few = sum(table.rows.num_rows for table in tables) <= _GATHER_ROWS and all(table.encoded is None for table in tables)
        if len(tables) > 1 and few and sum(table.byte_count for table in tables) <= _GATHER_BYTES:
            last = tables[-1]
            rows = concatenated([table.rows for table in tables])
            result.append(TableRows(last.database_id, last.table_id, last.index, rows))
        else:
            result += tables
    return tuple(result)
