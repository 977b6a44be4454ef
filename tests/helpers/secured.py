"""A server with tokens: a real node in memory, its Flight server and the HTTP application, on a clock that can be moved."""

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl
from werkzeug.test import Client, TestResponse

from catalog.tokens import ANYONE, Identity
from engine.node import Node
from engine.requests import WriteRequest
from engine.settings import Settings
from engine.storage.memory import MemoryStore
from flightserver.audit import Audit
from flightserver.auth import TokenAuthorizer
from flightserver.client import EngineClient
from flightserver.server import EngineServer
from flightserver.tokens import TokenKeeper, Wish
from httpapi.app import HttpSettings, create_app
from httpapi.gateway import Gateway

SETTINGS = Settings(node_id="node", wal_flush_interval_ms=10)
SQL = "SELECT * FROM cpu"
NANOSECONDS = 4


class MovableClock:
    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ns(self) -> int:
        return time.time_ns() + int(self.ahead_s * 1e9)

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass
class Secured:
    node: Node
    clock: MovableClock
    keeper: TokenKeeper
    server: EngineServer
    http: Client
    operator: str
    _names: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.server.port}"

    @property
    def identity(self) -> Identity:
        return Identity(self.node.catalog.state().tokens.by_name["_admin"])

    def token(self, *permissions: str, name: str | None = None, expiry_secs: int | None = None) -> str:
        """The text of a new token; `*:*:*` makes an administrator's."""
        name = name or f"token {next(self._names)}"
        if permissions == ("*:*:*",):
            return self.keeper.create_admin(name, expiry_secs, ANYONE)["token"]
        wishes = []
        for permission in permissions:
            kind, names, actions = permission.split(":")
            wishes.append(Wish(kind, names.split(","), actions.split(",")))
        return self.keeper.create_resource(name, wishes, expiry_secs, ANYONE)["token"]

    def write(self, database: str, lines: bytes) -> None:
        self.node.write_lp(WriteRequest(database, lines, NANOSECONDS))

    def open(self, method: str, path: str, token: str | None = None, **more: Any) -> TestResponse:
        headers: dict[str, str] = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.http.open(path, method=method, headers=headers, **more)


def options(token: str | None, headers: Mapping[str, str] | None = None) -> fl.FlightCallOptions:
    """Of a call with this token, within a time that no test needs."""
    found = {"authorization": f"Bearer {token}"} if token is not None else {}
    found |= dict(headers or {})
    return fl.FlightCallOptions(timeout=60, headers=[(name.encode(), value.encode()) for name, value in found.items()])


def ticket(database: str, sql: str) -> fl.Ticket:
    return fl.Ticket(json.dumps({"database": database, "sql_query": sql}))


def ask(client: fl.FlightClient, token: str | None, database: str = "a", sql: str = SQL) -> pa.Table:
    return client.do_get(ticket(database, sql), options(token)).read_all()


def act(client: fl.FlightClient, token: str | None, name: str, body: Any = b"") -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = b"".join(result.body.to_pybytes() for result in client.do_action(fl.Action(name, data), options(token)))
    return json.loads(answer) if answer[:1] == b"{" else answer


@contextmanager
def secured(directory: Path, released: frozenset[str] = frozenset(), audit: Audit | None = None) -> Iterator[Secured]:
    """Databases a and b, each with a row in the table cpu."""
    clock = MovableClock()
    node = Node.open(SETTINGS, MemoryStore(), clock)
    keeper = TokenKeeper(node.catalog, clock)
    authorizer = TokenAuthorizer(node.catalog.state, clock.now_ns, released)
    (directory / "handover").mkdir()
    (directory / "counters").mkdir()
    server = EngineServer(
        node,
        "grpc://127.0.0.1:0",
        handover_dir=directory / "handover",
        authorizer=authorizer,
        tokens=keeper,
        audit=audit,
        keep_alive_s=0.2,
    )
    location = f"grpc://127.0.0.1:{server.port}"
    client, watching = EngineClient(location), EngineClient(location, timeout_s=10.0)
    settings = HttpSettings(directory / "counters", with_tokens=True, released=released)
    app = create_app(Gateway(client, watching), settings)
    found = Secured(node, clock, keeper, server, Client(app), keeper.create_operator()["token"])
    for database in ("a", "b"):
        found.write(database, f"cpu,host={database} v=1 1".encode())
    try:
        yield found
    finally:
        app.close()
        client.close()
        watching.close()
        server.shutdown()
        node.close()
