import struct
import zlib
from dataclasses import replace
from typing import get_args

import orjson
import pytest

from catalog.apply import apply_all
from catalog.codec import (
    BATCH_MAGIC,
    CHECKPOINT_MAGIC,
    VERSION,
    Batch,
    NewerFormat,
    decode_batch,
    decode_checkpoint,
    encode_batch,
    encode_checkpoint,
)
from catalog.errors import Damaged
from catalog.ids import DatabaseId, TableId
from catalog.ops import Op
from catalog.state import EMPTY
from tests.helpers.catalog_states import EVERY_OP, small_state

BATCH = Batch(7, "a nonce", 1_700_000_000_000_000_000, EVERY_OP)
NAME = "s3://bucket/node0/catalog/logs/7"


def framed(body: bytes, *, magic: bytes = BATCH_MAGIC, version: int = VERSION) -> bytes:
    """A frame with a right checksum around anything."""
    before, after = struct.pack("<4sHH", magic, version, 0), struct.pack("<Q", len(body))
    return before + struct.pack("<I", zlib.crc32(before + after + body)) + after + body


def test_a_batch_of_every_kind_of_op_is_read_as_it_was_written() -> None:
    """F1, O2."""
    assert {type(op) for op in BATCH.ops} == set(get_args(Op))
    assert decode_batch(encode_batch(BATCH), NAME) == BATCH


def test_every_kind_of_op_has_a_name_of_its_own() -> None:
    """O2."""
    kinds = [op.kind for op in get_args(Op)]

    assert len(set(kinds)) == len(kinds)


def test_a_checkpoint_is_read_as_it_was_written() -> None:
    """F1."""
    state = replace(apply_all(EVERY_OP[:-1], EMPTY), sequence=42)

    assert decode_checkpoint(encode_checkpoint(state), NAME) == state
    assert decode_checkpoint(encode_checkpoint(EMPTY), NAME) == EMPTY


def test_two_batches_of_the_same_ops_differ() -> None:
    """F3."""
    assert encode_batch(BATCH) != encode_batch(replace(BATCH, nonce="another nonce"))


def test_the_header_is_the_one_described() -> None:
    """F2."""
    data = encode_batch(BATCH)

    assert data == framed(data[20:])
    assert data[:4] == b"FLCB"
    assert encode_checkpoint(EMPTY)[:4] == b"FLCC"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is not what it should be"),
        (b"FLCB", "is not what it should be"),
        (b"PAR1" * 20, "is not what it should be"),
        (encode_checkpoint(EMPTY), "is not what it should be"),
        (encode_batch(BATCH)[:-1], "is cut short or too long"),
        (encode_batch(BATCH) + b"\n", "is cut short or too long"),
        (encode_batch(BATCH).replace(b"nonce", b"n0nce"), "is damaged"),
        (framed(b"not json"), "cannot be read"),
        (framed(b"[]"), "cannot be read"),
        (framed(b'{"sequence":1}'), "cannot be read: KeyError"),
        (framed(orjson.dumps({"sequence": 1, "nonce": "", "time_ns": 0, "ops": [["create_database", {}]]})), "cannot be read"),
    ],
)
def test_a_damaged_batch_is_named(data: bytes, told: str) -> None:
    """F1."""
    with pytest.raises(Damaged) as refused:
        decode_batch(data, NAME)

    assert refused.value.message.startswith(f"{NAME} {told}")
    assert refused.value.details == {"object": NAME}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"databases":1,"nodes":[]}', b'{"databases":"x"}'])
def test_a_damaged_checkpoint_is_named(body: bytes) -> None:
    """F1."""
    with pytest.raises(Damaged, match=f"^{NAME} cannot be read"):
        decode_checkpoint(framed(body, magic=CHECKPOINT_MAGIC), NAME)


def test_a_checkpoint_that_lost_a_line_is_named() -> None:
    """F1."""
    lines = encode_checkpoint(small_state())[20:].split(b"\n")

    with pytest.raises(Damaged, match=f"^{NAME} cannot be read"):
        decode_checkpoint(framed(b"\n".join(lines[:-1]), magic=CHECKPOINT_MAGIC), NAME)


def test_a_newer_format_is_told_from_damage() -> None:
    """F2."""
    for refused_by, magic in ((decode_batch, BATCH_MAGIC), (decode_checkpoint, CHECKPOINT_MAGIC)):
        with pytest.raises(NewerFormat) as refused:
            refused_by(framed(b"what the future brings", magic=magic, version=VERSION + 1), NAME)

        assert refused.value.message == f"{NAME} was written by a newer version: its format is 2, this version reads up to 1"
        assert refused.value.hint == "start the version that wrote it, or a newer one"


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("create_universe", {}), ("create_database", {"id": 1, "name": "db", "retention_ns": None, "colour": "red"})],
)
def test_a_change_of_a_newer_version_is_not_guessed_at(kind: str, fields: dict[str, object]) -> None:
    """F2."""
    body = orjson.dumps({"sequence": 1, "nonce": "", "time_ns": 0, "ops": [[kind, fields]]})

    with pytest.raises(NewerFormat, match=f"it holds a change '{kind}' that this version does not know"):
        decode_batch(framed(body), NAME)


def test_a_field_that_was_added_later_has_its_default() -> None:
    """F4, O2."""
    fields = {"database_id": 1, "id": 0, "name": "cpu", "tags": ["host"], "fields": [["usage", 1]]}
    body = orjson.dumps({"sequence": 1, "nonce": "", "time_ns": 0, "ops": [["create_table", fields]]})

    (op,) = decode_batch(framed(body), NAME).ops

    assert op == type(op)(DatabaseId(1), TableId(0), "cpu", ("host",), (("usage", 1),))  # type: ignore[arg-type, call-arg]
