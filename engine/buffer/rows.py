"""One table's rows as values: what has arrived, what is sorted, what lies in files.

    open   batches in order of arrival, as the log stored them
    runs   sorted by (series, time); made from open batches, not yet in a file
    files  stored; the rows of recent ones are kept in memory too, sorted, until the budget wants them back

B3  Rows of runs and files never share a key (series, time). Only open batches may repeat a key, their own or an older one,
    and then the batch says in which range of time (`late`). A file that cannot be read is left as it is; what repeats a key
    of it comes to lie beside it.
B6  Rows before `floor_ns` have expired: no reader shows them. Where it is None, nothing in the table is that old.
B7  A batch whose late rows lie where there are no others repeats no key and has no `late`: bodies that several writers send
    overtake each other all the time.
B9  Many small open batches become few: the smallest at once, so that they are never many, larger ones when somebody has the
    time for it. Order of arrival stays.
B8  Which files lie in a time is found without looking at each file.
B4  Every durable row is in exactly one of open, runs and files.
B5  Values are replaced, never changed: a reader keeps what it holds.

Held by tests/unit/engine/test_table_rows.py (B3-B9), tests/property/test_rows_model.py.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import accumulate, compress, count
from operator import is_not, not_

import pyarrow as pa
import pyarrow.compute as pc

from engine._native import time_range
from engine.batch import concatenated, size_of, time_buffer
from engine.files.manifest import DataFile
from engine.merge import FIRST_FIELD, merged_parts, repeats_keys

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Both ends belong to it."""

    start_ns: int
    end_ns: int

    def overlaps(self, other: "TimeRange") -> bool:
        return self.start_ns <= other.end_ns and other.start_ns <= self.end_ns

    def covers(self, other: "TimeRange") -> bool:
        return self.start_ns <= other.start_ns and other.end_ns <= self.end_ns

    def union(self, other: "TimeRange | None") -> "TimeRange":
        if other is None:
            return self
        return TimeRange(min(self.start_ns, other.start_ns), max(self.end_ns, other.end_ns))


@dataclass(frozen=True, slots=True)
class OpenBatch:
    rows: pa.RecordBatch
    times: TimeRange
    late: TimeRange | None
    byte_count: int = field(init=False, compare=False)
    #: batches of one kind differ by less than a factor of eight in their rows
    kind: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "byte_count", size_of(self.rows))
        object.__setattr__(self, "kind", int(self.rows.num_rows).bit_length() // 3)


@dataclass(frozen=True, slots=True)
class Run:
    """Sorted rows, each key once. `absorbed`: earlier runs that went into it; `replaces`: files that did."""

    rows: pa.RecordBatch
    times: TimeRange
    absorbed: frozenset[int] = frozenset()
    replaces: frozenset[str] = frozenset()
    number: int = field(default_factory=lambda: next(_numbers))
    byte_count: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "byte_count", size_of(self.rows))


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A stored file, and its rows while they are kept in memory (sorted by series rank and time)."""

    file: DataFile
    rows: pa.RecordBatch | None = None
    times: TimeRange = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", TimeRange(self.file.time_min_ns, self.file.time_max_ns))


class Files(tuple[HeldFile, ...]):
    """Files of a table, with what is worked out of them once (B8)."""

    @cached_property
    def stored(self) -> Sequence[HeldFile]:
        """Those that are not in memory."""
        return tuple(held for held in self if held.rows is None)

    @cached_property
    def in_memory(self) -> Sequence[HeldFile]:
        return tuple(held for held in self if held.rows is not None)

    def within(self, times: TimeRange) -> list[HeldFile]:
        """Those that overlap a time, by their beginnings."""
        ordered, starts, ends = self._by_time
        if not starts or times.start_ns <= starts[0]:
            return ordered[: bisect_right(starts, times.end_ns)]
        candidates = ordered[bisect_left(ends, times.start_ns) : bisect_right(starts, times.end_ns)]
        return [held for held in candidates if times.start_ns <= held.times.end_ns]

    @cached_property
    def _by_time(self) -> tuple[list[HeldFile], list[int], list[int]]:
        """By where they begin; and the last end of each and all before it."""
        ordered = sorted(self, key=lambda held: held.times.start_ns)
        return (
            ordered,
            [held.times.start_ns for held in ordered],
            list(accumulate((held.times.end_ns for held in ordered), max)),
        )


@dataclass(frozen=True, slots=True, weakref_slot=True)
class TableData:
    """All rows of one table that a reader may see."""

    open: tuple[OpenBatch, ...] = ()
    runs: tuple[Run, ...] = ()
    files: tuple[HeldFile, ...] = ()
    #: so many of the open batches are being sealed and must stay as they are
    fenced: int = 0
    #: what a reader may see begins here (B6)
    floor_ns: int | None = None
    #: bytes of rows that no file holds
    unsettled_bytes: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.files, Files):
            object.__setattr__(self, "files", Files(self.files))
        byte_count = sum([batch.byte_count for batch in self.open]) + sum([run.byte_count for run in self.runs])
        object.__setattr__(self, "unsettled_bytes", byte_count)

    @property
    def late(self) -> TimeRange | None:
        """The range in which open batches may repeat a key."""
        return _late_of(self.open)

    @property
    def stored_files(self) -> Sequence[HeldFile]:
        """Files whose rows are not in memory."""
        return self._files.stored

    @property
    def files_in_memory(self) -> Sequence[HeldFile]:
        return self._files.in_memory

    def files_within(self, times: TimeRange) -> list[HeldFile]:
        """Files that overlap a time."""
        return self._files.within(times)

    @property
    def _files(self) -> Files:
        assert isinstance(self.files, Files)
        return self.files

    @property
    def open_rows(self) -> int:
        return int(sum(batch.rows.num_rows for batch in self.open))

    @property
    def unsettled_rows(self) -> int:
        return int(self.open_rows + sum(run.rows.num_rows for run in self.runs))

    @property
    def held_bytes(self) -> int:
        return sum(size_of(held.rows) for held in self.files if held.rows is not None)

    def with_batch(self, batch: OpenBatch) -> "TableData":
        """One more batch; eight small neighbours of like size become one (B9)."""
        batches = [*self.open, self._judged(batch)]
        while (few := _to_join(batches, self.fenced)) is not None:
            batches[few:] = [joined(batches[few:])]
        return TableData(tuple(batches), self.runs, self.files, self.fenced, self.floor_ns)

    def with_joined(self, few: Sequence[OpenBatch], one: OpenBatch) -> "TableData":
        """`one` in the place of the batches that went into it; the same as before where these are no longer as they were."""
        at = next((at for at in range(self.fenced, len(self.open)) if self.open[at] is few[0]), len(self.open))
        if len(self.open) - at < len(few) or any(map(is_not, self.open[at:], few)):
            return self
        batches = (*self.open[:at], one, *self.open[at + len(few) :])
        return TableData(batches, self.runs, self.files, self.fenced, self.floor_ns)

    @property
    def joinable(self) -> Sequence[OpenBatch]:
        """Neighbours that should become one, though not at once (B9); empty where there are none."""
        begin = self.fenced
        for end, newest in enumerate(self.open[begin:], begin + 1):
            if newest.rows.num_rows >= _JOIN_LATER_ROWS:
                begin = end
            elif newest.rows.num_rows >= _JOIN_ROWS and end - begin >= _JOIN_AT:
                few = self.open[end - _JOIN_AT : end]
                if all(each.kind <= newest.kind for each in few) and sum([each.byte_count for each in few]) <= _JOIN_BYTES:
                    return few
        return ()

    def _judged(self, batch: OpenBatch) -> OpenBatch:
        """B7."""
        late = batch.late
        if late is None or len(self.files) > _FILES_LOOKED_AT:
            return batch
        taken = [held.times for group in (self.open, self.runs, self.files) for held in group]
        is_alone = not any(times.overlaps(late) for times in taken) and not repeats_keys([batch.rows])
        return replace(batch, late=None) if is_alone else batch

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


_FILES_LOOKED_AT = 256  # with each late batch
_JOIN_AT = 8  # a row is copied once for each power of eight, not of two
_JOIN_ROWS = 4096
_JOIN_LATER_ROWS = 32_768
_JOIN_BYTES = 16 << 20


def _to_join(batches: Sequence[OpenBatch], first: int) -> int | None:
    """Where the last batches begin that are no larger than the newest in kind, if there are enough of them."""
    kind = batches[-1].kind
    at = len(batches)
    while at > first and batches[at - 1].kind <= kind:
        at -= 1
    if len(batches) - at < _JOIN_AT or batches[-1].rows.num_rows >= _JOIN_ROWS:
        return None
    return at if sum(batch.byte_count for batch in batches[at:]) <= _JOIN_BYTES else None


def joined(batches: Sequence[OpenBatch]) -> OpenBatch:
    times = TimeRange(min([batch.times.start_ns for batch in batches]), max([batch.times.end_ns for batch in batches]))
    return OpenBatch(concatenated([batch.rows for batch in batches]), times, _late_of(batches))


@dataclass(frozen=True, slots=True)
class Sealing:
    """What a seal takes from a table and what it gives back. `left`: open rows that another seal is to take."""

    batches: int
    taken_runs: frozenset[int]
    taken_files: frozenset[str]
    runs: tuple[Run, ...]
    left: tuple[OpenBatch, ...] = ()


_NOTHING_TO_SEAL = Sealing(0, frozenset(), frozenset(), ())


#: puts rows together that came in this order: batches that share no key, each sorted and with each key once
Arrange = Callable[[Sequence[pa.RecordBatch]], Sequence[pa.RecordBatch]]


def as_one(parts: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
    """One run, by series number and time."""
    return merged_parts(parts, fields_of(parts))


def fenced(data: TableData) -> TableData:
    """The same rows, with today's open batches kept apart from those to come."""
    return replace(data, fenced=len(data.open))


def seal(
    data: TableData,
    load: Callable[[DataFile], pa.RecordBatch | None],
    arrange: Arrange = as_one,
    *,
    whole: bool = False,
    before_ns: int | None = None,
    floor_ns: int | None = None,
) -> Sealing:
    """Sort what is open into runs, together with every run and file that its late rows may repeat (B3).

    `load` returns None for a file that is to be left alone. `whole`: together with all runs, so that nothing is left beside
    the result. `before_ns`: only the open rows before that time. `floor_ns`: rows before it are dropped for good.
    """
    taking, left = _split(data.open, before_ns)
    late = _late_of(taking)
    runs = [run for run in data.runs if whole or (late is not None and run.times.overlaps(late))]
    expired = floor_ns is not None and _earliest_ns(runs) < floor_ns
    if not taking and len(runs) < 2 and not expired:
        return _NOTHING_TO_SEAL
    met = _files_met(data.files, taking, late)
    loaded = [(held.file.path, held.rows if held.rows is not None else load(held.file)) for _, held in met]
    older = {path: rows for path, rows in loaded if rows is not None}
    parts = [*older.values(), *(run.rows for run in runs), *(batch.rows for batch in taking)]
    kept = [rows for part in parts if (rows := _not_before(part, floor_ns)).num_rows]
    absorbed = frozenset(run.number for run in runs).union(*(run.absorbed for run in runs))
    taken_files = frozenset(older)
    replaces = taken_files.union(*(run.replaces for run in runs))
    made = tuple(Run(rows, times_of(rows), absorbed, replaces) for rows in (arrange(kept) if kept else ()))
    return Sealing(len(data.open), frozenset(run.number for run in runs), taken_files, made, left)


def first_share(data: TableData, cost: Callable[[DataFile], int], budget: int) -> int | None:
    """Before which time late rows meet files that cost no more than the budget, or as few as can be; None when all do.

    There is always a late row before that time, so whoever takes one share after another comes to an end.
    """
    met = sorted(_files_met(data.files, data.open, data.late), key=lambda found: found[0])
    spent = 0
    for first_ns, held in met:
        spent += cost(held.file)
        if spent > budget and first_ns > met[0][0]:
            return first_ns
    return None


def _split(open_batches: Sequence[OpenBatch], before_ns: int | None) -> tuple[tuple[OpenBatch, ...], tuple[OpenBatch, ...]]:
    """The rows before a time and those from it on, both in order of arrival."""
    if before_ns is None:
        return tuple(open_batches), ()
    taking = [_part(batch, TimeRange(batch.times.start_ns, before_ns - 1)) for batch in open_batches]
    left = [_part(batch, TimeRange(before_ns, batch.times.end_ns)) for batch in open_batches]
    return tuple(part for part in taking if part is not None), tuple(part for part in left if part is not None)


def _part(batch: OpenBatch, wanted: TimeRange) -> OpenBatch | None:
    """The rows of a batch in a range of time; None when there is none."""
    if not batch.times.overlaps(wanted):
        return None
    if wanted.start_ns <= batch.times.start_ns and batch.times.end_ns <= wanted.end_ns:
        return batch
    rows = _within(batch.rows, wanted)
    if rows.num_rows == 0:
        return None
    late = batch.late
    if late is not None:
        late = TimeRange(max(late.start_ns, wanted.start_ns), min(late.end_ns, wanted.end_ns))
    return OpenBatch(rows, times_of(rows), late if late is not None and late.start_ns <= late.end_ns else None)


def _within(rows: pa.RecordBatch, wanted: TimeRange) -> pa.RecordBatch:
    times = rows.column(1).view(pa.int64())
    return rows.filter(pc.and_(pc.greater_equal(times, wanted.start_ns), pc.less_equal(times, wanted.end_ns)))


def _not_before(rows: pa.RecordBatch, floor_ns: int | None) -> pa.RecordBatch:
    if floor_ns is None or times_of(rows).start_ns >= floor_ns:
        return rows
    return rows.filter(pc.greater_equal(rows.column(1).view(pa.int64()), floor_ns))


def _late_of(open_batches: Sequence[OpenBatch]) -> TimeRange | None:
    late = [batch.late for batch in open_batches if batch.late is not None]
    return TimeRange(min([each.start_ns for each in late]), max([each.end_ns for each in late])) if late else None


def _files_met(
    files: Sequence[HeldFile], open_batches: Sequence[OpenBatch], late: TimeRange | None
) -> list[tuple[int, HeldFile]]:
    """The files within whose times a row of a late batch lies, each with the time of the first one that does."""
    near = [] if late is None else [held for held in files if held.times.overlaps(late)]
    if not near:
        return []
    times = pa.chunked_array([batch.rows.column(1).view(pa.int64()) for batch in open_batches if batch.late is not None])
    ordered = memoryview(times.combine_chunks().sort().buffers()[1]).cast("B").cast("q")
    found = [(bisect_left(ordered, held.times.start_ns), held) for held in near]
    return [(ordered[at], held) for at, held in found if at < len(ordered) and ordered[at] <= held.times.end_ns]


def sealed(data: TableData, sealing: Sealing) -> TableData:
    """The table after a seal; batches that arrived meanwhile stay open."""
    if sealing is _NOTHING_TO_SEAL:
        return data
    return TableData(
        open=(*sealing.left, *data.open[sealing.batches :]),
        runs=(*(run for run in data.runs if run.number not in sealing.taken_runs), *sealing.runs),
        files=tuple(held for held in data.files if held.file.path not in sealing.taken_files),
        floor_ns=data.floor_ns,
    )


def distinct(data: TableData, times: TimeRange, load: Callable[[DataFile], pa.RecordBatch | None]) -> TableData:
    """The table for readers of these times, who meet no key twice. Whatever repeats none of theirs stays as it is."""
    late = [batch.late for batch in data.open if batch.late is not None and batch.late.overlaps(times)]
    if not late:
        return data
    if not _repeats(data, late):
        return cleared(data, [batch for batch in data.open if batch.late in late])
    meets = [any(batch.times.overlaps(each) for each in late) for batch in data.open]
    met = replace(data, open=tuple(compress(data.open, meets)), fenced=0)
    return replace(sealed(met, seal(met, load)), open=tuple(compress(data.open, map(not_, meets))))


def cleared(data: TableData, batches: Iterable[OpenBatch]) -> TableData:
    """The table once it is known that these batches, as far as they are still open, repeat no key."""
    known = {id(batch) for batch in batches}
    return replace(data, open=tuple(replace(batch, late=None) if id(batch) in known else batch for batch in data.open))


def _repeats(data: TableData, times: Sequence[TimeRange]) -> bool:
    """Whether a key of these times occurs twice, which is not known of files that are not in memory."""
    parts: list[OpenBatch | Run | HeldFile] = [*data.open, *data.runs, *data.files]
    found = []
    for part in parts:
        near = [each for each in times if each.overlaps(part.times)]
        if not near:
            continue
        if part.rows is None:
            return True
        found.append(_within(part.rows.select([0, 1]), reduce(TimeRange.union, near)))
    return repeats_keys(found)


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
    return TimeRange(*time_range(time_buffer(rows)))


def fields_of(batches: Sequence[pa.RecordBatch]) -> pa.Schema:
    """Every field that any of the batches has."""
    first = batches[0].schema
    if all(batch.schema.equals(first) for batch in batches[1:]):
        return pa.schema(list(first)[FIRST_FIELD:])
    return pa.unify_schemas([pa.schema(list(batch.schema)[FIRST_FIELD:]) for batch in batches])
