"""From the log back into memory, after a start.

Y1  After replay, readers see every acknowledged row that no manifest covers, once.
Y2  Series numbers of the log mean something within their epoch only; rows come back under the numbers of this process.
Y3  Rows of tables that the catalog has since removed are passed over; rows whose series a damaged group defined are reported.

Held by tests/unit/engine/test_replay.py (Y1-Y3), tests/crash/test_stops.py (Y1).
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import Damaged
from catalog.state import CatalogState
from engine._native import SeriesIndex, assign, remap
from engine.batch import Group, Stage, TableRows, int32_array, series_buffer
from engine.buffer.series import SeriesRegistry
from engine.clock import Clock
from engine.wal.codec import StoredGroup, StoredTable
from engine.wal.reader import OnDamage

log = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Replayed:
    groups: int
    rows: int
    sequence: int
    epoch: int
    seconds: float
    #: there were rows of tables that the catalog does not know any more (Y3)
    passed_over: bool


class Replay:
    """Feeds stored groups to a stage as if they had just become durable."""

    def __init__(self, state: CatalogState, series: SeriesRegistry, stage: Stage, clock: Clock, on_damage: OnDamage) -> None:
        self._state = state
        self._series = series
        self._stage = stage
        self._clock = clock
        self._on_damage = on_damage
        self._epoch = 0
        self._passed_over = False
        self._mappings: dict[tuple[int, int], bytearray] = {}

    def run(self, groups: Iterable[StoredGroup], after_sequence: int) -> Replayed:
        started_s = told_s = self._clock.monotonic_s()
        count, rows, sequence = 0, 0, after_sequence
        for group in groups:
            if group.epoch != self._epoch:
                self._epoch = group.epoch
                self._mappings.clear()
            tables = tuple(found for table in group.tables if (found := self._table(table)) is not None and found.rows.num_rows)
            self._stage.apply(Group(group.sequence, tables))
            count, sequence = count + 1, group.sequence
            rows += sum(table.rows.num_rows for table in tables)
            now_s = self._clock.monotonic_s()
            if now_s - told_s >= _PROGRESS_EVERY_S:
                told_s = now_s
                log.info("replaying the write-ahead log: %d rows so far, at group %d", rows, sequence)
        return Replayed(count, rows, sequence, self._epoch, self._clock.monotonic_s() - started_s, self._passed_over)

    def _table(self, stored: StoredTable) -> TableRows | None:
        database = self._state.find_database_by_id(stored.database_id)
        table = None if database is None else database.find_table_by_id(stored.table_id)
        if database is None or table is None:
            self._passed_over = True
            return None
        index = self._series.index(database, table)
        mapping = self._mappings.setdefault((stored.database_id, stored.table_id), bytearray())
        if stored.series is not None:
            _define(mapping, stored.series, index)
        numbers = int32_array(remap(series_buffer(stored.rows), _covering(mapping, stored.rows)))
        rows = stored.rows.set_column(0, stored.rows.schema.field(0), numbers)
        known = pc.greater_equal(numbers, 0)
        if not pc.all(known).as_py():
            rows = rows.filter(known)
            self._on_damage(
                Damaged(
                    f"{stored.rows.num_rows - rows.num_rows} rows of {database.name}.{table.name} are lost:"
                    " the damaged part of the write-ahead log said which series they belong to"
                )
            )
        return TableRows(stored.database_id, stored.table_id, index, rows)


def _define(mapping: bytearray, series: pa.RecordBatch, index: SeriesIndex) -> None:
    """Extend the mapping by what a group defines. Tags that the table got later are null in these series."""
    columns: list[pa.Array | None] = [series.column(tag) for tag in range(1, series.num_columns)]
    columns += [None] * (index.tag_count - len(columns))
    numbers = index.resolve(columns, series.num_rows)
    highest = pc.max(series.column(0)).as_py()
    _extend(mapping, highest)
    assign(mapping, series_buffer(series), numbers)


def _covering(mapping: bytearray, rows: pa.RecordBatch) -> bytearray:
    """The mapping, long enough for every number in the rows."""
    _extend(mapping, pc.max(rows.column(0)).as_py() if rows.num_rows else 0)
    return mapping


def _extend(mapping: bytearray, highest: int) -> None:
    """Room for `highest`; what has not been defined maps to -1."""
    if len(mapping) < (highest + 1) * 4:
        mapping.extend(b"\xff" * ((highest + 1) * 8 - len(mapping)))
