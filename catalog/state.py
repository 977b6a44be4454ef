"""Everything that exists at one sequence number.

T1  A state is never changed; the next one shares with it what did not change, so a commit costs the same in a catalog of
    one table and in one of 10,000.
T2  A name stands for at most one database, and in a database for at most one table. What is deleted has another name.
T3  Ids are handed out upwards and never again, not even after a removal.
T4  The database `_internal` has id 0, exists in every state and is never deleted.

Held by tests/unit/catalog/test_apply.py (T1-T4) and tests/property/test_catalog_random.py (T2, T3).
Elsewhere: how one state becomes the next (apply.py), who holds the current one (catalog.py).
"""

from dataclasses import dataclass, field, replace
from typing import Final

from catalog.errors import DatabaseNotFound, NotFound
from catalog.ids import FIRST_DATABASE_ID, FIRST_NODE_NUMBER, INTERNAL_DATABASE_ID, DatabaseId, NodeNumber
from catalog.names import INTERNAL_DATABASE
from catalog.persistent import PersistentMap
from catalog.schema import Database
from catalog.tokens import Tokens

INTERNAL_RETENTION_NS: Final = 7 * 24 * 3600 * 1_000_000_000

NODE_RUNNING: Final = "running"
NODE_STOPPED: Final = "stopped"


@dataclass(frozen=True, slots=True)
class Node:
    """A server that takes, or took, part."""

    number: NodeNumber
    node_id: str
    instance_id: str
    modes: tuple[str, ...]
    core_count: int
    state: str
    updated_at_ns: int
    cli_params: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogState:
    sequence: int = 0
    uuid: str = ""
    """The cluster's identity; empty only before the first commit."""
    next_database_id: DatabaseId = FIRST_DATABASE_ID
    next_node_number: NodeNumber = FIRST_NODE_NUMBER
    databases_by_id: PersistentMap[DatabaseId, Database] = field(default_factory=PersistentMap)
    database_ids: PersistentMap[str, DatabaseId] = field(default_factory=PersistentMap)
    nodes_by_name: PersistentMap[str, Node] = field(default_factory=PersistentMap)
    tokens: Tokens = field(default_factory=Tokens)

    def find_database(self, name: str) -> Database | None:
        """A deleted database is found under the name that its deletion gave it."""
        id = self.database_ids.find(name)
        return None if id is None else self.databases_by_id[id]

    def database(self, name: str) -> Database:
        found = self.find_database(name)
        if found is None:
            raise DatabaseNotFound(name)
        return found

    def find_database_by_id(self, id: int) -> Database | None:
        return self.databases_by_id.find(DatabaseId(id))

    def database_by_id(self, id: int) -> Database:
        found = self.find_database_by_id(id)
        if found is None:
            raise NotFound(f"there is no database with id {id}", id=id)
        return found

    @property
    def databases(self) -> tuple[Database, ...]:
        """In the order in which they were made, `_internal` first, deleted ones included."""
        return tuple(sorted(self.databases_by_id.entries(), key=lambda database: database.id))

    def find_node(self, node_id: str) -> Node | None:
        return self.nodes_by_name.find(node_id)

    def node(self, node_id: str) -> Node:
        found = self.find_node(node_id)
        if found is None:
            raise NotFound(f"there is no node {node_id}", node_id=node_id)
        return found

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(sorted(self.nodes_by_name.entries(), key=lambda node: node.number))

    @property
    def live_database_count(self) -> int:
        """As limits count: neither deleted ones nor `_internal`."""
        return sum(1 for database in self.databases_by_id.entries() if not database.deleted) - 1

    @property
    def live_table_count(self) -> int:
        """As limits count: in all live databases but `_internal`."""
        return sum(
            database.live_table_count
            for database in self.databases_by_id.entries()
            if not database.deleted and database.id != INTERNAL_DATABASE_ID
        )

    def with_new_database(self, database: Database) -> "CatalogState":
        return replace(
            self,
            next_database_id=DatabaseId(max(self.next_database_id, database.id + 1)),
            databases_by_id=self.databases_by_id.with_entry(database.id, database),
            database_ids=self.database_ids.with_entry(database.name, database.id),
        )

    def with_database(self, database: Database) -> "CatalogState":
        """Another value of a database that is here, under the same name."""
        return replace(self, databases_by_id=self.databases_by_id.with_entry(database.id, database))

    def with_renamed_database(self, database: Database) -> "CatalogState":
        old_name = self.databases_by_id[database.id].name
        return replace(
            self,
            databases_by_id=self.databases_by_id.with_entry(database.id, database),
            database_ids=self.database_ids.without(old_name).with_entry(database.name, database.id),
        )

    def without_database(self, database: Database) -> "CatalogState":
        return replace(
            self,
            databases_by_id=self.databases_by_id.without(database.id),
            database_ids=self.database_ids.without(database.name),
        )

    def with_node(self, node: Node) -> "CatalogState":
        return replace(
            self,
            next_node_number=NodeNumber(max(self.next_node_number, node.number + 1)),
            nodes_by_name=self.nodes_by_name.with_entry(node.node_id, node),
        )


EMPTY: Final = CatalogState().with_new_database(
    Database(INTERNAL_DATABASE_ID, INTERNAL_DATABASE, retention_ns=INTERNAL_RETENTION_NS)
)
"""What every catalog begins with."""
