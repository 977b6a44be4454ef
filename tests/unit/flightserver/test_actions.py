"""The registry of actions and the arguments of administration."""

import json
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest, UnsupportedFeature
from flightserver import wire
from flightserver.handlers.actions import Actions, node_actions
from flightserver.handlers.call import Call, Guard
from tests.helpers.memory_node import MemoryNode


@pytest.fixture
def node() -> MemoryNode:
    return MemoryNode()


def call_to(node: MemoryNode) -> Call:
    return Call(Guard(node))


def admin(node: MemoryNode, verb: str, payload: Any) -> Any:
    (answer,) = Actions(node_actions()).run(call_to(node), wire.ADMIN + verb, pa.py_buffer(json.dumps(payload).encode()))
    return json.loads(answer)


def answers(node: MemoryNode, actions: Actions, name: str) -> bool:
    try:
        actions.run(call_to(node), name, pa.py_buffer(b""))
    except UnsupportedFeature:
        return False
    except InvalidRequest:
        return True
    return True


def test_what_is_listed_is_what_is_answered(node: MemoryNode) -> None:
    """A1."""
    actions = Actions(node_actions())

    for name, description in actions.names():
        assert description
        assert answers(node, actions, name)
    with pytest.raises(UnsupportedFeature, match="unknown action: other"):
        actions.run(call_to(node), "other", pa.py_buffer(b""))


def test_databases_and_tables_come_and_go(node: MemoryNode) -> None:
    assert admin(node, "create_database", {"name": "db", "retention_ns": None}) == {}
    assert admin(node, "create_table", {"database": "db", "name": "t", "tags": ["a"], "fields": {"v": "int64"}}) == {}
    assert admin(node, "list_databases", {}) == {"databases": [{"name": "db", "retention_ns": None, "deleted": False}]}
    assert node.databases["db"]["t"].rows.schema.names == ["a", "v", "time"]
    assert admin(node, "drop_table", {"database": "db", "name": "t"}) == {}
    assert admin(node, "drop_database", {"name": "db"}) == {}
    assert node.databases == {}


def test_a_removal_has_a_time_and_a_retention_period_can_change(node: MemoryNode) -> None:
    admin(node, "create_database", {"name": "db"})
    admin(node, "create_table", {"database": "db", "name": "t", "tags": [], "fields": {}})

    assert admin(node, "set_retention", {"name": "db", "retention_ns": 7}) == {}
    assert node.retention_ns == {"db": 7}
    assert admin(node, "set_retention", {"name": "db"}) == {}
    assert node.retention_ns == {"db": None}
    assert admin(node, "drop_table", {"database": "db", "name": "t", "hard_delete_at_ns": 5}) == {}
    assert admin(node, "drop_database", {"name": "db", "hard_delete_at_ns": None}) == {}
    assert node.removals == {"db.t": 5, "db": None}


@pytest.mark.parametrize(
    ("verb", "payload", "expected"),
    [
        ("create_database", {}, "argument 'name' must be str"),
        ("create_database", {"name": 1}, "argument 'name' must be str"),
        ("create_database", {"name": "x", "colour": "red"}, "unknown argument: colour"),
        ("create_database", {"name": "x", "retention_ns": True}, "argument 'retention_ns' must be int"),
        ("create_table", {"database": "db", "name": "t", "tags": "a", "fields": {}}, "argument 'tags' must be list"),
        ("list_databases", {"show_deleted": "yes"}, "argument 'show_deleted' must be bool"),
        ("drop_table", [], "not a JSON object"),
    ],
)
def test_a_wrong_argument_is_named(node: MemoryNode, verb: str, payload: Any, expected: str) -> None:
    """A2."""
    with pytest.raises(InvalidRequest, match=expected):
        admin(node, verb, payload)
