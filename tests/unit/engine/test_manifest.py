"""Manifests and file indexes as bytes."""

import pytest
from isal.isal_zlib import crc32

from catalog.errors import Damaged
from engine.files.manifest import (
    DataFile,
    LiveFiles,
    Manifest,
    decode_live_files,
    decode_manifest,
    encode_live_files,
    encode_manifest,
)

FILE = DataFile("n/dbs/1/2/x.parquet", 1, 2, 10, 99, -5, 2**62)
MANIFEST = Manifest(3, 17, (FILE,), ("n/dbs/old.parquet",))


def test_a_manifest_comes_back_as_it_went() -> None:
    """M1."""
    assert decode_manifest(encode_manifest(MANIFEST), "m") == MANIFEST


def test_files_of_before_their_series_were_told_apart_are_read() -> None:
    """M1: of older manifests and indexes."""
    told = DataFile("n/dbs/1/2/x.parquet", 1, 2, 10, 99, -5, 2**62, "abc")
    manifest, index = encode_manifest(Manifest(3, 17, (told,), ())), encode_live_files(LiveFiles(3, 17, (told,)))
    older = [_sealed(manifest.replace(b',"series":"abc"', b"")), _sealed(index.replace(b',"abc"', b""))]

    assert decode_manifest(older[0], "m").added == (FILE,)
    assert decode_live_files(older[1], "i").files == (FILE,)


def _sealed(data: bytes) -> bytes:
    head, _, body = data.partition(b"\n")
    return b"%s %08x\n%s" % (head.rpartition(b" ")[0], crc32(body), body)


def test_an_index_comes_back_as_it_went() -> None:
    """M1."""
    live = LiveFiles(3, 17, (FILE, FILE))

    assert decode_live_files(encode_live_files(live), "i") == live


def test_every_changed_byte_is_found_and_the_object_named() -> None:
    """M1."""
    data = encode_manifest(MANIFEST)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]
        with pytest.raises(Damaged, match="n/snapshots/3"):
            decode_manifest(changed, "n/snapshots/3")


def test_a_newer_format_is_refused_as_such() -> None:
    with pytest.raises(Damaged, match="newer version"):
        decode_manifest(encode_manifest(MANIFEST).replace(b"manifest 1", b"manifest 2"), "m")
