"""An aggregate by bins of time and tags, computed from the rows of one table when its plan runs (shapes/folding.py says when).

    chunks and files that can match ─▶ ranges of series and times ─▶ Fold: stretches of one bin, added up, on several threads
      ─▶ cells ─▶ columns of the aggregate

F1  The batches are the aggregate of exactly the rows that the predicate lets through, of the ReadView that the table has.
F2  Work ends with the statement's flag, within a chunk or a file.
F3  Cells, and values of tags that are not known yet, take no more memory than they may: what would need more is TooMuchMemory.

Held by tests/unit/engine/query/shapes/test_folding.py (F1, F2), tests/property/test_sql_against_duckdb.py (F1) and
tests/integration/engine/test_query_limits.py (F3).
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial

import pyarrow as pa
import pyarrow.compute as pc

from catalog.names import TIME_COLUMN
from catalog.schema import FieldType
from engine._native import Fold
from engine.batch import int32_array, series_buffer, time_buffer
from engine.buffer.rows import HeldFile
from engine.query.decoded import Piece
from engine.query.limits import TooMuchMemory
from engine.query.scan import Rows, Scan, is_grouped, with_fields
from engine.query.shapes.folding import Folding
from engine.query.stop import Stop

#: of a key, for each tag
_BITS = 21
#: fewer rows are folded by the thread that asks
_ROWS_PER_THREAD = 100_000
#: of a cell and each of its values in engine/native/fold.cpp, and of the columns made of them
_CELL_BYTES, _VALUE_BYTES = 80, 100

Work = tuple[int, Callable[[Fold], None]]
"""So many rows, and what adds them up."""


def cells_in(room_bytes: int, folding: Folding) -> int:
    """How many groups and bins may have rows."""
    return room_bytes // (_CELL_BYTES + _VALUE_BYTES * len(folding.measures))


def folded_rows(
    folding: Folding, scan: Callable[[], Scan], stop: Stop, threads: int, room_bytes: int, schema: pa.Schema
) -> pa.RecordBatch:
    return _Folder(folding, scan(), stop, threads, room_bytes).result(schema)


class _Folder:
    """One computation: its groups are numbers made of the codes of tag values, null being 0."""

    def __init__(self, folding: Folding, scan: Scan, stop: Stop, threads: int, room_bytes: int) -> None:
        self._folding = folding
        self._tags = folding.tags
        self._scan = scan
        self._stop = stop
        self._threads = threads
        self._room_bytes = room_bytes
        fields = scan.table.fields
        wanted = dict.fromkeys(measure.column for measure in folding.measures if measure.column is not None)
        self._columns = list(wanted)
        self._kinds = [_kind(fields.get(name, FieldType.INTEGER)) for name in self._columns]
        self._times = scan.predicate.times
        bin = folding.bin
        self._bins = (0, 0) if bin is None else (bin.origin_ns, bin.width_ns)
        self._values: list[pa.StringArray] = []
        self._lock = threading.Lock()

    def result(self, schema: pa.Schema) -> pa.RecordBatch:
        works = [work for chunk in self._scan.chunks for work in self._of_chunk(chunk)]
        works += [work for held in self._scan.files for work in self._of_file(held)]
        index, tags = self._scan.index, self._scan.table.tags
        # only now: whatever has a code by then has a value
        self._values = [pa.array(index.values(tags.index(tag))) for tag in self._tags]
        return self._made(self._run(works), schema)

    def _run(self, works: Sequence[Work]) -> Fold:
        rows = sum(rows for rows, _ in works)
        count = max(1, min(self._threads, len(works), rows // _ROWS_PER_THREAD))
        cells_max = cells_in(self._room_bytes, self._folding)
        folds = [Fold(self._kinds, cells_max // count) for _ in range(count)]

        def do(number: int) -> None:
            for _, work in works[number::count]:
                self._stop.check()
                try:
                    work(folds[number])
                except MemoryError:
                    raise TooMuchMemory(self._room_bytes, is_beside_the_pool=True) from None

        if count == 1:
            do(0)
        else:
            with ThreadPoolExecutor(count, thread_name_prefix="fold") as pool:
                list(pool.map(do, range(count)))
        while len(folds) > 1:
            folds[0].merge(folds.pop())
        return folds[0]

    # rows in memory: codes are series numbers

    @cached_property
    def _series_keys(self) -> pa.Buffer:
        """The key of each series."""
        return _longs(self._keys_of(None, len(self._scan.index)))

    def _keys_of(self, series: pa.Int32Array | None, count: int) -> pa.Int64Array:
        index, tags = self._scan.index, self._scan.table.tags
        keys = pa.repeat(pa.scalar(0, pa.int64()), count)
        for at, tag in enumerate(self._tags):
            codes = index.codes(tags.index(tag)) if series is None else index.codes(tags.index(tag), _numbers(series))
            keys = _with_code(keys, pc.add(int32_array(codes)[:count], 1), at)
        return keys

    def _of_chunk(self, chunk: Rows) -> list[Work]:
        if not is_grouped(chunk) and self._scan.series is None:
            return [self._of_rows(with_fields(chunk, self._columns), chunk)]
        # what a piece lacks is decoded by whoever adds it up
        ranges = self._scan.ranges(chunk, () if isinstance(chunk, Piece) else self._columns).in_place()
        if not len(ranges.begins):
            return []
        numbers = ranges.batch.column(0).take(ranges.begins) if self._tags else None
        keys = self._keys_of(numbers, len(ranges.begins))
        times = time_buffer(ranges.batch)
        self._scan.counted(chunk, ranges.row_count)

        def work(fold: Fold, at: int, count: int) -> None:
            rows = chunk.with_fields(self._columns) if isinstance(chunk, Piece) else ranges.batch
            columns = [self._column(rows, name) for name in self._columns]
            fold.add(
                None,
                _longs(keys.slice(at, count)),
                times,
                *self._range,
                *self._bins,
                columns,
                _numbers(ranges.begins.slice(at, count)),
                _numbers(ranges.ends.slice(at, count)),
            )

        pieces = 1 if ranges.row_count < _ROWS_PER_THREAD else self._threads
        step = -(-len(ranges.begins) // pieces)
        return [(ranges.row_count // pieces, partial(work, at=at, count=step)) for at in range(0, len(ranges.begins), step)]

    def _of_rows(self, rows: pa.RecordBatch, chunk: Rows) -> Work:
        """Rows in order of arrival, of all series."""
        columns, keys = [self._column(rows, name) for name in self._columns], self._series_keys
        self._scan.counted(chunk, rows.num_rows)

        def work(fold: Fold) -> None:
            fold.add(series_buffer(rows), keys, time_buffer(rows), *self._range, *self._bins, columns)

        return rows.num_rows, work

    @property
    def _range(self) -> tuple[int, int]:
        return self._times.start_ns, self._times.end_ns

    def _column(self, rows: pa.RecordBatch, name: str) -> tuple[pa.Buffer | None, pa.Buffer | None, int]:
        at = 1 if name == TIME_COLUMN else rows.schema.get_field_index(name)
        if at < 0:  # rows from before the column
            return _longs(pa.nulls(rows.num_rows, pa.int64()).fill_null(0)), pa.py_buffer(bytes((rows.num_rows + 7) // 8)), 0
        return _arrow_column(rows.column(at), counted_only=self._kinds[self._columns.index(name)] == 0)

    # files: codes are places in the dictionary of a batch's tags

    def _of_file(self, held: HeldFile) -> list[Work]:
        pieces = self._scan.pieces(held, self._columns)
        if pieces is not None:
            return [work for piece in pieces for work in self._of_chunk(piece)]

        def work(fold: Fold) -> None:
            columns = list(dict.fromkeys([*self._tags, TIME_COLUMN, *self._columns]))
            for batch in self._scan.stored(held, columns, None):
                self._stop.check()
                self._scan.report.counted(held, batch.num_rows)
                if batch.num_rows:
                    self._fold_batch(fold, batch)

        return [(held.file.rows, work)]

    def _fold_batch(self, fold: Fold, batch: pa.RecordBatch) -> None:
        keys = pa.nulls(batch.num_rows, pa.int64()).fill_null(0)
        for at, tag in enumerate(self._tags):
            column = batch.column(tag)
            codes = self._codes_of(at, column.dictionary).take(column.indices).fill_null(0)
            keys = _with_code(keys, codes, at)
        encoded = keys.dictionary_encode()
        times = batch.column(TIME_COLUMN)
        columns = [
            _arrow_column(batch.column(name), counted_only=kind == 0)
            for name, kind in zip(self._columns, self._kinds, strict=True)
        ]
        fold.add(_numbers(encoded.indices), _longs(encoded.dictionary), _longs(times), *self._range, *self._bins, columns)

    def _codes_of(self, at: int, values: pa.StringArray) -> pa.Int32Array:
        """The codes of a tag's values, from 1 on; values that are new get the next ones."""
        with self._lock:
            found = pc.index_in(values, value_set=self._values[at])
            if found.null_count:
                new = values.filter(found.is_null()).drop_null()
                self._values[at] = pa.concat_arrays([self._values[at], new])
                if self._values[at].nbytes > self._room_bytes:
                    raise TooMuchMemory(self._room_bytes, is_beside_the_pool=True)
                found = pc.index_in(values, value_set=self._values[at])
        return pc.add(found, pa.scalar(1, pa.int32()))

    # the outcome

    def _made(self, fold: Fold, schema: pa.Schema) -> pa.RecordBatch:
        keys = [self._tags.index(key) if isinstance(key, str) else -1 for key in self._folding.keys]
        numbers = {name: number for number, name in enumerate(self._columns)}
        measures = [
            (measure.function, -1 if measure.column is None else numbers[measure.column]) for measure in self._folding.measures
        ]
        count, columns = fold.outcome(keys, *self._bins, measures)
        if count == 0 and not keys:
            values = [0 if measure.function == "count" else None for measure in self._folding.measures]
            return pa.record_batch(
                [pa.array([value], kind) for value, kind in zip(values, schema.types, strict=True)], schema=schema
            )
        kinds = [_CODE if key >= 0 else _TIME for key in keys] + [self._kind_of(*measure) for measure in measures]
        arrays = [_array(kind, count, *column) for kind, column in zip(kinds, columns, strict=True)]
        for at, key in enumerate(keys):
            if key >= 0:
                arrays[at] = pa.DictionaryArray.from_arrays(arrays[at], self._values[key], safe=False)
        return pa.RecordBatch.from_arrays(
            [array if array.type == kind else array.cast(kind) for array, kind in zip(arrays, schema.types, strict=True)],
            schema=schema,
        )

    def _kind_of(self, function: str, column: int) -> pa.DataType:
        """Of a measure's values, as they are added up."""
        if function == "count":
            return pa.int64()
        return pa.float64() if function == "avg" else _KINDS[self._kinds[column]]


def _kind(field: FieldType) -> int:
    return int(field) if field in (FieldType.FLOAT, FieldType.INTEGER, FieldType.UINTEGER) else 0


_KINDS: Mapping[int, pa.DataType] = {
    FieldType.FLOAT: pa.float64(),
    FieldType.INTEGER: pa.int64(),
    FieldType.UINTEGER: pa.uint64(),
}
_CODE, _TIME = pa.int32(), pa.timestamp("ns")


def _with_code(keys: pa.Int64Array, codes: pa.Int32Array, at: int) -> pa.Int64Array:
    return pc.bit_wise_or(keys, pc.shift_left(codes.cast(pa.int64()), at * _BITS))


def _arrow_column(column: pa.Array, *, counted_only: bool) -> tuple[pa.Buffer | None, pa.Buffer | None, int]:
    validity = column.buffers()[0] if column.null_count else None
    return None if counted_only else _longs(column), validity, column.offset


def _longs(column: pa.Array) -> pa.Buffer:
    """The values of a column of 8 bytes each, cut to its rows."""
    return column.buffers()[1].slice(column.offset * 8, len(column) * 8)


def _numbers(column: pa.Int32Array) -> pa.Buffer:
    return column.buffers()[1].slice(column.offset * 4, len(column) * 4)


def _array(kind: pa.DataType, count: int, validity: bytes | None, values: bytes, nulls: int) -> pa.Array:
    bitmap = None if validity is None else pa.py_buffer(validity)
    return pa.Array.from_buffers(kind, count, [bitmap, pa.py_buffer(values)], nulls)
