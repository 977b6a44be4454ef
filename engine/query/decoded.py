"""Rows of stored files, decoded and numbered as rows in memory are: what statements wanted lately, for those that come next.

    file ─▶ row groups that can match ─▶ series and time of these, the fields that are asked for ─▶ pieces, used like chunks

D1  A piece is row groups of a file, all rows of them, each series' rows together in order of time; the pieces of a file hold
    every row that the bounds let through, and none twice.
D2  What is kept stays within a budget of bytes; what was asked for longest ago goes first, column by column.
D3  A statement that would take more than its share gets no more pieces: it reads the other files as they lie, so that one
    look at everything leaves in memory what the others want again and again.
D4  A series gets its number before a row with it is seen, so whoever asks which series match asks after the piece was made.

Held by tests/unit/engine/query/test_decoded.py (D1-D5) and tests/property/test_sql_against_duckdb.py (D1).
D5  A file is said to have none of some series only where another file with the same series was decoded, and has none.

Elsewhere: reading a file (files/access.py), what a scan does with pieces (scan.py), rows that are held since they were
written (view.py).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
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
from engine.files.manifest import DataFile
from engine.query.select import SeriesSet

#: all row groups of a file as one piece; others are called by their number
WHOLE = -1
#: the fields of row groups of fewer rows are read with their tags
_ALONG_ROWS = 100_000
#: numbers of series of files that are known beyond what is kept of these
_SERIES_KNOWN = 4_000_000
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
        #: the series of files by their digests
        self._series: OrderedDict[tuple[int, int, str], SeriesSet] = OrderedDict()
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

    def series_of(self, file: DataFile) -> SeriesSet | None:
        """All series in a file, where they are known."""
        return self._series.get((file.database_id, file.table_id, file.series)) if file.series else None

    def learn_series(self, file: DataFile, series: SeriesSet) -> None:
        key = file.database_id, file.table_id, file.series
        if key not in self._series:
            with self._lock:
                self._series[key] = series
                while sum(map(len, self._series.values())) > _SERIES_KNOWN:
                    self._series.popitem(last=False)

    def loading(self, path: str, unit: int) -> threading.Lock:
        """Held by whoever decodes columns of it: nobody does so twice."""
        return self._loading[hash((path, unit)) % _STRIPES]


class Piece:
    """Row groups of a file, as rows in memory. Nothing is read before it is asked for."""

    def __init__(self, table: "DecodedTable", held: HeldFile, footer: Footer, unit: int, names: Sequence[str]) -> None:
        """`names`: the fields that will be asked for."""
        self.table = table
        self.held = held
        self.footer = footer
        self.unit = unit
        self.names = names
        self._rows: pa.RecordBatch | None = None
        self.times = held.times if unit == WHOLE else TimeRange(*footer.times(unit))

    @property
    def rows(self) -> pa.RecordBatch:
        """Series and time; the same object for all who ask, as long as it is kept."""
        if self._rows is None:
            self._rows = self.table.numbered(self)  # no cached_property: its lock would be one for all pieces
        return self._rows

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

    def may_hold(self, files: Sequence[HeldFile], series: SeriesSet) -> list[HeldFile]:
        """The files in which one of the series may be (D5)."""
        known: dict[str, bool] = {}
        left: list[HeldFile] = []
        for held in files:
            digest = held.file.series
            if digest not in known:
                own = self._decoded.series_of(held.file)
                # of series that came later than `series` were looked for nobody knows whether they match
                is_judged = own is not None and own.of <= series.of
                known[digest] = own is None or not is_judged or _share_some(own, series)
            if known[digest]:
                left.append(held)
        return left

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
        return [Piece(self, held, footer, unit, wanted) for unit in units]

    def _units(self, held: HeldFile, footer: Footer, matching: Sequence[int], names: Collection[str]) -> Sequence[int]:
        """A file is read group by group, so that who wants a few rows waits for few. When all of it is kept and wanted, it is
        put together; but not text, since that of a whole file may be too much for one array."""
        count, path = len(footer.groups), held.file.path
        if not matching or count == 1 or held.file.rows > _WHOLE_ROWS or any(map(self._is_text, names)):
            return matching
        if self._decoded.has((path, WHOLE, "")):
            return [WHOLE]
        is_kept = 4 * len(matching) >= 3 * count and all(self._decoded.has((path, number, "")) for number in range(count))
        return [WHOLE] if is_kept else matching

    def _is_text(self, name: str) -> bool:
        return self.fields[name] == FieldType.STRING

    def numbered(self, piece: Piece) -> pa.RecordBatch:
        """Series and times of a piece."""
        held, key = piece.held, (piece.held.file.path, piece.unit, "")
        found = self._decoded.find(key)
        if found is None:
            with self._decoded.loading(held.file.path, piece.unit):
                found = self._decoded.find(key)
                if found is None:
                    parts = self._parts(piece, "")
                    found = self._decode(piece) if parts is None else pa.concat_batches(parts)
                    self._decoded.keep(key, found)
                    if held.file.series and (piece.unit == WHOLE or len(piece.footer.groups) == 1):
                        self._decoded.learn_series(held.file, SeriesSet(pc.unique(found.column(0)), len(self._index)))
        assert isinstance(found, pa.RecordBatch)
        return found

    def _decode(self, piece: Piece) -> pa.RecordBatch:
        """Series and times. The fields are wanted soon: where that costs little they are read along."""
        footer, unit, file = piece.footer, piece.unit, piece.held.file
        tags = [tag for tag in self._tags if tag in footer.names]
        along = piece.names if unit != WHOLE and footer.rows(unit) <= _ALONG_ROWS else ()
        read = self._decoded.access.columns(file, _groups(footer, unit), [*tags, TIME_COLUMN, *along])
        for name in along:
            self._decoded.keep((file.path, unit, name), _one(read.column(name)))
        return self._made(read, tags)

    def _parts(self, piece: Piece, name: str) -> list[Column] | None:
        """What is kept of the row groups of a whole file, if it is all; it is kept there no longer."""
        if piece.unit != WHOLE:
            return None
        keys = [(piece.held.file.path, number, name) for number in range(len(piece.footer.groups))]
        found = [column for key in keys if (column := self._decoded.find(key)) is not None]
        self._decoded.drop(keys)
        return found if len(found) == len(keys) else None

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

    def widened(self, piece: Piece, names: Sequence[str]) -> pa.RecordBatch:
        path, unit, rows = piece.held.file.path, piece.unit, piece.rows
        columns = {name: self._decoded.find((path, unit, name)) for name in names}
        if any(column is None for column in columns.values()):
            with self._decoded.loading(path, unit):
                columns = {name: self._decoded.find((path, unit, name)) for name in names}
                made = [name for name, column in columns.items() if column is None]
                for name in made:
                    parts = self._parts(piece, name)
                    columns[name] = None if parts is None else pa.concat_arrays(parts)
                missing = [name for name in made if columns[name] is None]
                if missing:
                    read = self._decoded.access.columns(piece.held.file, _groups(piece.footer, unit), missing)
                    columns |= {name: _one(read.column(name)) for name in missing}
                for name in made:
                    self._decoded.keep((path, unit, name), columns[name])
        arrays = [column for column in columns.values() if column is not None]
        fields = [pa.field(name, column.type) for name, column in zip(names, arrays, strict=True)]
        return pa.record_batch([*rows.columns, *arrays], schema=pa.schema([SERIES, TIME, *fields]))


def _share_some(one: SeriesSet, other: SeriesSet) -> bool:
    return bool(pc.any(pc.is_in(one.numbers, value_set=other.numbers), min_count=0).as_py())


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
