"""The tables of the schema `system`: each declared once, with its columns, where it is seen and how its rows are made.

K1  A declaration is all there is to a table: SQL, information_schema, SHOW TABLES, Flight's GetTables and the documentation
    are made of it.
K2  Rows are made when a plan runs that reads them, from the one view of its statement and from logs in memory; nothing waits
    for them, and nothing is written for them.
K3  What a row says is true of this server at that moment. A column that InfluxDB 3 has and that nobody here measures is null.
K4  No row holds a token, a hash of one beyond its first digits, or a parameter's value.
K5  Of what is not the database's own, a caller is shown what they may see: statements on databases that they may read.

Held by tests/integration/engine/test_system_tables.py (K1-K4), tests/integration/flight/test_told_of_itself.py (K1, K3) and
tests/integration/flight/test_tokens.py (K4, K5).

The tables of caches, triggers and plugins are always there in InfluxDB 3, empty without any; so they are here, and
get their rows with those features.

Elsewhere: how SQL reads them (system_schema.py), the log of statements (engine.events).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from catalog.ids import INTERNAL_DATABASE_ID
from catalog.schema import TAG_KIND, TIME_KIND, Database, FieldType, Table
from catalog.tokens import READ, Identity, permission_text
from engine.events import LoggedQuery, QueryLog
from engine.query.predicate import Predicate
from engine.view import ReadView

SCHEMA = "system"


@dataclass(frozen=True, slots=True)
class Live:
    """What goes on in the server beside its catalog and its rows."""

    queries: QueryLog
    gen1_duration_ns: int
    with_tokens: bool


@dataclass(frozen=True, slots=True)
class Sources:
    """What the rows of one statement are made from."""

    view: ReadView
    database: Database
    live: Live
    caller: Identity


Rows = Callable[[Sources, Predicate], Iterable[Sequence[object]]]
"""Rows in the order of the columns. The predicate may be used to make fewer: it is applied to what is made all the same."""


@dataclass(frozen=True, slots=True)
class SystemTable:
    name: str
    about: str
    schema: pa.Schema
    rows: Rows
    #: seen in `_internal` only
    internal: bool = False


def system_tables(database: Database, *, with_tokens: bool) -> Mapping[str, SystemTable]:
    """Those seen in a database, by name, in the order of the alphabet."""
    if database.id != INTERNAL_DATABASE_ID:
        return _OF_ANY
    return _OF_INTERNAL if with_tokens else _OF_INTERNAL_WITHOUT_TOKENS


def _schema(**columns: pa.DataType | tuple[pa.DataType]) -> pa.Schema:
    """A type in a tuple may be null."""
    return pa.schema(
        pa.field(name, kind[0] if isinstance(kind, tuple) else kind, nullable=isinstance(kind, tuple))
        for name, kind in columns.items()
    )


_TEXT, _VIEW, _FLAG, _COUNT, _NUMBER = pa.utf8(), pa.string_view(), pa.bool_(), pa.uint64(), pa.int64()
_INSTANT, _SPAN = pa.timestamp("ns"), pa.duration("ns")
_REMOVAL = pa.timestamp("s", "UTC")


def _nothing(_sources: Sources, _wanted: Predicate) -> Iterable[Sequence[object]]:
    return ()


# ------------------------------------------------------------------------------------------------------------ statements

_QUERY_COLUMNS: Mapping[str, pa.DataType | tuple[pa.DataType]] = {
    "id": _TEXT,
    "phase": _TEXT,
    "issue_time": _INSTANT,
    "query_type": _TEXT,
    "query_text": _TEXT,
    "partitions": (_NUMBER,),
    "parquet_files": (_NUMBER,),
    "plan_duration": (_SPAN,),
    "permit_duration": (_SPAN,),
    "execute_duration": (_SPAN,),
    "end2end_duration": (_SPAN,),
    "compute_duration": (_SPAN,),
    "max_memory": (_NUMBER,),
    "success": _FLAG,
    "running": _FLAG,
    "cancelled": _FLAG,
    "trace_id": (_TEXT,),
}


def _queries(sources: Sources, _wanted: Predicate) -> Iterator[Sequence[object]]:
    return (_query(entry) for entry in sources.live.queries.entries() if _is_shown(entry, sources))


def _query_log(sources: Sources, _wanted: Predicate) -> Iterator[Sequence[object]]:
    for entry in sources.live.queries.entries():
        yield (*_query(entry), entry.database, entry.rows, entry.size_bytes, entry.error)


def _is_shown(entry: LoggedQuery, sources: Sources) -> bool:
    """A statement on a database that is gone, or never was, is shown to administrators."""
    if sources.caller.is_admin:
        return True
    database = sources.view.state.find_database(entry.database)
    return database is not None and sources.caller.may(READ, database.id)


def _query(entry: LoggedQuery) -> Sequence[object]:
    return (
        *(entry.id, entry.phase, entry.issued_at_ns, entry.kind, entry.text, None, entry.files),
        *(entry.plan_ns, entry.permit_ns, entry.execute_ns, entry.end2end_ns, None, None),
        *(entry.success, entry.running, entry.cancelled, entry.trace_id),
    )


# ----------------------------------------------------------------------------------------------------- tables and files

_FIELD_NAMES = {
    FieldType.FLOAT: "float",
    FieldType.INTEGER: "integer",
    FieldType.UINTEGER: "uinteger",
    FieldType.STRING: "string",
    FieldType.BOOLEAN: "boolean",
}
_TYPE_NAMES = {TIME_KIND: "time", TAG_KIND: "tag"} | {field.kind: name for field, name in _FIELD_NAMES.items()}


def _by_name(database: Database, names: frozenset[str | None] | None) -> list[Table]:
    """The tables of those names, deleted ones under the name that they have now; all where none is given."""
    if names is None:
        return sorted(database.tables, key=lambda table: table.name)
    found = (database.find_table(name) for name in sorted(name for name in names if name is not None))
    return [table for table in found if table is not None]


def _influxdb_schema(sources: Sources, wanted: Predicate) -> Iterator[Sequence[object]]:
    for table in _by_name(sources.database, wanted.tags.get("measurement")):
        if not table.deleted:
            for column in table.column_names_sorted:
                yield table.name, column, _TYPE_NAMES[table.kinds[column]]


def _parquet_files(sources: Sources, wanted: Predicate) -> Iterator[Sequence[object]]:
    database = sources.database
    for table in _by_name(database, wanted.tags.get("table_name")):
        for held in sources.view.table(database.id, table.id).files:
            file = held.file
            yield table.name, file.path, file.size_bytes, file.rows, file.time_min_ns, file.time_max_ns


def _databases(sources: Sources, _wanted: Predicate) -> Iterator[Sequence[object]]:
    for database in sources.view.state.databases:
        yield database.name, database.retention_ns, database.deleted, _whole_seconds(database.hard_delete_at_ns)


def _tables(sources: Sources, wanted: Predicate) -> Iterator[Sequence[object]]:
    for database in sources.view.state.databases:
        for table in _by_name(database, wanted.tags.get("table_name")):
            yield (
                *(database.name, table.name, len(table.column_names), ", ".join(table.tags), 0, 0),
                *(table.deleted or database.deleted, _whole_seconds(table.hard_delete_at_ns or database.hard_delete_at_ns)),
            )


def _retention(sources: Sources, _wanted: Predicate) -> Iterator[Sequence[object]]:
    for database in sources.view.state.databases:
        for table in sorted(database.tables, key=lambda table: table.name):
            if not (table.deleted or database.deleted):
                source = "database" if table.retention_ns is None else "table"
                yield database.name, table.name, database.retention_of(table), source


def _whole_seconds(at_ns: int | None) -> int | None:
    return None if at_ns is None else at_ns // 1_000_000_000


# --------------------------------------------------------------------------------------------------------------- server


def _nodes(sources: Sources, _wanted: Predicate) -> Iterator[Sequence[object]]:
    for node in sources.view.state.nodes:
        yield (
            *(node.node_id, node.number, node.instance_id, node.modes, node.core_count, node.state, node.updated_at_ns),
            node.cli_params,
        )


def _tokens(sources: Sources, _wanted: Predicate) -> Iterator[Sequence[object]]:
    names: dict[int, str] = {database.id: database.name for database in sources.view.state.databases}
    for token in sources.view.state.tokens.all:
        yield (
            *(token.id, token.name, *([token.hash[:_HASH_DIGITS]] if sources.live.with_tokens else ())),
            *(token.created_at_ms, token.description, token.created_by, token.updated_at_ms, token.updated_by),
            *(token.expiry_ms, ";".join(permission_text(permission, names) for permission in token.permissions)),
        )


def _generation_durations(sources: Sources, _wanted: Predicate) -> Iterator[Sequence[object]]:
    yield 1, sources.live.gen1_duration_ns // 1_000_000_000


_HASH_DIGITS = 9
#: a server without authentication shows no hashes, others the first digits
_TOKEN_COLUMNS: Mapping[str, pa.DataType | tuple[pa.DataType]] = {
    "token_id": _COUNT,
    "name": _VIEW,
    "hash": _VIEW,
    "created_at": pa.timestamp("ms"),
    "description": (_VIEW,),
    "created_by_token_id": (_COUNT,),
    "updated_at": (pa.timestamp("ms"),),
    "updated_by_token_id": (_COUNT,),
    "expiry": (pa.timestamp("ms"),),
    "permissions": _VIEW,
}

# --------------------------------------------------------------------------------------------------------- declarations

SYSTEM_TABLES: Sequence[SystemTable] = (
    SystemTable(
        "distinct_caches",
        "distinct value caches of the database",
        _schema(
            table=_VIEW,
            name=_VIEW,
            column_ids=pa.list_(pa.uint16()),
            column_names=pa.list_(_VIEW),
            max_cardinality=_COUNT,
            max_age_seconds=_COUNT,
        ),
        _nothing,
    ),
    SystemTable(
        "influxdb_schema",
        "columns of the database's tables, by the names that InfluxQL has for their types",
        _schema(measurement=_VIEW, key=_VIEW, data_type=_VIEW),
        _influxdb_schema,
    ),
    SystemTable(
        "last_caches",
        "last value caches of the database",
        _schema(
            table=_VIEW,
            name=_VIEW,
            key_column_ids=pa.list_(pa.uint16()),
            key_column_names=pa.list_(_VIEW),
            value_column_ids=(pa.list_(pa.uint16()),),
            value_column_names=(pa.list_(_VIEW),),
            count=_COUNT,
            ttl=_COUNT,
        ),
        _nothing,
    ),
    SystemTable(
        "parquet_files",
        "live Parquet files of the database's tables, with their times in nanoseconds",
        _schema(table_name=_TEXT, path=_TEXT, size_bytes=_COUNT, row_count=_COUNT, min_time=_NUMBER, max_time=_NUMBER),
        _parquet_files,
    ),
    SystemTable(
        "processing_engine_logs",
        "what triggers logged lately, of all databases",
        _schema(event_time=_INSTANT, trigger_name=_TEXT, log_level=_TEXT, log_text=_TEXT),
        _nothing,
    ),
    SystemTable(
        "processing_engine_trigger_arguments",
        "arguments of the database's triggers",
        _schema(trigger_name=_TEXT, argument_key=_TEXT, argument_value=_TEXT),
        _nothing,
    ),
    SystemTable(
        "processing_engine_triggers",
        "triggers of the database",
        _schema(trigger_name=_TEXT, plugin_filename=_TEXT, trigger_specification=_TEXT, disabled=_FLAG, error_behavior=_TEXT),
        _nothing,
    ),
    SystemTable(
        "queries",
        "the last statements, of all databases, and those that run",
        _schema(**_QUERY_COLUMNS),
        _queries,
    ),
    SystemTable(
        "databases",
        "all databases, deleted ones until they are removed",
        _schema(database_name=_TEXT, retention_period_ns=(_COUNT,), deleted=_FLAG, hard_deletion_time=(_REMOVAL,)),
        _databases,
        internal=True,
    ),
    SystemTable(
        "generation_durations",
        "how much time one Parquet file of a generation spans",
        _schema(level=pa.uint8(), duration_seconds=_COUNT),
        _generation_durations,
        internal=True,
    ),
    SystemTable(
        "retention",
        "how long each table keeps its rows, and whether that is said of the table or of its database",
        _schema(database_name=_TEXT, table_name=_TEXT, retention_period_ns=(_COUNT,), source=_TEXT),
        _retention,
        internal=True,
    ),
    SystemTable(
        "nodes",
        "servers that take part, or took part",
        _schema(
            node_id=_VIEW,
            node_catalog_id=pa.uint32(),
            instance_id=_VIEW,
            mode=pa.list_(_VIEW),
            core_count=_COUNT,
            state=_VIEW,
            updated_at=_INSTANT,
            cli_params=(_VIEW,),
        ),
        _nodes,
        internal=True,
    ),
    SystemTable(
        "plugin_files",
        "files of the plugins that triggers use",
        _schema(plugin_name=_TEXT, file_name=_TEXT, file_path=_TEXT, size_bytes=_NUMBER, last_modified=_NUMBER),
        _nothing,
        internal=True,
    ),
    SystemTable(
        "query_log",
        "as `queries`, with the database, the rows and bytes of the answer, and what went wrong",
        _schema(**_QUERY_COLUMNS, database_name=_TEXT, row_count=_COUNT, size_bytes=_COUNT, error=(_TEXT,)),
        _query_log,
        internal=True,
    ),
    SystemTable(
        "tables",
        "tables of all databases, deleted ones until they are removed",
        _schema(
            database_name=_VIEW,
            table_name=_VIEW,
            column_count=_COUNT,
            series_key_columns=_VIEW,
            last_cache_count=_COUNT,
            distinct_cache_count=_COUNT,
            deleted=_FLAG,
            hard_deletion_time=(_REMOVAL,),
        ),
        _tables,
        internal=True,
    ),
    SystemTable(
        "tokens",
        "access tokens, without what would let anybody use them",
        _schema(**_TOKEN_COLUMNS),
        _tokens,
        internal=True,
    ),
)

_BY_NAME = {table.name: table for table in sorted(SYSTEM_TABLES, key=lambda table: table.name)}
_OF_INTERNAL: Mapping[str, SystemTable] = _BY_NAME
_WITHOUT_HASHES = _schema(**{name: kind for name, kind in _TOKEN_COLUMNS.items() if name != "hash"})
_OF_INTERNAL_WITHOUT_TOKENS = _BY_NAME | {"tokens": replace(_BY_NAME["tokens"], schema=_WITHOUT_HASHES)}
_OF_ANY: Mapping[str, SystemTable] = {name: table for name, table in _BY_NAME.items() if not table.internal}
