"""Statements over small tables, planned and run as the executor does, without a node around them."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from datafusion import DataFrame, SessionConfig, SessionContext

from engine.query.params import Parameters
from engine.query.statement import CATALOG, Prepared, prepare

NS = pa.timestamp("ns")
TAG = pa.dictionary(pa.int32(), pa.utf8())


def marked(name: str, kind: pa.DataType, mark: str, *, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable, {"iox::column::type": f"iox::column_type::{mark}"})


CPU = pa.schema(
    [
        marked("busy", pa.int64(), "field::integer"),
        marked("count", pa.uint64(), "field::uinteger"),
        marked("host", TAG, "tag"),
        marked("note", pa.utf8(), "field::string"),
        marked("on", pa.bool_(), "field::boolean"),
        marked("region", TAG, "tag"),
        marked("time", NS, "timestamp", nullable=False),
        marked("usage", pa.float64(), "field::float"),
    ]
)


def at(text: str) -> int:
    """Nanoseconds of a time in UTC, written with as much as it needs: 2024-01-01T00:10."""
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (moment.days * 86_400 + moment.seconds) * 1_000_000_000


def rows(*given: Mapping[str, Any], schema: pa.Schema = CPU) -> pa.Table:
    """Rows of a table; `time` may be written as a text, what is not given is null."""
    filled = [{**row, "time": at(row["time"]) if isinstance(row["time"], str) else row["time"]} for row in given]
    return pa.Table.from_pylist(filled, schema=schema)


def context_of(**tables: pa.Table) -> SessionContext:
    config = SessionConfig().with_default_catalog_and_schema(CATALOG, "iox").with_information_schema(True)
    context = SessionContext(config.set("datafusion.sql_parser.map_string_types_to_utf8view", "false"))
    for name, table in tables.items():
        context.register_record_batches(name, [table.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]])
    return context


def run(frame: DataFrame) -> Iterator[pa.RecordBatch]:
    for batch in frame.execute_stream():
        yield batch.to_pyarrow()


def read(prepared: Prepared) -> pa.Table:
    return pa.Table.from_batches(prepared.batches(run), prepared.schema)


def ask(context: SessionContext, text: str, parameters: Parameters | None = None) -> list[dict[str, Any]]:
    """The rows of a statement; times as ISO text, durations and all else as Python has them."""
    table = read(prepare(context, text, {} if parameters is None else parameters))
    found: list[dict[str, Any]] = [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()]
    return found


def column(context: SessionContext, text: str, parameters: Parameters | None = None) -> list[Any]:
    """The only column of a statement."""
    found = ask(context, text, parameters)
    assert all(len(row) == 1 for row in found)
    return [next(iter(row.values())) for row in found]


def tuples(context: SessionContext, text: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in ask(context, text, parameters)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, dt.datetime):
        return value.isoformat()
    return value
