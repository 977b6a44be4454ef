"""How a token is sent: the one header that every door understands.

    Authorization: Bearer TOKEN      Authorization: Token TOKEN      Authorization: Basic base64(anything:TOKEN)

L1  The scheme is case-sensitive and one space follows it; a header of any other form is malformed, whatever it holds.
L2  No header, an empty one and one with an empty password hold no token; that is no mistake, only nobody.
L3  The user name of Basic is ignored; base64 without padding is read too, since Go's clients leave it out.
L4  A text that people will read loses its tokens: the beginning that all of them have is left.

Held by tests/unit/catalog/test_credentials.py (L1-L4).
"""

import base64
import binascii
import re
from typing import Final

from catalog.errors import Forbidden, InvalidRequest, ServiceError, Unauthenticated

NOT_AUTHENTICATED: Final = "the request was not authenticated"
MALFORMED: Final = (
    "Authorization header was malformed, the request was not in the form of 'Authorization: <auth-scheme> <token>',"
    " supported auth-schemes are Bearer, Token and Basic"
)
NOT_PERMITTED: Final = "unauthorized to perform requested action with the token"

_TOKEN: Final = re.compile(r"apiv3_[A-Za-z0-9_\-]+")


class MalformedCredential(InvalidRequest):
    """What was sent to identify the caller cannot be read."""

    code = "malformed_credential"

    def __init__(self) -> None:
        super().__init__(MALFORMED)


class NotAuthenticated(Unauthenticated):
    """No token, or one that nobody knows."""

    code = "not_authenticated"

    def __init__(self) -> None:
        super().__init__(NOT_AUTHENTICATED)


class TokenExpired(Unauthenticated):
    """The token was valid until a time that has passed. Make a new one."""

    code = "token_expired"

    def __init__(self) -> None:
        super().__init__(NOT_AUTHENTICATED)


class NotPermitted(Forbidden):
    """A token that is valid, for something else."""

    code = "not_permitted"

    def __init__(self) -> None:
        super().__init__(NOT_PERMITTED)


class TokensAreOff(ServiceError):
    """The server runs without authentication, so there are no tokens to make or delete."""

    code = "tokens_are_off"
    kind = "not_allowed"

    def __init__(self) -> None:
        super().__init__("endpoint disabled, started without auth")


def token_of(authorization: str | None) -> str | None:
    """The token that an Authorization header holds."""
    if not authorization:
        return None
    scheme, space, credential = authorization.partition(" ")
    if not space or not credential or " " in credential:
        raise MalformedCredential
    if scheme in ("Bearer", "Token"):
        return credential
    if scheme == "Basic":
        return _password(credential)
    raise MalformedCredential


def bearer(token: str) -> str:
    return f"Bearer {token}"


def without_tokens(text: str) -> str:
    """For logs and messages (L4)."""
    return _TOKEN.sub("apiv3_…", text) if "apiv3_" in text else text


def _password(credential: str) -> str | None:
    padded = credential.rstrip("=")
    try:
        text = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        raise MalformedCredential from None
    _user, colon, password = text.partition(":")
    if not colon or ":" in password:
        raise MalformedCredential
    return password or None
