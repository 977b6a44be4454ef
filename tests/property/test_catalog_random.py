"""Random wishes of two nodes on one log, against plain dicts.

Every step somebody creates, widens, drops or removes something, on either node; now and then a node starts again. After each
step the catalog must say what the model says; in the end all nodes, and one that starts anew, must agree.
"""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from catalog.catalog import Catalog
from catalog.changes import create_database, create_table, drop_database, drop_table, removals_due, set_retention
from catalog.growth import WantedTable, plan_schema_changes
from catalog.schema import FieldType
from catalog.state import CatalogState
from tests.helpers.catalog_log import FixedClock, MemoryLog

names = st.sampled_from(["a", "b", "c"])
sides = st.sampled_from([0, 1])
types = st.sampled_from(FieldType)
columns = st.sampled_from([f"c{number}" for number in range(8)])


@dataclass
class ModelTable:
    tags: list[str]
    fields: dict[str, FieldType]


@dataclass
class ModelDatabase:
    retention_ns: int | None = None
    tables: dict[str, ModelTable] = field(default_factory=dict)


class TwoNodes(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.log = MemoryLog()
        self.clock = FixedClock(0)
        self.nodes = [Catalog.open(self.log, clock=self.clock) for _ in range(2)]
        self.model: dict[str, ModelDatabase] = {}
        self.ids_seen: dict[tuple[int, int], str] = {}

    @rule(side=sides, name=names)
    def create_database(self, side: int, name: str) -> None:
        if name not in self.model:
            self.nodes[side].commit(lambda state: create_database(state, name))
            self.model[name] = ModelDatabase()

    @rule(side=sides, database=names, name=names, tags=st.lists(columns, unique=True, max_size=3))
    def create_table(self, side: int, database: str, name: str, tags: list[str]) -> None:
        if name not in self.model.get(database, ModelDatabase()).tables:
            self.nodes[side].commit(lambda state: create_table(state, database, name, tags, []))
            self.model.setdefault(database, ModelDatabase()).tables[name] = ModelTable(list(tags), {})

    @rule(side=sides, database=names, name=names, new_fields=st.dictionaries(columns, types), new_tags=st.sets(columns))
    def write(self, side: int, database: str, name: str, new_fields: dict[str, FieldType], new_tags: set[str]) -> None:
        """R1."""
        catalog = self.nodes[side]
        known = catalog.refresh().find_database(database)
        table = known.find_table(name) if known else None
        model = self.model.setdefault(database, ModelDatabase()).tables.setdefault(name, ModelTable([], {}))
        fields = {column: type for column, type in new_fields.items() if column not in (*model.tags, *model.fields)}
        tags = sorted(new_tags - {*model.tags, *model.fields, *fields})
        wanted = WantedTable(name, table.id if table else None, tuple(tags), tuple(fields.items()), tuple(model.tags))

        catalog.commit(lambda state: plan_schema_changes(state, database, [wanted]))

        model.tags += tags
        model.fields |= fields

    @rule(side=sides, name=names, retention_ns=st.none() | st.integers(0, 9))
    def set_retention(self, side: int, name: str, retention_ns: int | None) -> None:
        if name in self.model:
            self.nodes[side].commit(lambda state: set_retention(state, name, retention_ns))
            self.model[name].retention_ns = retention_ns

    @rule(side=sides, name=names, remove_at_ns=st.none() | st.integers(0, 3))
    def drop_database(self, side: int, name: str, remove_at_ns: int | None) -> None:
        if name in self.model:
            self.nodes[side].commit(
                lambda state: drop_database(state, name, now_ns=self.clock.time_ns, hard_delete_at_ns=remove_at_ns)
            )
            del self.model[name]

    @rule(side=sides, database=names, name=names, remove_at_ns=st.none() | st.integers(0, 3))
    def drop_table(self, side: int, database: str, name: str, remove_at_ns: int | None) -> None:
        if name in self.model.get(database, ModelDatabase()).tables:
            self.nodes[side].commit(
                lambda state: drop_table(state, database, name, now_ns=self.clock.time_ns, hard_delete_at_ns=remove_at_ns)
            )
            del self.model[database].tables[name]

    @rule(side=sides)
    def remove_what_is_due(self, side: int) -> None:
        self.clock.time_ns += 1
        self.nodes[side].commit(lambda state: removals_due(state, self.clock.time_ns))

    @rule(side=sides, checkpoint=st.booleans())
    def restart(self, side: int, checkpoint: bool) -> None:
        """C5, A2."""
        if checkpoint:
            self.nodes[side].write_checkpoint()
        before = self.nodes[side].refresh()
        self.nodes[side] = Catalog.open(self.log, clock=self.clock)
        assert self.nodes[side].state() == before

    @precondition(lambda self: hasattr(self, "nodes"))
    @invariant()
    def the_catalog_says_what_the_model_says(self) -> None:
        """T2."""
        state = max((node.state() for node in self.nodes), key=lambda state: state.sequence)
        live = {one.name: one for one in state.databases if not one.deleted and one.id != 0}

        assert live.keys() == self.model.keys()
        for name, model in self.model.items():
            tables = {table.name: table for table in live[name].tables if not table.deleted}
            assert live[name].retention_ns == model.retention_ns
            assert live[name].live_table_count == len(tables) == len(model.tables)
            assert {table.name: ModelTable(list(table.tags), dict(table.fields)) for table in tables.values()} == model.tables
        assert state.live_table_count == sum(len(model.tables) for model in self.model.values())

    @precondition(lambda self: hasattr(self, "nodes"))
    @invariant()
    def an_id_stays_with_its_thing(self) -> None:
        """T3: what an id was first seen with begins its name for ever."""
        state = max((node.state() for node in self.nodes), key=lambda state: state.sequence)
        for database in state.databases:
            for id, name in [(-1, database.name), *((table.id, table.name) for table in database.tables)]:
                first = self.ids_seen.setdefault((database.id, id), name)
                assert name == first or name.startswith(f"{first}-")

    def teardown(self) -> None:
        if hasattr(self, "nodes"):
            states: list[CatalogState] = [node.refresh() for node in self.nodes]
            states.append(Catalog.open(self.log, clock=self.clock).state())
            assert states[0] == states[1] == states[2]


TestTwoNodes = TwoNodes.TestCase
TestTwoNodes.settings = settings(max_examples=80, stateful_step_count=25, suppress_health_check=list(HealthCheck))
