"""Group commit: who shares a group, when it is written, and what everyone is told."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from catalog.errors import ServiceError, Unavailable
from engine._native import SeriesIndex
from engine.batch import Group, WriteBatch
from engine.clock import Clock, SystemClock
from engine.metrics import Metrics
from engine.ownership import Fenced
from engine.paths import NodePaths
from engine.storage.base import Data, StoreError, StoreFull, StoreUnavailable
from engine.storage.local import LocalStore
from engine.storage.memory import MemoryStore
from engine.wal.log import GroupLog, ObjectLog, Pieces, SegmentLog, SyncedFile
from engine.wal.reader import read_groups
from engine.wal.writer import NotEncodable, PendingWrite, WalLimits, WalWriter
from tests.helpers.rows import Point, write_batch
from tests.helpers.servers import wait_until
from tests.helpers.wal import DoubtfulStore, faulty_file

PATHS = NodePaths("n")
LIMITS = WalLimits(flush_interval_s=0.02, waiting_bytes=1 << 20, waiting_writes=1000, wait_timeout_s=50.0)


@dataclass
class Shown:
    """A stage that notes what it is shown."""

    groups: list[Group] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    before: Callable[[Group], None] = lambda _: None

    def apply(self, group: Group) -> None:
        self.before(group)
        self.groups.append(group)
        self.threads.add(threading.get_ident())

    @property
    def sequences(self) -> list[int]:
        return [group.sequence for group in self.groups]

    @property
    def values(self) -> list[int]:
        return [value for group in self.groups for table in group.tables for value in table.rows["v"].to_pylist()]


class GatedLog(SegmentLog):
    """A log whose appends wait for the test, or fail as it says."""

    def __init__(self, root: Path, file: type[SyncedFile] = SyncedFile) -> None:
        super().__init__(LocalStore(root), PATHS, file)
        self.open = threading.Event()
        self.open.set()
        self.faults: list[Exception] = []
        self.appended: list[int] = []

    def append(self, sequence: int, pieces: Pieces) -> None:
        assert self.open.wait(60)
        if self.faults:
            raise self.faults.pop(0)
        super().append(sequence, pieces)
        self.appended.append(sequence)


@dataclass
class Setting:
    wal: WalWriter
    log: GroupLog
    stage: Shown
    fatal: list[BaseException]
    index: SeriesIndex = field(default_factory=lambda: SeriesIndex(1))
    numbering: threading.Lock = field(default_factory=threading.Lock)

    def append(self, value: int, host: str = "a", waits: bool = True) -> PendingWrite:
        return self.wal.append(self.batch(value, host), waits=waits)

    def batch(self, value: int, host: str = "a") -> WriteBatch:
        point: Point = ((host,), value, {"v": value})
        with self.numbering:
            return write_batch(self.index, point)

    def write(self, value: int, host: str = "a") -> None:
        self.append(value, host).wait()


@contextmanager
def writing(
    log: GroupLog, limits: WalLimits = LIMITS, stages: Sequence[Shown] | None = None, clock: Clock | None = None
) -> Iterator[Setting]:
    stage, fatal = Shown(), list[BaseException]()
    wal = WalWriter(
        log,
        stages or (stage,),
        limits,
        clock or SystemClock(),
        Metrics(),
        next_sequence=1,
        epoch=1,
        on_fatal=fatal.append,
    )
    setting = Setting(wal, log, stage if stages is None else stages[0], fatal)
    try:
        yield setting
    finally:
        wal.close()


def stored(log: GroupLog) -> list[tuple[int, list[str], list[int]]]:
    """(sequence, hosts defined, values) of each group that a start would read."""

    def damaged(error: ServiceError) -> None:
        raise error

    return [
        (
            group.sequence,
            [host for table in group.tables if table.series is not None for host in table.series.column(1).to_pylist()],
            [value for table in group.tables for value in table.rows["v"].to_pylist()],
        )
        for group in read_groups(log, 0, damaged)
    ]


@pytest.fixture
def gated(tmp_path: Path) -> GatedLog:
    return GatedLog(tmp_path)


def test_a_write_is_stored_and_shown_when_it_is_acknowledged(tmp_path: Path) -> None:
    """W1, W2, W3, W4."""
    with writing(SegmentLog(LocalStore(tmp_path), PATHS)) as setting:
        for value in range(5):
            setting.write(value)
            assert setting.stage.values == list(range(value + 1))
            assert [values for _, _, values in stored(SegmentLog(LocalStore(tmp_path), PATHS))] == [
                [v] for v in range(value + 1)
            ]

    assert setting.stage.sequences == [1, 2, 3, 4, 5]


def test_writes_that_wait_share_the_next_group(gated: GatedLog) -> None:
    """W1, W2: fifty threads, a handful of groups; every write in exactly one of them."""
    with writing(gated) as setting:
        gated.open.clear()
        setting.append(0)
        wait_until(lambda: not setting.wal._queue)  # on its way to the disk
        threads = [threading.Thread(target=setting.write, args=(value,)) for value in range(1, 50)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(setting.wal._queue) == 49)
        gated.open.set()
        for thread in threads:
            thread.join()

    assert setting.stage.sequences == gated.appended == [1, 2]
    assert sorted(setting.stage.values) == list(range(50))
    assert sorted(value for _, _, values in stored(gated) for value in values) == list(range(50))


def test_stages_are_shown_each_group_in_order_in_one_thread_between_store_and_acknowledgement(gated: GatedLog) -> None:
    """W3, W4."""
    first, second = Shown(), Shown()
    pending: list[PendingWrite] = []
    seen: list[tuple[str, int, bool, bool]] = []
    first.before = lambda group: seen.append(("first", group.sequence, group.sequence in gated.appended, answered()))
    second.before = lambda group: seen.append(("second", group.sequence, group.sequence in gated.appended, answered()))

    def answered() -> bool:
        return not pending[-1]._done.locked()

    with writing(gated, stages=[first, second]) as setting:
        for value in range(3):
            gated.open.clear()
            pending.append(setting.append(value))
            gated.open.set()
            pending[-1].wait()

    assert seen == [(name, number, True, False) for number in (1, 2, 3) for name in ("first", "second")]
    assert len(first.threads | second.threads) == 1


def test_a_write_that_nobody_waits_for_is_written_after_the_interval(gated: GatedLog) -> None:
    """W3: no_sync is acknowledged on append."""
    limits = WalLimits(0.1, LIMITS.waiting_bytes, LIMITS.waiting_writes, LIMITS.wait_timeout_s)
    with writing(gated, limits) as setting:
        began_s = time.monotonic()
        setting.append(1, waits=False)
        setting.append(2, waits=False)
        wait_until(lambda: gated.appended == [1])
        waited_s = time.monotonic() - began_s
        setting.write(3)

    assert waited_s >= 0.09
    assert setting.stage.values == [1, 2, 3]


def test_somebody_who_waits_does_not_wait_for_the_interval(gated: GatedLog) -> None:
    """W3: nor do those queued before."""
    with writing(gated, WalLimits(60.0, LIMITS.waiting_bytes, LIMITS.waiting_writes, 50.0)) as setting:
        setting.append(1, waits=False)
        setting.write(2)

    assert setting.stage.values == [1, 2]


class TimedStore(MemoryStore):
    """Takes its time for each object and waits for the test's word; notes when it was asked to store one."""

    def __init__(self, put_s: float = 0.0) -> None:
        super().__init__()
        self.put_s = put_s
        self.open = threading.Event()
        self.open.set()
        self.asked_s: list[float] = []
        self.refuses: list[Exception] = []

    def put_new(self, path: str, data: Data) -> None:
        self.asked_s.append(time.monotonic())
        time.sleep(self.put_s)
        assert self.open.wait(60)
        if self.refuses:
            raise self.refuses.pop()
        super().put_new(path, data)

    def assert_apart(self, interval_s: float) -> None:
        """As often as the interval allows; single distances vary with who gets the processor when."""
        assert len(self.asked_s) <= (self.asked_s[-1] - self.asked_s[0]) / interval_s + 2


class JumpingClock(SystemClock):
    """Time passes when the test says so, besides by itself."""

    jumped_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.jumped_s


def spaced(interval_s: float) -> WalLimits:
    return replace(LIMITS, flush_interval_s=interval_s)


def test_a_lone_write_takes_as_long_as_one_request() -> None:
    """W8: and so does the next one after some idleness, not the interval."""
    store, clock = TimedStore(), JumpingClock()
    with writing(ObjectLog(store, PATHS), spaced(600), clock=clock) as setting:
        for value in range(3):
            setting.write(value)
            clock.jumped_s += 600

    assert len(store.asked_s) == 3


def test_many_writers_and_snapshots_cost_one_request_an_interval() -> None:
    """W8: 86,400 a day with an interval of a second."""
    store, over = TimedStore(0.01), threading.Event()
    with writing(ObjectLog(store, PATHS), spaced(0.1)) as setting:

        def keep_writing(first: int) -> None:
            for value in range(first, first + 1000):
                if over.is_set():
                    return
                setting.write(value)

        writers = [threading.Thread(target=keep_writing, args=(first * 1000,)) for first in range(20)]
        for thread in writers:
            thread.start()
        for _ in range(5):
            time.sleep(0.1)
            setting.wal.boundary(lambda _: None)
        over.set()
        for thread in writers:
            thread.join()
        count = len(setting.stage.values)

    store.assert_apart(0.1)
    assert count > 3 * len(store.asked_s), "those who came meanwhile shared a group"


def test_groups_that_fail_keep_their_distance_too() -> None:
    """W8."""
    store = TimedStore()
    with writing(ObjectLog(store, PATHS), spaced(0.1)) as setting:
        store.refuses = [StoreUnavailable("store", "s3://b", "x", "forbidden") for _ in range(3)]
        for value in range(3):
            with pytest.raises(StoreUnavailable):
                setting.write(value)
        setting.write(3)

    store.assert_apart(0.1)
    assert setting.stage.values == [3]


def test_while_the_store_does_not_answer_further_writes_are_refused_at_once() -> None:
    """W7."""
    store, clock = TimedStore(), JumpingClock()
    with writing(ObjectLog(store, PATHS), replace(spaced(0.01), stall_s=30), clock=clock) as setting:
        store.open.clear()
        first = setting.append(1)
        wait_until(lambda: len(store.asked_s) == 1)
        second = setting.append(2)
        clock.jumped_s = 30
        wait_until(lambda: setting.wal.problem is not None)
        with pytest.raises(Unavailable, match=r"the log has waited \d\d s for the store") as refused:
            setting.append(3)
        store.open.set()
        first.wait()
        assert setting.wal.problem is None
        second.wait()
        setting.write(4)

    assert refused.value.details["retry_after_s"] == 5
    assert setting.stage.values == [1, 2, 4]


def test_groups_of_a_store_that_bills_requests_keep_their_distance() -> None:
    """W2, W8: the first after idleness goes at once, the next ones wait for the rest of the interval."""
    times: list[float] = []
    log = ObjectLog(DoubtfulStore(), PATHS)
    with writing(log, WalLimits(0.15, LIMITS.waiting_bytes, LIMITS.waiting_writes, 50.0)) as setting:
        began_s = time.monotonic()
        for value in range(3):
            setting.write(value)
            times.append(time.monotonic() - began_s)

    assert times[1] >= 0.14
    assert times[2] >= 0.29


def test_closing_writes_what_waits_and_refuses_the_rest(gated: GatedLog) -> None:
    """W3."""
    with writing(gated, WalLimits(60.0, LIMITS.waiting_bytes, LIMITS.waiting_writes, 50.0)) as setting:
        unwaited = [setting.append(value, waits=False) for value in range(3)]
        setting.wal.close()
        for write in unwaited:
            write.wait()
        with pytest.raises(Unavailable, match="stopping"):
            setting.append(4)
        with pytest.raises(Unavailable, match="stopping"):
            setting.wal.boundary(lambda _: None)

    assert setting.stage.values == [0, 1, 2]


def test_a_failed_group_fails_its_writes_and_no_other(gated: GatedLog) -> None:
    """W6, W2: its number goes to the next group."""
    with writing(gated) as setting:
        setting.write(1)
        gated.faults.append(StoreFull("store", "file:///d", "x", "no space left on the device"))
        with pytest.raises(StoreFull, match="no space left"):
            setting.write(2)
        assert "no space left" in str(setting.wal.failure)
        setting.write(3)
        assert setting.wal.failure is None

    assert setting.stage.values == [1, 3]
    assert [(sequence, values) for sequence, _, values in stored(gated)] == [(1, [1]), (2, [3])]


def test_the_group_after_a_failed_one_defines_its_series_again(gated: GatedLog) -> None:
    """W6: what the failed group defined never reached the log."""
    with writing(gated) as setting:
        setting.write(1, "known")
        gated.faults.append(StoreUnavailable("store", "file:///d", "x", "an error"))
        with pytest.raises(StoreError):
            setting.write(2, "new")
        setting.write(3, "new")
        setting.write(4, "known")
        setting.write(5, "known")

    assert stored(gated) == [(1, ["known"], [1]), (2, ["new"], [3]), (3, ["known"], [4]), (4, [], [5])]


def test_a_write_that_cannot_be_encoded_fails_alone(gated: GatedLog) -> None:
    """W6, W2: whoever shared its group is stored, series that the group defined are defined again, and the log goes on."""
    with writing(gated) as setting:
        setting.write(1, "known")
        gated.open.clear()
        first = setting.append(2)
        strange = setting.batch(4, "strange")
        spoiled = WriteBatch((replace(strange.tables[0], database_id=7, index=SeriesIndex(1)),))
        shared = [setting.append(3, "new"), setting.wal.append(spoiled, waits=True), setting.append(5, "new")]
        gated.open.set()

        first.wait()
        shared[0].wait()
        with pytest.raises(NotEncodable, match="the write cannot be encoded for the log"):
            shared[1].wait()
        shared[2].wait()
        setting.write(6, "known")
        alone = setting.wal.append(spoiled, waits=True)
        with pytest.raises(NotEncodable):
            alone.wait()
        assert "cannot be encoded" in str(setting.wal.failure)
        setting.write(7, "new")
        assert (setting.wal.failure, setting.fatal) == (None, [])

    assert setting.stage.values == [1, 2, 3, 5, 6, 7]
    assert [values for _, _, values in stored(gated)] == [[1], [2], [3], [5], [6], [7]]
    assert [sequence for sequence, _, _ in stored(gated)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("faults", [["lost", "full"], ["unanswered"], ["lost", "full", "unanswered"]])
def test_an_unknown_outcome_closes_the_log_until_it_is_known(faults: list[str]) -> None:
    """W5, W1: then the waiting write is acknowledged, stored once."""
    store = DoubtfulStore()
    log = ObjectLog(store, PATHS)
    with writing(log) as setting:
        store.faults = list(faults)
        store.unreadable = 2 if "unanswered" in faults else 0
        waiting = setting.append(1)
        wait_until(lambda: setting.wal.problem is not None)
        with pytest.raises(Unavailable, match="does not know whether its last group is stored"):
            setting.append(2)
        with pytest.raises(Unavailable, match="does not know"):
            setting.wal.refuse_if_full()
        assert setting.stage.groups == []

        waiting.wait()
        assert setting.wal.problem is None
        setting.write(3)

    assert [(sequence, values) for sequence, _, values in stored(log)] == [(1, [1]), (2, [3])]
    assert setting.stage.values == [1, 3]
    assert setting.fatal == []


def test_a_group_that_turns_out_not_to_be_stored_is_stored_then_or_fails_for_good(tmp_path: Path) -> None:
    """W5, W6: on a disk whose torn end could be cut off at last, and which is still full."""
    file = faulty_file()
    gated = GatedLog(tmp_path, file)
    with writing(gated) as setting:
        setting.write(1)
        file.torn_after, file.stuck = 3, 2
        setting.write(2)

        file.torn_after, file.stuck = 3, 2
        waiting = setting.append(3)
        wait_until(lambda: setting.wal.problem is not None)
        gated.faults.append(StoreFull("store", "file:///d", "x", "no space left on the device"))
        with pytest.raises(StoreFull):
            waiting.wait()
        setting.write(4)

    assert setting.stage.values == [1, 2, 4]
    assert [values for _, _, values in stored(gated)] == [[1], [2], [4]]


def test_a_log_that_closes_while_an_outcome_is_unknown_tells_its_writers(tmp_path: Path) -> None:
    """W5: nothing is acknowledged on hope, and nobody waits for ever."""
    file = faulty_file()
    log = SegmentLog(LocalStore(tmp_path), PATHS, file)
    with writing(log) as setting:
        setting.write(1)
        file.torn_after, file.stuck = 3, 1_000_000
        waiting = setting.append(2)
        wait_until(lambda: setting.wal.problem is not None)

        setting.wal.close()

        with pytest.raises(Unavailable, match="outcome of group 2 was unknown"):
            waiting.wait()
    assert setting.stage.values == [1]


def test_waiting_bytes_are_bounded(gated: GatedLog) -> None:
    """W7: by refusal that may be tried again, while one write is always taken."""
    with writing(gated, WalLimits(0.01, 200, 1000, 5.0)) as setting:
        gated.open.clear()
        accepted = [setting.append(0)]
        wait_until(lambda: not setting.wal._queue)  # the first is on its way to the disk
        with pytest.raises(Unavailable, match="wait for the log already; try again"):
            accepted.extend(setting.append(value) for value in range(1, 100))
        assert 1 < len(accepted) <= 1 + 200 // accepted[0].byte_count

        gated.open.set()
        for write in accepted:
            write.wait()
        setting.write(200)

    assert len(setting.stage.values) == len(accepted) + 1


def test_waiting_writes_are_bounded(gated: GatedLog) -> None:
    """W7: and a caller can ask before it does its work."""
    with writing(gated, WalLimits(0.01, 1 << 20, 5, 5.0)) as setting:
        gated.open.clear()
        setting.append(0)
        wait_until(lambda: not setting.wal._queue)
        for value in range(1, 6):
            setting.append(value)
        with pytest.raises(Unavailable, match="5 writes wait for the log already"):
            setting.append(6)
        with pytest.raises(Unavailable, match="5 writes wait"):
            setting.wal.refuse_if_full()
        gated.open.set()


def test_a_write_that_takes_too_long_is_told_that_it_may_still_become_durable(gated: GatedLog) -> None:
    """W3."""
    with writing(gated, WalLimits(0.01, 1 << 20, 10, 0.05)) as setting:
        gated.open.clear()
        write = setting.append(1)
        with pytest.raises(Unavailable, match=r"not durable after 0\.05 s; it may still become so"):
            write.wait()
        gated.open.set()
        wait_until(lambda: setting.stage.values == [1])
        write.wait()


def test_a_boundary_comes_after_all_writes_before_it_and_starts_a_new_object_and_epoch(gated: GatedLog) -> None:
    """W2: what comes behind it can be read without what lies before."""
    with writing(gated) as setting:
        setting.write(1)
        setting.append(2, waits=False)
        at: list[tuple[int, list[int]]] = []
        setting.wal.boundary(lambda sequence: at.append((sequence, list(setting.stage.values))))
        setting.write(3)
        setting.wal.boundary(lambda sequence: at.append((sequence, list(setting.stage.values))))
        setting.wal.boundary(lambda sequence: at.append((sequence, list(setting.stage.values))))

    assert at == [(2, [1, 2]), (3, [1, 2, 3]), (3, [1, 2, 3])]
    assert [info.path for info in gated.objects()] == [PATHS.wal(1), PATHS.wal(3)]
    assert [hosts for _, hosts, _ in stored(gated)] == [["a"], [], ["a"]]


def test_what_fails_at_a_boundary_is_raised_there(gated: GatedLog) -> None:
    """W6."""

    def fail(_sequence: int) -> None:
        raise StoreFull("store", "file:///d", "x", "no space")

    with writing(gated) as setting:
        with pytest.raises(StoreFull):
            setting.wal.boundary(fail)
        setting.write(1)


def test_a_process_that_lost_its_log_stops_and_tells_everyone(gated: GatedLog) -> None:
    """W1: writers in the group, in the queue, and those who wait for a boundary, now or later."""
    with writing(gated) as setting:
        setting.write(1)
        gated.open.clear()
        gated.faults.append(Fenced("another process writes the log of this node"))
        told: list[ServiceError] = []

        def ask() -> None:
            try:
                setting.wal.boundary(lambda _: None)
            except ServiceError as error:
                told.append(error)

        in_group = setting.append(2)
        wait_until(lambda: not setting.wal._queue)
        queued = setting.append(3)
        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: bool(setting.wal._boundaries))
        gated.open.set()

        for write in (in_group, queued):
            with pytest.raises(Unavailable, match="another process writes the log"):
                write.wait()
        asking.join(60)
        ask()
        assert [str(error) for error in told] == [
            "the write-ahead log stopped: another process writes the log of this node"
        ] * 2
        with pytest.raises(Unavailable, match="another process"):
            setting.append(4)
        wait_until(lambda: bool(setting.fatal))

    assert isinstance(setting.fatal[0], Fenced)
    assert setting.stage.values == [1]


def test_a_boundary_that_was_taken_with_the_group_that_stopped_the_log_is_told(gated: GatedLog) -> None:
    """W1."""
    with writing(gated, WalLimits(60.0, 1 << 20, 10, 5.0)) as setting:
        setting.append(1, waits=False)
        gated.faults.append(Fenced("another process"))

        with pytest.raises(Unavailable, match="another process"):
            setting.wal.boundary(lambda _: None)


def test_a_stage_that_breaks_its_promise_stops_the_log(gated: GatedLog) -> None:
    """W4: a row that is stored and not shown must not be acknowledged; the next start shows it."""

    def fail(_group: Group) -> None:
        raise ValueError("a bug")

    with writing(gated) as setting:
        setting.stage.before = fail
        with pytest.raises(Unavailable, match="a bug"):
            setting.write(1)
        wait_until(lambda: bool(setting.fatal))

    assert [values for _, _, values in stored(gated)] == [[1]]


def test_a_segment_that_has_grown_large_is_followed_by_another(gated: GatedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """W2."""
    monkeypatch.setattr("engine.wal.writer._SEGMENT_BYTES", 1500)
    with writing(gated) as setting:
        for value in range(6):
            setting.write(value)

    assert len(gated.objects()) > 1
    assert [sequence for sequence, _, _ in stored(gated)] == [1, 2, 3, 4, 5, 6]


def test_a_queue_larger_than_a_group_becomes_several(gated: GatedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """W1, W2: in order."""
    monkeypatch.setattr("engine.wal.writer._GROUP_BYTES", 100)
    with writing(gated) as setting:
        gated.open.clear()
        writes = [setting.append(value) for value in range(20)]
        gated.open.set()
        for write in writes:
            write.wait()

    assert len(gated.appended) > 3
    assert setting.stage.values == list(range(20))


def test_a_boundary_does_not_wait_for_the_queue_to_be_empty(gated: GatedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """W2: under a load that outruns the disk it never is, and snapshots are what makes room."""
    monkeypatch.setattr("engine.wal.writer._GROUP_BYTES", 100)
    at: list[int] = []
    with writing(gated) as setting:
        gated.open.clear()
        writes = [setting.append(0)]
        wait_until(lambda: not setting.wal._queue)  # on its way to the disk
        writes += [setting.append(value) for value in range(1, 20)]
        snapshot = threading.Thread(target=setting.wal.boundary, args=(at.append,))
        snapshot.start()
        wait_until(lambda: bool(setting.wal._boundaries))
        gated.open.set()
        snapshot.join()
        for write in writes:
            write.wait()

    assert at[0] < len(gated.appended)
    assert setting.stage.values == list(range(20))
