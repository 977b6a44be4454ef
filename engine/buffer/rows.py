"""One table's rows as values: what has arrived, what is sorted, what lies in files.

    open   batches in order of arrival, as the log stored them
    runs   sorted by (series, time); made from open batches, not yet in a file
    files  stored; the rows of recent ones are kept in memory too, sorted, until the budget wants them back

B3  Rows of runs and files never share a key (series, time). Only open batches may repeat a key, their own or an older one,
    and then the batch says in which range of time (`late`). A file that cannot be read is left as it is; what repeats a key
    of it comes to lie beside it.
B6  Rows before `floor_ns` have expired: no reader shows them. Where it is None, nothing in the table is that old.
B4  Every durable row is in exactly one of open, runs and files.
B5  Values are replaced, never changed: a reader keeps what it holds.

Held by tests/unit/engine/test_table_rows.py (B3-B6), tests/property/test_rows_model.py.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import pyarrow as pa
import pyarrow.compute as pc

from engine.batch import concatenated, size_of
from engine.files.manifest import DataFile
from engine.merge import FIRST_FIELD, merged_parts

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Both ends belong to it."""

    start_ns: int
    end_ns: int

    def overlaps(self, other: "TimeRange") -> bool:
        return self.start_ns <= other.end_ns and other.start_ns <= self.end_ns

    def union(self, other: "TimeRange | None") -> "TimeRange":
        if other is None:
            return self
        return TimeRange(min(self.start_ns, other.start_ns), max(self.end_ns, other.end_ns))


@dataclass(frozen=True, slots=True)
class OpenBatch:
    rows: pa.RecordBatch
    times: TimeRange
    late: TimeRange | None


@dataclass(frozen=True, slots=True)
class Run:
    """Sorted rows, each key once. `absorbed`: earlier runs that went into it; `replaces`: files that did."""

    rows: pa.RecordBatch
    times: TimeRange
    absorbed: frozenset[int] = frozenset()
    replaces: frozenset[str] = frozenset()
    number: int = field(default_factory=lambda: next(_numbers))


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A stored file, and its rows while they are kept in memory (sorted by series rank and time)."""

    file: DataFile
    rows: pa.RecordBatch | None = None

    @property
    def times(self) -> TimeRange:
        return TimeRange(self.file.time_min_ns, self.file.time_max_ns)


@dataclass(frozen=True, slots=True)
class TableData:
    """All rows of one table that a reader may see."""

    open: tuple[OpenBatch, ...] = ()
    runs: tuple[Run, ...] = ()
    files: tuple[HeldFile, ...] = ()
    #: so many of the open batches are being sealed and must stay as they are
    fenced: int = 0
    #: what a reader may see begins here (B6)
    floor_ns: int | None = None

    @property
    def unsettled_rows(self) -> int:
        return int(sum(batch.rows.num_rows for batch in self.open) + sum(run.rows.num_rows for run in self.runs))

    @property
    def unsettled_bytes(self) -> int:
        return sum(size_of(batch.rows) for batch in self.open) + sum(size_of(run.rows) for run in self.runs)

    @property
    def held_bytes(self) -> int:
        return sum(size_of(held.rows) for held in self.files if held.rows is not None)

    @property
    def late(self) -> TimeRange | None:
        """The range in which open batches may repeat a key."""
        found: TimeRange | None = None
        for batch in self.open:
            if batch.late is not None:
                found = batch.late.union(found)
        return found

    def with_batch(self, batch: OpenBatch) -> "TableData":
        """One more batch; eight small neighbours of like size become one, so that many small writes stay few batches."""
        batches = [*self.open, batch]
        while (few := _to_join(batches, self.fenced)) is not None:
            batches[few:] = [_joined(batches[few:])]
        return replace(self, open=tuple(batches))

    def settled(self, written: Sequence[tuple[Iterable[Run], HeldFile]], removed: frozenset[str]) -> "TableData":
        """Runs have become files. A run that went into another meanwhile leaves its file hidden behind that one."""
        runs, files = list(self.runs), [held for held in self.files if held.file.path not in removed]
        for sources, held in written:
            heirs = {at for source in sources for at, run in enumerate(runs) if source.number in run.absorbed}
            for at in heirs:
                runs[at] = replace(runs[at], replaces=runs[at].replaces | {held.file.path})
            files.append(held)
        gone = {source.number for sources, _ in written for source in sources}
        hidden = frozenset().union(*(run.replaces for run in runs))
        return replace(
            self,
            runs=tuple(run for run in runs if run.number not in gone),
            files=tuple(held for held in files if held.file.path not in hidden),
        )


_JOIN_AT = 8  # a row is copied once for each power of eight, not of two
_JOIN_ROWS = 32_768
_JOIN_BYTES = 16 << 20


def _to_join(batches: Sequence[OpenBatch], first: int) -> int | None:
    """Where the last batches begin that are no larger than the newest in kind, if there are enough of them."""
    kind = _kind(batches[-1])
    at = len(batches)
    while at > first and _kind(batches[at - 1]) <= kind:
        at -= 1
    if len(batches) - at < _JOIN_AT or batches[-1].rows.num_rows >= _JOIN_ROWS:
        return None
    return at if sum(size_of(batch.rows) for batch in batches[at:]) <= _JOIN_BYTES else None


def _kind(batch: OpenBatch) -> int:
    """Batches of one kind differ by less than a factor of eight."""
    return int(batch.rows.num_rows).bit_length() // 3


def _joined(batches: Sequence[OpenBatch]) -> OpenBatch:
    times, late = batches[0].times, batches[0].late
    for batch in batches[1:]:
        times, late = batch.times.union(times), batch.late.union(late) if batch.late else late
    return OpenBatch(concatenated([batch.rows for batch in batches]), times, late)


@dataclass(frozen=True, slots=True)
class Sealing:
    """What a seal takes from a table and what it gives back."""

    batches: int
    taken_runs: frozenset[int]
    taken_files: frozenset[str]
    runs: tuple[Run, ...]


#: puts rows together that came in this order: batches that share no key, each sorted and with each key once
Arrange = Callable[[Sequence[pa.RecordBatch]], Sequence[pa.RecordBatch]]


def as_one(parts: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
    """One run, by series number and time."""
    return merged_parts(parts, fields_of(parts))


def fenced(data: TableData) -> TableData:
    """The same rows, with today's open batches kept apart from those to come."""
    return replace(data, fenced=len(data.open))


def seal(
    data: TableData, load: Callable[[DataFile], pa.RecordBatch | None], arrange: Arrange = as_one, *, whole: bool = False
) -> Sealing:
    """Sort what is open into runs, together with every run and file that its late rows may repeat (B3).

    `load` returns None for a file that is to be left alone. `whole`: together with all runs, so that nothing is left beside
    the result.
    """
    late = data.late
    runs = [run for run in data.runs if whole or (late is not None and run.times.overlaps(late))]
    if not data.open and len(runs) < 2:
        return Sealing(0, frozenset(), frozenset(), ())
    met = _files_met(data.files, data.open, late)
    loaded = [(held.file.path, held.rows if held.rows is not None else load(held.file)) for held in met]
    older = {path: rows for path, rows in loaded if rows is not None}
    arranged = arrange([*older.values(), *(run.rows for run in runs), *(batch.rows for batch in data.open)])
    absorbed = frozenset(run.number for run in runs).union(*(run.absorbed for run in runs))
    taken_files = frozenset(older)
    replaces = taken_files.union(*(run.replaces for run in runs))
    made = tuple(Run(rows, times_of(rows), absorbed, replaces) for rows in arranged)
    return Sealing(len(data.open), frozenset(run.number for run in runs), taken_files, made)


def _files_met(files: Sequence[HeldFile], open_batches: Sequence[OpenBatch], late: TimeRange | None) -> list[HeldFile]:
    """The files within whose times a row of a late batch lies."""
    near = [] if late is None else [held for held in files if held.times.overlaps(late)]
    if not near:
        return []
    times = pa.chunked_array([batch.rows.column(1).view(pa.int64()) for batch in open_batches if batch.late is not None])
    ordered = memoryview(times.combine_chunks().sort().buffers()[1]).cast("B").cast("q")
    return [held for held in near if _any_between(ordered, held.times)]


def _any_between(ordered_ns: memoryview, times: TimeRange) -> bool:
    at = bisect_left(ordered_ns, times.start_ns)
    return at < len(ordered_ns) and ordered_ns[at] <= times.end_ns


def sealed(data: TableData, sealing: Sealing) -> TableData:
    """The table after a seal; batches that arrived meanwhile stay open."""
    if not sealing.runs:
        return data
    return TableData(
        open=data.open[sealing.batches :],
        runs=(*(run for run in data.runs if run.number not in sealing.taken_runs), *sealing.runs),
        files=tuple(held for held in data.files if held.file.path not in sealing.taken_files),
        floor_ns=data.floor_ns,
    )


def since(data: TableData, floor_ns: int) -> TableData:
    """The table for readers who must not see rows before `floor_ns` (B6); what lies before it as a whole is left out."""
    if _earliest_ns(data.open, data.runs, data.files) >= floor_ns:
        return data
    open_batches = tuple(batch for batch in data.open if batch.times.end_ns >= floor_ns)
    runs = tuple(run for run in data.runs if run.times.end_ns >= floor_ns)
    files = tuple(held for held in data.files if held.times.end_ns >= floor_ns)
    straddles = _earliest_ns(open_batches, runs, files) < floor_ns
    return TableData(open_batches, runs, files, floor_ns=floor_ns if straddles else None)


def _earliest_ns(*parts: Sequence[OpenBatch] | Sequence[Run] | Sequence[HeldFile]) -> float:
    return min((part.times.start_ns for group in parts for part in group), default=math.inf)


def times_of(rows: pa.RecordBatch) -> TimeRange:
    ends = pc.min_max(rows.column(1).cast(pa.int64()))
    return TimeRange(ends["min"].as_py(), ends["max"].as_py())


def fields_of(batches: Sequence[pa.RecordBatch]) -> pa.Schema:
    """Every field that any of the batches has."""
    first = batches[0].schema
    if all(batch.schema.equals(first) for batch in batches[1:]):
        return pa.schema(list(first)[FIRST_FIELD:])
    return pa.unify_schemas([pa.schema(list(batch.schema)[FIRST_FIELD:]) for batch in batches])
