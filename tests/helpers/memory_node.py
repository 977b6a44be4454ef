"""A node in a few lines: Arrow tables in a dict, SQL by DataFusion. What it answers, it really computes."""

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import datafusion
import pyarrow as pa

from catalog.deletion import removal_time_ns
from catalog.errors import Conflict, DatabaseNotFound, InvalidRequest, LinesRejected, TableNotFound
from catalog.schema import FieldType, Table
from engine.ingest.arrow import normalise, plan_columns
from engine.query.placeholders import placeholder_types
from engine.requests import (
    FROM_SQL,
    DatabaseListing,
    IngestOptions,
    IngestSession,
    Keep,
    Origin,
    PendingWrite,
    QueryResult,
    RejectedLine,
    StartedWrite,
    TableDescription,
    TableListing,
    WriteReport,
    WriteRequest,
)

_READ_ONLY = datafusion.SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
NS_PER_UNIT = {0: 1, 1: 10**9, 2: 10**6, 3: 10**3, 4: 1}


@dataclass
class MemoryTable:
    tags: tuple[str, ...]
    rows: pa.Table


@dataclass
class DoneWrite:
    before: Callable[[], None]

    def wait(self) -> None:
        self.before()


@dataclass
class FailedWrite:
    error: Exception

    def wait(self) -> None:
        raise self.error


@dataclass
class MemorySession:
    node: "MemoryNode"
    tables: dict[str, MemoryTable]
    table: str
    schema: pa.Schema
    options: IngestOptions

    def write(self, batch: pa.RecordBatch) -> PendingWrite:
        with self.node.lock:
            known = _known(self.tables.get(self.table), self.table)
            plan = plan_columns(self.schema, self.table, known, self.options.tags)
            rows = normalise(batch, plan, now_ns=1_700_000_000 * 10**9)
            tags = (known.tags if known else ()) + plan.new_tags
            columns = {name: column for name, column in zip(tags, rows.tags, strict=True) if column is not None}
            columns |= {name: column for (name, _, _), column in zip(plan.fields, rows.fields, strict=True)}
            columns["time"] = rows.time.cast(pa.timestamp("ns"))
            decoded = {name: _plain(column) for name, column in columns.items()}
            if self.node.fail_write_with is not None:
                return FailedWrite(self.node.fail_write_with)
            self.node.append(self.tables, self.table, pa.table(decoded), tags)
            return DoneWrite(self.node.before_wait)

    def close(self) -> None:
        self.node.closed_sessions += 1


@dataclass
class MemoryNode:
    """`fail_with`, when set, is raised by the next call that reads or writes; `fail_write_with` by every ingest's wait.
    `before_batch` is called before each batch of a result, with the event that closing the result sets."""

    cluster_uuid: str = "00000000-0000-0000-0000-00000000c1u5"
    node_id: str = "memory"
    instance_id: str = "00000000-0000-0000-0000-000000000001"
    databases: dict[str, dict[str, MemoryTable]] = field(default_factory=dict)
    fail_with: Exception | None = None
    fail_write_with: Exception | None = None
    before_wait: Callable[[], None] = lambda: None
    before_lines: Callable[[WriteRequest], None] = lambda request: None
    before_batch: Callable[[threading.Event], None] = lambda closed: None
    batches_read: int = 0
    opened_results: int = 0
    closed_sessions: int = 0
    closed_results: int = 0
    requests: list[WriteRequest] = field(default_factory=list)
    removals: dict[str, int | None] = field(default_factory=dict)
    retention_ns: dict[str, int | None] = field(default_factory=dict)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def start_lp(self, request: WriteRequest) -> StartedWrite:
        return StartedWrite(self.write_lp(request))

    def start_together(self, request: WriteRequest, line_counts: Sequence[int]) -> None:
        return None

    def write_lp(self, request: WriteRequest) -> WriteReport:
        self._fail()
        self.before_lines(request)
        with self.lock:
            self.requests.append(request)
            text = bytes(request.body).decode()
            if not text.strip():
                raise InvalidRequest("incoming write was empty")
            rows, rejected = 0, []
            parsed: dict[str, list[dict[str, object]]] = {}
            for number, line in enumerate(text.splitlines(), 1):
                try:
                    table, row = _parse(line, NS_PER_UNIT[request.precision])
                    parsed.setdefault(table, []).append(row)
                    rows += 1
                except ValueError as error:
                    rejected.append(RejectedLine(number, str(error), line[:1024]))
            if rejected and not request.accept_partial:
                lines = [
                    {"line_number": r.line_number, "error_message": r.error_message, "original_line": r.original_line}
                    for r in rejected
                ]
                raise LinesRejected("parsing failed for write_lp endpoint", rejected=lines, stored=False)
            tables = self.databases.setdefault(request.database, {})
            for name, found in parsed.items():
                self.append(tables, name, _timed(pa.Table.from_pylist(found)), tags=("host",))
            return WriteReport(rows, tuple(rejected))

    def ingest(self, database: str, table: str, schema: pa.Schema, options: IngestOptions) -> IngestSession:
        self._fail()
        with self.lock:
            tables = self.databases.setdefault(database, {})
            if table in tables and options.if_exists == "fail":
                raise Conflict(f"table already exists: {table}")
            if table not in tables and options.if_not_exists == "fail":
                raise TableNotFound(database, table)
            if options.if_exists == "replace":
                tables.pop(table, None)
            plan_columns(schema, table, _known(tables.get(table), table), options.tags)
            return MemorySession(self, tables, table, schema, options)

    def query_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> QueryResult:
        self._fail()
        frame = self._planned(database, sql, params)
        closed = threading.Event()
        with self.lock:
            self.opened_results += 1

        def close() -> None:
            with self.lock:
                self.closed_results += not closed.is_set()
                closed.set()

        return QueryResult(frame.schema(), self._run(frame, closed), close, (database, sql))

    def plan_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> pa.Schema:
        self._fail()
        return self._planned(database, sql, params).schema()

    def parameter_types(self, database: str, sql: str, origin: Origin = FROM_SQL) -> Mapping[str, pa.DataType]:
        return placeholder_types(self._planned(database, sql, None).logical_plan())

    def _planned(self, database: str, sql: str, params: Mapping[str, object] | None) -> datafusion.DataFrame:
        context = self._context(database)
        numbers = itertools.count(1)
        numbered = re.sub(r"\?", lambda _: f"${next(numbers)}", sql)
        try:
            return context.sql(numbered, _READ_ONLY, param_values=dict(params) if params else None)
        except Exception as error:
            raise InvalidRequest(f"Error while planning query: {str(error).removeprefix('DataFusion error: ')}") from None

    def _run(self, frame: datafusion.DataFrame, closed: threading.Event) -> Iterator[pa.RecordBatch]:
        try:
            for batch in frame.execute_stream():
                self.before_batch(closed)
                if closed.is_set():
                    return
                self.batches_read += 1
                yield batch.to_pyarrow()
        except Exception as error:
            raise InvalidRequest(str(error).removeprefix("DataFusion error: ")) from None

    def list_databases(self, *, show_deleted: bool = False) -> Sequence[DatabaseListing]:
        self._fail()
        return [DatabaseListing(name, self.retention_ns.get(name)) for name in sorted(self.databases)]

    def list_tables(self, database: str) -> Sequence[TableListing]:
        tables = self._database(database)
        return [TableListing("iox", name, "BASE TABLE", tables[name].rows.schema, tables[name].tags) for name in sorted(tables)]

    def create_database(self, name: str, retention_ns: int | None = None) -> None:
        self._fail()
        if name in self.databases:
            raise Conflict(f"attempted to create a resource that already exists: {name}")
        self.databases[name] = {}
        self.retention_ns[name] = retention_ns

    def describe_tables(self, database: str, *, show_deleted: bool = False) -> Sequence[TableDescription]:
        tables = self._database(database)
        return [TableDescription(name, tables[name].tags, {}) for name in sorted(tables)]

    def drop_database(self, name: str, hard_delete_at_ns: int | None = None, keep: Keep = "nothing") -> None:
        tables = self._database(name)
        if keep == "nothing":
            del self.databases[name]
        elif keep == "database":
            tables.clear()
        else:
            for table in tables.values():
                table.rows = table.rows.slice(0, 0)
        self.removals[name] = hard_delete_at_ns

    def set_retention(self, name: str, retention_ns: int | None) -> None:
        self._database(name)
        self.retention_ns[name] = retention_ns

    def create_table(
        self, database: str, name: str, tags: Sequence[str], fields: Mapping[str, str], retention_ns: int | None = None
    ) -> None:
        kinds = {"float64": pa.float64(), "int64": pa.int64(), "utf8": pa.string(), "bool": pa.bool_(), "uint64": pa.uint64()}
        columns = [pa.field(tag, pa.string()) for tag in tags] + [pa.field(key, kinds[kind]) for key, kind in fields.items()]
        self._database(database)[name] = MemoryTable(
            tuple(tags), pa.schema([*columns, pa.field("time", pa.timestamp("ns"), False)]).empty_table()
        )
        self.retention_ns[f"{database}.{name}"] = retention_ns

    def set_table_retention(self, database: str, name: str, retention_ns: int | None) -> None:
        self._table(database, name)
        self.retention_ns[f"{database}.{name}"] = retention_ns

    def drop_table(self, database: str, name: str, hard_delete_at_ns: int | None = None, *, keep_table: bool = False) -> None:
        table = self._table(database, name)
        if keep_table:
            table.rows = table.rows.slice(0, 0)
        else:
            del self.databases[database][name]
        self.removals[f"{database}.{name}"] = hard_delete_at_ns

    def removal_time_ns(self, text: str) -> int | None:
        return removal_time_ns(text, now_ns=time.time_ns())

    def snapshot_now(self) -> int:
        return 0

    def health(self) -> dict[str, object]:
        return {"status": "ok"}

    def readiness(self) -> list[str]:
        return []

    def call_ended(self, method: str, outcome: str, seconds: float) -> None:
        with self.lock:
            self.calls[method, outcome] += 1

    def metrics_text(self) -> bytes:
        return b"flightline_up 1\n"

    def _fail(self) -> None:
        if self.fail_with is not None:
            error, self.fail_with = self.fail_with, None
            raise error

    def _database(self, name: str) -> dict[str, MemoryTable]:
        if name not in self.databases:
            raise DatabaseNotFound(name)
        return self.databases[name]

    def _table(self, database: str, name: str) -> MemoryTable:
        found = self._database(database).get(name)
        if found is None:
            raise TableNotFound(database, name)
        return found

    def append(self, tables: dict[str, MemoryTable], name: str, rows: pa.Table, tags: tuple[str, ...]) -> None:
        if name in tables:
            rows = pa.concat_tables([tables[name].rows, rows], promote_options="default")
        tables[name] = MemoryTable(tags, rows)

    def _context(self, database: str) -> datafusion.SessionContext:
        options = (
            datafusion.SessionConfig()
            .with_create_default_catalog_and_schema(True)
            .with_default_catalog_and_schema("public", "iox")
            .with_information_schema(True)
        )
        context = datafusion.SessionContext(options)
        with self.lock:
            for name, table in self._database(database).items():
                batches = table.rows.to_batches() or [pa.RecordBatch.from_pylist([], schema=table.rows.schema)]
                context.register_record_batches(name, [batches])
        return context


def wait_until_closed(closed: threading.Event) -> None:
    """For `before_batch`: an engine that works until its result is closed."""
    assert closed.wait(60)


def _timed(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("time")
    return rows.set_column(place, pa.field("time", pa.timestamp("ns"), False), rows.column(place).cast(pa.timestamp("ns")))


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(pa.utf8()) if pa.types.is_dictionary(column.type) else column


_FIELD_TYPES = {
    pa.float64(): FieldType.FLOAT,
    pa.int64(): FieldType.INTEGER,
    pa.uint64(): FieldType.UINTEGER,
    pa.utf8(): FieldType.STRING,
    pa.bool_(): FieldType.BOOLEAN,
}


def _known(table: MemoryTable | None, name: str) -> Table | None:
    if table is None:
        return None
    fields = [(f.name, _FIELD_TYPES[f.type]) for f in table.rows.schema if f.name != "time" and f.name not in table.tags]
    return Table.create(0, name, table.tags, fields)


def _parse(line: str, ns_per_unit: int) -> tuple[str, dict[str, object]]:
    """`table,host=a v=1,w=2 3`: the plainest line protocol there is."""
    key, fields, time = line.split(" ")
    table, *tags = key.split(",")
    row: dict[str, object] = {}
    for tag in tags:
        name, value = tag.split("=")
        row[name] = value
    for entry in fields.split(","):
        name, value = entry.split("=")
        row[name] = float(value)
    row["time"] = int(time) * ns_per_unit
    return table, row
