"""What travels between the engine process and its own clients (HTTP workers, the command line).

Calls are Flight actions named below, JSON in and JSON out. A write is one line of JSON (WriteHeader), a newline and the
lines themselves. It travels in an action or, far cheaper, as a message of a write lane: a DoPut stream whose descriptor is
lane_command(), that stays open and answers each message with one JSON object (WriteReportDict, or `error` as encode_error
wrote it). Who opens a lane may name an arena, a file of ARENA_BYTES in the hand-over directory that both sides map: a
message whose header has `arena_bytes` carries no lines, they are the arena's first bytes.

P1  A write header that was encoded is decoded to the same header, whatever follows it.
P2  An arena's name is 32 hexadecimal digits: no separator, no dot, nothing that leaves the directory.
P3  The arena belongs to the engine from the message until its answer; the client writes to it at no other time.

Held by tests/unit/flightserver/test_wire.py (P1, P2) and tests/integration/flight/test_engine_client.py (P3).
Elsewhere: the calls themselves (flightserver.client, flightserver.handlers); errors (catalog.errors).
"""

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import orjson

from catalog.errors import InvalidRequest

WRITE_LP = "flightline.write_lp"
HEALTH = "flightline.health"
READY = "flightline.ready"
METRICS = "flightline.metrics"
IDENTITY = "flightline.identity"
AUTHENTICATE = "flightline.authenticate"
ADMIN = "flightline.admin."
CANCEL = "CancelFlightInfo"

# A caller that sends this header gets errors whole (encode_error in Flight's extra_info). Others get the gRPC code and the
# sentence only: foreign gRPC stacks expect a google.rpc.Status where extra_info travels.
ERROR_DETAILS_HEADER = "x-flightline-error-details"

PRECISIONS: Mapping[str, int] = {"auto": 0, "second": 1, "millisecond": 2, "microsecond": 3, "nanosecond": 4}
DOORS = ("v1", "v2", "v3")

HEADER_BYTES_MAX = 8192
ARENA_BYTES = 4 * 1024 * 1024
_ARENA_NAME = re.compile(r"[0-9a-f]{32}")
_CONVOY = b"convoy "
_LANE_PREFIX = WRITE_LP.encode() + b"\n"


@dataclass(frozen=True, slots=True)
class WriteHeader:
    """The first line of a write. `authorization` is the end user's, where one connection serves many of them."""

    db: str
    precision: str = "auto"
    accept_partial: bool = True
    no_sync: bool = False
    door: str = "v3"
    authorization: str | None = None
    arena_bytes: int | None = None


_WRITE_HEADER_TYPES: Mapping[str, tuple[type, ...]] = {
    "db": (str,),
    "precision": (str,),
    "accept_partial": (bool,),
    "no_sync": (bool,),
    "door": (str,),
    "authorization": (str, type(None)),
    "arena_bytes": (int, type(None)),
}


class RejectedLineDict(TypedDict):
    error_message: str
    line_number: int
    original_line: str


class WriteReportDict(TypedDict):
    """What a write answers."""

    rows: int
    rejected: list[RejectedLineDict]


def encode_json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise InvalidRequest(f"no JSON can hold this: {error}") from None


def decode_object(data: bytes | memoryview) -> dict[str, Any]:
    """A JSON object; no bytes at all mean an empty one."""
    if not data:
        return {}
    try:
        value = orjson.loads(data)
    except ValueError as error:
        raise InvalidRequest(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("not a JSON object")
    return value


def encode_write_header(header: WriteHeader) -> bytes:
    return encode_json(header) + b"\n"


def decode_write(message: memoryview) -> tuple[WriteHeader, memoryview]:
    """The header of a write, and what follows it."""
    end = bytes(message[:HEADER_BYTES_MAX]).find(b"\n")
    if end < 0:
        raise InvalidRequest("a write begins with one line of JSON")
    found = decode_object(message[:end])
    for name, value in found.items():
        if type(value) not in _WRITE_HEADER_TYPES.get(name, ()):
            raise InvalidRequest(f"unusable entry in a write's header: {name}")
    if "db" not in found:
        raise InvalidRequest("a write's header names no database")
    header = WriteHeader(**found)
    if header.precision not in PRECISIONS or header.door not in DOORS:
        raise InvalidRequest(f"unknown precision or door: {header.precision}, {header.door}")
    return header, message[end + 1 :]


def header_text(message: memoryview) -> bytes:
    """The header of a write as it came: two that are spelled alike mean the same."""
    return bytes(message[:HEADER_BYTES_MAX]).partition(b"\n")[0]


def encode_convoy(messages: Sequence[bytes]) -> bytes:
    """Several writes in one message of a lane."""
    lengths = encode_json({"lengths": [len(message) for message in messages]})
    return b"".join((_CONVOY, lengths, b"\n", *messages))


def decode_convoy(message: memoryview) -> list[memoryview] | None:
    """The writes of a convoy; None for a message that is one write."""
    if bytes(message[: len(_CONVOY)]) != _CONVOY:
        return None
    end = bytes(message).find(b"\n")
    lengths = decode_object(message[len(_CONVOY) : end]).get("lengths") if end >= 0 else None
    if not isinstance(lengths, list) or not all(type(length) is int and length >= 0 for length in lengths):
        raise InvalidRequest("a convoy begins with the lengths of its writes")
    ends = list(itertools.accumulate(lengths, initial=end + 1))
    if ends[-1] != len(message):
        raise InvalidRequest("a convoy is as long as its writes")
    return [message[start:stop] for start, stop in itertools.pairwise(ends)]


def encode_answers(answers: Sequence[bytes]) -> bytes:
    return b'{"answers":[' + b",".join(answers) + b"]}"


def encode_cancel(query_id: bytes) -> bytes:
    """CancelFlightInfoRequest.info.app_metadata, in protobuf without its library."""
    info = b"\x3a" + bytes([len(query_id)]) + query_id
    return b"\x0a" + bytes([len(info)]) + info


def lane_command(arena: str | None) -> bytes:
    """The descriptor of a write lane."""
    return _LANE_PREFIX + encode_json({"arena": arena})


def is_lane_command(command: bytes) -> bool:
    return command.startswith(_LANE_PREFIX)


def arena_of_lane(command: bytes) -> str | None:
    """The name of the arena that a lane's descriptor brings."""
    name = decode_object(command[len(_LANE_PREFIX) :]).get("arena")
    if name is not None and not (isinstance(name, str) and _ARENA_NAME.fullmatch(name)):
        raise InvalidRequest("not an arena's name")
    return name


def new_arena_name() -> str:
    return os.urandom(16).hex()


def is_arena_name(name: str) -> bool:
    return _ARENA_NAME.fullmatch(name) is not None
