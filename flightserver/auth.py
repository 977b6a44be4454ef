"""Handshake in its three forms, and who a caller is.

U1  A Handshake without message, with an empty one and with a payload all succeed; the payload comes back as it was.
U2  Whoever comes with a user name and password, or with a token, is answered with the header `authorization: Bearer <token>`
    (the password, or that token), which clients send back from then on. Base64 without padding is read too.
U3  Credentials are not checked by this version: any authorization header, rubbish included, is ignored.

Held by tests/integration/flight/test_handshake.py (U1-U3).
"""

import base64
import binascii
from typing import Protocol

import pyarrow as pa
import pyarrow.flight as fl


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
    """The token that an authorization header holds, in whatever scheme; None where it holds none."""
    scheme, _, credential = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        credential = _password(credential)
    return credential or None


def _password(credential: str) -> str:
    try:
        decoded = base64.b64decode(credential.rstrip("=") + "=" * (-len(credential.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return decoded.decode("utf-8", "replace").partition(":")[2]
