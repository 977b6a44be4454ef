"""What a server asks of a node and what it is told: plain values, shared by both sides.

R1  A body is borrowed: it may be changed as soon as the call that was given it has returned, so nothing may point into it.
R2  A report counts rows that are stored (or accepted, with no_sync); what was refused is listed line by line.

Held by tests/integration/flight/test_real_node.py (R1, R2).
Elsewhere: how a write is carried out (engine.ingest), how it travels (flightserver.wire).
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import pyarrow as pa

from catalog.tokens import ANYONE, Identity

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """A body of line protocol. `precision` is a value of engine.lineprotocol.precision.Precision.

    `door` is the API the body came through (v1, v2, v3): it decides which names a database created by the write may have.
    """

    database: str
    body: "ReadableBuffer"
    precision: int
    accept_partial: bool = True
    no_sync: bool = False
    door: str = "v3"


@dataclass(frozen=True, slots=True)
class RejectedLine:
    line_number: int
    error_message: str
    original_line: str


@dataclass(frozen=True, slots=True)
class WriteReport:
    rows: int
    rejected: tuple[RejectedLine, ...] = ()


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How Arrow rows enter a table. `tags`: the columns that are tags if the table has to be created and neither the
    catalog nor the columns' metadata say so; None leaves it to the column types."""

    tags: tuple[str, ...] | None = None
    if_not_exists: Literal["create", "fail"] = "create"
    if_exists: Literal["append", "fail", "replace"] = "append"
    no_sync: bool = False


class PendingWrite(Protocol):
    """Rows on their way to the log."""

    def wait(self) -> None:
        """Return when the rows are durable and visible; raise what kept them from it."""


class IngestSession(Protocol):
    """One table being written to by one stream, batch after batch."""

    def write(self, batch: pa.RecordBatch) -> PendingWrite:
        """Accept a batch of the session's schema. Raises for rows that can not be stored; then none of the batch is."""

    def close(self) -> None: ...


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class StartedWrite:
    """A body whose rows are on their way to the log; what `finish` returns is true once it returns."""

    report: WriteReport
    pending: PendingWrite | None = None

    def finish(self) -> WriteReport:
        if self.pending is not None:
            self.pending.wait()
        return self.report


Watched = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""A block within which the function that is given ends what goes on there, from any thread."""


def unwatched(cancel: Callable[[], None]) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Origin:
    """How a statement came, for the log of queries: the door's name in `system.queries`, the text as its sender wrote it where
    something else of it runs, the trace that it is part of, and who asks. A statement of the server's own is not logged.

    That `caller` may read the database has been seen to; of what is not the database's own, they are shown what they may see.
    Before there is a result to close, `watched` is entered where planning may take long.
    """

    kind: str = "sql"
    text: str | None = None
    trace_id: str | None = None
    logged: bool = True
    caller: Identity = ANYONE
    watched: Watched = unwatched


FROM_SQL = Origin()


@dataclass(frozen=True, slots=True)
class QueryResult:
    """A schema and the batches that have it.

    `close` ends the work behind them, read to the end or not. It may be called from any thread, also while another waits
    for a batch, and more than once; it returns at once.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    close: Callable[[], None] = field(default=_nothing)
    #: what statements have in common that are much the same; None for one that comes once
    kind: Hashable | None = None
    #: how long it waited for its turn, once it has had it
    waited_s: Callable[[], float] = field(default=float)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.batches


@dataclass(frozen=True, slots=True)
class TableListing:
    """A table as metadata calls show it: its place, its kind (BASE TABLE or VIEW), the schema a SELECT * would have, and its
    tags in the order of the series key."""

    db_schema: str
    name: str
    kind: str
    schema: pa.Schema
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatabaseListing:
    name: str
    retention_ns: int | None = None
    deleted: bool = False
    hard_delete_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class TableDescription:
    """A table as administrators see it. `retention_ns` is its own; None leaves it to the database's."""

    name: str
    tags: tuple[str, ...]
    fields: Mapping[str, str]
    retention_ns: int | None = None
    deleted: bool = False
    hard_delete_at_ns: int | None = None


#: what a deletion leaves standing: nothing, the database without its tables, or the tables without their rows
Keep = Literal["nothing", "database", "tables"]


class NodeLike(Protocol):
    """What a server needs of a node. Every failure a caller may be told of is a ServiceError."""

    @property
    def cluster_uuid(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def instance_id(self) -> str: ...

    def write_lp(self, request: WriteRequest) -> WriteReport: ...
    def start_lp(self, request: WriteRequest) -> StartedWrite:
        """`write_lp` in two steps, for whoever has several bodies: those that are started together share a flush."""

    def start_together(self, request: WriteRequest, line_counts: Sequence[int]) -> Sequence[StartedWrite] | None:
        """`start_lp` for bodies of so many lines each, joined by newlines. None: nothing has happened, start one by one."""

    def ingest(self, database: str, table: str, schema: pa.Schema, options: IngestOptions) -> IngestSession:
        """Afterwards the table exists with the columns of the schema, or the options refused it; `replace` has emptied it."""

    def query_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> QueryResult:
        """Plan, and run as the batches are asked for. Parameters go by name without `$`; the n-th `?` is called "n"."""

    def plan_sql(
        self, database: str, sql: str, params: Mapping[str, object] | None = None, origin: Origin = FROM_SQL
    ) -> pa.Schema:
        """The schema of the result, without running anything. Parameters may stay open: then they are None."""

    def parameter_types(self, database: str, sql: str, origin: Origin = FROM_SQL) -> Mapping[str, pa.DataType]:
        """What the plan says of the types of open parameters; those it says nothing about are left out."""

    def list_databases(self, *, show_deleted: bool = False) -> Sequence[DatabaseListing]: ...
    def list_tables(self, database: str) -> Sequence[TableListing]: ...
    def describe_tables(self, database: str, *, show_deleted: bool = False) -> Sequence[TableDescription]: ...
    def create_database(self, name: str, retention_ns: int | None = None) -> None: ...
    def set_retention(self, name: str, retention_ns: int | None) -> None: ...
    def drop_database(self, name: str, hard_delete_at_ns: int | None = None, keep: Keep = "nothing") -> None: ...
    def create_table(
        self, database: str, name: str, tags: Sequence[str], fields: Mapping[str, str], retention_ns: int | None = None
    ) -> None: ...
    def set_table_retention(self, database: str, name: str, retention_ns: int | None) -> None: ...
    def drop_table(self, database: str, name: str, hard_delete_at_ns: int | None = None, *, keep_table: bool = False) -> None:
        """`keep_table`: its rows go, and a table like it takes its place."""

    def removal_time_ns(self, text: str) -> int | None:
        """When data goes for good that is deleted now: `never`, `now`, `default` or a moment as RFC 3339."""

    def snapshot_now(self) -> int:
        """Settle the rows that are in no file yet; how many they were."""

    def health(self) -> dict[str, object]: ...
    def readiness(self) -> Sequence[str]:
        """Why no traffic should come here now, if there is a reason."""

    def call_ended(self, method: str, outcome: str, seconds: float) -> None:
        """Count a call of a client."""

    def metrics_text(self) -> bytes: ...
