"""Who a caller is: from the header of a call to an Identity, decided here and nowhere else.

U1  A Handshake without message, with an empty one and with a payload all succeed; the payload comes back as it was.
U2  Whoever comes with a user name and password, or with a token, is answered with the header `authorization: Bearer <token>`
    (the password, or that token), which clients send back from then on. A Handshake itself checks nothing.
U3  Without authentication any authorization header, rubbish included, is ignored.
U4  A token is looked up in the newest state of the catalog by every call, every message of a lane and every batch of a
    stream. Nothing is remembered in between, so a token that was deleted, replaced or has expired opens nothing any more,
    whatever was opened with it before. (A look-up takes about three microseconds, most of them SHA-512.)
U5  What was wrong with a token stands in our log, never the token; the caller hears the same of an unknown one and of none.

Held by tests/integration/flight/test_handshake.py (U1-U3) and tests/integration/flight/test_tokens.py (U4, U5).
Elsewhere: what a token is (catalog.tokens), how it is written (catalog.credentials), what it may do (handlers.guarded).
"""

import logging
import time
from collections.abc import Callable, Collection
from typing import Protocol

import pyarrow as pa
import pyarrow.flight as fl

from catalog.credentials import MalformedCredential, NotAuthenticated, TokenExpired, token_of
from catalog.errors import InvalidRequest
from catalog.state import CatalogState
from catalog.tokens import ANYONE, Identity, hash_of
from flightserver.tokens import time_text

log = logging.getLogger("flightserver.auth")

_TOLD_AGAIN_AFTER_S = 1.0


class Authorizer(Protocol):
    """Who calls, and which database a name stands for when rights are looked at."""

    @property
    def released(self) -> Collection[str]:
        """Resources of the server that nobody is asked for a token for."""

    def identify(self, authorization: str | None) -> Identity:
        """The caller behind an Authorization header. Raises NotAuthenticated, TokenExpired, MalformedCredential."""

    def check_again(self, identity: Identity) -> None:
        """Raises when the caller of a moment ago is nobody by now."""

    def database_id(self, name: str) -> int | None: ...

    def tell(self, identity: Identity, what: str) -> None:
        """Note in our log that this caller was refused something."""


class Refusals:
    """Our log's lines about them: one a second of each kind, so that nobody can fill the log."""

    def __init__(self) -> None:
        self._told_at_s: dict[str, float] = {}

    def tell(self, kind: str, sentence: str) -> None:
        now_s = time.monotonic()
        if now_s - self._told_at_s.get(kind, -_TOLD_AGAIN_AFTER_S) >= _TOLD_AGAIN_AFTER_S:
            self._told_at_s[kind] = now_s
            log.info("a request was refused: %s", sentence)


class Everyone:
    """A server without authentication."""

    released: Collection[str] = frozenset()

    def identify(self, authorization: str | None) -> Identity:
        return ANYONE

    def check_again(self, identity: Identity) -> None:
        pass

    def database_id(self, name: str) -> int | None:
        return None  # anyone may do everything, to whatever it is

    def tell(self, identity: Identity, what: str) -> None:
        pass


class TokenAuthorizer:
    def __init__(
        self, state: Callable[[], CatalogState], now_ns: Callable[[], int], released: Collection[str] = frozenset()
    ) -> None:
        self.released = released
        self._state = state
        self._now_ns = now_ns
        self._refusals = Refusals()

    def identify(self, authorization: str | None) -> Identity:
        try:
            token = token_of(authorization)
        except MalformedCredential:
            self._refusals.tell("malformed", "an authorization header was malformed")
            raise
        if token is None:
            self._refusals.tell("missing", "missing token to authenticate")
            raise NotAuthenticated
        return self._valid(hash_of(token))

    def check_again(self, identity: Identity) -> None:
        assert identity.token is not None, "everyone here has a token"
        self._valid(identity.token.hash)

    def database_id(self, name: str) -> int | None:
        return self._state().database_ids.find(name)

    def tell(self, identity: Identity, what: str) -> None:
        assert identity.token is not None, "everyone here has a token"
        self._refusals.tell(f"forbidden {identity.token.id}", f"token {identity.name!r} does not permit {what}")

    def _valid(self, digest: str) -> Identity:
        found = self._state().tokens.find(digest)
        if found is None:
            self._refusals.tell("unknown", "token provided is not present in catalog")
            raise NotAuthenticated
        if found.expiry_ms is not None and not found.is_valid(self._now_ns() // 1_000_000):
            self._refusals.tell(f"expired {found.id}", f"token has expired {time_text(found.expiry_ms)} (token {found.name!r})")
            raise TokenExpired
        return Identity(found)


class _Outgoing(Protocol):
    def write(self, message: bytes) -> None: ...


class _Incoming(Protocol):
    def read(self) -> bytes: ...


class Handshake(fl.ServerAuthHandler):  # type: ignore[misc]  # pyarrow ships no types
    """Flight asks this for every Handshake, and whether a call is valid at all."""

    def authenticate(self, outgoing: _Outgoing, incoming: _Incoming) -> None:
        try:
            payload = incoming.read()
        except (OSError, pa.ArrowException):  # the caller closed its side without a message
            payload = b""
        outgoing.write(payload)

    def is_valid(self, token: bytes) -> bytes:
        return b""


def bearer_of(authorization: str | None) -> str | None:
    """The token that a Handshake's header holds; None where it holds none or is rubbish."""
    try:
        return token_of(authorization)
    except InvalidRequest:
        return None
