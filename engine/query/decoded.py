"""Rows of stored files, decoded and numbered as rows in memory are: what statements wanted lately, for those that come next.

    file ─▶ row groups that can match ─▶ series and time of these, the fields that are asked for ─▶ pieces, used like chunks

D1  A piece is row groups of a file, all rows of them, each series' rows together in order of time; the pieces of a file hold
    every row that the bounds let through, and none twice.
D2  What is kept stays within a budget of bytes; what was asked for longest ago goes first, column by column.
D3  A statement that would take more than its share gets no more pieces: it reads the other files as they lie, so that one
    look at everything leaves in memory what the others want again and again.
D4  A series gets its number before a row with it is seen, so whoever asks which series match asks after the piece was made.

Held by tests/unit/engine/query/test_decoded.py (D1-D4) and tests/property/test_sql_against_duckdb.py (D1).
Elsewhere: reading a file (files/access.py), what a scan does with pieces (scan.py), rows that are held since they were
written (view.py).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from catalog.names import TIME_COLUMN
from catalog.schema import FieldType, Table
from engine._native import SeriesIndex
from engine.batch import SERIES, TIME, int32_array
from engine.buffer.rows import HeldFile, TimeRange
from engine.files.access import FileAccess
from engine.files.footers import Bounds, Footer

#: all row groups of a file as one piece; others are called by their number
WHOLE = -1
#: the fields of row groups of fewer rows are read with their tags
_ALONG_ROWS = 100_000
#: files of more rows are never one piece
_WHOLE_ROWS = 4_000_000
_ROW_BYTES = 12  # series and time
_TEXT_BYTES = 32  # a guess
_STRIPES = 64

Column: TypeAlias = pa.Array | pa.RecordBatch
#: path, row group or WHOLE, name of a field; "" is series and time together
Key = tuple[str, int, str]


class Share:
    """What one scan may have decoded and kept for it, of rows that it has not paid for yet."""

    def __init__(self, byte_count: int) -> None:
        self._left = byte_count

    def take(self, byte_count: int) -> bool:
        if byte_count > self._left:
            self._left = 0
        else:
            self._left -= byte_count
        return self._left > 0


class Decoded:
    """The columns of all tables' pieces. `grown` is told how many bytes there are, now and then when these became more."""

    def __init__(self, access: FileAccess, budget_bytes: int, grown: Callable[[int], None] = lambda _: None) -> None:
        self.access = access
        self.budget_bytes = budget_bytes
        self._grown = grown
        self._told_bytes = 0
        self._kept: OrderedDict[Key, Column] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = [threading.Lock() for _ in range(_STRIPES)]
        self.byte_count = 0

    def share(self) -> Share:
        return Share(self.budget_bytes // 2)

    def of_table(self, table: Table, index: SeriesIndex, lock: threading.Lock) -> "DecodedTable":
        """`lock`: held by whoever adds series to the index."""
        return DecodedTable(self, table, index, lock)

    def find(self, key: Key) -> Column | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def has(self, key: Key) -> bool:
        return key in self._kept

    def keep(self, key: Key, column: Column) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = column
            self.byte_count += column.get_total_buffer_size()
            while self.byte_count > self.budget_bytes and self._kept:
                _, dropped = self._kept.popitem(last=False)
                self.byte_count -= dropped.get_total_buffer_size()
            has_grown = self.byte_count > self._told_bytes + self.budget_bytes // 64
            if has_grown or self.byte_count < self._told_bytes:
                self._told_bytes = self.byte_count
        if has_grown:
            self._grown(self.byte_count)

    def drop(self, keys: Iterable[Key]) -> None:
        with self._lock:
            for key in keys:
                dropped = self._kept.pop(key, None)
                if dropped is not None:
                    self.byte_count -= dropped.get_total_buffer_size()

    def loading(self, path: str, unit: int) -> threading.Lock:
        """Held by whoever decodes columns of it: nobody does so twice."""
        return self._loading[hash((path, unit)) % _STRIPES]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Row groups of a file, as rows in memory. `rows` has series and time, and is the same object as long as it is kept."""

    held: HeldFile
    times: TimeRange
    rows: pa.RecordBatch
    unit: int
    footer: Footer
    table: "DecodedTable"

    def with_fields(self, names: Collection[str]) -> pa.RecordBatch:
        """Series, time, and those of the fields that the file has."""
        wanted = [name for name in names if name in self.table.fields and name in self.footer.names]
        return self.table.widened(self, wanted) if wanted else self.rows


class DecodedTable:
    def __init__(self, decoded: Decoded, table: Table, index: SeriesIndex, lock: threading.Lock) -> None:
        self._decoded = decoded
        self._tags = table.tags
        self._index = index
        self._lock = lock
        self.fields = table.fields

    def share(self) -> Share:
        return self._decoded.share()

    def pieces(self, held: HeldFile, bounds: Bounds, names: Collection[str], share: Share) -> list[Piece] | None:
        """The rows of a file that the bounds let through, with others (D1); None when the share does not last (D3)."""
        if not self._decoded.budget_bytes:
            return None
        footer = self._decoded.access.footer(held.file)
        matching = footer.matching(bounds)
        wanted = [name for name in names if name in self.fields and name in footer.names]
        units = self._units(held, footer, matching, wanted)
        row_bytes = _ROW_BYTES + sum(_TEXT_BYTES if self._is_text(name) else 8 for name in wanted)
        if not share.take(row_bytes * sum(footer.rows(unit) if unit != WHOLE else held.file.rows for unit in units)):
            return None
        return [self._piece(held, footer, unit, wanted) for unit in units]

    def _units(self, held: HeldFile, footer: Footer, matching: Sequence[int], names: Collection[str]) -> Sequence[int]:
        """Group by group where few are wanted; text always, since that of a whole file may be too much for one array."""
        count, path = len(footer.groups), held.file.path
        if not matching or count == 1 or held.file.rows > _WHOLE_ROWS or any(map(self._is_text, names)):
            return matching
        if self._decoded.has((path, WHOLE, "")):
            return [WHOLE]
        kept = [number for number in range(count) if self._decoded.has((path, number, ""))]
        return matching if 4 * len({*matching, *kept}) < 3 * count else [WHOLE]

    def _is_text(self, name: str) -> bool:
        return self.fields[name] == FieldType.STRING

    def _piece(self, held: HeldFile, footer: Footer, unit: int, names: Sequence[str]) -> Piece:
        times = held.times if unit == WHOLE else TimeRange(*footer.times(unit))
        return Piece(held, times, self._numbered(held, footer, unit, names), unit, footer, self)

    def _numbered(self, held: HeldFile, footer: Footer, unit: int, names: Sequence[str]) -> pa.RecordBatch:
        """Series and times of a piece. Its fields are wanted soon: where that costs little they are read along."""
        path, key = held.file.path, (held.file.path, unit, "")
        found = self._decoded.find(key)
        if found is None:
            with self._decoded.loading(path, unit):
                found = self._decoded.find(key)
                if found is None:
                    tags = [tag for tag in self._tags if tag in footer.names]
                    along = names if unit != WHOLE and footer.rows(unit) <= _ALONG_ROWS else ()
                    read = self._decoded.access.columns(held.file, _groups(footer, unit), [*tags, TIME_COLUMN, *along])
                    found = self._made(read, tags)
                    for name in along:
                        self._decoded.keep((path, unit, name), _one(read.column(name)))
                    if unit == WHOLE:
                        self._forget_groups(path, footer)
                    self._decoded.keep(key, found)
        assert isinstance(found, pa.RecordBatch)
        return found

    def _made(self, read: pa.Table, tags: Sequence[str]) -> pa.RecordBatch:
        """Series numbers and times of rows in the order of files."""
        columns = {tag: _one(read.column(tag).unify_dictionaries()) for tag in tags}
        starts = _changes(list(columns.values()), read.num_rows)
        firsts = [columns[tag].take(starts) if tag in columns else None for tag in self._tags]
        firsts += [None] * (self._index.tag_count - len(self._tags))  # a tag may have been added since
        with self._lock:
            numbers = int32_array(self._index.resolve(firsts, len(starts)))
        ends = pa.concat_arrays([starts[1:], pa.array([read.num_rows][: len(starts)], pa.int32())])
        series = pc.run_end_decode(pa.RunEndEncodedArray.from_arrays(ends, numbers))
        return pa.record_batch([series, _one(read.column(TIME_COLUMN))], schema=pa.schema([SERIES, TIME]))

    def _forget_groups(self, path: str, footer: Footer) -> None:
        names = ["", *self.fields]
        self._decoded.drop((path, number, name) for number in range(len(footer.groups)) for name in names)

    def widened(self, piece: Piece, names: Sequence[str]) -> pa.RecordBatch:
        path, unit = piece.held.file.path, piece.unit
        columns = {name: self._decoded.find((path, unit, name)) for name in names}
        if any(column is None for column in columns.values()):
            with self._decoded.loading(path, unit):
                columns = {name: self._decoded.find((path, unit, name)) for name in names}
                missing = [name for name, column in columns.items() if column is None]
                if missing:
                    read = self._decoded.access.columns(piece.held.file, _groups(piece.footer, unit), missing)
                    columns |= {name: _one(read.column(name)) for name in missing}
                for name in missing:
                    self._decoded.keep((path, unit, name), columns[name])
        arrays = [column for column in columns.values() if column is not None]
        fields = [pa.field(name, column.type) for name, column in zip(names, arrays, strict=True)]
        return pa.record_batch([*piece.rows.columns, *arrays], schema=pa.schema([SERIES, TIME, *fields]))


def _groups(footer: Footer, unit: int) -> Sequence[int]:
    return range(len(footer.groups)) if unit == WHOLE else [unit]


def _changes(columns: Sequence[pa.DictionaryArray], rows: int) -> pa.Int32Array:
    """Where rows begin whose tags differ from those of the row before; the first row is one."""
    changes: pa.BooleanArray | None = None
    for column in columns:
        codes = column.indices.fill_null(-1) if column.null_count else column.indices
        here = pc.not_equal(codes[1:], codes[:-1])
        changes = here if changes is None else pc.or_(changes, here)
    first = pa.array([0][:rows], pa.int32())
    if changes is None:
        return first
    return pa.concat_arrays([first, pc.add(pc.indices_nonzero(changes).cast(pa.int32()), pa.scalar(1, pa.int32()))])


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
