"""WRITE PATH: read this first. From a body or an Arrow batch to rows that are durable and visible.

    parse ─▶ admit against one catalog state (new columns: one commit) ─▶ number the new series ─▶ append to the log ─▶ wait
    Arrow rows join at "admit": there is nothing to parse

I1  A body or batch that is refused changes nothing: no row, no column, no series, no database.
I2  A line that is refused leaves no trace; the other lines of its body are stored unless the caller wants all or nothing.
I3  Columns are in the catalog, durably, before any row that has them is in the log.
I4  A write that comes too fast is refused before it costs anything, and says when to try again.
I5  Bodies that are read as one are answered, and stored, as if each had come alone: where that could make a difference they are
    read one by one.

Held by tests/unit/engine/test_ingest.py (I1-I4) and tests/property/test_convoys.py (I5).
Elsewhere: grammar and error texts of lines (native), types of Arrow columns (arrow.py), durability (wal).
"""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from catalog.catalog import Catalog
from catalog.errors import InvalidRequest, LinesRejected, ServiceError
from catalog.growth import SchemaMoved, WantedTable
from catalog.schema import FieldType
from engine._native import Parsed, ParsedTable, parse
from engine.batch import TableRows, WriteBatch
from engine.buffer.series import DatabaseSeries, SeriesRegistry
from engine.clock import Clock
from engine.ingest.admission import Admission
from engine.ingest.session import ArrowSession, DropTable
from engine.metrics import Metrics
from engine.requests import IngestOptions, RejectedLine, StartedWrite, WriteReport, WriteRequest
from engine.settings import Settings
from engine.wal.codec import encoded_ahead
from engine.wal.writer import PendingWrite, WalWriter

#: so many refused lines of a body are told one by one; the others are only left out
LINES_TOLD = 10_000


class Ingest:
    def __init__(
        self,
        catalog: Catalog,
        series: SeriesRegistry,
        admission: Admission,
        wal: WalWriter,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._catalog = catalog
        self._series = series
        self._admission = admission
        self._wal = wal
        self._settings = settings
        self._clock = clock
        self._metrics = metrics

    def start_lp(self, request: WriteRequest) -> StartedWrite:
        """Make a body durable and visible, or raise. A refused body changes nothing.

        Up to `admit` a failure is the client's; from `append` on it is ours.
        """
        self._admission.refuse_if_full()
        self._admission.check_name(request.database, request.door)
        now_ns = self._clock.now_ns()
        while True:
            series, drops, parsed = self._parse(request, now_ns)
            rejected = _rejected(parsed)
            if rejected and not request.accept_partial:
                raise LinesRejected(
                    "parsing failed for write_lp endpoint", rejected=rejected_details(rejected[:1]), stored=False
                )
            if parsed.rows == 0:
                return self._nothing_written(request, rejected)
            try:
                batch = self._admit(request.database, series, drops, parsed)
            except SchemaMoved:  # another writer changed the same tables: read the lines again in that light
                self._admission.catch_up(request.database, {table.name for table in parsed.tables})
                continue
            break
        pending = self._append(request, batch, len(rejected))
        return StartedWrite(WriteReport(parsed.rows, rejected), pending)

    def start_together(self, request: WriteRequest, line_counts: Sequence[int]) -> Sequence[StartedWrite] | None:
        """Several bodies for the price of one: they are joined by newlines, and each has so many lines.

        None, and nothing has happened, unless every line became a row (then none ends in another body) with a time of its own
        (two bodies without one may mean two points).
        """
        self._admission.refuse_if_full()
        self._admission.check_name(request.database, request.door)
        series, drops, parsed = self._parse(request, self._clock.now_ns())
        if parsed.rows != sum(line_counts) or parsed.takes_now:
            return None
        try:
            batch = self._admit(request.database, series, drops, parsed)
        except (SchemaMoved, ServiceError):  # perhaps for the sake of one of them
            return None
        pending = self._append(request, batch, rejected_lines=0)
        return [StartedWrite(WriteReport(count, ()), pending) for count in line_counts]

    def session(
        self, database: str, table: str, schema: pa.Schema, options: IngestOptions, drop_table: DropTable
    ) -> ArrowSession:
        """A stream of Arrow batches into one table."""
        return ArrowSession(
            database,
            table,
            schema,
            options,
            catalog=self._catalog,
            series=self._series,
            admission=self._admission,
            wal=self._wal,
            settings=self._settings,
            clock=self._clock,
            metrics=self._metrics,
            drop_table=drop_table,
        )

    def _parse(self, request: WriteRequest, now_ns: int) -> tuple[DatabaseSeries, int, Parsed]:
        state = self._catalog.state()
        database = state.find_database(request.database)
        series = self._series.stranger() if database is None else self._series.database(database)
        limit, drops = self._settings.table_limit, series.drops
        parsed = parse(
            series.lines,
            request.body,
            int(request.precision),
            now_ns,
            stop_at_first_error=not request.accept_partial,
            tables_left=-1 if limit is None else max(0, limit - state.live_table_count),
            table_count=0 if limit is None else state.live_table_count,
            error_limit=LINES_TOLD,
        )
        return series, drops, parsed

    def _admit(self, database_name: str, series: DatabaseSeries, drops: int, parsed: Parsed) -> WriteBatch:
        """The rows with their table ids and series numbers; SchemaMoved when what the parser knew is no longer so."""
        wanted = _wanted(parsed, series)
        homes = self._admission.admit(database_name, series, drops, list(wanted.values()))
        by_name = dict(zip(wanted, homes.tables, strict=True))
        rows: list[TableRows] = []
        for table in parsed.tables:
            home = by_name[table.name]
            with homes.series.lock:
                table.settle(home.index)
            rows.append(encoded_ahead(TableRows(homes.database_id, home.id, home.index, pa.record_batch(table))))
        return WriteBatch(tuple(rows))

    def _append(self, request: WriteRequest, batch: WriteBatch, rejected_lines: int) -> PendingWrite | None:
        """What there is to wait for."""
        pending = self._wal.append(batch, waits=not request.no_sync)
        self._metrics.received(len(memoryview(request.body)), rejected_lines)
        return None if request.no_sync else pending

    def _nothing_written(self, request: WriteRequest, rejected: Sequence[RejectedLine]) -> StartedWrite:
        self._metrics.received(len(memoryview(request.body)), len(rejected))
        if not rejected:
            raise InvalidRequest("incoming write was empty")
        return StartedWrite(WriteReport(0, tuple(rejected)))


def _wanted(parsed: Parsed, series: DatabaseSeries) -> dict[str, WantedTable]:
    """What each table needs. One that comes in several parts needs what all of them need."""
    wanted: dict[str, WantedTable] = {}
    for table in parsed.tables:
        name, new_tags, new_fields = table.name, table.new_tags, table.new_fields
        needs = wanted[name] = wanted.get(name) or _known(table, series)
        if new_tags or new_fields:
            fields = ((field, FieldType(kind)) for field, kind in new_fields)
            wanted[name] = replace(needs, tags=(*needs.tags, *new_tags), fields=(*needs.fields, *fields))
    return wanted


def _known(table: ParsedTable, series: DatabaseSeries) -> WantedTable:
    if table.is_new:
        return WantedTable(table.name, None)
    new_tags = len(table.new_tags)
    known_tags = tuple(table.tags[:-new_tags]) if new_tags else ()
    return WantedTable(table.name, _known_id(series, table.name), known_tags=known_tags)


def _known_id(series: DatabaseSeries, name: str) -> int:
    known = series.known.get(name)
    if known is None:
        raise SchemaMoved([f"table {name} was dropped"])
    return known.id


def _rejected(parsed: Parsed) -> tuple[RejectedLine, ...]:
    return tuple(RejectedLine(number, message, line) for number, message, line in parsed.errors)


def rejected_details(lines: Sequence[RejectedLine]) -> list[dict[str, str | int]]:
    """The lines as clients are told of them."""
    return [
        {"error_message": line.error_message, "line_number": line.line_number, "original_line": line.original_line}
        for line in lines
    ]
