"""Query results as bytes: json, jsonl, csv, pretty and parquet, a batch at a time.

F1  Nothing but `pretty` holds more than a batch or a Parquet row group; its columns are as wide as their widest cell.
F2  Values are spelled as InfluxDB 3 does: times without a zone have no `Z` and 0, 3, 6 or 9 digits of fraction; floats keep
    `.0` or an exponent; in JSON a null is left out, and a float that is no finite number is null.
F3  Text comes back as it went in: parsing json, jsonl or csv gives the same strings.

Rows are put together by Arrow: for each column an array of texts, then one join across the columns (without its skipping of
nulls, which loses rows that are all null). The bytes of a batch are the value buffer of the joined array. Lists, structs and
intervals are made in Python.

Held by tests/unit/httpapi/test_formats.py (F1-F3).
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

Schema: TypeAlias = Any  # pa.Schema; pyarrow ships no types
Batches: TypeAlias = Iterable[pa.RecordBatch]

_STEP_ROWS = 16_384
_PARQUET_GROUP_ROWS = 1 << 20

_JSON_SPECIALS = r'[\x00-\x1f"\\]'
_CSV_SPECIALS = r'[",\r\n]'
_EMPTY_THOUSANDTHS = r"\.?(?:000)+$"
_WHOLE_MANTISSA = r"^(-?[0-9]+)(e|$)"


@dataclass(frozen=True, slots=True)
class Format:
    content_type: str
    encode: Callable[[Schema, Batches], Iterator[bytes]]


def _json(schema: Schema, batches: Batches) -> Iterator[bytes]:
    begun = False
    for rows in _json_rows(schema, batches, ",{", "}"):
        yield rows if begun else b"[" + rows[1:]
        begun = True
    yield b"]" if begun else b"[]"


def _jsonl(schema: Schema, batches: Batches) -> Iterator[bytes]:
    return _json_rows(schema, batches, "{", "}\n")


def _csv(schema: Schema, batches: Batches) -> Iterator[bytes]:
    """Without any batch there is no header either."""
    names = _csv_cells(pa.array(schema.names, pa.string()), alone=len(schema) == 1).to_pylist()
    header = ",".join(names).encode() + b"\n"
    for batch in _steps(batches):
        cells = [_csv_cells(_texts(column, _PLAIN), alone=len(schema) == 1) for column in batch.columns]
        yield header + _concatenated(pc.binary_join_element_wise(pc.binary_join_element_wise(*cells, ","), "\n", ""))
        header = b""


def _pretty(schema: Schema, batches: Batches) -> Iterator[bytes]:
    """A table with borders. Cells of several lines make rows of several lines."""
    columns: list[list[str]] = [[] for _ in schema]
    any_batch = False
    for batch in _steps(batches):
        any_batch = True
        for cells, column in zip(columns, batch.columns, strict=True):
            cells.extend(pc.fill_null(_texts(column, _PLAIN), "").to_pylist())
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


def _steps(batches: Batches) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, max(batch.num_rows, 1), _STEP_ROWS):
            yield batch.slice(start, _STEP_ROWS)


def _json_rows(schema: Schema, batches: Batches, opening: str, closing: str) -> Iterator[bytes]:
    keys = ["," + orjson.dumps(name).decode() + ":" for name in schema.names]
    for batch in _steps(batches):
        if batch.num_rows == 0:
            continue
        entries = [
            pc.fill_null(pc.binary_join_element_wise(key, _texts(column, _JSON), ""), "")
            for key, column in zip(keys, batch.columns, strict=True)
        ]
        rows = _concatenated(pc.binary_join_element_wise(opening, *entries, closing, ""))
        yield rows.replace(b'{,"', b'{"')  # an object's first comma; within a string the quote would be escaped


def _concatenated(texts: Any) -> bytes:
    """All texts of an array without gaps, one after another: its value buffer."""
    _validity, offsets, values = texts.buffers()
    view = memoryview(offsets).cast("i")
    return bytes(memoryview(values)[view[texts.offset] : view[texts.offset + len(texts)]])


def _csv_cells(texts: Any, *, alone: bool) -> Any:
    """Quoted where they must be. An empty line is no row for a reader, so an empty cell that is alone is quoted, too."""
    special = pc.match_substring_regex(texts, _CSV_SPECIALS)
    if pc.any(special).as_py():
        doubled = pc.replace_substring(texts, '"', '""')
        texts = pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), texts)
    texts = pc.fill_null(texts, "")
    return pc.if_else(pc.equal(texts, ""), '""', texts) if alone else texts


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


# Texts of columns: an array of strings, null where the value is null.

_JSON = True
_PLAIN = False


def _texts(column: Any, as_json: bool) -> Any:
    """Each value of a column as it stands in JSON, or as it is shown to people."""
    kind = column.type
    for applies, spell in _SPELLINGS:
        if applies(kind):
            return spell(column, as_json)
    return _quoted(pc.cast(column, pa.string()), as_json)


def _nulls(column: Any, as_json: bool) -> Any:
    return pa.nulls(len(column), pa.string())


def _bare(column: Any, as_json: bool) -> Any:
    return pc.cast(column, pa.string())


def _floats(column: Any, as_json: bool) -> Any:
    if pa.types.is_float16(column.type):
        column = pc.cast(column, pa.float32())
    texts = pc.replace_substring(pc.cast(column, pa.string()), "e+", "e")
    texts = pc.replace_substring_regex(texts, _WHOLE_MANTISSA, r"\1.0\2")
    finite = pc.is_finite(column)
    if pc.all(finite).as_py() is not False:
        return texts
    return pc.if_else(finite, texts, "null" if as_json else pc.replace_substring(texts, "nan", "NaN"))


def _strings(column: Any, as_json: bool) -> Any:
    texts = pc.cast(column, pa.string())
    if as_json and pc.any(pc.match_substring_regex(texts, _JSON_SPECIALS)).as_py():
        return pa.array([None if text is None else orjson.dumps(text).decode() for text in texts.to_pylist()], pa.string())
    return _quoted(texts, as_json)


def _dictionary(column: Any, as_json: bool) -> Any:
    return _texts(pc.cast(column, column.type.value_type), as_json)


def _timestamps(column: Any, as_json: bool) -> Any:
    zone = column.type.tz
    if zone is None:
        return _quoted(_iso_times(column), as_json)
    if zone.upper() in ("UTC", "Z", "+00:00"):
        return _quoted(pc.binary_join_element_wise(_iso_times(_without_zone(column)), "Z", ""), as_json)
    local = pc.local_timestamp(column)
    offset = pc.strftime(pc.cast(column, pa.timestamp("s", zone), safe=False), "%z")  # +hhmm
    parts = (_iso_times(local), pc.utf8_slice_codeunits(offset, 0, 3), ":", pc.utf8_slice_codeunits(offset, 3, 5))
    return _quoted(pc.binary_join_element_wise(*parts, ""), as_json)


def _without_zone(column: Any) -> Any:
    return pc.cast(column, pa.timestamp(column.type.unit))


def _iso_times(column: Any) -> Any:
    return pc.replace_substring(_trimmed(pc.cast(column, pa.string())), " ", "T", max_replacements=1)


def _times(column: Any, as_json: bool) -> Any:
    return _quoted(_trimmed(pc.cast(column, pa.string())), as_json)


def _trimmed(texts: Any) -> Any:
    """A fraction in steps of three digits, as short as it can be."""
    return pc.replace_substring_regex(texts, _EMPTY_THOUSANDTHS, "")


def _date64(column: Any, as_json: bool) -> Any:
    return _timestamps(pc.cast(column, pa.timestamp("ms")), as_json)


def _durations(column: Any, as_json: bool) -> Any:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
    counts = pc.cast(column, pa.int64()).to_pylist()
    return _quoted(_python_texts(counts, lambda count: _iso_duration(count, per_second)), as_json)


def _iso_duration(count: int, per_second: int) -> str:
    if count == 0:
        return "P0D"
    seconds, rest = divmod(abs(count), per_second)
    fraction = f".{rest:0{len(str(per_second)) - 1}d}".rstrip("0") if rest else ""
    return f"{'-' if count < 0 else ''}PT{seconds}{fraction}S"


def _intervals(column: Any, as_json: bool) -> Any:
    return _quoted(_python_texts(column.to_pylist(), lambda value: _interval(*value)), as_json)


def _interval(months: int, days: int, nanoseconds: int) -> str:
    sign = "-" if nanoseconds < 0 else ""
    seconds, nanos = divmod(abs(nanoseconds), 10**9)
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    parts = [f"{months} mons"] * bool(months) + [f"{days} days"] * bool(days)
    parts += [f"{sign}{hours} hours"] * bool(hours) + [f"{sign}{minutes} mins"] * bool(minutes)
    parts += [f"{sign}{seconds}.{nanos:09d} secs"] * bool(seconds or nanos)
    return " ".join(parts)


def _binary(column: Any, as_json: bool) -> Any:
    return _quoted(_python_texts(column.to_pylist(), bytes.hex), as_json)


def _lists(column: Any, as_json: bool) -> Any:
    separator = "," if as_json else ", "
    lengths = pc.list_value_length(column).to_pylist()
    items = iter(_texts(pc.list_flatten(column), as_json).fill_null("null" if as_json else "").to_pylist())
    rows = [None if length is None else f"[{separator.join(next(items) for _ in range(length))}]" for length in lengths]
    return pa.array(rows, pa.string())


def _structs(column: Any, as_json: bool) -> Any:
    names = [field.name for field in column.type]
    fields = [_texts(field, as_json).to_pylist() for field in column.flatten()]
    rows = [
        _struct(names, values, as_json) if valid else None
        for valid, values in zip(column.is_valid().to_pylist(), _rows(fields, len(column)), strict=True)
    ]
    return pa.array(rows, pa.string())


def _struct(names: Sequence[str], values: Sequence[str | None], as_json: bool) -> str:
    pairs = zip(names, values, strict=True)
    if as_json:
        return "{" + ",".join(f"{orjson.dumps(name).decode()}:{text}" for name, text in pairs if text is not None) + "}"
    return "{" + ", ".join(f"{name}: {text or ''}" for name, text in pairs) + "}"


def _rows(columns: Sequence[Sequence[str | None]], count: int) -> list[tuple[str | None, ...]]:
    return list(zip(*columns, strict=True)) if columns else [()] * count


def _python_texts(values: Sequence[Any], spell: Callable[[Any], str]) -> Any:
    return pa.array([None if value is None else spell(value) for value in values], pa.string())


def _quoted(texts: Any, as_json: bool) -> Any:
    return pc.binary_join_element_wise('"', texts, '"', "") if as_json else texts


def _is_string(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: Any) -> bool:
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(is_binary or pa.types.is_binary_view(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_bare(kind: Any) -> bool:
    return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind))


_SPELLINGS: Sequence[tuple[Callable[[Any], bool], Callable[[Any, bool], Any]]] = (
    (pa.types.is_floating, _floats),
    (_is_string, _strings),
    (pa.types.is_timestamp, _timestamps),
    (_is_bare, _bare),
    (pa.types.is_dictionary, _dictionary),
    (pa.types.is_null, _nulls),
    (pa.types.is_time, _times),
    (pa.types.is_date64, _date64),
    (pa.types.is_duration, _durations),
    (pa.types.is_interval, _intervals),
    (_is_bytes, _binary),
    (_is_list, _lists),
    (pa.types.is_struct, _structs),
)

FORMATS = {
    "json": Format("application/json", _json),
    "jsonl": Format("application/jsonl", _jsonl),
    "csv": Format("text/csv", _csv),
    "pretty": Format("text/plain; charset=utf-8", _pretty),
    "parquet": Format("application/vnd.apache.parquet", _parquet),
}
FORMAT_NAMES = ("parquet", "csv", "pretty", "json", "json_lines", "jsonl")


def named_format(name: str) -> Format:
    return FORMATS["jsonl" if name == "json_lines" else name]
