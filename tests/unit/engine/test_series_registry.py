"""What each table's series are called, in step with the catalog."""

import pyarrow as pa
import pytest

from catalog import changes
from catalog.catalog import Catalog
from catalog.ops import AddFields, AddTags
from catalog.schema import Database, FieldType, Table
from engine._native import SeriesIndex, parse
from engine.buffer.series import STRANGER, SeriesRegistry
from engine.catalog_log import StoredCatalogLog
from engine.paths import CatalogPaths
from engine.storage.memory import MemoryStore
from tests.helpers.engine import ManualClock

DAY_NS = 24 * 3600 * 10**9


def strings(*values: str | None) -> pa.Array:
    return pa.array(values, pa.utf8())


def times(*values: int) -> pa.Buffer:
    return pa.array(values, pa.int64()).buffers()[1]


def numbers_of(index: SeriesIndex, *columns: pa.Array | None) -> list[int]:
    return list(index.resolve(columns, 1).cast("b").cast("i"))


class Setting:
    def __init__(self, *, extend_tags: bool = False, floors_ns: dict[tuple[int, int], int] | None = None) -> None:
        self.catalog = Catalog.open(StoredCatalogLog(MemoryStore(), CatalogPaths("n")), clock=ManualClock())
        self.catalog.commit(lambda state: changes.create_database(state, "db"))
        self.registry = SeriesRegistry(
            self.catalog.state, extend_tags=extend_tags, column_limit=None, floors_ns=floors_ns or {}
        )
        self.catalog.subscribe(self.registry.catalog_changed)

    @property
    def database(self) -> Database:
        return self.catalog.state().database("db")

    def make(self, name: str, *tags: str) -> Table:
        self.catalog.commit(lambda state: changes.create_table(state, "db", name, tags, [("v", FieldType.FLOAT)]))
        return self.database.table(name)

    def drop(self, name: str, hard_delete_at_ns: int | None = None) -> None:
        self.catalog.commit(lambda state: changes.drop_table(state, "db", name, now_ns=1, hard_delete_at_ns=hard_delete_at_ns))

    def index(self, table: Table) -> SeriesIndex:
        return self.registry.index(self.database, table)

    def knows(self, line: str) -> bool:
        """Whether the parser takes the line without anything new."""
        [table] = parse(self.registry.database(self.database).lines, line.encode(), 4, 0).tables
        return not (table.is_new or table.new_tags or table.new_fields)


def test_a_table_has_one_index_for_as_long_as_it_is_known() -> None:
    """S1: however often it is widened, learned or looked up, and after its deletion."""
    setting = Setting()
    table = setting.make("t", "host")
    index = setting.index(table)

    setting.registry.learn(setting.database, [table])
    assert setting.index(table) is index
    setting.drop("t")
    assert setting.index(setting.database.table_by_id(table.id)) is index


def test_a_table_made_anew_under_an_old_name_has_an_index_of_its_own() -> None:
    """S1."""
    setting = Setting()
    first = setting.make("t", "host")
    index = setting.index(first)
    setting.drop("t")
    second = setting.make("t", "host")
    setting.registry.learn(setting.database, [second])

    assert setting.index(second) is not index
    assert setting.index(setting.database.table_by_id(first.id)) is index


def test_new_tags_widen_the_index_of_a_table() -> None:
    """S1: known series have none of them."""
    setting = Setting(extend_tags=True)
    table = setting.make("t", "host")
    index = setting.index(table)
    before = numbers_of(index, strings("a"))

    wider = table.with_tags(["dc"])
    setting.catalog.commit(lambda state: [AddTags(state.database("db").id, table.id, ("dc",))])
    setting.registry.learn(setting.database, [wider])

    assert index.tag_count == 2
    assert numbers_of(index, strings("a"), None) == before
    assert numbers_of(index, strings("a"), strings("x")) != before


def test_the_parser_learns_of_tables_when_they_are_committed_and_not_before() -> None:
    """S2."""
    setting = Setting()
    assert not setting.knows("t,host=a v=1 1")
    table = setting.make("t", "host")
    assert not setting.knows("t,host=a v=1 1"), "nobody has asked for it yet"

    setting.registry.learn(setting.database, [table])

    assert setting.knows("t,host=a v=1 1")
    assert not setting.knows("t,host=a w=1 1")


def test_a_state_that_others_have_left_behind_teaches_nothing_old() -> None:
    """S2: who learns late learns what is so now, be it wider or gone."""
    setting = Setting()
    table = setting.make("t", "host")
    old = setting.database
    setting.catalog.commit(lambda state: [AddFields(old.id, table.id, (("w", FieldType.FLOAT),))])

    setting.registry.learn(old, [table])
    assert setting.knows("t,host=a v=1,w=1 1")

    setting.drop("t")
    setting.registry.learn(old, [table])
    assert not setting.knows("t,host=a v=1 1")


def test_deleted_tables_are_unknown_to_the_parser_under_both_names() -> None:
    """S2: in this process and in one that starts later."""
    setting = Setting()
    table = setting.make("t", "host")
    setting.registry.learn(setting.database, [table])
    setting.drop("t")
    deleted = setting.database.table_by_id(table.id)

    assert not setting.knows("t,host=a v=1 1")
    assert not setting.knows(f"{deleted.name},host=a v=1 1")
    assert setting.registry.database(setting.database).drops == 1

    later = SeriesRegistry(setting.catalog.state, extend_tags=False, column_limit=None, floors_ns={})
    [parsed] = parse(later.database(setting.database).lines, f"{deleted.name},host=a v=1 1".encode(), 4, 0).tables
    assert parsed.is_new


def test_a_table_that_is_removed_for_good_is_forgotten() -> None:
    """S1."""
    setting = Setting()
    table = setting.make("t", "host")
    setting.index(table).resolve([strings("a")], 1)
    assert setting.registry.series_count == 1
    setting.drop("t", hard_delete_at_ns=2)

    setting.catalog.commit(lambda state: changes.removals_due(state, DAY_NS))

    assert setting.registry.series_count == 0


def test_a_database_that_is_removed_for_good_is_forgotten() -> None:
    """S1."""
    setting = Setting()
    setting.index(setting.make("t", "host")).resolve([strings("a")], 1)
    assert setting.registry.memory_bytes > 0
    setting.catalog.commit(lambda state: changes.drop_database(state, "db", now_ns=1, hard_delete_at_ns=2))

    setting.catalog.commit(lambda state: changes.removals_due(state, DAY_NS))

    assert (setting.registry.series_count, setting.registry.memory_bytes) == (0, 0)


def test_a_database_that_is_removed_for_good_stays_forgotten_whoever_asks_for_it() -> None:
    """S1: a reader of an older state, a snapshot that is under way."""
    setting = Setting()
    table = setting.make("t", "host")
    older = setting.database
    setting.catalog.commit(lambda state: changes.drop_database(state, "db", now_ns=1, hard_delete_at_ns=2))
    setting.catalog.commit(lambda state: changes.removals_due(state, DAY_NS))

    index = setting.registry.index(older, table)

    assert numbers_of(index, strings("a")) == [0]
    assert (setting.registry.series_count, setting.registry.memory_bytes) == (0, 0)


def test_a_table_with_files_takes_new_series_for_late_up_to_the_newest_time_in_them() -> None:
    """S1: they may have rows in those files."""
    setting = Setting(floors_ns={(1, 0): 100})
    table = setting.make("t", "host")
    assert (setting.database.id, table.id) == (1, 0)
    index = setting.index(table)
    numbers = index.resolve([strings("a")], 1)

    assert index.arrive(numbers, times(100)) == (1, 100, 100)
    assert index.arrive(numbers, times(101))[0] == 0


def test_a_database_that_does_not_exist_yet_has_series_that_nobody_knows() -> None:
    """S2."""
    setting = Setting()

    stranger = setting.registry.stranger()

    assert stranger.database_id == STRANGER
    assert parse(stranger.lines, b"t v=1 1", 4, 0).tables[0].is_new


@pytest.mark.parametrize("tables", [3, 300])
def test_a_commit_costs_the_same_with_few_tables_and_with_many(tables: int) -> None:
    """S2: only what was dropped is looked at."""
    setting = Setting()
    made = [setting.make(f"t{number}", "host") for number in range(tables)]
    setting.registry.learn(setting.database, made)
    looked: list[str] = []

    class Known(dict[str, Table]):
        def get(self, name: str, default: object = None) -> Table | None:  # type: ignore[override]
            looked.append(name)
            return super().get(name)

    series = setting.registry.database(setting.database)
    series.known = Known(series.known)
    setting.drop("t1")

    assert looked == ["t1"]
