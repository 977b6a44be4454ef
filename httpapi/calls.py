"""One request that goes through Flask, and what its view may use."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Request

from catalog.access import Access
from httpapi.admission import CREDENTIAL_KEY
from httpapi.bodies import BodyReader
from httpapi.counters import RequestCounters
from httpapi.gateway import Gateway
from httpapi.parameters import json_body
from httpapi.replies import Reply

REQUEST_ID_KEY = "flightline.request_id"


@dataclass(frozen=True, slots=True)
class Call:
    request: Request
    gateway: Gateway
    counters: RequestCounters
    bodies: BodyReader

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def query_string(self) -> str:
        return str(self.request.environ.get("QUERY_STRING", ""))

    @property
    def accept(self) -> str:
        return self.request.headers.get("Accept", "")

    @property
    def authorization(self) -> str | None:
        """The caller's credential in the form that the engine reads; None where tokens are off, and for nobody."""
        credential: str | None = self.request.environ[CREDENTIAL_KEY]
        return credential

    @property
    def socket(self) -> socket.socket | None:
        """The client's connection, where a server tells."""
        found: socket.socket | None = self.request.environ.get("gunicorn.socket")
        return found

    @property
    def is_chunked(self) -> bool:
        """Whether an answer that is streamed has an end of its own, other than that of the connection."""
        return str(self.request.environ.get("SERVER_PROTOCOL", "")) != "HTTP/1.0"

    @property
    def request_id(self) -> str:
        return str(self.request.environ[REQUEST_ID_KEY])

    def json_body(self, *, any_content_type: bool = False) -> dict[str, Any]:
        return json_body(self.request.environ, self.bodies, any_content_type=any_content_type)


View = Callable[[Call], Reply]
Routes = Sequence[tuple[str, list[str], View, Access]]
"""Rule, methods, view, and what it asks of a caller. TOKEN, ADMIN: the view succeeds only if the engine,
given `call.authorization`, agrees. system(…): the engine is asked before the view is."""
