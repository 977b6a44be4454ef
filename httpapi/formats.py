"""Query results as bytes: json, jsonl, csv, pretty and parquet, a batch at a time.

F1  Nothing but `pretty` holds more than a batch or a Parquet row group; its columns are as wide as their widest cell.
F2  Values are spelled as InfluxDB 3 does: times without a zone have no `Z` and 0, 3, 6 or 9 digits of fraction; floats keep
    `.0` or an exponent; in JSON a null is left out, and a float that is no finite number is null.
F3  Text comes back as it went in: parsing json, jsonl or csv gives the same strings.

The spelling itself is native (engine/native/encode): one pass from Arrow's buffers to text, without the GIL.

Held by tests/unit/httpapi/test_formats.py (F1-F3) and tests/property/test_formats.py (F2, F3).
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import InvalidRequest
from engine._encode import Encoder

Schema: TypeAlias = Any  # pa.Schema; pyarrow ships no types
Batches: TypeAlias = Iterable[pa.RecordBatch]
Form: TypeAlias = Literal["json", "jsonl", "csv", "cells"]

_PARQUET_GROUP_ROWS = 1 << 20
_FIRST_S, _LAST_S = -62_135_596_800 + 86_400, 253_402_300_799 - 86_400  # what datetime can hold, in any zone


@dataclass(frozen=True, slots=True)
class Format:
    content_type: str
    encode: Callable[[Schema, Batches], Iterator[bytes]]


def _rows(form: Form, schema: Schema, batches: Batches) -> Iterator[bytes]:
    """Pieces of bounded size. Without any batch CSV has no header either."""
    encoder = _encoder(schema, form)
    for batch in batches:
        row, rows = 0, batch.num_rows
        while True:
            piece, row = encoder.encode(batch, row)
            if piece:
                yield piece
            if row >= rows:
                break
    if end := encoder.end():
        yield end


def _encoder(schema: Schema, form: Form) -> Encoder:
    try:
        return Encoder(schema, form, _zone_offset_s)
    except ValueError as error:
        raise InvalidRequest(str(error), hint="cast the column to text") from None


def _zone_offset_s(name: str, time_s: int) -> int:
    offset = datetime.fromtimestamp(min(max(time_s, _FIRST_S), _LAST_S), UTC).astimezone(_zone(name)).utcoffset()
    assert offset is not None  # of an aware datetime
    return round(offset.total_seconds())


@cache
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidRequest(f"no such time zone here: {name}") from None


def _pretty(schema: Schema, batches: Batches) -> Iterator[bytes]:
    """A table with borders. Cells of several lines make rows of several lines."""
    encoder = _encoder(schema, "cells")
    columns: list[list[str]] = [[] for _ in schema]
    any_batch = False
    for batch in batches:
        any_batch = True
        for cells, column in zip(columns, encoder.cells(batch), strict=True):
            cells.extend(column)
    if not any_batch:
        yield b"++\n++"
        return
    titled = [[name, *cells] for name, cells in zip(schema.names, columns, strict=True)]
    widths = [max(_width(line) for cell in cells for line in cell.split("\n")) for cells in titled]
    border = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    rows = zip(*titled, strict=True)
    yield f"{border}\n{_pretty_row(next(rows), widths)}\n{border}".encode()
    for row in rows:
        yield f"\n{_pretty_row(row, widths)}".encode()
    if any(columns):
        yield f"\n{border}".encode()


def _parquet(schema: Schema, batches: Batches) -> Iterator[bytes]:
    """One file, handed on whenever a row group is finished. Without any batch there are no bytes."""
    sink = _Sink()
    writer = None
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        if writer is None:
            writer = pq.ParquetWriter(pa.PythonFile(sink, "w"), schema, compression="zstd")
        pending.append(batch)
        if sum(held.num_rows for held in pending) >= _PARQUET_GROUP_ROWS:
            writer.write_table(pa.Table.from_batches(pending, schema))
            pending.clear()
            yield sink.take()
    if writer is not None:
        if pending:
            writer.write_table(pa.Table.from_batches(pending, schema))
        writer.close()
        yield sink.take()


class _Sink:
    """A file that is only ever appended to, and taken from in between."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def take(self) -> bytes:
        data = b"".join(self._written)
        self._written.clear()
        return data


def _pretty_row(cells: Sequence[str], widths: Sequence[int]) -> str:
    lines = [cell.split("\n") for cell in cells]
    return "\n".join(
        "|"
        + "|".join(
            f" {_padded(part[number] if number < len(part) else '', width)} " for part, width in zip(lines, widths, strict=True)
        )
        + "|"
        for number in range(max(map(len, lines)))
    )


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


FORMATS = {
    "json": Format("application/json", partial(_rows, "json")),
    "jsonl": Format("application/jsonl", partial(_rows, "jsonl")),
    "csv": Format("text/csv", partial(_rows, "csv")),
    "pretty": Format("text/plain; charset=utf-8", _pretty),
    "parquet": Format("application/vnd.apache.parquet", _parquet),
}
FORMAT_NAMES = ("parquet", "csv", "pretty", "json", "json_lines", "jsonl")


def named_format(name: str) -> Format:
    return FORMATS["jsonl" if name == "json_lines" else name]
