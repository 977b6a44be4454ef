"""Databases, tables and columns as values.

S1  A value here is never changed; a change returns another value. So whoever holds a table may keep it.
S2  Columns are only ever added, at the end: a column's number (its place in `column_names`) is its own for life, and every
    stored file stays readable. New tags come last in the series key.
S3  A name is a tag or a field of one type or `time`, never two of them.
S4  What has been deleted keeps its id and its columns until it is removed, and has given its name back.

Held by tests/unit/catalog/test_schema.py (S1-S3) and tests/unit/catalog/test_apply.py (S4).
Elsewhere: Arrow types (engine; nothing here needs pyarrow), what may be called what (names.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import Final

from catalog.errors import NotFound, TableNotFound
from catalog.ids import FIRST_TABLE_ID, DatabaseId, TableId
from catalog.names import TIME_COLUMN, InvalidColumn, check_column_name
from catalog.persistent import PersistentMap


class FieldType(IntEnum):
    FLOAT = 1
    INTEGER = 2
    UINTEGER = 3
    STRING = 4
    BOOLEAN = 5

    @property
    def iox(self) -> str:
        """How clients and error texts name the type."""
        return f"iox::column_type::field::{self.name.lower()}"

    @property
    def api_name(self) -> str:
        """How a create-table call names the type."""
        return _API_NAMES[self]

    @property
    def kind(self) -> str:
        return _FIELD_KINDS[self - 1]

    @classmethod
    def from_api_name(cls, name: str) -> "FieldType":
        for member, known in _API_NAMES.items():
            if known == name:
                return member
        raise InvalidColumn(f"unknown field type {name!r}, expected one of {', '.join(_API_NAMES.values())}")


_API_NAMES: Final = {
    FieldType.FLOAT: "float64",
    FieldType.INTEGER: "int64",
    FieldType.UINTEGER: "uint64",
    FieldType.STRING: "utf8",
    FieldType.BOOLEAN: "bool",
}

# What a column is, as one letter: stored in checkpoints, so a letter keeps its meaning.
TIME_KIND: Final = "@"
TAG_KIND: Final = "t"
_FIELD_KINDS: Final = "fiusb"

IOX_TAG: Final = "iox::column_type::tag"
IOX_TIMESTAMP: Final = "iox::column_type::timestamp"
IOX_BY_KIND: Final[Mapping[str, str]] = MappingProxyType(
    {TIME_KIND: IOX_TIMESTAMP, TAG_KIND: IOX_TAG} | {member.kind: member.iox for member in FieldType}
)
FIELD_TYPE_BY_KIND: Final[Mapping[str, FieldType]] = MappingProxyType({member.kind: member for member in FieldType})

Fields = Sequence[tuple[str, FieldType]]


class ColumnExists(InvalidColumn):
    """A column of that name is there already, with another type."""

    code = "column_exists"

    def __init__(self, name: str, existing: str) -> None:
        super().__init__(f"cannot add column {name} because it already exists with type {existing}", column=name, type=existing)


@dataclass(frozen=True)
class Table:
    """No slots: what is derived from the columns is worked out when first asked for, and 10,000 tables load without it."""

    id: TableId
    name: str
    column_names: tuple[str, ...]
    column_kinds: str
    retention_ns: int | None = None
    deleted_at_ns: int | None = None
    hard_delete_at_ns: int | None = None

    @classmethod
    def create(cls, id: int, name: str, tags: Sequence[str], fields: Fields, retention_ns: int | None = None) -> "Table":
        """Tags, fields, time: the order in which columns are numbered."""
        columns = Table(TableId(id), name, (), "")._with_columns([*((tag, TAG_KIND) for tag in tags), *_kinds(fields)])
        return replace(
            columns,
            column_names=(*columns.column_names, TIME_COLUMN),
            column_kinds=columns.column_kinds + TIME_KIND,
            retention_ns=retention_ns,
        )

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The series key."""
        return tuple(name for name, kind in self._columns if kind == TAG_KIND)

    @cached_property
    def fields(self) -> Mapping[str, FieldType]:
        return MappingProxyType(
            {name: FIELD_TYPE_BY_KIND[kind] for name, kind in self._columns if kind not in (TAG_KIND, TIME_KIND)}
        )

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """Every column's letter by its name; IOX_BY_KIND turns letters into type names."""
        return MappingProxyType(dict(self._columns))

    @cached_property
    def column_names_sorted(self) -> tuple[str, ...]:
        """The order of columns in results and files."""
        return tuple(sorted(self.column_names))

    @cached_property
    def column_numbers(self) -> Mapping[str, int]:
        return MappingProxyType({name: number for number, name in enumerate(self.column_names)})

    @property
    def column_count(self) -> int:
        """As limits count: without `time`."""
        return len(self.column_names) - 1

    @property
    def deleted(self) -> bool:
        return self.deleted_at_ns is not None

    def iox_type(self, column: str) -> str:
        return IOX_BY_KIND[self.kinds[column]]

    def with_fields(self, fields: Fields) -> "Table":
        return self._with_columns(_kinds(fields))

    def with_tags(self, tags: Sequence[str]) -> "Table":
        return self._with_columns([(tag, TAG_KIND) for tag in tags])

    def _with_columns(self, added: Sequence[tuple[str, str]]) -> "Table":
        known = dict(self._columns)
        for name, kind in added:
            check_column_name(name)
            if name in known:
                raise ColumnExists(name, IOX_BY_KIND[known[name]])
            known[name] = kind
        return replace(self, column_names=tuple(known), column_kinds="".join(known.values()))

    @property
    def _columns(self) -> Iterable[tuple[str, str]]:
        return zip(self.column_names, self.column_kinds, strict=True)


def _kinds(fields: Fields) -> list[tuple[str, str]]:
    return [(name, type.kind) for name, type in fields]


@dataclass(frozen=True, slots=True)
class Database:
    id: DatabaseId
    name: str
    retention_ns: int | None = None
    deleted_at_ns: int | None = None
    hard_delete_at_ns: int | None = None
    next_table_id: TableId = FIRST_TABLE_ID
    deleted_table_count: int = 0
    tables_by_id: PersistentMap[TableId, Table] = field(default_factory=PersistentMap)
    table_ids: PersistentMap[str, TableId] = field(default_factory=PersistentMap)

    def find_table(self, name: str) -> Table | None:
        """A deleted table is found under the name that its deletion gave it."""
        id = self.table_ids.find(name)
        return None if id is None else self.tables_by_id[id]

    def table(self, name: str) -> Table:
        found = self.find_table(name)
        if found is None:
            raise TableNotFound(self.name, name)
        return found

    def find_table_by_id(self, id: int) -> Table | None:
        return self.tables_by_id.find(TableId(id))

    def table_by_id(self, id: int) -> Table:
        found = self.find_table_by_id(id)
        if found is None:
            raise NotFound(f"database {self.name} has no table with id {id}", database=self.name, id=id)
        return found

    @property
    def tables(self) -> tuple[Table, ...]:
        """In the order in which they were made, deleted ones included."""
        return tuple(sorted(self.tables_by_id.entries(), key=lambda table: table.id))

    @property
    def live_table_count(self) -> int:
        return len(self.tables_by_id) - self.deleted_table_count

    @property
    def deleted(self) -> bool:
        return self.deleted_at_ns is not None

    def retention_of(self, table: Table) -> int | None:
        """How long a table keeps its rows: as itself says, or else its database; None keeps them for ever."""
        return self.retention_ns if table.retention_ns is None else table.retention_ns

    def with_new_table(self, table: Table) -> "Database":
        return replace(
            self,
            next_table_id=TableId(table.id + 1),
            tables_by_id=self.tables_by_id.with_entry(table.id, table),
            table_ids=self.table_ids.with_entry(table.name, table.id),
        )

    def with_table(self, table: Table) -> "Database":
        """Another value of a table that is here, under the same name."""
        return replace(self, tables_by_id=self.tables_by_id.with_entry(table.id, table))

    def with_deleted_table(self, table: Table) -> "Database":
        """A table's value after its deletion, which gave it another name."""
        old_name = self.tables_by_id[table.id].name
        return replace(
            self,
            deleted_table_count=self.deleted_table_count + 1,
            tables_by_id=self.tables_by_id.with_entry(table.id, table),
            table_ids=self.table_ids.without(old_name).with_entry(table.name, table.id),
        )

    def without_deleted_table(self, table: Table) -> "Database":
        return replace(
            self,
            deleted_table_count=self.deleted_table_count - 1,
            tables_by_id=self.tables_by_id.without(table.id),
            table_ids=self.table_ids.without(table.name),
        )
