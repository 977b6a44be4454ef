"""What one query may see, while rows arrive, are sealed and are settled."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pytest

from catalog import changes
from catalog.catalog import Catalog
from catalog.errors import Damaged
from catalog.ids import DatabaseId, TableId
from catalog.ops import AddFields, SetRetention, SetTableRetention
from catalog.schema import FieldType
from engine._native import SeriesIndex
from engine.batch import Group
from engine.buffer.rows import HeldFile, TableData, TimeRange
from engine.catalog_log import StoredCatalogLog
from engine.files.manifest import DataFile
from engine.paths import CatalogPaths
from engine.query.predicate import ALL_TIME
from engine.storage.memory import MemoryStore
from engine.view import ReadView, Settled, Views
from tests.helpers.engine import ManualClock
from tests.helpers.rows import Point, points, table_rows

DATABASE = DatabaseId(1)


class Setting:
    """A view of two tables of one database, and a disk for their files."""

    def __init__(self) -> None:
        self.clock = ManualClock(0)
        self.catalog = Catalog.open(StoredCatalogLog(MemoryStore(), CatalogPaths("n")), clock=self.clock)
        self.make("t")
        self.make("u")
        self.indexes = [SeriesIndex(1), SeriesIndex(1)]
        self.disk: dict[str, pa.RecordBatch] = {}
        self.views = Views(self.catalog, [], self.load, self.clock)
        self.sequence = 0

    def make(self, name: str) -> None:
        fields = [("v", FieldType.INTEGER)]
        self.catalog.commit(lambda state: changes.create_table(state, "db", name, ["tag0"], fields))

    def load(self, file: DataFile) -> pa.RecordBatch:
        if file.path not in self.disk:
            raise Damaged(f"file {file.path} is missing", object=file.path)
        return self.disk[file.path]

    def group(self, *points: Point, other: Point | None = None) -> Group:
        self.sequence += 1
        tables = [table_rows(self.indexes[0], points, 1, 0)]
        if other is not None:
            tables.append(table_rows(self.indexes[1], [other], 1, 1))
        return Group(self.sequence, tuple(tables))

    def apply(self, *points: Point, other: Point | None = None) -> None:
        self.views.apply(self.group(*points, other=other))

    def settle(self, name: str, *, held: bool = True) -> TableData:
        """As a snapshot does: seal, store, show the files in place of the runs."""
        runs = self.views.seal(1, 0).runs
        written = []
        for number, run in enumerate(runs):
            path = f"{name}-{number}"
            self.disk[path] = run.rows
            file = DataFile(path, 1, 0, run.rows.num_rows, 1, run.times.start_ns, run.times.end_ns)
            written.append(([run], HeldFile(file, run.rows if held else None)))
        self.views.settled([Settled(1, 0, written, frozenset().union(*(run.replaces for run in runs)))])
        return self.views.now().table(1, 0)

    def rows(self, data: TableData, table: int = 0) -> list[Point]:
        files = [held.rows if held.rows is not None else self.disk[held.file.path] for held in data.files]
        batches = [*files, *(run.rows for run in data.runs), *(batch.rows for batch in data.open)]
        return [point for batch in batches for point in points(self.indexes[table], batch)]

    def seen(self, view: ReadView | None = None) -> list[Point]:
        """What a query would find."""
        view = view or self.views.now()
        return sorted(self.rows(self.views.distinct(view, 1, 0, ALL_TIME)))


def point(time: int, v: int, host: str = "a") -> Point:
    return ((host,), time, {"v": v})


def test_a_row_is_in_exactly_one_place_at_every_stage() -> None:
    """V1."""
    setting = Setting()
    for time in range(3):
        setting.apply(point(time, time))

    places: list[tuple[int, int, int]] = []
    for step in (lambda: None, lambda: setting.views.seal(1, 0), lambda: setting.settle("file")):
        step()
        data = setting.views.now().table(1, 0)
        places.append((len(data.open) > 0, len(data.runs), len(data.files)))
        assert setting.rows(data) == [point(time, time) for time in range(3)]

    assert places == [(True, 0, 0), (False, 1, 0), (False, 0, 1)]


def test_a_view_shows_whole_groups_over_all_tables() -> None:
    """V2: and stays as it is."""
    setting = Setting()
    setting.apply(point(1, 1), other=point(1, -1))
    before = setting.views.now()
    setting.apply(point(2, 2), other=point(2, -2))
    after = setting.views.now()

    assert [(setting.rows(view.table(1, 0)), setting.rows(view.table(1, 1), 1)) for view in (before, after)] == [
        ([point(1, 1)], [point(1, -1)]),
        ([point(1, 1), point(2, 2)], [point(1, -1), point(2, -2)]),
    ]


def test_the_catalog_of_a_view_knows_the_columns_of_its_rows() -> None:
    """V3: what is in the log was in the catalog before."""
    setting = Setting()
    setting.apply(point(1, 1))
    before = setting.views.now()
    setting.catalog.commit(
        lambda state: [AddFields(state.database("db").id, state.database("db").table("t").id, (("w", FieldType.INTEGER),))]
    )
    setting.apply((("a",), 2, {"v": 2, "w": 3}))
    after = setting.views.now()

    for view, fields in ((before, {"v"}), (after, {"v", "w"})):
        columns = {name for batch in view.table(1, 0).open for name in batch.rows.schema.names[2:]}
        assert columns == fields
        assert columns <= set(view.state.database("db").table("t").fields)


@pytest.mark.parametrize("stage", ["open", "sealed", "settled", "evicted"])
def test_each_key_is_seen_once_with_its_last_values(stage: str) -> None:
    """V4: wherever the older row is."""
    setting = Setting()
    setting.apply(point(1, 1), point(2, 2), point(2, 20))
    if stage == "sealed":
        setting.views.seal(1, 0)
    elif stage in ("settled", "evicted"):
        setting.settle("file", held=stage == "settled")
    setting.apply(point(1, 10), (("a",), 1, {"w": 5}), point(3, 3))

    assert setting.seen() == [(("a",), 1, {"v": 10, "w": 5}), point(2, 20), point(3, 3)]
    assert setting.settle("again").late is None
    assert setting.seen() == [(("a",), 1, {"v": 10, "w": 5}), point(2, 20), point(3, 3)]


def test_a_query_does_not_sort_what_has_nothing_late() -> None:
    """V4: a duplicate costs nothing when there is none."""
    setting = Setting()
    setting.apply(point(1, 1))
    setting.apply(point(2, 2))
    view = setting.views.now()

    assert setting.views.distinct(view, 1, 0, ALL_TIME) is view.table(1, 0)


def test_readers_of_the_same_moment_share_what_one_of_them_has_folded() -> None:
    """V4: as long as one of them holds it, and for no other moment."""
    setting = Setting()
    setting.apply(point(1, 1), point(2, 2))
    setting.apply(point(2, 3))
    view = setting.views.now()

    folded = setting.views.distinct(view, 1, 0, ALL_TIME)

    assert setting.views.distinct(setting.views.now(), 1, 0, TimeRange(2, 2)) is folded
    setting.apply(point(2, 4))
    assert setting.seen() == [point(1, 1), point(2, 4)]
    assert setting.views.distinct(view, 1, 0, ALL_TIME) is not folded


def test_late_rows_that_repeat_no_key_are_looked_at_once() -> None:
    """V4: the next reader is spared even that, if nothing was left out of what was looked at."""
    setting = Setting()
    setting.apply(point(1, 1), point(3, 3))
    setting.apply(point(2, 2))
    assert setting.views.now().table(1, 0).late is not None

    assert setting.seen() == [point(1, 1), point(2, 2), point(3, 3)]

    assert setting.views.now().table(1, 0).late is None
    assert setting.views.now().table(1, 0).open_rows == 3
    setting.apply(point(2, 4))
    assert setting.seen() == [point(1, 1), point(2, 4), point(3, 3)]


def test_open_rows_are_sorted_once_no_more_come() -> None:
    """V7: not while they come, and not for a few."""
    setting = Setting()

    def open_and_runs() -> tuple[int, int]:
        setting.views.tidy(1 << 20, 3)
        data = setting.views.now().table(1, 0)
        return data.open_rows, len(data.runs)

    setting.apply(point(1, 1), point(2, 2))
    assert [open_and_runs(), open_and_runs()] == [(2, 0), (2, 0)]
    setting.apply(point(3, 3))
    assert open_and_runs() == (3, 0)
    setting.apply(point(4, 4))
    assert open_and_runs() == (4, 0)
    assert open_and_runs() == (0, 1)
    assert len(setting.rows(setting.views.now().table(1, 0))) == 4


def test_late_rows_are_folded_when_a_query_has_met_them_or_no_more_come() -> None:
    """V7: not while a writer is alone."""
    setting = Setting()

    def still_late() -> bool:
        setting.views.tidy(1 << 20)
        return setting.views.now().table(1, 0).late is not None

    setting.apply(point(1, 1), point(1, 2))
    assert still_late()
    setting.apply(point(1, 3))
    assert still_late()
    assert not still_late()

    setting.apply(point(1, 4))
    assert setting.seen() == [point(1, 4)]
    assert not still_late()
    setting.apply(point(1, 5))
    assert still_late()
    assert setting.rows(setting.views.now().table(1, 0))[0] == point(1, 4)


def test_a_query_that_needs_a_file_that_cannot_be_read_says_so_and_a_seal_goes_on() -> None:
    """V4: new rows are settled all the same."""
    setting = Setting()
    setting.apply(point(1, 1))
    setting.settle("file", held=False)
    lost = setting.disk.pop("file-0")
    setting.apply(point(1, 10), point(2, 2))

    with pytest.raises(Damaged, match="file-0 is missing"):
        setting.seen()

    data = setting.settle("later")
    assert [held.file.path for held in data.files] == ["file-0", "later-0"]
    setting.disk["file-0"] = lost
    assert setting.rows(data) == [point(1, 1), point(1, 10), point(2, 2)]


def test_bytes_that_are_in_no_file_are_counted() -> None:
    """V1."""
    setting = Setting()
    assert setting.views.unsettled_bytes == 0
    setting.apply(point(1, 1))
    setting.apply(point(2, 2), other=point(1, 1))
    unsettled = [data.unsettled_bytes for _, _, data in setting.views.unsettled()]
    assert setting.views.unsettled_bytes == sum(unsettled) > 0

    setting.views.seal(1, 0)
    assert setting.views.unsettled_bytes == sum(data.unsettled_bytes for _, _, data in setting.views.unsettled())
    setting.settle("file")
    assert [(database, table) for database, table, _ in setting.views.unsettled()] == [(1, 1)]
    setting.views.forget(1, 1)
    assert setting.views.unsettled_bytes == 0
    setting.apply(point(3, 3))
    setting.views.forget(1, None)
    assert (setting.views.unsettled_bytes, setting.seen()) == (0, [])


def test_the_oldest_rows_leave_memory_first() -> None:
    """V1: as many as the budget asks for; queries read the file then."""
    setting = Setting()
    for time in range(4):
        setting.apply(point(time, time))
        setting.settle(f"f{time}")
    size = setting.views.now().table(1, 0).held_bytes // 4

    def held() -> list[str]:
        return [held.file.path for held in setting.views.now().table(1, 0).files if held.rows is not None]

    setting.views.evict(4 * size)
    assert len(held()) == 4
    setting.views.evict(2 * size + 1)
    assert held() == ["f2-0", "f3-0"]
    setting.views.evict(0)
    assert held() == []
    assert setting.seen() == [point(time, time) for time in range(4)]


def test_files_that_are_there_at_the_start_are_seen() -> None:
    """V1."""
    setting = Setting()
    setting.apply(point(1, 1))
    data = setting.settle("file")

    later = Views(setting.catalog, [held.file for held in data.files], setting.load, setting.clock)

    assert setting.rows(later.now().table(1, 0)) == [point(1, 1)]
    assert later.unsettled() == []


@contextmanager
def repeatedly(action: Callable[[], object]) -> Iterator[list[Exception]]:
    """Do it again and again in a thread of its own."""
    stop, failures = threading.Event(), list[Exception]()

    def run() -> None:
        try:
            while not stop.is_set():
                action()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield failures
    finally:
        stop.set()
        thread.join()


def test_readers_see_every_acknowledged_row_once_while_rows_are_written_sealed_settled_and_evicted() -> None:
    """V1, V2, V4: two groups a step, of which the second overwrites; several readers."""
    setting, acknowledged = Setting(), [0]
    numbers = iter(range(10**6))

    def look() -> None:
        least = acknowledged[0]
        found = setting.seen()
        assert [time for _, time, _ in found] == list(range(len(found))), "a row is missing or there twice"
        assert len(found) >= least
        assert all(fields["v"] == time * 10 for _, time, fields in found[:least]), "an older value is back"
        assert all(fields["v"] in (time, time * 10) for _, time, fields in found[least:])

    def settle() -> None:
        setting.settle(f"f{next(numbers)}", held=next(numbers) % 3 > 0)
        setting.views.evict(2000)

    with repeatedly(settle) as first, repeatedly(look) as second, repeatedly(look) as third:
        for time in range(250):
            setting.apply(point(time, time), other=point(time, time))
            setting.apply(point(time, time * 10), other=point(time, time))
            acknowledged[0] = time + 1
    assert first + second + third == []
    assert len(setting.seen()) == 250


def test_a_row_leaves_readers_when_its_time_is_up_and_not_sooner() -> None:
    """V5: wherever it lies, and also from a view that was taken before the retention was set."""
    setting = Setting()
    setting.apply(point(100, 1), point(200, 2))
    setting.settle("file")
    setting.apply(point(150, 3, "b"), point(250, 4, "b"))
    for_ever = setting.views.now()
    setting.catalog.commit(lambda state: changes.set_retention(state, "db", 1000))
    setting.clock.time_ns = 1150
    just_so, data = setting.views.now(), setting.views.distinct(setting.views.now(), 1, 0, ALL_TIME)
    setting.clock.time_ns = 1201
    later = setting.views.distinct(setting.views.now(), 1, 0, ALL_TIME)

    assert (data.floor_ns, just_so.floor_ns(1, 0)) == (150, 150)
    assert [held.file.path for held in data.files] == ["file-0"], "a row of it is still to be seen"
    assert (later.files, later.floor_ns) == ((), 201)
    assert for_ever.floor_ns(1, 0) is None
    assert setting.views.distinct(for_ever, 1, 0, ALL_TIME).floor_ns is None


def test_a_table_says_otherwise_than_its_database() -> None:
    """V5."""
    setting = Setting()
    setting.clock.time_ns = 5000
    setting.catalog.commit(lambda state: [SetRetention(DATABASE, 1000), SetTableRetention(DATABASE, TableId(0), 3000)])

    view = setting.views.now()

    assert (view.floor_ns(1, 0), view.floor_ns(1, 1)) == (2000, 4000)


def test_batches_that_are_too_large_to_be_joined_at_once_become_few_soon() -> None:
    """B9, V1: every row is there at every moment, and a seal meanwhile loses none."""
    setting = Setting()
    rows = [[point(start * 5000 + n, n) for n in range(5000)] for start in range(9)]
    for some in rows:
        setting.apply(*some)
        assert setting.views.now().table(1, 0).unsettled_rows == sum(len(written) for written in rows[: rows.index(some) + 1])
    setting.views.close()
    setting.views.join(1, 0)

    assert [batch.rows.num_rows for batch in setting.views.now().table(1, 0).open] == [40_000, 5000]


def test_rows_that_cannot_be_joined_stay_as_they_are_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """B9."""

    def fail(batches: object) -> None:
        raise MemoryError

    monkeypatch.setattr("engine.view.joined", fail)
    setting = Setting()
    for start in range(8):
        setting.apply(*[point(start * 5000 + n, n) for n in range(5000)])
    setting.views._joiner.shutdown()

    assert [batch.rows.num_rows for batch in setting.views.now().table(1, 0).open] == [5000] * 8
    assert "open rows stay in small batches" in caplog.text
