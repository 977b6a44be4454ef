"""Actions by name: one registry for everything that DoAction answers.

A1  ListActions shows exactly what DoAction answers.
A2  A JSON action reads its arguments by name and type; an unknown, missing or ill-typed one is named.
A3  Each action declares what it asks of its caller (catalog.access), and is not begun for anyone else. What it then does to
    databases goes through the caller's own node (handlers.guarded).

Held by tests/unit/flightserver/test_actions.py (A1, A2) and tests/integration/flight/test_tokens.py (A3).
Elsewhere: writes (handlers.writes), prepared statements (handlers.prepared), the transport (flightserver.server).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from catalog.access import ADMIN, OPEN, TOKEN, Access, system
from catalog.credentials import MalformedCredential
from catalog.errors import InvalidRequest, Unauthenticated
from flightserver import wire
from flightserver.handlers.call import Call
from flightserver.handlers.guarded import GuardedNode
from flightserver.handlers.refused import unknown_action
from flightserver.version import version

Handler = Callable[[Call, pa.Buffer], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Action:
    name: str
    description: str
    run: Handler
    access: Access


class Actions:
    def __init__(self, actions: Iterable[Action]) -> None:
        self._by_name = {action.name: action for action in actions}

    def names(self) -> list[tuple[str, str]]:
        return [(action.name, action.description) for action in self._by_name.values()]

    @property
    def all(self) -> Sequence[Action]:
        return list(self._by_name.values())

    def run(self, call: Call, name: str, body: pa.Buffer) -> Iterable[bytes]:
        action = self._by_name.get(name)
        call.admit(TOKEN if action is None else action.access)
        if action is None:
            raise unknown_action(name)
        return action.run(call, body)


class Arguments:
    """The named arguments of a JSON action; `done` refuses what nobody asked for."""

    def __init__(self, body: pa.Buffer) -> None:
        self._values = wire.decode_object(body.to_pybytes())

    def take(self, name: str, kinds: tuple[type, ...], *, needed: bool = True) -> Any:
        value = self._values.pop(name, None)
        if value is None and not needed:
            return None
        if type(value) not in kinds:
            raise InvalidRequest(f"argument '{name}' must be {' or '.join(kind.__name__ for kind in kinds)}")
        return value

    def done(self) -> None:
        if self._values:
            raise InvalidRequest(f"unknown argument: {next(iter(self._values))}")


def node_actions() -> list[Action]:
    """Health, metrics, identity and the administration of databases and tables."""

    def health(call: Call, body: pa.Buffer) -> list[bytes]:
        return [wire.encode_json(call.guard.bare_node.health())]

    def metrics(call: Call, body: pa.Buffer) -> list[bytes]:
        return [call.guard.bare_node.metrics_text()]

    def identity(call: Call, body: pa.Buffer) -> list[bytes]:
        """The cluster's is told to strangers, because every HTTP answer shows it, refusals too; the node's is not."""
        node = call.guard.bare_node
        told = {"cluster_uuid": node.cluster_uuid}
        with suppress(Unauthenticated, MalformedCredential):
            call.admit(TOKEN)
            told |= {"node_id": node.node_id, "instance_id": node.instance_id, "version": version()}
        return [wire.encode_json(told)]

    def authenticate(call: Call, body: pa.Buffer) -> list[bytes]:
        """Nothing, for a caller who is somebody, and who may read the resource of the server that is named."""
        arguments = Arguments(body)
        resource = arguments.take("resource", (str,), needed=False)
        arguments.done()
        if resource is not None:
            call.admit(system(resource))
        return [b"{}"]

    def create_database(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
        name = arguments.take("name", (str,))
        retention_ns = arguments.take("retention_ns", (int,), needed=False)
        arguments.done()
        node.create_database(name, retention_ns)
        return {}

    def drop_database(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
        name = arguments.take("name", (str,))
        hard_delete_at_ns = arguments.take("hard_delete_at_ns", (int,), needed=False)
        arguments.done()
        node.drop_database(name, hard_delete_at_ns)
        return {}

    def set_retention(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
        name = arguments.take("name", (str,))
        retention_ns = arguments.take("retention_ns", (int,), needed=False)
        arguments.done()
        node.set_retention(name, retention_ns)
        return {}

    def list_databases(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
        show_deleted = bool(arguments.take("show_deleted", (bool,), needed=False))
        arguments.done()
        return {"databases": [asdict(found) for found in node.list_databases(show_deleted=show_deleted)]}

    def create_table(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
        database, name = arguments.take("database", (str,)), arguments.take("name", (str,))
        tags = arguments.take("tags", (list,))
        fields = arguments.take("fields", (dict,))
        arguments.done()
        node.create_table(database, name, tags, fields)
        return {}

    def drop_table(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
        database, name = arguments.take("database", (str,)), arguments.take("name", (str,))
        hard_delete_at_ns = arguments.take("hard_delete_at_ns", (int,), needed=False)
        arguments.done()
        node.drop_table(database, name, hard_delete_at_ns)
        return {}

    def snapshot(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
        arguments.done()
        return {"rows": node.snapshot_now()}

    return [
        Action(wire.HEALTH, "whether the node can read and write, and what is wrong", health, system("health")),
        Action(wire.METRICS, "counters in Prometheus' text format", metrics, system("metrics")),
        Action(wire.IDENTITY, "cluster, node, instance and version", identity, OPEN),
        Action(wire.AUTHENTICATE, "whether the caller's token is valid", authenticate, TOKEN),
        admin("create_database", "name, retention_ns", create_database, TOKEN),
        admin("drop_database", "name, hard_delete_at_ns", drop_database, TOKEN),
        admin("set_retention", "name, retention_ns", set_retention, TOKEN),
        admin("list_databases", "show_deleted", list_databases, TOKEN),
        admin("create_table", "database, name, tags, fields", create_table, TOKEN),
        admin("drop_table", "database, name, hard_delete_at_ns", drop_table, TOKEN),
        admin("snapshot", "nothing; settles what is in memory, returns how many rows", snapshot, ADMIN),
    ]


Verb = Callable[[GuardedNode, Arguments], Mapping[str, object]]


def admin(verb: str, arguments: str, act: Verb, access: Access) -> Action:
    """TOKEN leaves it to the methods of the caller's node that the verb calls (handlers.guarded)."""

    def run(call: Call, body: pa.Buffer) -> list[bytes]:
        return [wire.encode_json(act(call.node, Arguments(body)))]

    return Action(wire.ADMIN + verb, f"JSON in, JSON out: {arguments}", run, access)
