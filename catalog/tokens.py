"""Tokens, what they permit, and who a caller is: values and pure questions, no I/O.

    token         `apiv3_` and 86 characters, shown once; what is kept of it is the SHA-512 of the whole text
    permission    db:names:actions, system:resources:read, or *:*:*; names of databases are kept as their ids
    identity      whoever calls: a token, or anyone at all on a server without authentication

K1  Nothing here, in the log or in a checkpoint holds a token's text; a token is found by its hash, compared in constant time.
K2  A named permission is one for the databases that had these names when it was given: a database of the same name made
    later is another one. A wildcard holds for databases to come, but never for `_internal`, which is for administrators.
K3  A token is valid strictly before its expiry. At that moment, and once it is deleted or replaced, it is nobody's.
K4  What a permission does not say is not permitted; only `*:*:*` administers.

Held by tests/unit/catalog/test_tokens.py (K1-K4).
Elsewhere: making and deleting them (token_changes.py), how one is sent (credentials.py), who asks (flightserver.auth).
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from catalog.errors import InvalidRequest
from catalog.ids import INTERNAL_DATABASE_ID
from catalog.persistent import PersistentMap

TOKEN_PREFIX: Final = "apiv3_"
OPERATOR: Final = "_admin"
"""The name of the first token; it can be replaced and never deleted."""

CREATE, DESCRIBE, UPDATE, DROP, READ, WRITE, DELETE = "create", "describe", "update", "drop", "read", "write", "delete"
DATABASE_ACTIONS: Final = (CREATE, DESCRIBE, UPDATE, DROP, READ, WRITE, DELETE)
"""In the order in which they are shown."""
SYSTEM_RESOURCES: Final = ("health", "metrics", "ping", "ready")

_SECRET_BYTES: Final = 64
_KINDS: Final = ("db", "system", "*")


@dataclass(frozen=True, slots=True)
class Permission:
    """`names` are ids of databases or names of system resources; None stands for `*`."""

    kind: str
    names: tuple[int | str, ...] | None
    actions: tuple[str, ...]

    def covers(self, kind: str, name: int | str | None, action: str) -> bool:
        """`name` None: something that does not exist yet, which only a wildcard covers."""
        if self.kind == "*":
            return True
        if self.kind != kind or action not in self.actions:
            return False
        if self.names is None:
            return name != INTERNAL_DATABASE_ID
        return name is not None and name in self.names


EVERYTHING: Final = Permission("*", None, ("*",))


@dataclass(frozen=True, slots=True)
class Token:
    id: int
    name: str
    hash: str
    """SHA-512 of the token's text, as hexadecimal digits."""
    created_at_ms: int
    expiry_ms: int | None
    permissions: tuple[Permission, ...]
    created_by: int | None = None
    updated_at_ms: int | None = None
    updated_by: int | None = None
    description: str | None = None

    @property
    def is_admin(self) -> bool:
        return any(permission.kind == "*" for permission in self.permissions)

    def is_valid(self, now_ms: int) -> bool:
        return self.expiry_ms is None or now_ms < self.expiry_ms


@dataclass(frozen=True, slots=True)
class Tokens:
    """All tokens of a catalog. Another value whenever one of them changes, the same one as long as none does."""

    next_id: int = 0
    by_name: PersistentMap[str, Token] = field(default_factory=PersistentMap)
    by_hash: PersistentMap[str, Token] = field(default_factory=PersistentMap)

    def find(self, digest: str) -> Token | None:
        found = self.by_hash.find(digest)
        return found if found is not None and hmac.compare_digest(found.hash, digest) else None

    @property
    def all(self) -> tuple[Token, ...]:
        """In the order in which they were made."""
        return tuple(sorted(self.by_name.entries(), key=lambda token: token.id))

    @property
    def has_admin(self) -> bool:
        return any(token.is_admin for token in self.by_name.entries())

    def with_token(self, token: Token) -> "Tokens":
        """A new one, or another value of one that is here under the same name."""
        old = self.by_name.find(token.name)
        by_hash = self.by_hash if old is None else self.by_hash.without(old.hash)
        return Tokens(
            max(self.next_id, token.id + 1), self.by_name.with_entry(token.name, token), by_hash.with_entry(token.hash, token)
        )

    def without(self, token: Token) -> "Tokens":
        return Tokens(self.next_id, self.by_name.without(token.name), self.by_hash.without(token.hash))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, and what they may do. Without a token it is anyone, on a server that lets everyone do everything."""

    token: Token | None = None

    @property
    def is_admin(self) -> bool:
        return self.token is None or self.token.is_admin

    @property
    def name(self) -> str | None:
        """For people to read; None where nobody is asked for a token."""
        return None if self.token is None else self.token.name

    def may(self, action: str, database_id: int | None) -> bool:
        """Whether this action is permitted on a database; None is one that does not exist (K2)."""
        return self.may_any((action,), database_id)

    def may_any(self, actions: Sequence[str], database_id: int | None) -> bool:
        if self.token is None:
            return True
        for permission in self.token.permissions:  # plain loops: every write passes here
            for action in actions:
                if permission.covers("db", database_id, action):
                    return True
        return False

    def sees(self, database_id: int) -> bool:
        """Whether the database exists, as far as this caller is told."""
        return self.may_any((READ, DESCRIBE), database_id)

    def may_ask(self, resource: str) -> bool:
        """Whether this caller may read a resource of the server itself: health, metrics, ping or ready."""
        if self.token is None:
            return True
        return any(permission.covers("system", resource, READ) for permission in self.token.permissions)

    def is_same(self, other: "Identity") -> bool:
        """Whether both are one token, its replacements included."""
        mine, theirs = self.token, other.token
        return (None if mine is None else mine.id) == (None if theirs is None else theirs.id)


ANYONE: Final = Identity()


def new_secret() -> str:
    """The text of a new token."""
    return TOKEN_PREFIX + urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).decode().rstrip("=")


def hash_of(secret: str) -> str:
    return hashlib.sha512(secret.encode("utf-8", "surrogatepass")).hexdigest()


# ---- permissions as people write them ----


def parse_permission(text: str, database_ids: Mapping[str, int]) -> Permission:
    """`db:a,b:read,write`, `system:health:read`, `*:*:*`."""
    parts = text.split(":")
    if len(parts) != 3:
        raise _unreadable(f"expected resource_type:names:actions, found {text}")
    kind, names, actions = parts
    return permission_of(kind, names.split(","), actions.split(","), database_ids)


def permission_of(kind: str, names: Iterable[str], actions: Iterable[str], database_ids: Mapping[str, int]) -> Permission:
    wanted = [name.strip() for name in names]
    asked = [action.strip() for action in actions]
    if kind == "*":
        if wanted != ["*"] or asked != ["*"]:
            raise _unreadable(f"resource type not supported {kind}")
        return EVERYTHING
    if kind not in _KINDS:
        raise _unreadable(f"resource type not supported {kind}")
    known: Mapping[str, int | str]
    known = database_ids if kind == "db" else {resource: resource for resource in SYSTEM_RESOURCES}
    return Permission(kind, _names(wanted, known), _actions(kind, asked))


def _names(wanted: list[str], known: Mapping[str, int | str]) -> tuple[int | str, ...] | None:
    if wanted == ["*"]:
        return None
    if "*" in wanted:
        raise _unreadable("mixed wildcard (*) and resource name")
    if not [name for name in wanted if name]:
        raise _unreadable("missing resource name")
    for name in wanted:
        if name not in known or known[name] == INTERNAL_DATABASE_ID:
            raise _unreadable(f"invalid resource name {name}")
    return tuple(dict.fromkeys(known[name] for name in wanted))


def _actions(kind: str, asked: list[str]) -> tuple[str, ...]:
    supported = DATABASE_ACTIONS if kind == "db" else (READ,)
    if asked == ["*"]:
        return supported
    for action in asked:
        if action not in supported:
            raise _unreadable(f"action not supported, {'database' if kind == 'db' else 'system'} action {action}")
    return tuple(action for action in supported if action in asked)


def _unreadable(reason: str) -> InvalidRequest:
    return InvalidRequest(f"cannot parse token permission, {reason}")


def permission_text(permission: Permission, database_names: Mapping[int, str]) -> str:
    """As people write it; a database that is gone is shown by its id."""
    if permission.kind == "*":
        return "*:*:*"
    named = permission.names
    names = (
        "*"
        if named is None
        else ",".join(database_names.get(name, str(name)) if isinstance(name, int) else name for name in named)
    )
    return f"{permission.kind}:{names}:{','.join(permission.actions)}"
