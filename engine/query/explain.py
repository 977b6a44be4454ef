"""EXPLAIN: behind the planner's rows, one for each scan of a table: the chunks, files and row groups it reads and leaves out.

    plan_type       plan
    scan of cpu     reads 1 of 3 chunks, 1 of 40 files, 2 of 100 series
                      chunk as it arrived, 3,000 rows, 2026-01-01T00:00:00 to 2026-01-01T00:09:59: 30 rows
                      file n/dbs/1/0/….parquet, 60,000 rows, 1 of 12 row groups: 600 rows
                    left out by time: 2 chunks, 39 files
                      …

N1  All that a scan looked at is counted; of each kind and reason as many as NAMED are named.
N2  EXPLAIN says what would be read and reads no row; EXPLAIN ANALYZE says what was read, with the rows that the scan handed on.
    Both are about the plan that runs when the statement is asked without them.
N3  Formats that programs read (PGJSON, GRAPHVIZ) stay as the planner makes them.

Held by tests/integration/engine/test_explain.py (N1-N3).
Elsewhere: what scans report (report.py).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from datafusion import DataFrame, SessionContext
from datafusion.catalog import Schema

from catalog.errors import ServiceError
from engine.buffer.rows import HeldFile, OpenBatch
from engine.query.messages import QueryRefused, planner_message
from engine.query.report import Chunk, Item, ScanReport

NAMED = 50

_FOR_PROGRAMS = re.compile(r"[^'\"]*?\bexplain\s[^'\"]*?\bformat\s+['\"]?(?:pgjson|graphviz)\b", re.IGNORECASE | re.DOTALL)
_HEAD = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*explain(?:\s+(?:analyze|verbose|format\s+\S+))*(?=\s|\()", re.IGNORECASE | re.DOTALL
)
_SCHEMA, _EXPLAINED = "flightline_explained", "statement"
#: how a scan's filter prints a text, over three lines
_VALUE = re.compile(r"\[\n\s+(.*?)\n\]\[0\]", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def explained_frame(frame: DataFrame, context: SessionContext) -> DataFrame:
    """What an EXPLAIN is about, optimized as it would be to run. Raises QueryRefused for what cannot run."""
    (plan,) = frame.logical_plan().inputs()
    written = context.create_dataframe_from_logical_plan(plan)
    try:
        return context.create_dataframe_from_logical_plan(written.optimized_logical_plan())
    except Exception as error:  # the bindings raise plain Exception for every mistake of a statement
        raise QueryRefused(planner_message(error)) from None


def explaining(text: str, frame: DataFrame, context: SessionContext, catalog: str) -> DataFrame:
    """The EXPLAIN that `text` begins with, of another frame: one that gives the same rows."""
    head = _HEAD.match(text)
    assert head is not None, "the planner has read an EXPLAIN there"
    schema = Schema.memory_schema(context)
    context.catalog(catalog).register_schema(_SCHEMA, schema)
    schema.register_table(_EXPLAINED, frame.into_view())
    return context.sql(f"{head[0]} SELECT * FROM {_SCHEMA}.{_EXPLAINED}")


def for_programs(text: str) -> bool:
    return "format" in text.lower() and _FOR_PROGRAMS.match(text) is not None


def readable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The planner's rows, with the values of a scan's filter where they stand."""
    plans = batch.column("plan")
    if not pc.any(pc.match_substring(plans, "][0]")).as_py():
        return batch
    tidied = pa.array([_VALUE.sub(r"\1", plan) for plan in plans.to_pylist()], plans.type)
    return pa.RecordBatch.from_arrays([batch.column("plan_type"), tidied], schema=batch.schema)


def scan_rows(reports: Iterable[ScanReport], *, ran: bool) -> list[tuple[str, str]]:
    """(plan_type, plan) of each scan."""
    return [(f"scan of {report.table}", "\n".join(_lines(report, ran))) for report in reports]


def _lines(report: ScanReport, ran: bool) -> Iterator[str]:
    chunks, files = report.chunks, report.files
    counts = [f"{len(chunks.left):,} of {_counted(len(chunks.all), 'chunk')}"]
    counts.append(f"{len(files.left):,} of {_counted(len(files.all), 'file')}")
    if report.series is not None:
        counts.append(f"{report.series[0]:,} of {report.series[1]:,} series")
    yield f"reads {', '.join(counts)}{report.note}"
    yield from _named(chunks.left, lambda chunk: f"{_chunk(chunk)}{_rows_read(report, chunk, ran)}")
    yield from _named(files.left, lambda held: f"{_file(held)}, {_row_groups(report, held)}{_rows_read(report, held, ran)}")
    excluded_chunks, excluded_files = dict(chunks.excluded()), dict(files.excluded())
    for reason in dict.fromkeys([*excluded_chunks, *excluded_files]):
        gone_chunks, gone_files = excluded_chunks.get(reason, []), excluded_files.get(reason, [])
        gone = [_counted(len(items), what) for items, what in ((gone_chunks, "chunk"), (gone_files, "file")) if items]
        yield f"left out by {reason}: {', '.join(gone)}"
        yield from _named(gone_chunks, _chunk)
        yield from _named(gone_files, _file)


def _named(items: Sequence[Item], say: Callable[[Item], str]) -> Iterator[str]:
    for item in items[:NAMED]:
        yield f"  {say(item)}"
    if len(items) > NAMED:
        yield f"  and {len(items) - NAMED:,} more"


def _chunk(chunk: Chunk) -> str:
    if isinstance(chunk, HeldFile):
        return f"chunk of {_file(chunk)}"
    kind = "chunk as it arrived" if isinstance(chunk, OpenBatch) else "sorted chunk"
    return f"{kind}, {_counted(chunk.rows.num_rows, 'row')}, {_times(chunk)}"


def _file(held: HeldFile) -> str:
    return f"file {held.file.path}, {_counted(held.file.rows, 'row')}, {_times(held)}"


def _row_groups(report: ScanReport, held: HeldFile) -> str:
    if report.row_groups is None:
        return ""
    try:
        matching, count = report.row_groups(held)
    except ServiceError as error:
        return error.message
    return f"{matching:,} of {_counted(count, 'row group')}"


def _rows_read(report: ScanReport, item: Chunk, ran: bool) -> str:
    return f": {_counted(report.rows_of(item), 'row')}" if ran else ""


def _times(item: Chunk) -> str:
    return f"{_instant(item.times.start_ns)} to {_instant(item.times.end_ns)}"


def _instant(at_ns: int) -> str:
    seconds, rest_ns = divmod(at_ns, 1_000_000_000)
    fraction = f".{rest_ns:09}".rstrip("0") if rest_ns else ""
    return f"{(_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()}{fraction}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
