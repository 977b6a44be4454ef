"""Small catalogs to start a test from."""

from catalog.apply import apply_all
from catalog.ids import DatabaseId, TableId
from catalog.ops import CreateDatabase, CreateTable, FoundCluster, Op
from catalog.schema import FieldType
from catalog.state import EMPTY, CatalogState

DB = DatabaseId(1)
CPU = TableId(0)

FOUNDED: tuple[Op, ...] = (
    FoundCluster("5e0c9a86-3a0e-4b8e-9d0b-0d6f3a1f7c11"),
    CreateDatabase(DB, "db"),
    CreateTable(DB, CPU, "cpu", ("host", "region"), (("usage", FieldType.FLOAT),)),
)


def small_state() -> CatalogState:
    """A database `db` with a table `cpu`: tags host and region, a float usage."""
    return apply_all(FOUNDED, EMPTY)
