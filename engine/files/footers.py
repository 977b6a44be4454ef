"""What is known of a file before its rows are read: its footer, kept for a while, and what it says of each row group.

K1  A row group is left out only when its statistics rule out every row that the bounds let through. Where they say nothing, it
    is read.
K2  What is kept stays within a budget of bytes; whoever was asked for longest ago goes first.

Held by tests/unit/engine/test_file_footers.py (K1, K2).
Elsewhere: whether a footer is the one that was written (parquet.py, access.py).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pyarrow.parquet as pq

BUDGET_BYTES = 64 << 20
#: what a decoded footer takes in memory, as a multiple of its bytes in the file
_DECODED = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times from first to last, and for some tags the values that are wanted; None among them is no value."""

    first_ns: int = -(2**63)
    last_ns: int = 2**63 - 1
    tags: Mapping[str, frozenset[str | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Span:
    """A column of a row group: its smallest and largest value, None where these are unknown, and whether it may have nulls."""

    low: str | int | None
    high: str | int | None
    has_nulls: bool


@dataclass(frozen=True, slots=True)
class Footer:
    metadata: pq.FileMetaData
    groups: tuple[Mapping[str, Span], ...]
    byte_count: int
    #: of all columns
    names: frozenset[str]

    def matching(self, bounds: Bounds) -> list[int]:
        return [number for number, group in enumerate(self.groups) if _can_match(group, bounds)]

    def rows(self, number: int) -> int:
        return int(self.metadata.row_group(number).num_rows)

    def times(self, number: int) -> tuple[int, int]:
        """The first and the last time in a row group; all times where it does not say."""
        match self.groups[number].get("time"):
            case Span(int(low), int(high)):
                return low, high
        return Bounds().first_ns, Bounds().last_ns


class Footers:
    """The footers of files that were read lately. Files never change, so what is kept under a path stays true."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[str, Footer] = OrderedDict()
        self._lock = threading.Lock()
        self.byte_count = 0

    def find(self, path: str) -> Footer | None:
        with self._lock:
            found = self._kept.get(path)
            if found is not None:
                self._kept.move_to_end(path)
            return found

    def of(self, path: str, read: Callable[[], pq.FileMetaData]) -> Footer:
        found = self.find(path)
        if found is not None:
            return found
        footer = _described(read())
        with self._lock:
            self._drop(path)
            self._kept[path] = footer
            self.byte_count += footer.byte_count
            while self.byte_count > self._budget_bytes and len(self._kept) > 1:
                self._drop(next(iter(self._kept)))
        return footer

    def forget(self, path: str) -> None:
        with self._lock:
            self._drop(path)

    def _drop(self, path: str) -> None:
        dropped = self._kept.pop(path, None)
        if dropped is not None:
            self.byte_count -= dropped.byte_count


def _described(metadata: pq.FileMetaData) -> Footer:
    """With the spans of `time` and of text, which is what tags are."""
    columns = [
        (at, column.name)
        for at in range(metadata.num_columns)
        if (column := metadata.schema.column(at)).name == "time" or column.physical_type == "BYTE_ARRAY"
    ]
    groups = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        groups.append({name: _span(group.column(at), raw=name == "time") for at, name in columns})
    names = frozenset(metadata.schema.column(at).name for at in range(metadata.num_columns))
    return Footer(metadata, tuple(groups), metadata.serialized_size * _DECODED, names)


def _span(column: pq.ColumnChunkMetaData, *, raw: bool) -> Span:
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        all_null = statistics is not None and statistics.has_null_count and statistics.num_values == 0
        return Span("", "", True) if all_null else Span(None, None, True)
    low, high = (statistics.min_raw, statistics.max_raw) if raw else (statistics.min, statistics.max)
    return Span(low, high, not statistics.has_null_count or statistics.null_count > 0)


def _can_match(group: Mapping[str, Span], bounds: Bounds) -> bool:
    match group.get("time"):
        case Span(int(low), int(high)) if high < bounds.first_ns or bounds.last_ns < low:
            return False
    return all(_has_one_of(group.get(tag), values) for tag, values in bounds.tags.items())


def _has_one_of(span: Span | None, values: frozenset[str | None]) -> bool:
    if span is None:  # a file from before the tag: null in all rows
        return None in values
    if not isinstance(span.low, str) or not isinstance(span.high, str):
        return True
    low, high = span.low, span.high
    return any(span.has_nulls if value is None else low <= value <= high for value in values)
