"""What travels between the engine process and its own clients (HTTP workers, the command line).

Calls are Flight actions named below. A write's body is one line of JSON, a newline and the lines themselves; or the JSON
names a file in the hand-over directory that holds them (see flightserver.client for when). All other bodies are JSON.

P1  A write header that was encoded is decoded to the same header, whatever follows it.
P2  A hand-over file's name is 32 hexadecimal digits: no separator, no dot, nothing that leaves the directory.

Held by tests/unit/flightserver/test_wire.py (P1, P2).
Elsewhere: the calls themselves (flightserver.client, flightserver.handlers); errors (catalog.errors).
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from catalog.errors import InvalidRequest, Unavailable

WRITE_LP = "flightline.write_lp"
HEALTH = "flightline.health"
METRICS = "flightline.metrics"
IDENTITY = "flightline.identity"
ADMIN = "flightline.admin."

# A caller that sends this header gets errors whole (encode_error in Flight's extra_info). Others get the gRPC code and the
# sentence only: foreign gRPC stacks expect a google.rpc.Status where extra_info travels.
ERROR_DETAILS_HEADER = "x-flightline-error-details"

PRECISIONS: Mapping[str, int] = {"auto": 0, "second": 1, "millisecond": 2, "microsecond": 3, "nanosecond": 4}
DOORS = ("v1", "v2", "v3")

HEADER_BYTES_MAX = 8192
_HANDOVER_NAME = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class WriteHeader:
    """The first line of a write. `shm` names the hand-over file that holds the lines; None: they follow the header."""

    db: str
    precision: str = "auto"
    accept_partial: bool = True
    no_sync: bool = False
    door: str = "v3"
    shm: str | None = None


_WRITE_HEADER_TYPES: Mapping[str, tuple[type, ...]] = {
    "db": (str,),
    "precision": (str,),
    "accept_partial": (bool,),
    "no_sync": (bool,),
    "door": (str,),
    "shm": (str, type(None)),
}


class HandoverMissing(Unavailable):
    """The engine found no file of that name: it restarted and swept the directory in between."""

    code = "handover_missing"


class RejectedLineDict(TypedDict):
    error_message: str
    line_number: int
    original_line: str


class WriteReportDict(TypedDict):
    """What a write answers."""

    rows: int
    rejected: list[RejectedLineDict]


def encode_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def decode_object(data: bytes) -> dict[str, Any]:
    """A JSON object; no bytes at all mean an empty one."""
    if not data:
        return {}
    try:
        value = json.loads(data)
    except ValueError as error:
        raise InvalidRequest(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("not a JSON object")
    return value


def encode_write_header(header: WriteHeader) -> bytes:
    return encode_json(asdict(header)) + b"\n"


def decode_write(body: memoryview) -> tuple[WriteHeader, memoryview]:
    """The header of a write's body, and what follows it."""
    end = bytes(body[:HEADER_BYTES_MAX]).find(b"\n")
    if end < 0:
        raise InvalidRequest("a write begins with one line of JSON")
    found = decode_object(bytes(body[:end]))
    for name, value in found.items():
        if type(value) not in _WRITE_HEADER_TYPES.get(name, ()):
            raise InvalidRequest(f"unusable entry in a write's header: {name}")
    if "db" not in found:
        raise InvalidRequest("a write's header names no database")
    header = WriteHeader(**found)
    if header.precision not in PRECISIONS or header.door not in DOORS:
        raise InvalidRequest(f"unknown precision or door: {header.precision}, {header.door}")
    return header, body[end + 1 :]


def new_handover_name() -> str:
    return secrets.token_hex(16)


def is_handover_name(name: str) -> bool:
    return _HANDOVER_NAME.fullmatch(name) is not None
