"""The only door out of the HTTP face: everything a request needs from the engine goes through here.

G1  The identity of the engine is asked for until it is known, and not again: it does not change while the processes run.
    An engine that is not there yet is asked again by the next request, one that hangs by few.
G2  What tells about the engine (identity, health, metrics) is answered in a few seconds, even by an engine that hangs: those
    calls have a client of their own, with a time limit that writes and queries cannot have.

Held by tests/integration/http/test_health.py (G1, G2).
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from catalog.errors import ServiceError
from flightserver.client import EngineClient, Outcome, ResultStream, Room
from flightserver.wire import WriteHeader, WriteReportDict

WATCHING_TIMEOUT_S = 5.0

_IDENTITY_PATIENCE_S = 1.0


class Gateway:
    """`watching` is a client of the same engine whose calls end with `Unavailable` after WATCHING_TIMEOUT_S."""

    def __init__(self, client: EngineClient, watching: EngineClient) -> None:
        self._client = client
        self._watching = watching
        self._identity: Mapping[str, Any] = {}
        self._identity_due_at = -math.inf

    def write_lp(self, header: WriteHeader, body: memoryview, room: Room | None) -> WriteReportDict:
        return self._client.send_lp(header, body, room)

    def room_for(self, size: int) -> AbstractContextManager[Room | None]:
        """Memory in which a large body may be put together; None if there is none."""
        return self._client.room_for(size)

    def start_lp(self, header: WriteHeader, lines: bytes, told: Callable[[Outcome], None]) -> None:
        """A small write that nobody waits for: `told` hears what became of it."""
        self._client.start_lp(header, lines, told)

    def query_sql(
        self, *, db: str, q: str, params: Mapping[str, Any], authorization: str | None, query_id: str
    ) -> ResultStream:
        return self._client.query(db=db, q=q, params=params, authorization=authorization, query_id=query_id)

    def cancel_query(self, query_id: str, authorization: str | None) -> None:
        self._watching.cancel(query_id, authorization)

    def admin(self, verb: str, payload: dict[str, Any], authorization: str | None) -> dict[str, Any]:
        return self._client.admin(verb, payload, authorization)

    def authenticate(self, authorization: str | None, resource: str | None = None) -> None:
        """Raises for nobody, and for who may not read this resource of the server."""
        self._watching.authenticate(authorization, resource)

    def health(self, authorization: str | None) -> dict[str, Any]:
        return self._watching.health(authorization)

    def ready(self, authorization: str | None) -> list[str]:
        return self._watching.ready(authorization)

    def metrics(self, authorization: str | None) -> bytes:
        return self._watching.metrics(authorization)

    @property
    def known_identity(self) -> Mapping[str, Any]:
        """`identity` without asking."""
        return self._identity

    def identity(self) -> Mapping[str, Any]:
        """Who the engine is: cluster_uuid, version, instance_id, node_id. Empty until it has answered once (G1)."""
        asked_at = time.monotonic()
        if not self._identity and asked_at >= self._identity_due_at:
            self._identity_due_at = asked_at + _IDENTITY_PATIENCE_S  # meanwhile others do without
            try:
                self._identity = self._watching.identity()
            except ServiceError:
                failed_at = time.monotonic()
                self._identity_due_at = failed_at + (failed_at - asked_at)
                return {}
        return self._identity
