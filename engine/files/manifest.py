"""A snapshot's list of files, and the list of all that are live, as bytes.

    "flightline manifest 1 <crc32 of the rest, 8 hex digits>\n"  JSON
    "flightline index 1 <crc32 of the rest, 8 hex digits>\n"     JSON

M1  decode(encode(m)) equals m; a changed byte is found and the object named.

Held by tests/unit/engine/test_manifest.py (M1).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from isal.isal_zlib import crc32

from catalog.errors import Damaged


@dataclass(frozen=True, slots=True)
class DataFile:
    """One live Parquet file of a table."""

    path: str
    database_id: int
    table_id: int
    rows: int
    size_bytes: int
    time_min_ns: int
    time_max_ns: int
    #: a digest of the tags of all its series, the same for files with the same series; empty where nobody has worked it out
    series: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot changed, and how far into the log it goes. A claim changes nothing and names who made it."""

    number: int
    wal_sequence: int
    added: tuple[DataFile, ...]
    removed: tuple[str, ...]
    claimed_by: str = ""


@dataclass(frozen=True, slots=True)
class LiveFiles:
    """All live files as of a manifest."""

    number: int
    wal_sequence: int
    files: tuple[DataFile, ...]


def encode_manifest(manifest: Manifest) -> bytes:
    return _framed(
        b"manifest",
        {
            "number": manifest.number,
            "wal_sequence": manifest.wal_sequence,
            "added": [asdict(file) for file in manifest.added],
            "removed": manifest.removed,
            "claimed_by": manifest.claimed_by,
        },
    )


def decode_manifest(data: bytes, path: str) -> Manifest:
    fields = _unframed(b"manifest", data, path)
    return Manifest(
        fields["number"],
        fields["wal_sequence"],
        _files(fields["added"]),
        tuple(fields["removed"]),
        fields.get("claimed_by", ""),
    )


def encode_live_files(live: LiveFiles) -> bytes:
    rows = [tuple(asdict(file).values()) for file in live.files]
    return _framed(b"index", {"number": live.number, "wal_sequence": live.wal_sequence, "files": rows})


def decode_live_files(data: bytes, path: str) -> LiveFiles:
    fields = _unframed(b"index", data, path)
    return LiveFiles(fields["number"], fields["wal_sequence"], tuple(DataFile(*row) for row in fields["files"]))


def _files(rows: Sequence[dict[str, Any]]) -> tuple[DataFile, ...]:
    return tuple(DataFile(**row) for row in rows)


def _framed(kind: bytes, fields: dict[str, Any]) -> bytes:
    body = orjson.dumps(fields)
    return b"flightline %s 1 %08x\n%s" % (kind, crc32(body), body)


def _unframed(kind: bytes, data: bytes, path: str) -> dict[str, Any]:
    head, _, body = data.partition(b"\n")
    words = head.split(b" ")
    if len(words) != 4 or words[:2] != [b"flightline", kind]:
        raise Damaged(f"{path} is not a snapshot {kind.decode()}", object=path)
    if words[2] != b"1":
        raise Damaged(f"{path} was written by a newer version (format {words[2].decode()})", object=path)
    if words[3] != b"%08x" % crc32(body):
        raise Damaged(f"{path} is damaged: checksum mismatch", object=path)
    fields: dict[str, Any] = orjson.loads(body)
    return fields
