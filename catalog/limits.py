"""How many of a thing there may be, where an operator has set a limit; nothing is limited otherwise.

L1  Deleted things, `_internal` and the column `time` are not counted.
L2  What exceeds a limit leaves no trace: limits are looked at while a change is planned.

Held by tests/unit/catalog/test_limits.py (L1, L2). The texts are part of the API; the native parser has its own copies of
those that concern a line.
"""

from dataclasses import dataclass

from catalog.errors import LimitReached
from catalog.schema import Table
from catalog.state import CatalogState


@dataclass(frozen=True, slots=True)
class Limits:
    databases: int | None = None
    tables: int | None = None
    """In all databases together."""
    columns: int | None = None
    """In one table, tags and fields."""
    tags: int | None = None

    def check_new_database(self, state: CatalogState) -> None:
        if self.databases is not None and state.live_database_count >= self.databases:
            raise LimitReached(f"Adding a new database would exceed limit of {self.databases} databases")

    def check_new_tables(self, state: CatalogState, added: int) -> None:
        if self.tables is None or added == 0:
            return
        current = state.live_table_count
        if current + added > self.tables:
            raise LimitReached(
                "Update to schema would exceed number of tables limit: attempted to create table "
                f"but already have {current} table(s) (limit: {self.tables})"
            )

    def check_columns(self, table: Table | None, added_tags: int, added_fields: int) -> None:
        """`table` is None for one that is being made."""
        tags = added_tags + (0 if table is None else len(table.tags))
        columns = added_tags + added_fields + (0 if table is None else table.column_count)
        if self.columns is not None and columns > self.columns:
            raise LimitReached(f"Update to schema would exceed number of columns per table limit of {self.columns} columns")
        if self.tags is not None and added_tags and tags > self.tags:
            raise LimitReached(f"Update to schema would exceed number of tag columns per table limit of {self.tags} columns")


NO_LIMITS = Limits()
