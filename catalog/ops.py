"""Changes as data: what one commit is made of, and what the log keeps for ever.

O1  An op is complete: it carries every id, name and time that it needs, so applying it asks neither clock nor chance.
O2  `kind` and the names of an op's fields are stored in the log. A field may be added with a default, nothing is renamed.

Held by tests/unit/catalog/test_codec.py (O2: a stored batch of every kind) and tests/unit/catalog/test_apply.py (O1).
Elsewhere: what each op does (apply.py), who plans them from a wish (changes.py for people, growth.py for writes).
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from catalog.ids import DatabaseId, TableId
from catalog.schema import FieldType
from catalog.tokens import Permission


@dataclass(frozen=True, slots=True)
class FoundCluster:
    """The first op of every log."""

    kind: ClassVar[str] = "found_cluster"
    uuid: str


@dataclass(frozen=True, slots=True)
class RegisterNode:
    """A node came up; one that was known keeps its number."""

    kind: ClassVar[str] = "register_node"
    node_id: str
    instance_id: str
    modes: tuple[str, ...]
    core_count: int
    time_ns: int
    cli_params: str | None = None


@dataclass(frozen=True, slots=True)
class StopNode:
    kind: ClassVar[str] = "stop_node"
    node_id: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    kind: ClassVar[str] = "create_database"
    id: DatabaseId
    name: str
    retention_ns: int | None = None


@dataclass(frozen=True, slots=True)
class CreateTable:
    kind: ClassVar[str] = "create_table"
    database_id: DatabaseId
    id: TableId
    name: str
    tags: tuple[str, ...]
    fields: tuple[tuple[str, FieldType], ...]
    retention_ns: int | None = None


@dataclass(frozen=True, slots=True)
class AddFields:
    kind: ClassVar[str] = "add_fields"
    database_id: DatabaseId
    table_id: TableId
    fields: tuple[tuple[str, FieldType], ...]


@dataclass(frozen=True, slots=True)
class AddTags:
    kind: ClassVar[str] = "add_tags"
    database_id: DatabaseId
    table_id: TableId
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetRetention:
    """None keeps rows for ever."""

    kind: ClassVar[str] = "set_retention"
    database_id: DatabaseId
    retention_ns: int | None


@dataclass(frozen=True, slots=True)
class SetTableRetention:
    """None falls back to the database's."""

    kind: ClassVar[str] = "set_table_retention"
    database_id: DatabaseId
    table_id: TableId
    retention_ns: int | None


@dataclass(frozen=True, slots=True)
class DropDatabase:
    """Soft: the name is free again, the rest stays until it is removed. On a deleted database: another time of removal."""

    kind: ClassVar[str] = "drop_database"
    database_id: DatabaseId
    deleted_name: str
    deleted_at_ns: int
    hard_delete_at_ns: int | None


@dataclass(frozen=True, slots=True)
class DropTable:
    """As DropDatabase, for one table."""

    kind: ClassVar[str] = "drop_table"
    database_id: DatabaseId
    table_id: TableId
    deleted_name: str
    deleted_at_ns: int
    hard_delete_at_ns: int | None


@dataclass(frozen=True, slots=True)
class RemoveDatabase:
    """Hard: the entry of a deleted database goes, and its tables with it."""

    kind: ClassVar[str] = "remove_database"
    database_id: DatabaseId


@dataclass(frozen=True, slots=True)
class RemoveTable:
    kind: ClassVar[str] = "remove_table"
    database_id: DatabaseId
    table_id: TableId


@dataclass(frozen=True, slots=True)
class CreateToken:
    """`hash` is what is kept of its text."""

    kind: ClassVar[str] = "create_token"
    id: int
    name: str
    hash: str
    created_at_ms: int
    expiry_ms: int | None
    permissions: tuple[Permission, ...]
    created_by: int | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ReplaceToken:
    """Another text under the same name, with the same rights; the old one is nobody's from then on."""

    kind: ClassVar[str] = "replace_token"
    name: str
    hash: str
    updated_at_ms: int
    updated_by: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteToken:
    kind: ClassVar[str] = "delete_token"
    name: str


Op: TypeAlias = (
    FoundCluster
    | RegisterNode
    | StopNode
    | CreateDatabase
    | CreateTable
    | AddFields
    | AddTags
    | SetRetention
    | SetTableRetention
    | DropDatabase
    | DropTable
    | RemoveDatabase
    | RemoveTable
    | CreateToken
    | ReplaceToken
    | DeleteToken
)
