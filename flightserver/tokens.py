"""Tokens at work: made, replaced and deleted in the catalog, and told to whoever may know.

W1  The text of a token exists in the answer that made it. The catalog gets its hash.
W2  The first token is made by whoever comes first; from then on only administrators make tokens.
W3  Of two who come first at the same time one is told that the name is taken: the catalog's commit decides.

Held by tests/integration/flight/test_tokens.py (W1, W2) and tests/unit/flightserver/test_token_keeper.py (W1, W3).
Elsewhere: tokens as values (catalog.tokens, catalog.token_changes), the actions (handlers.tokens), files (token_files).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from catalog import token_changes
from catalog.catalog import Catalog
from catalog.ids import INTERNAL_DATABASE_ID
from catalog.state import CatalogState
from catalog.tokens import (
    EVERYTHING,
    OPERATOR,
    Identity,
    Permission,
    Token,
    hash_of,
    new_secret,
    permission_of,
    permission_text,
)
from engine.clock import Clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999


class NewToken(TypedDict):
    """What making a token answers, once."""

    id: int
    name: str
    token: str
    hash: str
    created_at: str
    expiry: str | None


class ListedToken(TypedDict):
    id: int
    name: str
    hash: str
    created_at: str
    expiry: str | None
    permissions: list[str]


@dataclass(frozen=True, slots=True)
class Wish:
    """A permission as it was asked for: names are not looked up yet."""

    kind: str
    names: Sequence[str]
    actions: Sequence[str]


class TokenKeeper:
    def __init__(self, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    @property
    def needs_first(self) -> bool:
        """Whether nobody can administer this server yet."""
        return not self._catalog.state().tokens.has_admin

    def create_operator(self) -> NewToken:
        return self._create(OPERATOR, (EVERYTHING,), None, None)

    def create_admin(self, name: str, expiry_secs: int | None, creator: Identity) -> NewToken:
        return self._create(name, (EVERYTHING,), expiry_secs, creator)

    def create_resource(self, name: str, wishes: Sequence[Wish], expiry_secs: int | None, creator: Identity) -> NewToken:
        return self._create(name, wishes, expiry_secs, creator)

    def regenerate_operator(self, by: Identity | None = None) -> NewToken:
        """`by` is nobody at the recovery listener."""
        secret = new_secret()
        digest, now_ms = hash_of(secret), self._now_ms()
        after = self._catalog.commit(
            lambda state: token_changes.replace_operator_token(state, digest, now_ms=now_ms, updated_by=_id(by))
        )
        return _told(after.tokens.by_name[OPERATOR], secret)

    def delete(self, name: str) -> None:
        self._catalog.commit(lambda state: token_changes.delete_token(state, name))

    def list(self) -> list[ListedToken]:
        state = self._catalog.state()
        names: dict[int, str] = {database.id: database.name for database in state.databases}
        return [_listed(token, names) for token in state.tokens.all]

    def _create(
        self, name: str, wishes: Sequence[Wish | Permission], expiry_secs: int | None, creator: Identity | None
    ) -> NewToken:
        secret = new_secret()
        digest, now_ms = hash_of(secret), self._now_ms()
        expiry_ms = None if expiry_secs is None else now_ms + expiry_secs * 1000
        after = self._catalog.commit(
            lambda state: token_changes.create_token(
                state,
                name,
                digest,
                now_ms=now_ms,
                expiry_ms=expiry_ms,
                permissions=[granted(state, wish) for wish in wishes],
                created_by=_id(creator),
            )
        )
        return _told(after.tokens.by_name[name], secret)

    def _now_ms(self) -> int:
        return self._clock.now_ns() // 1_000_000


def granted(state: CatalogState, wish: Wish | Permission) -> Permission:
    """The permission, for the databases that have these names in this state."""
    if isinstance(wish, Permission):
        return wish
    ids = {database.name: database.id for database in state.databases if database.id != INTERNAL_DATABASE_ID}
    return permission_of(wish.kind, wish.names, wish.actions, ids)


def _id(identity: Identity | None) -> int | None:
    return None if identity is None or identity.token is None else identity.token.id


def _told(token: Token, secret: str) -> NewToken:
    return {
        "id": token.id,
        "name": token.name,
        "token": secret,
        "hash": token.hash,
        "created_at": time_text(token.updated_at_ms or token.created_at_ms),
        "expiry": None if token.expiry_ms is None else time_text(token.expiry_ms),
    }


def _listed(token: Token, database_names: Mapping[int, str]) -> ListedToken:
    return {
        "id": token.id,
        "name": token.name,
        "hash": token.hash[:9],
        "created_at": time_text(token.created_at_ms),
        "expiry": None if token.expiry_ms is None else time_text(token.expiry_ms),
        "permissions": [permission_text(permission, database_names) for permission in token.permissions],
    }


def time_text(time_ms: int) -> str:
    """Far futures are beyond what a date can be; they are shown as the last one."""
    moment = _EPOCH + timedelta(milliseconds=min(time_ms, _LATEST_MS))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
