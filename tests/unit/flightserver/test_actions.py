"""The registry of actions and the arguments of administration."""

import json
import time
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest, UnsupportedFeature
from flightserver import wire
from flightserver.handlers.actions import Actions, node_actions
from flightserver.handlers.call import Call, Guard
from tests.helpers.memory_node import MemoryNode

HOUR_NS = 3600 * 10**9


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
    assert admin(node, "list_databases", {}) == {
        "databases": [{"name": "db", "retention_ns": None, "deleted": False, "hard_delete_at_ns": None}]
    }
    assert node.databases["db"]["t"].rows.schema.names == ["a", "v", "time"]
    assert admin(node, "drop_table", {"database": "db", "name": "t"}) == {}
    assert admin(node, "drop_database", {"name": "db"}) == {}
    assert node.databases == {}


def test_a_removal_has_a_time_and_a_retention_period_can_change(node: MemoryNode) -> None:
    admin(node, "create_database", {"name": "db"})
    admin(node, "create_table", {"database": "db", "name": "t", "tags": [], "fields": {}})

    retention_ns = []
    for wanted in ({"retention_ns": 7}, {}):
        assert admin(node, "set_retention", {"name": "db", **wanted}) == {}
        retention_ns.append(node.retention_ns["db"])
    assert retention_ns == [7, None]
    assert admin(node, "drop_table", {"database": "db", "name": "t", "hard_delete_at_ns": 5}) == {}
    assert admin(node, "drop_database", {"name": "db", "hard_delete_at": "never"}) == {}
    assert node.removals == {"db.t": 5, "db": None}


def test_a_removal_that_says_nothing_has_the_default_time(node: MemoryNode) -> None:
    admin(node, "create_database", {"name": "db"})

    admin(node, "drop_database", {"name": "db"})

    assert node.removals["db"] == pytest.approx(time.time_ns() + 72 * HOUR_NS, abs=HOUR_NS)


def test_a_table_has_a_retention_period_of_its_own(node: MemoryNode) -> None:
    admin(node, "create_database", {"name": "db"})
    admin(node, "create_table", {"database": "db", "name": "t", "tags": ["a"], "fields": {}, "retention_ns": 5})
    made = dict(node.retention_ns)

    assert admin(node, "set_table_retention", {"database": "db", "name": "t", "retention_ns": 7}) == {}
    assert (made["db.t"], node.retention_ns["db.t"]) == (5, 7)
    (listed,) = admin(node, "list_tables", {"database": "db"})["tables"]
    assert (listed["name"], listed["tags"], listed["deleted"]) == ("t", ["a"], False)


def test_data_can_go_without_what_holds_it(node: MemoryNode) -> None:
    admin(node, "create_database", {"name": "db"})
    admin(node, "create_table", {"database": "db", "name": "t", "tags": [], "fields": {}})

    admin(node, "drop_table", {"database": "db", "name": "t", "data_only": True})
    admin(node, "drop_database", {"name": "db", "data_only": True})
    assert list(node.databases["db"]) == ["t"]
    admin(node, "drop_database", {"name": "db", "data_only": True, "remove_tables": True})
    assert node.databases["db"] == {}


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
        ("drop_database", {"name": "x", "hard_delete_at": "soon"}, "Cannot parse the timestamp: .*"),
        ("drop_database", {"name": "x", "hard_delete_at": "now", "hard_delete_at_ns": 1}, "give either .*"),
        ("create_table", {"database": "db", "name": "t", "tags": [1], "fields": {}}, "expected the name of a tag .*"),
    ],
)
def test_a_wrong_argument_is_named(node: MemoryNode, verb: str, payload: Any, expected: str) -> None:
    """A2."""
    with pytest.raises(InvalidRequest, match=expected):
        admin(node, verb, payload)
