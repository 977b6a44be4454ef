"""One table's rows as values: open batches, sorted runs, files."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest

from engine._native import SeriesIndex
from engine.batch import series_buffer, size_of, time_buffer
from engine.buffer import rows as rows_module
from engine.buffer.rows import (
    HeldFile,
    OpenBatch,
    Run,
    TableData,
    TimeRange,
    cleared,
    distinct,
    fenced,
    first_share,
    joined,
    seal,
    sealed,
    since,
    times_of,
)
from engine.files.manifest import DataFile
from tests.helpers.rows import Point, batch, merged, points


class Table:
    """Data that is written, sealed and settled as the views do it, and everything that was written."""

    def __init__(self) -> None:
        self.index = SeriesIndex(1)
        self.data = TableData()
        self.written: list[list[Point]] = []
        self.stored: dict[str, pa.RecordBatch] = {}

    def write(self, *some: Point) -> None:
        rows = batch(self.index, some)
        late_rows, start_ns, end_ns = self.index.arrive(series_buffer(rows), time_buffer(rows))
        self.data = self.data.with_batch(OpenBatch(rows, times_of(rows), TimeRange(start_ns, end_ns) if late_rows else None))
        self.written.append(list(some))

    def load(self, file: DataFile) -> pa.RecordBatch:
        return self.stored[file.path]

    def seal(self) -> None:
        self.data = sealed(self.data, seal(self.data, self.load))

    def file(self, run: Run, name: str, *, held: bool = True) -> HeldFile:
        self.stored[name] = run.rows
        file = DataFile(name, 1, 0, run.rows.num_rows, 1, run.times.start_ns, run.times.end_ns)
        return HeldFile(file, run.rows if held else None)

    def settle(self, name: str, *, held: bool = True) -> None:
        runs = self.data.runs
        written = [([run], self.file(run, f"{name}-{number}", held=held)) for number, run in enumerate(runs)]
        self.data = self.data.settled(written, frozenset().union(*(run.replaces for run in runs)))

    @property
    def parts(self) -> list[list[Point]]:
        """What a reader is shown, part by part; rows of files from the store."""
        held = [self.stored[held.file.path] if held.rows is None else held.rows for held in self.data.files]
        return [
            points(self.index, rows)
            for rows in [*held, *(run.rows for run in self.data.runs), *(b.rows for b in self.data.open)]
        ]

    def check(self) -> None:
        """B3, B4: sealed parts share no key, and all parts together are what was written."""
        closed = [point for part in self.parts[: len(self.data.files) + len(self.data.runs)] for point in part]
        keys = [(tags, time) for tags, time, _ in closed]
        assert len(keys) == len(set(keys)), "runs and files share a key"
        assert merged(self.parts) == merged(self.written)


def point(host: str, time: int, **fields: float) -> Point:
    return ((host,), time, fields)


def test_rows_that_come_in_order_are_not_late_and_a_seal_takes_no_other_run() -> None:
    """B3: a duplicate costs nothing when there is none."""
    table = Table()
    table.write(point("a", 1, v=1), point("b", 1, v=1))
    table.seal()
    first = table.data.runs[0]
    table.write(point("a", 2, v=2), point("b", 3, v=2))

    assert table.data.late is None
    table.seal()

    assert table.data.runs[0] is first
    assert len(table.data.runs) == 2
    table.check()


def test_late_rows_say_in_which_range_they_may_repeat_a_key() -> None:
    """B3: earliest to latest of the late ones, over all open batches."""
    table = Table()
    table.write(point("a", 50, v=1), point("a", 60, v=1))
    assert table.data.late is None

    table.write(point("a", 55, v=2), point("a", 70, v=2), point("b", 10, v=2))
    table.write(point("a", 20, v=3))

    assert table.data.late == TimeRange(20, 55)


def test_late_rows_that_lie_where_there_are_no_others_repeat_nothing() -> None:
    """B7: of two bodies that overtook each other neither is late; one that says a key twice, or meets others, is."""
    table = Table()
    table.write(point("a", 10, v=1), point("a", 19, v=1))
    table.seal()
    table.write(point("a", 40, v=1), point("a", 49, v=1))
    table.write(point("a", 30, v=1), point("a", 39, v=1))
    assert [batch.late for batch in table.data.open] == [None, None]

    table.write(point("a", 25, v=1), point("a", 25, v=2))
    table.write(point("a", 15, v=2))

    assert table.data.late == TimeRange(15, 25)
    table.seal()
    table.check()


def test_late_rows_that_repeat_no_key_are_not_folded() -> None:
    """B3: a look at series and times tells; of rows that are in a file only, it does not."""
    table = Table()
    table.write(point("a", 10, v=1), point("a", 19, v=1))
    table.seal()
    table.write(point("a", 12, v=2), point("a", 20, v=2))

    seen = distinct(table.data, TimeRange(0, 100), table.load)

    assert (len(seen.open), len(seen.runs), seen.late) == (1, 1, None)
    assert cleared(table.data, table.data.open).late is None
    assert cleared(table.data, seen.open).late == TimeRange(12, 12)
    table.settle("file", held=False)
    assert len(distinct(table.data, TimeRange(0, 100), table.load).open) == 0


def test_a_reader_has_only_those_rows_folded_that_may_repeat_a_key_of_its_times() -> None:
    """B3: the rest stays as it is."""
    table = Table()
    for start in (10, 20, 30, 40):
        table.write(point("a", start, v=start), point("a", start + 5, v=start))
    table.write(point("a", 22, v=-1), point("a", 25, v=-1))
    before = table.data

    assert distinct(before, TimeRange(10, 21), table.load) is before
    some = distinct(before, TimeRange(25, 60), table.load)

    assert some.open == (before.open[0], before.open[2], before.open[3])
    assert [points(table.index, run.rows) for run in some.runs] == [
        [point("a", 20, v=20), point("a", 22, v=-1), point("a", 25, v=-1)]
    ]


def test_a_seal_takes_exactly_the_runs_and_files_that_late_rows_may_repeat() -> None:
    """B3, B4."""
    table = Table()
    for start in (10, 20, 30):
        table.write(point("a", start, v=start), point("a", start + 5, v=start))
        table.seal()
    table.settle("file")
    table.write(point("a", 40, v=40))
    table.seal()
    table.write(point("a", 22, v=-1), point("a", 45, v=45))

    table.seal()

    assert [held.file.path for held in table.data.files] == ["file-0", "file-2"]
    assert [run.times for run in table.data.runs] == [TimeRange(40, 40), TimeRange(20, 45)]
    assert table.data.runs[1].replaces == {"file-1"}
    table.check()


def test_the_last_value_of_each_field_stands_and_nulls_do_not_overwrite() -> None:
    """B3: within a batch, between batches, over runs and files."""
    table = Table()
    table.write(point("a", 1, v=1, w=1), point("a", 1, v=2))
    table.seal()
    table.settle("file", held=False)
    table.write(point("a", 1, w=3))
    table.write(point("a", 1, x=4), point("a", 1, x=5))
    table.seal()

    [[row]] = table.parts
    assert row == (("a",), 1, {"v": 2.0, "w": 3.0, "x": 5.0})
    table.check()


def test_batches_that_arrive_during_a_seal_stay_open() -> None:
    """B4, B5: and those under the seal stay apart from them."""
    table = Table()
    table.write(point("a", 1, v=1))
    table.data = fenced(table.data)
    sealing = seal(table.data, table.load)
    later = [point("a", time, v=3) for time in (2, 3, 4, 5, 6, 7, 8, 1)]
    for row in later:
        table.write(row)

    assert len(table.data.open) == 2, "the fenced one is left alone, the new ones were joined"
    table.data = sealed(table.data, sealing)

    assert [points(table.index, b.rows) for b in table.data.open] == [later]
    assert table.data.late == TimeRange(1, 1)
    assert table.data.fenced == 0
    table.seal()
    table.check()


def test_sealing_nothing_changes_nothing() -> None:
    """B5."""
    table = Table()
    assert sealed(table.data, seal(table.data, table.load)) == TableData()
    table.write(point("a", 1, v=1))
    table.seal()
    before = table.data

    table.seal()

    assert table.data is before


def test_a_reader_keeps_what_it_holds() -> None:
    """B5."""
    table = Table()
    table.write(point("a", 1, v=1))
    held = table.data
    rows = points(table.index, held.open[0].rows)
    table.write(point("a", 1, v=9))
    table.seal()
    table.settle("file")

    assert (len(held.open), held.runs, held.files) == (1, (), ())
    assert points(table.index, held.open[0].rows) == rows == [point("a", 1, v=1)]
    with pytest.raises(AttributeError):
        held.open = ()  # type: ignore[misc]


def test_a_run_that_went_into_another_while_it_was_stored_hides_its_file() -> None:
    """B3, B4: the later run holds its rows, and replaces the file when it is stored itself."""
    table = Table()
    table.write(point("a", 1, v=1))
    table.seal()
    first = table.data.runs[0]
    file = table.file(first, "first")
    table.write(point("a", 1, v=2))
    table.seal()
    second = table.data.runs[0]
    assert first.number in second.absorbed

    table.data = table.data.settled([([first], file)], frozenset())

    assert [held.file.path for held in table.data.files] == []
    assert table.data.runs[0].replaces == {"first"}
    table.check()
    table.settle("second")
    assert [held.file.path for held in table.data.files] == ["second-0"]
    table.check()


def test_a_file_that_cannot_be_read_is_left_alone() -> None:
    """B3: what is late is merged with all others, and nothing claims to replace that file."""
    table = Table()
    for start in (10, 20):
        table.write(point("a", start, v=start))
        table.seal()
    table.settle("file", held=False)
    table.write(point("a", 10, v=-1), point("a", 20, v=-1))

    unreadable = table.data.files[0].file.path
    table.data = sealed(table.data, seal(table.data, lambda file: None if file.path == unreadable else table.load(file)))

    assert [held.file.path for held in table.data.files] == [unreadable]
    assert [run.replaces for run in table.data.runs] == [{"file-1"}]


def test_small_neighbours_become_one_batch_and_large_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """B4: many small writes stay few batches, of bounded bytes."""
    table = Table()
    for time in range(1000):
        table.write(point("a", time, v=time))
    assert len(table.data.open) <= 3 * 8
    assert table.data.unsettled_rows == 1000
    table.check()

    monkeypatch.setattr(rows_module, "_JOIN_BYTES", 200)
    table = Table()
    for time in range(100):
        table.write(((f"h{time}",), time, {"s": "x" * 90}))
    assert len(table.data.open) >= 50
    table.check()


def test_larger_neighbours_wait_for_somebody_to_join_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """B9: in their order, but not while a seal has them, nor when something has happened to them meanwhile."""
    monkeypatch.setattr(rows_module, "_JOIN_ROWS", 2)
    monkeypatch.setattr(rows_module, "_JOIN_LATER_ROWS", 10)
    table = Table()
    for start in range(0, 40, 2):
        table.write(point("a", start, v=start), point("a", start + 1, v=start))
    assert len(table.data.open) == 20
    few = table.data.joinable
    assert few == table.data.open[:8]

    assert fenced(table.data).joinable == ()
    assert fenced(table.data).with_joined(few, joined(few)) == fenced(table.data)
    other = cleared(table.data, [])
    assert replace(other, open=other.open[1:]).with_joined(few, joined(few)).open == other.open[1:]

    while few := table.data.joinable:
        table.data = table.data.with_joined(few, joined(few))
    assert [batch.rows.num_rows for batch in table.data.open] == [16, 16, 2, 2, 2, 2]
    table.check()


def test_rows_are_not_copied_again_for_the_sake_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """B9: batches wait for others of their size; small ones between large ones go along with these."""
    monkeypatch.setattr(rows_module, "_JOIN_ROWS", 16)
    table = Table()
    for count in (512, 100, 20, 4, 4, 4, 1, 1, 1):
        table.write(*(point("a", 1000 - n, v=n) for n in range(count)))
    assert table.data.joinable == ()

    table = Table()
    for step in range(3):
        for count in (64, 1, 1):
            table.write(*(point("a", step * 1000 + n, v=n) for n in range(count)))
    assert [batch.rows.num_rows for batch in table.data.joinable] == []
    table.write(*(point("a", 9000 + n, v=n) for n in range(64)))
    assert [batch.rows.num_rows for batch in table.data.joinable] == [1, 64, 1, 1, 64, 1, 1, 64]


def test_bytes_are_counted_where_they_are() -> None:
    """B4."""
    table = Table()
    table.write(point("a", 1, v=1))
    size = table.data.open[0].rows.nbytes
    assert (table.data.unsettled_bytes, table.data.held_bytes) == (size, 0)
    table.seal()
    assert (table.data.unsettled_bytes, table.data.held_bytes) == (size, 0)
    table.settle("file")
    assert (table.data.unsettled_bytes, table.data.held_bytes) == (0, size)


def halves(parts: Sequence[pa.RecordBatch]) -> Sequence[pa.RecordBatch]:
    """An arrangement of two runs, as a snapshot makes one for each file."""
    [rows] = rows_module.as_one(parts)
    return [half for half in (rows.slice(0, rows.num_rows // 2), rows.slice(rows.num_rows // 2)) if half.num_rows]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_rows_are_there_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """B3, B4, B9: random writes, seals, settlements, evictions, writes during a seal, and seals and writes during a join."""
    for name, value in {"_JOIN_ROWS": 2, "_JOIN_LATER_ROWS": 20, "_JOIN_AT": 3}.items():
        monkeypatch.setattr(rows_module, name, value)
    chance, table = random.Random(seed), Table()
    few: Sequence[OpenBatch] = ()
    for step in range(60):
        if few:
            table.data = table.data.with_joined(few, joined(few))
        few = table.data.joinable if chance.random() < 0.5 else ()
        action = chance.choice(["write", "write", "write", "seal", "settle", "during"])
        if action == "settle":
            table.settle(f"file{step}", held=chance.random() < 0.5)
        elif action == "seal":
            arrange = chance.choice([halves, rows_module.as_one])
            table.data = sealed(table.data, seal(table.data, table.load, arrange))
        else:
            sealing = seal(fenced(table.data), table.load) if action == "during" else None
            if sealing is not None:
                table.data = fenced(table.data)
            for _ in range(chance.randrange(1, 4)):
                some = range(chance.randrange(1, 5))
                table.write(*(point(chance.choice("ab"), chance.randrange(12), **{chance.choice("vw"): step}) for _ in some))
            if sealing is not None:
                table.data = sealed(table.data, sealing)
        table.check()


def test_what_has_expired_as_a_whole_is_left_out_and_a_floor_cuts_the_rest() -> None:
    """B6: the floor is there only when something reaches below it."""
    table = Table()
    for start in (0, 100):
        table.write(point("a", start, v=1), point("a", start + 50, v=1))
        table.seal()
    table.settle("file")
    table.write(point("a", 200, v=1), point("a", 250, v=1))
    table.seal()
    table.write(point("a", 300, v=1))

    def kept(floor_ns: int) -> tuple[int, int, int, int | None]:
        data = since(table.data, floor_ns)
        return len(data.files), len(data.runs), len(data.open), data.floor_ns

    assert [kept(floor) for floor in (0, 50, 51, 100, 120, 251, 300, 301)] == [
        (2, 1, 1, None),
        (2, 1, 1, 50),
        (1, 1, 1, None),
        (1, 1, 1, None),
        (1, 1, 1, 120),
        (0, 0, 1, None),
        (0, 0, 1, None),
        (0, 0, 0, None),
    ]
    assert since(table.data, 0) is table.data


@pytest.mark.parametrize("seed", range(10))
def test_late_rows_are_sealed_share_by_share(seed: int) -> None:
    """B3, B4: a share meets no more files than the budget allows, and the shares come to an end, however files overlap."""
    random_ = random.Random(seed)
    table = Table()
    for number in range(8):  # each series has its own time, so the files overlap
        host, start = f"h{number}", random_.randrange(100)
        table.write(*(point(host, start + step * random_.randrange(1, 9), v=number) for step in range(20)))
        table.seal()
        table.settle(f"file{number}", held=False)
    for _ in range(30):
        late = point(f"h{random_.randrange(8)}", random_.randrange(200), w=random_.random())
        table.write(late, point(late[0][0] or "", 1000 + len(table.written), v=1))

    shares = 0
    while (before := first_share(table.data, lambda _: 1, 2)) is not None:
        fenced_data, loaded = fenced(table.data), 0

        def counted(file: DataFile) -> pa.RecordBatch:
            nonlocal loaded
            loaded += 1
            return table.load(file)

        first_ns = min(batch.late.start_ns for batch in fenced_data.open if batch.late)
        table.data = sealed(fenced_data, seal(fenced_data, counted, before_ns=before))
        others = [held for held in fenced_data.files if held.times.start_ns <= first_ns <= held.times.end_ns]
        assert loaded <= max(2, len(others)), "more than the budget only where one row meets more"
        table.check()
        shares += 1
        assert shares < 300
    table.seal()

    assert table.data.open == ()
    table.check()


def test_memory_is_counted_once_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: what a table takes is known without looking at its rows again."""
    counted: list[pa.RecordBatch] = []
    sizing = size_of

    def noted(rows: pa.RecordBatch) -> int:
        counted.append(rows)
        return sizing(rows)

    table = Table()
    monkeypatch.setattr(rows_module, "size_of", noted)
    for at in range(40):
        table.write(*(point("a", at * 100 + step, v=1) for step in range(64 >> (at % 7))))
    expected = sum(sizing(batch.rows) for batch in table.data.open)
    before = len(counted)

    assert [table.data.unsettled_bytes for _ in range(5)] == [expected] * 5
    assert table.data.late is None
    assert len(counted) == before
    assert before < 40 * 3, "a batch is measured when it is made, and when it is joined"


@pytest.mark.parametrize("seed", range(20))
def test_the_files_of_a_time_are_those_that_overlap_it(seed: int) -> None:
    """B8: however they lie, one within another, in any order."""
    chance = random.Random(seed)
    files = []
    for number in range(chance.randint(0, 30)):
        first_ns = chance.randint(-50, 50)
        last_ns = first_ns + chance.choice([0, 1, 5, 60])
        rows = None if chance.random() < 0.7 else pa.record_batch([pa.array([], pa.int32())], names=["series"])
        files.append(HeldFile(DataFile(f"{number}.parquet", 1, 0, 1, 100, first_ns, last_ns), rows))
    data = TableData(files=tuple(files))

    assert [held for held in files if held.rows is None] == list(data.stored_files)
    assert [held for held in files if held.rows is not None] == list(data.files_in_memory)
    for _ in range(50):
        first_ns = chance.randint(-60, 60)
        times = TimeRange(first_ns, first_ns + chance.choice([0, 1, 30]))
        expected = sorted((held for held in files if held.times.overlaps(times)), key=lambda held: held.times.start_ns)
        assert data.files_within(times) == expected
