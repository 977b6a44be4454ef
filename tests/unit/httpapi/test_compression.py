"""Packed answers (Z1-Z3)."""

import gzip
import zlib
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from httpapi.compression import encoding_for, packed


@pytest.mark.parametrize(
    ("header", "encoding"),
    [
        ("", None),
        ("identity", None),
        ("br, deflate", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.2, identity;q=0.5", None),
        ("gzip ; q=0.5, identity;q=0.1", "gzip"),
        ("*", "gzip"),
        ("*;q=0", None),
        ("gzip;q=0, *", None),
        ("gzip;q=nonsense", None),
        (",, ;q=1,gzip", "gzip"),
    ],
)
def test_the_client_chooses(header: str, encoding: str | None) -> None:
    """Z2."""
    assert encoding_for(header) == encoding


@given(st.lists(st.binary(min_size=1, max_size=3000)))
def test_what_was_packed_unpacks_to_what_it_was(pieces: list[bytes]) -> None:
    """Z1."""
    whole = b"".join(pieces)

    assert gzip.decompress(b"".join(packed(pieces, "gzip"))) == whole
    assert unpacked_zstd(b"".join(packed(pieces, "zstd"))) == whole


def unpacked_zstd(data: bytes) -> bytes:
    return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())


def test_each_piece_can_be_unpacked_when_it_has_come() -> None:
    """Z1."""
    reader = zlib.decompressobj(31)

    parts = packed([b"first", b"second"], "gzip")

    assert reader.decompress(next(parts)) == b"first"
    assert reader.decompress(next(parts)) == b"second"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_breaks_off_is_not_whole(encoding: str) -> None:
    """Z3."""

    def pieces() -> Iterator[bytes]:
        yield b"some"
        raise RuntimeError

    parts = packed(pieces(), encoding)
    sent = next(parts)
    with pytest.raises(RuntimeError):
        next(parts)

    assert next(parts, None) is None
    assert len(sent) < len(b"".join(packed([b"some"], encoding)))
