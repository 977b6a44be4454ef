"""The node as one caller reaches it (V1-V4)."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from catalog.errors import Forbidden
from catalog.tokens import ANYONE, Identity, Token, parse_permission
from engine.requests import IngestOptions, NodeLike, WriteRequest
from flightserver.auth import Everyone
from flightserver.handlers.guarded import GuardedNode
from tests.helpers.memory_node import MemoryNode

IDS = {"_internal": 0, "a": 1, "b": 2}
SCHEMA = pa.schema([pa.field("v", pa.float64()), pa.field("time", pa.timestamp("ns"))])


@dataclass
class Doors:
    """An authorizer that knows three databases."""

    released: frozenset[str] = field(default_factory=frozenset)

    def identify(self, authorization: str | None) -> Identity:
        return ANYONE

    def check_again(self, identity: Identity) -> None:
        pass

    def tell(self, identity: Identity, what: str) -> None:
        pass

    def database_id(self, name: str) -> int | None:
        return IDS.get(name)


def guarded(*permissions: str) -> GuardedNode:
    node = MemoryNode()
    for name in IDS:
        node.create_database(name)
        node.create_table(name, "t", [], {"v": "float64"})
    token = Token(0, "t", "h", 0, None, tuple(parse_permission(text, {"a": 1, "b": 2}) for text in permissions))
    return GuardedNode(node, Doors(), Identity(token))


#: the server itself tells the node how a call ended
NOT_FOR_HANDLERS = {"call_ended"}
CALLS: dict[str, Callable[[GuardedNode, str], object]] = {
    "query": lambda node, db: node.query_sql(db, "SELECT 1"),
    "plan": lambda node, db: node.plan_sql(db, "SELECT 1"),
    "types": lambda node, db: node.parameter_types(db, "SELECT 1"),
    "write": lambda node, db: node.write_lp(WriteRequest(db, b"t v=1 1", 4)),
    "ingest": lambda node, db: node.ingest(db, "t", SCHEMA, IngestOptions()),
    "replace": lambda node, db: node.ingest(db, "t", SCHEMA, IngestOptions(if_exists="replace")),
    "values": lambda node, db: node.values_sql(db, "VALUES (1)"),
    "tables": lambda node, db: node.list_tables(db),
    "describe": lambda node, db: node.describe_tables(db),
    "create table": lambda node, db: node.create_table(db, "new", [], {}),
    "retention": lambda node, db: node.set_retention(db, 1),
    "table retention": lambda node, db: node.set_table_retention(db, "t", 1),
    "empty table": lambda node, db: node.drop_table(db, "t", keep_table=True),
    "drop table": lambda node, db: node.drop_table(db, "t"),
    "empty": lambda node, db: node.drop_database(db, keep="tables"),
    "drop": lambda node, db: node.drop_database(db),
}
ALLOWED = {
    "read": {"query", "plan", "types", "tables", "describe"},
    "describe": {"tables", "describe"},
    "write": {"write", "ingest", "values", "create table"},
    "write,delete": {"write", "ingest", "replace", "values", "create table", "empty table", "empty"},
    "update": {"retention", "table retention"},
    "drop": {"empty table", "drop table", "empty", "drop"},
    "delete": {"empty table", "empty"},
    "create": set(),
    "*": set(CALLS),
}


def may(permission: str, call: str, database: str) -> bool:
    try:
        CALLS[call](guarded(permission), database)
    except Forbidden:
        return False
    return True


def test_every_method_of_a_node_is_guarded_or_closed() -> None:
    """V1."""
    asked = {name for name in vars(NodeLike) if not name.startswith("_")} - NOT_FOR_HANDLERS

    assert asked <= {name for name, _ in inspect.getmembers(GuardedNode)}
    with pytest.raises(AttributeError):
        guarded("*:*:*").anything_new  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("actions", ALLOWED, ids=str)
def test_a_right_opens_what_it_says_on_its_database_and_nothing_else(actions: str) -> None:
    """V1, V2."""
    assert {call for call in CALLS if may(f"db:a:{actions}", call, "a")} == ALLOWED[actions]
    assert {call for call in CALLS if may(f"db:a:{actions}", call, "b")} == set()


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_internal_is_for_administrators(call: str) -> None:
    """V3."""
    assert not may("db:*:*", call, "_internal")
    assert may("*:*:*", call, "_internal")


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_what_does_not_exist_is_as_closed_as_what_is_closed(call: str) -> None:
    """V2."""
    assert not may("db:a,b:*", call, "nowhere")


def test_a_database_is_made_by_whoever_may_create_or_write_to_all() -> None:
    """V4."""
    guarded("db:*:create").create_database("new")
    guarded("db:*:write").write_lp(WriteRequest("new", b"t v=1 1", 4))
    with pytest.raises(Forbidden):
        guarded("db:*:write").create_database("new")
    with pytest.raises(Forbidden):
        guarded("db:a:create,write").write_lp(WriteRequest("new", b"t v=1 1", 4))


def test_lists_hold_what_the_caller_sees() -> None:
    """V3."""
    seen = {
        text: [found.name for found in guarded(text).list_databases()]
        for text in ("db:a:read", "db:b:describe", "db:a:write", "db:*:read", "*:*:*", "system:*:read")
    }

    assert list(seen.values()) == [["a"], ["b"], [], ["a", "b"], ["_internal", "a", "b"], []]


def test_settling_is_for_administrators() -> None:
    with pytest.raises(Forbidden):
        guarded("db:*:*").snapshot_now()


def test_without_authentication_everything_is_open() -> None:
    node = MemoryNode()
    node.create_database("_internal")
    node.create_table("_internal", "t", [], {"v": "float64"})

    for call in CALLS.values():
        if "_internal" not in node.databases or "t" not in node.databases["_internal"]:
            node.databases["_internal"] = {}
            node.create_table("_internal", "t", [], {"v": "float64"})
        node.databases["_internal"].pop("new", None)
        call(GuardedNode(node, Everyone(), ANYONE), "_internal")
