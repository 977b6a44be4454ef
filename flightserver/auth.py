"""Handshake in its three forms, and who a caller is.

U1  A Handshake without message, with an empty one and with a payload all succeed; the payload comes back as it was.
U2  Credentials are not checked by this version: any authorization header, rubbish included, is ignored.

Held by tests/integration/flight/test_handshake.py (U1, U2).
"""

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
