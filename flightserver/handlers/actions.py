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
from catalog.errors import InvalidRequest, ServiceError, Unauthenticated
from flightserver import wire
from flightserver.audit import Audit
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
    #: an administrative change, of which a line is kept
    audited: bool = False


class Actions:
    def __init__(self, actions: Iterable[Action], audit: Audit | None = None) -> None:
        self._by_name = {action.name: action for action in actions}
        self._audit = audit

    def names(self) -> list[tuple[str, str]]:
        return [(action.name, action.description) for action in self._by_name.values()]

    @property
    def all(self) -> Sequence[Action]:
        return list(self._by_name.values())

    def run(self, call: Call, name: str, body: pa.Buffer) -> Iterable[bytes]:
        action = self._by_name.get(name)
        if action is None:
            call.admit(TOKEN)
            raise unknown_action(name)
        if action.audited and self._audit is not None:
            return _audited(action, call, body, self._audit)
        call.admit(action.access)
        return action.run(call, body)


def _audited(action: Action, call: Call, body: pa.Buffer, audit: Audit) -> Iterable[bytes]:
    """Strangers leave no line: there is nobody to name, and no end of them."""
    who, arguments = None, {}
    if not action.access.is_open(()):
        who = call.identity
    with suppress(ServiceError):
        arguments = wire.decode_object(body.to_pybytes())
    verb = action.name.removeprefix(wire.ADMIN)
    try:
        call.admit(action.access)
        result = list(action.run(call, body))
    except ServiceError as error:
        audit.note(who, verb, arguments, error.code)
        raise
    except Exception:
        audit.note(who, verb, arguments, "internal")
        raise
    audit.note(who, verb, arguments)
    return result


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


_REMOVAL = "hard_delete_at (never, now, default or RFC 3339)"


def node_actions() -> list[Action]:
    """Health, metrics, identity and the administration of databases and tables."""
    return [
        Action(wire.HEALTH, "whether the node can read and write, and what is wrong", _health, system("health")),
        Action(wire.READY, "why no traffic should come here now, if there is a reason", _ready, system("ready")),
        Action(wire.METRICS, "counters in Prometheus' text format", _metrics, system("metrics")),
        Action(wire.IDENTITY, "cluster, node, instance and version", _identity, OPEN),
        Action(wire.AUTHENTICATE, "whether the caller's token is valid", _authenticate, TOKEN),
        admin("create_database", "name, retention_ns", _create_database, TOKEN),
        admin("drop_database", f"name, {_REMOVAL}, data_only, remove_tables", _drop_database, TOKEN),
        admin("set_retention", "name, retention_ns", _set_retention, TOKEN),
        admin("list_databases", "show_deleted", _list_databases, TOKEN),
        admin("list_tables", "database, show_deleted", _list_tables, TOKEN),
        admin("create_table", "database, name, tags, fields (name to type), retention_ns", _create_table, TOKEN),
        admin("set_table_retention", "database, name, retention_ns", _set_table_retention, TOKEN),
        admin("drop_table", f"database, name, {_REMOVAL}, data_only", _drop_table, TOKEN),
        admin("snapshot", "nothing; settles what is in memory, returns how many rows", _snapshot, ADMIN),
    ]


def _health(call: Call, body: pa.Buffer) -> list[bytes]:
    return [wire.encode_json(call.guard.bare_node.health())]


def _ready(call: Call, body: pa.Buffer) -> list[bytes]:
    return [wire.encode_json({"problems": list(call.guard.bare_node.readiness())})]


def _metrics(call: Call, body: pa.Buffer) -> list[bytes]:
    return [call.guard.bare_node.metrics_text()]


def _identity(call: Call, body: pa.Buffer) -> list[bytes]:
    """The cluster's is told to strangers, because every HTTP answer shows it, refusals too; the node's is not."""
    node = call.guard.bare_node
    told = {"cluster_uuid": node.cluster_uuid}
    with suppress(Unauthenticated, MalformedCredential):
        call.admit(TOKEN)
        told |= {"node_id": node.node_id, "instance_id": node.instance_id, "version": version()}
    return [wire.encode_json(told)]


def _authenticate(call: Call, body: pa.Buffer) -> list[bytes]:
    """Nothing, for a caller who is somebody, and who may read the resource of the server that is named."""
    arguments = Arguments(body)
    resource = arguments.take("resource", (str,), needed=False)
    arguments.done()
    if resource is not None:
        call.admit(system(resource))
    return [b"{}"]


def _create_database(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    name = arguments.take("name", (str,))
    retention_ns = arguments.take("retention_ns", (int,), needed=False)
    arguments.done()
    node.create_database(name, retention_ns)
    return {}


def _removal_time(node: GuardedNode, arguments: Arguments) -> int | None:
    """`hard_delete_at` as people say it, or `hard_delete_at_ns`; the default when neither is there."""
    text = arguments.take("hard_delete_at", (str,), needed=False)
    at_ns: int | None = arguments.take("hard_delete_at_ns", (int,), needed=False)
    if text is not None and at_ns is not None:
        raise InvalidRequest("give either hard_delete_at or hard_delete_at_ns")
    return at_ns if at_ns is not None else node.removal_time_ns("default" if text is None else text)


def _drop_database(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    name, at_ns = arguments.take("name", (str,)), _removal_time(node, arguments)
    data_only = bool(arguments.take("data_only", (bool,), needed=False))
    remove_tables = bool(arguments.take("remove_tables", (bool,), needed=False))
    arguments.done()
    node.drop_database(name, at_ns, "database" if remove_tables else "tables" if data_only else "nothing")
    return {}


def _set_retention(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    name = arguments.take("name", (str,))
    retention_ns = arguments.take("retention_ns", (int,), needed=False)
    arguments.done()
    node.set_retention(name, retention_ns)
    return {}


def _list_databases(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    show_deleted = bool(arguments.take("show_deleted", (bool,), needed=False))
    arguments.done()
    return {"databases": [asdict(found) for found in node.list_databases(show_deleted=show_deleted)]}


def _list_tables(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    database = arguments.take("database", (str,))
    show_deleted = bool(arguments.take("show_deleted", (bool,), needed=False))
    arguments.done()
    return {"tables": [asdict(found) for found in node.describe_tables(database, show_deleted=show_deleted)]}


def _create_table(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    database, name = arguments.take("database", (str,)), arguments.take("name", (str,))
    tags = arguments.take("tags", (list,))
    fields = arguments.take("fields", (dict,))
    retention_ns = arguments.take("retention_ns", (int,), needed=False)
    arguments.done()
    for what in (*tags, *fields.values()):
        if not isinstance(what, str):
            raise InvalidRequest(f"expected the name of a tag or of a field's type, found {what!r}")
    node.create_table(database, name, tags, fields, retention_ns)
    return {}


def _set_table_retention(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    database, name = arguments.take("database", (str,)), arguments.take("name", (str,))
    retention_ns = arguments.take("retention_ns", (int,), needed=False)
    arguments.done()
    node.set_table_retention(database, name, retention_ns)
    return {}


def _drop_table(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    database, name = arguments.take("database", (str,)), arguments.take("name", (str,))
    at_ns = _removal_time(node, arguments)
    data_only = bool(arguments.take("data_only", (bool,), needed=False))
    arguments.done()
    node.drop_table(database, name, at_ns, keep_table=data_only)
    return {}


def _snapshot(node: GuardedNode, arguments: Arguments) -> Mapping[str, object]:
    arguments.done()
    return {"rows": node.snapshot_now()}


Verb = Callable[[GuardedNode, Arguments], Mapping[str, object]]


def admin(verb: str, arguments: str, act: Verb, access: Access) -> Action:
    """TOKEN leaves it to the methods of the caller's node that the verb calls (handlers.guarded)."""

    def run(call: Call, body: pa.Buffer) -> list[bytes]:
        return [wire.encode_json(act(call.node, Arguments(body)))]

    return Action(wire.ADMIN + verb, f"JSON in, JSON out: {arguments}", run, access, audited=not verb.startswith("list_"))
