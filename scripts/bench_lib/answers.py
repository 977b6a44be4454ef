"""Is it the same answer? Tables from Flight, DuckDB, JSON rows, InfluxQL and MetricsQL, compared with what DuckDB says.

C1  Rows are compared sorted, whole: every column that the other answer has, floats to nine digits. Another number of rows, a
    column without counterpart in a Flightline answer, or one differing value is said, with the first place where it differs.
C2  A peer may know fewer columns (a MetricsQL answer has no time of its own); those it knows must be right.

Held by tests/bench/test_answers.py.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

OK = "ok"
RELATIVE = 1e-9
Row = Mapping[str, Any]


def load_table(path: Path) -> pa.Table:
    with pa.memory_map(str(path.with_suffix(".arrow"))) as file:
        return plain(pa.ipc.open_file(file).read_all())


def plain(table: pa.Table) -> pa.Table:
    """Text, 64-bit integers, floats and nanoseconds, whatever a system calls them."""

    def kind(column: pa.Field) -> pa.DataType:
        if pa.types.is_timestamp(column.type):
            return pa.timestamp("ns")
        if pa.types.is_integer(column.type):
            return pa.int64()
        if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
            return pa.float64()
        return pa.string()

    return table.cast(pa.schema([pa.field(column.name, kind(column)) for column in table.schema]))


def compared(found: pa.Table, expected: pa.Table, *, whole: bool = True) -> str:
    """OK, or what is different. Both as `plain` makes them."""
    names = [name for name in expected.schema.names if name in found.schema.names]
    if whole and (len(names) != expected.num_columns or len(names) != found.num_columns):
        return f"WRONG: columns {', '.join(found.schema.names)}, not {', '.join(expected.schema.names)}"
    if found.num_rows != expected.num_rows:
        return f"WRONG: {found.num_rows:,} rows, not {expected.num_rows:,}"
    if not names:
        return "WRONG: no column of the answer is known"
    kinds = {name: expected.schema.field(name).type for name in names}
    if any(pa.types.is_floating(found.schema.field(name).type) for name in names):
        kinds |= {name: pa.float64() for name in names if pa.types.is_floating(found.schema.field(name).type)}
    order = [(name, "ascending") for name in sorted(names, key=lambda name: pa.types.is_floating(kinds[name]))]
    mine, theirs = (
        pa.table({name: table.column(name).cast(kinds[name]) for name in names}).sort_by(order) for table in (found, expected)
    )
    for name in names:
        difference = _difference(mine.column(name), theirs.column(name))
        if difference is not None:
            one, other = (table.column(name)[difference].as_py() for table in (mine, theirs))
            return f"WRONG: {name} is {one}, not {other}, in row {difference:,}"
    return OK


def _difference(found: pa.ChunkedArray, expected: pa.ChunkedArray) -> int | None:
    """The first place in which two columns differ."""
    if pa.types.is_floating(found.type):
        one, other = (column.to_numpy() for column in (found, expected))
        same = np.isclose(one, other, rtol=RELATIVE, atol=0, equal_nan=True)
    else:
        both_null = pc.and_(pc.is_null(found), pc.is_null(expected))
        same = pc.or_(pc.fill_null(pc.equal(found, expected), False), both_null).to_numpy()
    places = np.flatnonzero(~same)
    return int(places[0]) if len(places) else None


def table_of(rows: Sequence[Row], expected: pa.Schema) -> pa.Table:
    """Rows of JSON as the expected columns that any of them has; integers where text or floats stand for them."""
    if not rows:
        return expected.empty_table()
    known = [column for column in expected if any(column.name in row for row in rows)]
    return pa.table({column.name: _array([row.get(column.name) for row in rows], column.type) for column in known})


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind) and any(isinstance(value, int) for value in values):
        return pa.array(values, pa.int64()).cast(kind)
    if pa.types.is_integer(kind) and any(isinstance(value, float) for value in values):
        return pa.array(values, pa.float64())
    return pa.array(values, pa.string() if pa.types.is_timestamp(kind) else None).cast(kind)


def from_json(body: bytes, expected: pa.Schema, bucket_ns: int) -> pa.Table:
    rows: list[Row] = json.loads(body)
    extra = {name for row in rows[:1] for name in row} - set(expected.names)
    if extra:
        return pa.table({name: [None] for name in extra})
    return table_of(rows, expected)


def from_influxql(body: bytes, expected: pa.Schema, bucket_ns: int) -> pa.Table:
    """`time` goes by the name that the first time has in the expected answer; where it is 0 there is none."""
    times = [column.name for column in expected if pa.types.is_timestamp(column.type)]
    rows = []
    for series in json.loads(body)["results"][0].get("series", ()):
        timeless = not times or all(values[0] == 0 for values in series["values"])
        names = [("" if timeless else times[0]) if name == "time" else name for name in series["columns"]]
        if names == ["key", "value"]:  # SHOW TAG VALUES
            names = ["key", expected.names[0]]
        rows += [{**series.get("tags", {}), **dict(zip(names, values, strict=True))} for values in series["values"]]
    return table_of(rows, expected)


def from_metricsql(body: bytes, expected: pa.Schema, bucket_ns: int) -> pa.Table:
    """One row for each set of labels and moment, a column for each metric."""
    data = json.loads(body)["data"]
    if isinstance(data, list):  # the values of a label
        return table_of([{expected.names[0]: value} for value in data], expected)
    times = [column.name for column in expected if pa.types.is_timestamp(column.type)]
    rows: dict[tuple[object, ...], dict[str, object]] = {}
    for series in data["result"]:
        labels = dict(series["metric"])
        name = labels.pop("__name__", "").removeprefix("cpu_")
        for moment, value in series.get("values") or [series["value"]]:
            row = rows.setdefault((*sorted(labels.items()), moment), dict(labels))
            row[name] = float(value)
            if bucket_ns and times:
                row[times[0]] = round((moment + 0.001) * 1000) * 1_000_000 - bucket_ns
    return table_of(list(rows.values()), expected)


READERS: dict[str, Callable[[bytes, pa.Schema, int], pa.Table]] = {
    "json": from_json,
    "influxql": from_influxql,
    "metricsql": from_metricsql,
}


def verdict(answer: Path, language: str, expected: Path, bucket_ns: int) -> str:
    """What is to be said about a kept answer; `language` is arrow or one of READERS."""
    if not expected.with_suffix(".arrow").exists():
        return "not compared"
    wanted = load_table(expected)
    if language == "arrow":
        return compared(load_table(answer), wanted)
    found = READERS[language](answer.with_suffix(".json").read_bytes(), wanted.schema, bucket_ns)
    return compared(found, wanted, whole=language == "json")
