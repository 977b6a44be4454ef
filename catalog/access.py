"""What a route, a call or an action asks of whoever comes, declared beside each of them.

    OPEN             nobody is asked for anything
    TOKEN            a valid token; what it reaches is decided where databases are touched (flightserver.handlers.guarded)
    ADMIN            an administrator's token
    system("ping")   a token that may read this resource of the server; nobody is asked once --disable-authz names it

G1  Without authentication everyone is an administrator, and no credential is even looked at.

Held by tests/unit/catalog/test_access.py (G1).
Elsewhere: who a caller is (catalog.tokens, flightserver.auth).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from catalog.credentials import NotPermitted
from catalog.tokens import SYSTEM_RESOURCES, Identity

RELEASABLE: Final = ("health", "ping", "metrics", "ready", "pprof", "node_stop")
"""What --disable-authz may name."""


@dataclass(frozen=True, slots=True)
class Access:
    kind: Literal["open", "token", "admin", "system"]
    resource: str | None = None

    def is_open(self, released: Collection[str]) -> bool:
        return self.kind == "open" or self.resource in released

    def check(self, identity: Identity) -> None:
        if self.kind == "admin" and not identity.is_admin:
            raise NotPermitted
        if self.kind == "system" and not self._may_ask(identity):
            raise NotPermitted

    def _may_ask(self, identity: Identity) -> bool:
        assert self.resource is not None
        return identity.may_ask(self.resource) if self.resource in SYSTEM_RESOURCES else identity.is_admin


OPEN: Final = Access("open")
TOKEN: Final = Access("token")
ADMIN: Final = Access("admin")


def system(resource: str) -> Access:
    return Access("system", resource)
