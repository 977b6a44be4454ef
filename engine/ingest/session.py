"""Arrow rows, batch after batch, into one table.

G1  A batch is admitted whole or not at all; batches before it stay.
G2  `write` returns once the batch is in the log's queue, `wait` once it is durable: a stream may keep several in flight.
G3  The table is looked at anew for each batch: another writer may have widened it, or dropped it.

Held by tests/unit/engine/test_arrow_session.py (G1-G3).
Elsewhere: which column becomes what (arrow.py).
"""

from collections.abc import Callable

import pyarrow as pa

from catalog.catalog import Catalog
from catalog.errors import Conflict, TableNotFound
from catalog.growth import SchemaMoved, WantedTable
from catalog.schema import Table
from engine.batch import TIME, TableRows, WriteBatch
from engine.buffer.series import DatabaseSeries, SeriesRegistry
from engine.clock import Clock
from engine.ingest.admission import Admission, Home
from engine.ingest.arrow import ArrowPlan, ArrowRows, normalise, plan_columns
from engine.metrics import Metrics
from engine.requests import IngestOptions
from engine.settings import Settings
from engine.wal.codec import encoded_ahead
from engine.wal.writer import PendingWrite, WalWriter

DropTable = Callable[[str, str], None]


class TableExists(Conflict):
    """The table is there already, and the ingest wanted to make it."""

    code = "table_exists"


class ArrowSession:
    """Keeps the plan for the stream's schema as long as the table stays what it was."""

    def __init__(
        self,
        database_name: str,
        table_name: str,
        schema: pa.Schema,
        options: IngestOptions,
        *,
        catalog: Catalog,
        series: SeriesRegistry,
        admission: Admission,
        wal: WalWriter,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        drop_table: DropTable,
    ) -> None:
        self._database_name = database_name
        self._table_name = table_name
        self._schema = schema
        self._options = options
        self._catalog = catalog
        self._series = series
        self._admission = admission
        self._wal = wal
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._planned: tuple[Table | None, ArrowPlan] | None = None
        admission.check_name(database_name, "v3")
        existing = self._table()
        table = None if options.if_exists == "replace" else existing
        plan_columns(schema, table_name, table, options.tags, extend_tags=settings.extend_tags)
        if existing is None and options.if_not_exists == "fail":
            raise TableNotFound(database_name, table_name)
        if existing is not None and options.if_exists == "fail":
            raise TableExists(f"table {table_name} exists already in database {database_name}")
        if existing is not None and options.if_exists == "replace":
            drop_table(database_name, table_name)

    def write(self, batch: pa.RecordBatch) -> PendingWrite:
        self._admission.refuse_if_full()
        now_ns = self._clock.now_ns()
        while True:
            table = self._table()
            plan = self._plan(table)
            rows = normalise(batch, plan, now_ns)
            try:
                series, home = self._home(table, plan)
            except SchemaMoved:
                continue
            break
        if rows.rows == 0:
            return self._wal.append(WriteBatch(()), waits=not self._options.no_sync)
        with series.lock:
            numbers = home.index.resolve(list(rows.tags) + [None] * (home.index.tag_count - len(rows.tags)), rows.rows)
        written = encoded_ahead(TableRows(series.database_id, home.id, home.index, _batch(rows, plan, numbers)))
        self._metrics.received(batch.nbytes, 0)
        return self._wal.append(WriteBatch((written,)), waits=not self._options.no_sync)

    def close(self) -> None:
        """Nothing is held between batches."""

    def _table(self) -> Table | None:
        database = self._catalog.state().find_database(self._database_name)
        return None if database is None else database.find_table(self._table_name)

    def _plan(self, table: Table | None) -> ArrowPlan:
        if self._planned is None or self._planned[0] is not table:
            plan = plan_columns(
                self._schema, self._table_name, table, self._options.tags, extend_tags=self._settings.extend_tags
            )
            self._planned = table, plan
        return self._planned[1]

    def _home(self, table: Table | None, plan: ArrowPlan) -> tuple[DatabaseSeries, Home]:
        database = self._catalog.state().find_database(self._database_name)
        series = self._series.stranger() if database is None else self._series.database(database)
        known_id, known_tags = (None, ()) if table is None else (table.id, table.tags)
        wanted = WantedTable(self._table_name, known_id, plan.new_tags, plan.new_fields, known_tags)
        homes = self._admission.admit(self._database_name, series, series.drops, [wanted])
        return homes.series, homes.tables[0]


def _batch(rows: ArrowRows, plan: ArrowPlan, numbers: memoryview) -> pa.RecordBatch:
    series = pa.Array.from_buffers(pa.int32(), rows.rows, [None, pa.py_buffer(numbers)])
    return pa.RecordBatch.from_arrays([series, rows.time.view(TIME.type), *rows.fields], schema=plan.stored)
