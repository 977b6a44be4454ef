"""Query results as bytes: json, jsonl, csv, pretty and parquet, a batch at a time.

F1  No more than a batch or a Parquet row group is in memory. `pretty` goes through its rows twice, since its columns are as
    wide as their widest cells, and keeps what is long in a file meanwhile.
F2  Values are spelled as InfluxDB 3 does: times without a zone have no `Z` and 0, 3, 6 or 9 digits of fraction; floats keep
    `.0` or an exponent; in JSON a null is left out, and a float that is no finite number is null.
F3  Text comes back as it went in: parsing json, jsonl or csv gives the same strings.

The spelling itself is native (engine/native/encode): one pass from Arrow's buffers to text, without the GIL.

Held by tests/unit/httpapi/test_formats.py (F1-F3) and tests/property/test_formats.py (F2, F3).
"""

import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from itertools import islice
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from catalog.errors import InvalidRequest
from engine._encode import Encoder

Schema: TypeAlias = Any  # pa.Schema; pyarrow ships no types
Batches: TypeAlias = Iterable[pa.RecordBatch]
Form: TypeAlias = Literal["json", "jsonl", "csv", "cells"]

_PARQUET_GROUP_ROWS = 1 << 20
_PARQUET_GROUP_BYTES = 64 << 20
_KEPT_BYTES = 8 << 20
_PRETTY_ROWS = 1_000
_FIRST_S, _LAST_S = -62_135_596_800 + 86_400, 253_402_300_799 - 86_400  # what datetime can hold, in any zone


@dataclass(frozen=True, slots=True)
class Format:
    content_type: str
    encode: Callable[[Schema, Batches], Iterator[bytes]]
    is_text: bool = True


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
    """A table with borders. Cells of several lines make rows of several lines. Widths come before the first row: the batches
    are kept until all are known."""
    encoder = _encoder(schema, "cells")
    widths = [_width_of_cell(name) for name in schema.names]
    any_rows = False
    with _Kept(schema) as kept:
        for batch in batches:
            kept.add(batch)
            any_rows = any_rows or batch.num_rows > 0
            for place, cells in enumerate(encoder.cells(batch)):
                widths[place] = max(widths[place], max(map(_width_of_cell, cells), default=0))
        if kept.is_empty:
            yield b"++\n++"
            return
        border = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
        yield f"{border}\n{_pretty_row(schema.names, widths)}\n{border}".encode()
        for batch in kept.again():
            rows = zip(*encoder.cells(batch), strict=True)
            while some := list(islice(rows, _PRETTY_ROWS)):
                yield "".join(f"\n{_pretty_row(row, widths)}" for row in some).encode()
        if any_rows:
            yield f"\n{border}".encode()


class _Kept:
    """Batches in order, to be read once more; in memory while they are few, then in a file that has no name."""

    def __init__(self, schema: Schema) -> None:
        self.is_empty = True
        self._file = tempfile.SpooledTemporaryFile(_KEPT_BYTES)  # noqa: SIM115
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._file, "w"), schema)

    def __enter__(self) -> "_Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, batch: pa.RecordBatch) -> None:
        self.is_empty = False
        self._writer.write_batch(batch)

    def again(self) -> Iterator[pa.RecordBatch]:
        self._writer.close()
        self._file.seek(0)
        yield from pa.ipc.open_stream(pa.PythonFile(self._file, "r"))


def _parquet(schema: Schema, batches: Batches) -> Iterator[bytes]:
    """One file, handed on whenever a row group is finished. Without any batch there are no bytes."""
    import pyarrow.parquet as pq  # `influxdb3 query` starts without it

    sink = _Sink()
    writer = None
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        if writer is None:
            writer = pq.ParquetWriter(pa.PythonFile(sink, "w"), schema, compression="zstd")
        pending.append(batch)
        rows, size = sum(held.num_rows for held in pending), sum(held.nbytes for held in pending)
        if rows >= _PARQUET_GROUP_ROWS or size >= _PARQUET_GROUP_BYTES:
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


def _width_of_cell(cell: str) -> int:
    return max(map(_width, cell.split("\n"))) if "\n" in cell else _width(cell)


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
    "parquet": Format("application/vnd.apache.parquet", _parquet, is_text=False),
}
FORMAT_NAMES = ("parquet", "csv", "pretty", "json", "json_lines", "jsonl")


def named_format(name: str) -> Format:
    return FORMATS["jsonl" if name == "json_lines" else name]
