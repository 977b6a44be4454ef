"""Small catalogs to start a test from."""

from catalog.apply import apply_all
from catalog.ids import DatabaseId, TableId
from catalog.ops import (
    AddFields,
    AddTags,
    CreateDatabase,
    CreateTable,
    CreateToken,
    DeleteToken,
    DropDatabase,
    DropTable,
    FoundCluster,
    Op,
    RegisterNode,
    RemoveDatabase,
    RemoveTable,
    ReplaceToken,
    SetRetention,
    SetTableRetention,
    StopNode,
)
from catalog.schema import FieldType
from catalog.state import EMPTY, CatalogState
from catalog.tokens import EVERYTHING, Permission

DB = DatabaseId(1)
CPU = TableId(0)

FOUNDED: tuple[Op, ...] = (
    FoundCluster("5e0c9a86-3a0e-4b8e-9d0b-0d6f3a1f7c11"),
    CreateDatabase(DB, "db"),
    CreateTable(DB, CPU, "cpu", ("host", "region"), (("usage", FieldType.FLOAT),)),
)

FIRST_OPS: tuple[Op, ...] = (
    *FOUNDED,
    RegisterNode("node0", "instance", ("ingest", "query"), 2, 1_700_000_000_000_000_000, '{"data_dir":"/data"}'),
    StopNode("node0", 1_700_000_000_000_000_001),
    CreateTable(DB, TableId(1), "mém ory\n", (), tuple((member.name, member) for member in FieldType), 3_600_000_000_000),
    AddFields(DB, CPU, (("idle", FieldType.INTEGER), ('a "quoted" name', FieldType.STRING))),
    AddTags(DB, CPU, ("rack",)),
    SetRetention(DB, 2_592_000_000_000_000),
    SetTableRetention(DB, CPU, None),
    DropTable(DB, CPU, "cpu-20240101T000000", 1_704_067_200_000_000_000, None),
    RemoveTable(DB, CPU),
    CreateTable(DB, TableId(2), "cpu", ("host",), ()),
    DropTable(DB, TableId(2), "cpu-20240101T000001", 1_704_067_201_000_000_000, 1_704_326_401_000_000_000),
    CreateDatabase(DatabaseId(2), "other/rp", 1),
    DropDatabase(DatabaseId(2), "other/rp-20240101T000000", 1_704_067_200_000_000_000, 1_704_326_400_000_000_000),
    RemoveDatabase(DatabaseId(2)),
)
"""The kinds of op of the first version, as tests/formats keeps them."""

TOKEN_OPS: tuple[Op, ...] = (
    CreateToken(0, "_admin", "a" * 128, 1_700_000_000_000, None, (EVERYTHING,)),
    CreateToken(
        1,
        "reader",
        "b" * 128,
        1_700_000_000_001,
        1_800_000_000_000,
        (
            Permission("db", (1,), ("read", "write")),
            Permission("db", None, ("read",)),
            Permission("system", ("ping",), ("read",)),
        ),
        0,
        "for tests",
    ),
    CreateToken(2, "gone", "c" * 128, 1_700_000_000_002, None, (EVERYTHING,), 0),
    ReplaceToken("_admin", "d" * 128, 1_700_000_000_003, 2),
    DeleteToken("gone"),
)

EVERY_OP: tuple[Op, ...] = (*FIRST_OPS, *TOKEN_OPS)
"""A history with each kind of op; it applies to an empty catalog."""


def small_state() -> CatalogState:
    """A database `db` with a table `cpu`: tags host and region, a float usage."""
    return apply_all(FOUNDED, EMPTY)
