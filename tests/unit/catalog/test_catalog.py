import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from catalog import catalog as catalog_module
from catalog.catalog import CHECKPOINT_INTERVAL, WORTHWHILE_CHECKPOINT, Catalog
from catalog.changes import create_database, create_table, drop_database, set_retention
from catalog.codec import Batch, decode_batch, encode_batch
from catalog.errors import AlreadyExists, Damaged, ServiceError, Unavailable
from catalog.growth import SchemaMoved, WantedTable, plan_schema_changes
from catalog.ids import DatabaseId
from catalog.ops import AddFields, CreateDatabase, FoundCluster, Op
from catalog.schema import FieldType
from catalog.state import CatalogState
from tests.helpers.catalog_log import FixedClock, MemoryLog, UnsureLog

F = FieldType.FLOAT


def opened(log: MemoryLog) -> Catalog:
    return Catalog.open(log, clock=FixedClock())


def creating(name: str) -> Callable[[CatalogState], list[Op]]:
    return lambda state: create_database(state, name)


def adding(field: str) -> Callable[[CatalogState], list[Op]]:
    """A field for the first table of `db`, which is called cpu."""
    return lambda state: plan_schema_changes(state, "db", [WantedTable("cpu", 0, (), ((field, F),))])


def commit_many(catalog: Catalog, count: int, prefix: str = "db") -> None:
    for number in range(count):
        catalog.commit(creating(f"{prefix}{number}"))


class Nonces:
    """Uuids that a test can foresee."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self) -> str:
        self.given += 1
        return f"nonce-{self.given}"


# ---- opening ----


def test_an_empty_log_becomes_a_cluster_with_an_identity_for_life() -> None:
    log = MemoryLog()

    first = opened(log)

    assert len(first.state().uuid) == 36
    assert first.state().sequence == 1
    assert opened(log).state() == first.state()
    assert list(log.batches) == [1]


def test_two_nodes_that_start_together_found_one_cluster() -> None:
    """C3."""
    log = MemoryLog()
    other: list[Catalog] = []

    class LateLog(MemoryLog):
        """Another node starts between our reading and our writing."""

        def append(self, sequence: int, data: bytes) -> None:
            if not other:
                other.append(opened(log))
            log.append(sequence, data)

        def read(self, after: int) -> Iterator[tuple[int, bytes]]:
            return log.read(after)

    late = opened(LateLog())

    assert late.state() == other[0].state()
    assert len(log.batches) == 1


def test_a_commit_is_one_object_at_the_next_number() -> None:
    """C2."""
    log = MemoryLog()
    catalog = opened(log)

    state = catalog.commit(creating("db"))

    assert catalog.state() is state
    assert state.sequence == 2
    batch = decode_batch(log.batches[2], "2")
    assert batch.ops == (CreateDatabase(state.database("db").id, "db"),)
    assert batch.time_ns == FixedClock().now_ns()


def test_an_empty_list_commits_nothing() -> None:
    """C2."""
    log = MemoryLog()
    catalog = opened(log)
    before = catalog.state()

    assert catalog.commit(lambda _: []) is before
    assert list(log.batches) == [1]


def test_a_builder_that_gives_up_leaves_no_trace() -> None:
    """C2, C3."""
    log = MemoryLog()
    catalog = opened(log)
    before = catalog.state()

    with pytest.raises(SchemaMoved):
        catalog.commit(lambda state: plan_schema_changes(state, "db", [WantedTable("cpu", 3)]))

    assert catalog.state() is before
    assert list(log.batches) == [1]
    assert catalog.commit(creating("db")).sequence == 2


def test_ops_that_do_not_apply_are_never_stored() -> None:
    """C2."""
    log = MemoryLog()
    catalog = opened(log)

    with pytest.raises(AlreadyExists):
        catalog.commit(lambda _: [CreateDatabase(DatabaseId(1), "a"), CreateDatabase(DatabaseId(2), "a")])

    assert list(log.batches) == [1]
    assert catalog.state().find_database("a") is None


# ---- races ----


def test_a_lost_race_builds_again_from_the_winners_state() -> None:
    """C3."""
    log = MemoryLog()
    ours, theirs = opened(log), opened(log)
    theirs.commit(creating("theirs"))
    seen: list[int] = []

    def build(state: CatalogState) -> list[Op]:
        seen.append(state.sequence)
        return create_database(state, "ours")

    state = ours.commit(build)

    assert seen == [1, 2]
    assert [database.name for database in state.databases] == ["_internal", "theirs", "ours"]
    assert theirs.refresh() == state


def test_a_lost_race_may_leave_nothing_to_do() -> None:
    """C3."""
    log = MemoryLog()
    ours, theirs = opened(log), opened(log)
    wanted = [WantedTable("cpu", None, ("host",), (("usage", F),))]
    theirs.commit(lambda state: plan_schema_changes(state, "db", wanted))

    state = ours.commit(lambda state: plan_schema_changes(state, "db", wanted))

    assert (state, len(log.batches)) == (theirs.state(), 2)


def test_a_lost_race_may_make_the_wish_impossible() -> None:
    """C3."""
    log = MemoryLog()
    ours, theirs = opened(log), opened(log)
    theirs.commit(creating("db"))

    with pytest.raises(AlreadyExists):
        ours.commit(creating("db"))

    assert ours.state() == theirs.state()


def test_writers_on_many_nodes_and_threads_lose_nothing() -> None:
    """C2, C3, C5."""
    log = MemoryLog()
    opened(log).commit(lambda state: create_table(state, "db", "cpu", ["host"], []))
    catalogs = [opened(log) for _ in range(3)]

    def add_fields(catalog: Catalog, thread: int) -> None:
        for number in range(20):
            catalog.commit(adding(f"f{number}" if number % 2 else f"f{thread}_{number}"))

    threads = [threading.Thread(target=add_fields, args=(catalogs[number % 3], number)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    states = [catalog.refresh() for catalog in catalogs]
    assert states[0] == states[1] == states[2] == opened(log).state()
    assert len(states[0].database("db").table("cpu").fields) == 6 * 10 + 10
    assert sorted(log.batches) == list(range(1, states[0].sequence + 1))


def test_a_number_that_is_taken_but_unreadable_is_an_error_and_no_endless_loop() -> None:
    class Forgetful(MemoryLog):
        def read(self, after: int) -> Iterator[tuple[int, bytes]]:
            return iter(())

    log = Forgetful()
    opened(log)

    with pytest.raises(Unavailable, match="exists but cannot be read yet"):
        opened(log)


def test_a_wish_is_not_refused_by_a_state_that_others_have_left_behind() -> None:
    """C3."""
    log = MemoryLog()
    ours, theirs = opened(log), opened(log)
    theirs.commit(creating("db"))

    state = ours.commit(lambda state: drop_database(state, "db", now_ns=0, hard_delete_at_ns=None))
    theirs.commit(creating("db"))

    assert [database.name for database in state.databases] == ["_internal", "db-19700101T000000"]
    assert [database.name for database in theirs.state().databases] == ["_internal", "db-19700101T000000", "db"]


def test_the_last_of_two_settings_stands_although_its_writer_had_not_heard_of_the_first() -> None:
    """C3."""
    log = MemoryLog()
    opened(log).commit(creating("db"))
    ours, theirs = opened(log), opened(log)
    theirs.commit(lambda state: set_retention(state, "db", 5))

    ours.commit(lambda state: set_retention(state, "db", None))

    assert theirs.refresh().database("db").retention_ns is None


# ---- unknown outcomes ----


def test_a_commit_that_landed_before_the_connection_broke_has_succeeded() -> None:
    """C4."""
    log = UnsureLog()
    catalog = opened(log)
    log.fail_after = 1

    state = catalog.commit(creating("db"))

    assert state.find_database("db") is not None
    assert opened(log).state() == state


def test_a_store_that_tries_again_by_itself_and_finds_our_bytes_is_a_success() -> None:
    """C4: the first try landed, the second one is told that the number is taken."""

    class Retrying(MemoryLog):
        def append(self, sequence: int, data: bytes) -> None:
            super().append(sequence, data)
            super().append(sequence, data)

    log = Retrying()
    catalog = opened(log)

    assert catalog.commit(creating("db")).sequence == 2
    assert len(log.batches) == 2


def test_a_commit_that_did_not_land_is_an_error_and_changes_nothing() -> None:
    """C4."""
    log = UnsureLog()
    catalog = opened(log)
    before = catalog.state()
    log.fail_before = 1

    with pytest.raises(Unavailable, match="lost before the request"):
        catalog.commit(creating("db"))

    assert catalog.state() is before
    assert catalog.commit(creating("db")).sequence == 2


def test_an_unknown_outcome_behind_which_another_writer_won_is_a_lost_race() -> None:
    """C4, C3."""
    log = UnsureLog()
    ours, theirs = opened(log), opened(log)
    theirs.commit(creating("theirs"))
    log.fail_before = 1

    state = ours.commit(creating("ours"))

    assert [database.name for database in state.databases] == ["_internal", "theirs", "ours"]


def test_a_commit_that_cannot_be_looked_up_is_an_error_and_is_found_later() -> None:
    """C4."""
    log = UnsureLog()
    catalog = opened(log)
    before = catalog.state()
    log.fail_after, log.reading_fails = 1, True

    with pytest.raises(Unavailable):
        catalog.commit(creating("db"))

    assert catalog.state() is before
    log.reading_fails = False
    state = catalog.commit(creating("next"))
    assert [database.name for database in state.databases] == ["_internal", "db", "next"]


def test_the_same_ops_of_another_writer_are_not_taken_for_ours() -> None:
    """C4, F3: two writers create the same database at the same number; one of them has to hear that it exists."""
    log = UnsureLog()
    ours, theirs = opened(log), opened(log)
    theirs.commit(creating("db"))
    log.fail_before = 1

    with pytest.raises(AlreadyExists):
        ours.commit(creating("db"))


def test_a_commit_does_not_wait_for_ever_for_one_that_the_store_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """C8."""
    monkeypatch.setattr(catalog_module, "PATIENCE_S", 0.05)
    catalog = opened(MemoryLog())
    reached, go_on = threading.Event(), threading.Event()

    def slow(_: CatalogState) -> list[Op]:
        reached.set()
        assert go_on.wait(60)
        return []

    under_way = threading.Thread(target=catalog.commit, args=(slow,))
    under_way.start()
    assert reached.wait(60)
    with pytest.raises(Unavailable, match="still waits for the store"):
        catalog.commit(lambda state: create_database(state, "db"))
    go_on.set()
    under_way.join(60)

    catalog.commit(lambda state: create_database(state, "db"))
    assert catalog.state().find_database("db") is not None


# ---- checkpoints ----


def test_a_checkpoint_and_the_rest_of_the_log_give_the_state_of_the_writer() -> None:
    """C5."""
    log = MemoryLog()
    catalog = opened(log)

    commit_many(catalog, CHECKPOINT_INTERVAL + 7)

    assert log.checkpoint is not None
    assert log.checkpoint[0] == CHECKPOINT_INTERVAL
    assert opened(log).state() == catalog.state()


def test_a_catalog_without_its_checkpoint_is_complete() -> None:
    """C5, G4."""
    log = MemoryLog()
    catalog = opened(log)
    commit_many(catalog, CHECKPOINT_INTERVAL + 7)

    log.checkpoint = None

    assert opened(log).state() == catalog.state()


def test_an_older_checkpoint_does_no_harm() -> None:
    """C5, G4."""
    log = MemoryLog()
    catalog = opened(log)
    catalog.write_checkpoint()
    older = log.checkpoint
    commit_many(catalog, 2 * CHECKPOINT_INTERVAL)

    log.checkpoint = older

    assert opened(log).state() == catalog.state()


def test_a_checkpoint_is_written_every_so_many_commits() -> None:
    log = MemoryLog()

    commit_many(opened(log), 3 * CHECKPOINT_INTERVAL)

    assert log.checkpoints_written == 3


def test_a_start_that_had_much_to_replay_writes_a_checkpoint_for_the_next_one() -> None:
    log = MemoryLog()
    commit_many(opened(log), 2 * CHECKPOINT_INTERVAL)
    log.checkpoint, log.checkpoints_written = None, 0

    opened(log)

    assert log.checkpoints_written >= 1


def test_a_failing_checkpoint_fails_no_commit_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """C7."""
    log = UnsureLog()
    catalog = opened(log)
    log.checkpoints_fail = True

    commit_many(catalog, CHECKPOINT_INTERVAL + 3)

    assert "checkpoint of the catalog failed and will be tried again: the store is full" in caplog.text
    log.checkpoints_fail = False
    catalog.commit(creating("one-more"))
    assert log.checkpoint is not None
    assert log.checkpoint[0] == catalog.state().sequence


def test_at_the_end_a_checkpoint_is_written_when_it_spares_the_next_start_something() -> None:
    """C7."""
    log = UnsureLog()
    catalog = opened(log)
    catalog.checkpoint_if_behind()
    assert log.checkpoints_written == 0

    commit_many(catalog, WORTHWHILE_CHECKPOINT)
    log.checkpoints_fail = True
    catalog.checkpoint_if_behind()
    log.checkpoints_fail = False
    catalog.checkpoint_if_behind()
    catalog.checkpoint_if_behind()

    assert log.checkpoints_written == 1
    assert opened(log).state() == catalog.state()


def test_a_checkpoint_may_be_written_on_another_thread_while_commits_go_on() -> None:
    """C7: one at a time, and none is lost."""
    log = MemoryLog()
    waiting: list[Callable[[], None]] = []
    catalog = Catalog.open(log, clock=FixedClock(), later=waiting.append)
    commit_many(catalog, CHECKPOINT_INTERVAL + 50)
    assert (len(waiting), log.checkpoint) == (1, None)

    writer = threading.Thread(target=waiting.pop())
    writer.start()
    commit_many(catalog, 10, "meanwhile")
    writer.join()

    assert log.checkpoint is not None
    assert log.checkpoint[0] >= CHECKPOINT_INTERVAL
    assert opened(log).state() == catalog.state()


# ---- damage ----


def damaged(log: MemoryLog) -> ServiceError:
    with pytest.raises(Damaged) as refused:
        opened(log)
    return refused.value


def test_a_damaged_batch_stops_the_start_by_name() -> None:
    log = MemoryLog()
    commit_many(opened(log), 3)
    log.batches[2] = log.batches[2][:-5]

    assert damaged(log).details["object"] == log.batch_name(2)


def test_a_batch_in_anothers_place_is_named() -> None:
    log = MemoryLog()
    commit_many(opened(log), 3)
    log.batches[3] = log.batches[2]

    assert damaged(log).message == f"{log.batch_name(3)} holds commit 2 of the catalog where 3 was expected"


def test_a_batch_that_does_not_follow_is_named() -> None:
    log = MemoryLog()
    opened(log)
    log.batches[2] = encode_batch(Batch(2, "n", 0, (FoundCluster("another"),)))

    assert damaged(log).message.startswith(f"{log.batch_name(2)} does not follow from the commits before it: ")


def test_a_damaged_checkpoint_is_named_with_the_way_out() -> None:
    log = MemoryLog()
    catalog = opened(log)
    catalog.write_checkpoint()
    assert log.checkpoint is not None
    log.checkpoint = (1, log.checkpoint[1] + b"x")

    error = damaged(log)

    assert error.details["object"] == log.checkpoint_name()
    assert error.hint == "move it away: the catalog is complete without it, and only slower to start"


def test_a_checkpoint_of_another_number_is_named() -> None:
    log = MemoryLog()
    opened(log).write_checkpoint()
    assert log.checkpoint is not None
    log.checkpoint = (2, log.checkpoint[1])

    assert damaged(log).message == f"{log.checkpoint_name()} holds commit 1 of the catalog where 2 was expected"


# ---- subscribers ----


class Heard:
    def __init__(self) -> None:
        self.steps: list[tuple[int, int, Sequence[Op]]] = []

    def __call__(self, old: CatalogState, new: CatalogState, ops: Sequence[Op]) -> None:
        self.steps.append((old.sequence, new.sequence, tuple(ops)))


def test_subscribers_hear_of_our_commits_and_of_the_others_in_order() -> None:
    """C6."""
    log = MemoryLog()
    ours, theirs = opened(log), opened(log)
    heard = Heard()

    assert ours.subscribe(heard) is ours.state()
    theirs.commit(creating("a"))
    theirs.commit(creating("b"))
    ours.commit(creating("c"))
    theirs.commit(creating("d"))
    ours.refresh()

    assert [step[:2] for step in heard.steps] == [(1, 2), (2, 3), (3, 4), (4, 5)]
    assert [op.name for step in heard.steps for op in step[2] if isinstance(op, CreateDatabase)] == ["a", "b", "c", "d"]


def test_a_subscriber_sees_the_new_state_as_the_current_one() -> None:
    """C6, C1."""
    catalog = opened(MemoryLog())
    seen: list[bool] = []
    catalog.subscribe(lambda old, new, ops: seen.append(catalog.state() is new))

    catalog.commit(creating("db"))

    assert seen == [True]


def test_a_subscriber_that_fails_keeps_no_other_from_hearing() -> None:
    """C6."""
    log = MemoryLog()
    catalog = opened(log)
    heard = Heard()

    def fail(old: CatalogState, new: CatalogState, ops: Sequence[Op]) -> None:
        raise ZeroDivisionError

    catalog.subscribe(fail)
    catalog.subscribe(heard)

    with pytest.raises(ZeroDivisionError):
        catalog.commit(creating("db"))

    assert len(heard.steps) == 1
    assert opened(log).state() == catalog.state()


def test_reading_the_state_does_not_wait_for_a_commit() -> None:
    """C1."""
    catalog = opened(MemoryLog())
    before = catalog.state()
    read: list[CatalogState] = []

    def build(state: CatalogState) -> list[Op]:
        reader = threading.Thread(target=lambda: read.append(catalog.state()))
        reader.start()
        reader.join(60)
        return create_database(state, "db")

    catalog.commit(build)

    assert read == [before]
    assert before.find_database("db") is None


# ---- size ----


def test_ten_thousand_tables_of_fifty_columns_load_and_grow() -> None:
    """T1, C5. How fast: scripts/bench_parts/catalog.py."""
    log = MemoryLog()
    catalog = opened(log)
    tags, fields = tuple(f"t{number}" for number in range(10)), tuple((f"f{number}", F) for number in range(40))
    wanted = [WantedTable(f"table{number}", None, tags, fields) for number in range(10_000)]
    catalog.commit(lambda state: plan_schema_changes(state, "db", wanted))
    before = catalog.state().database("db")
    catalog.write_checkpoint()

    state = opened(log).commit(lambda _: [AddFields(before.id, before.table("table77").id, (("more", F),))])

    database = state.database("db")
    assert len(database.tables) == database.live_table_count == 10_000
    assert len(database.table("table77").fields) == 41
    assert database.table("table78") == before.table("table78")


def test_a_dropped_database_is_dropped_for_every_node() -> None:
    """C5."""
    log = MemoryLog()
    ours, theirs = opened(log), opened(log)
    ours.commit(lambda state: create_table(state, "db", "cpu", [], []))
    ours.commit(lambda state: drop_database(state, "db", now_ns=0, hard_delete_at_ns=None))

    assert theirs.refresh().database("db-19700101T000000").deleted


def test_each_commit_has_a_nonce_of_its_own() -> None:
    """F3."""
    log = MemoryLog()
    catalog = Catalog.open(log, clock=FixedClock(), new_uuid=Nonces())
    commit_many(catalog, 2)

    nonces = [decode_batch(data, "x").nonce for data in log.batches.values()]

    assert len(set(nonces)) == len(nonces) == 3
