"""What engine._encode promises Python (engine/native/encode: E1, E3 of rows.h; Y1, Y2 of python.cpp).

Elsewhere: what values look like (tests/unit/httpapi/test_formats.py, tests/property/test_formats.py).
"""

import json
import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from engine._encode import Encoder

SCHEMA = pa.schema({"n": pa.int64(), "t": pa.timestamp("s", "Europe/Rome")})


def no_zones(name: str, time_s: int) -> int:
    raise LookupError(name)


def rows(count: int) -> pa.RecordBatch:
    return pa.record_batch({"n": list(range(count)), "t": pa.nulls(count, SCHEMA.field("t").type)}, schema=SCHEMA)


def test_pieces_end_with_a_row_and_are_of_bounded_size() -> None:
    """E3."""
    encoder, batch = Encoder(SCHEMA, "jsonl", no_zones), rows(100_000)
    pieces, row = [], 0

    while row < batch.num_rows:
        piece, row = encoder.encode(batch, row)
        pieces.append(piece)

    assert len(pieces) > 3
    assert all(piece.endswith(b"}\n") and len(piece) < 270_000 for piece in pieces)
    assert b"".join(pieces).count(b"\n") == 100_000


@pytest.mark.parametrize(
    "other",
    [
        pa.record_batch({"n": pa.array([1], pa.int32()), "t": pa.nulls(1, SCHEMA.field("t").type)}),
        pa.record_batch({"n": [1]}),
        pa.record_batch({"n": [1], "t": pa.nulls(1, pa.timestamp("s"))}),
        pa.record_batch({"n": pa.array([1]).dictionary_encode(), "t": pa.nulls(1, SCHEMA.field("t").type)}),
    ],
)
def test_a_batch_of_other_types_is_refused(other: pa.RecordBatch) -> None:
    """E1."""
    encoder = Encoder(SCHEMA, "csv", no_zones)

    with pytest.raises(ValueError, match="another schema"):
        encoder.encode(other, 0)
    with pytest.raises(ValueError, match="another schema"):
        encoder.cells(other)


@pytest.mark.parametrize("row", [-1, 4, 2**62])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    """E1."""
    with pytest.raises(ValueError, match="no such row"):
        Encoder(SCHEMA, "json", no_zones).encode(rows(3), row)


def test_what_has_no_spelling_is_refused_at_once() -> None:
    schema = pa.schema({"u": pa.sparse_union([pa.field("a", pa.int64())])})

    with pytest.raises(ValueError, match="can not be written as text"):
        Encoder(schema, "json", no_zones)
    with pytest.raises(ValueError, match="no such form"):
        Encoder(SCHEMA, "xml", no_zones)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        Encoder(3, "json", no_zones)
    with pytest.raises(AttributeError):
        Encoder(SCHEMA, "json", no_zones).encode(3, 0)


def test_an_error_of_the_callers_function_comes_back_and_the_encoder_goes_on() -> None:
    """Y1."""
    encoder = Encoder(SCHEMA, "jsonl", no_zones)
    moment = pa.record_batch({"n": [1], "t": pa.array([0], SCHEMA.field("t").type)}, schema=SCHEMA)

    with pytest.raises(LookupError, match="Europe/Rome"):
        encoder.encode(moment, 0)

    assert encoder.encode(rows(1), 0) == (b'{"n":0}\n', 1)


def test_a_second_thread_is_refused_while_one_encodes() -> None:
    """Y2."""
    inside, go_on = threading.Event(), threading.Event()

    def slow_zone(name: str, time_s: int) -> int:
        inside.set()
        assert go_on.wait(60)
        return 3600

    encoder = Encoder(SCHEMA, "jsonl", slow_zone)
    moment = pa.record_batch({"n": [1], "t": pa.array([0], SCHEMA.field("t").type)}, schema=SCHEMA)
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(encoder.encode(moment, 0)[0]))
    thread.start()
    assert inside.wait(60)

    with pytest.raises(RuntimeError, match="another thread"):
        encoder.encode(moment, 0)

    go_on.set()
    thread.join()
    assert found == [b'{"n":1,"t":"1970-01-01T01:00:00+01:00"}\n']


def test_a_zone_is_asked_for_once_a_day_and_its_change_is_found_to_the_second() -> None:
    asked: list[int] = []
    change_s = 86_400 * 30 + 3_601

    def zone(name: str, time_s: int) -> int:
        asked.append(time_s)
        return 3600 if time_s < change_s else 7200

    encoder = Encoder(pa.schema([SCHEMA.field("t")]), "jsonl", zone)
    moments = [0, 1, 86_399, *range(change_s - 2, change_s + 2)]
    batch = pa.record_batch({"t": pa.array(moments, SCHEMA.field("t").type)})

    text = encoder.encode(batch, 0)[0].decode().splitlines()

    assert [line[-8:-2] for line in text] == ["+01:00"] * 5 + ["+02:00"] * 2
    assert len(asked) < 30


def test_what_is_said_again_reads_as_it_did() -> None:
    """E3: in rows that follow each other, over pieces and batches, with nulls between, in lists and as keys of maps."""
    texts = [None if n % 7 == 3 else 'a"\n' + "ü" * (n // 50 % 3) for n in range(30_000)]
    lists = [[text, text, "x"] for text in texts]
    maps = [[(f"k{n // 40}", text or ""), ("k0", "k0")] for n, text in enumerate(texts)]
    columns = [pa.array(texts), pa.array(lists), pa.array(maps, pa.map_(pa.utf8(), pa.utf8()))]
    rows = pa.table(columns, ["t", "l", "m"])
    encoder = Encoder(rows.schema, "jsonl", lambda zone, time_s: 0)

    lines = b"".join(piece for batch in rows.to_batches(7_000) for piece in pieces_of(encoder, batch)).splitlines()

    read = [json.loads(line) for line in lines]
    assert [row.get("t") for row in read] == texts
    assert [row["l"] for row in read] == lists
    assert [row["m"] for row in read] == [dict(pairs) for pairs in maps]


def pieces_of(encoder: Encoder, batch: pa.RecordBatch) -> Iterator[bytes]:
    row = 0
    while row < batch.num_rows:
        piece, row = encoder.encode(batch, row)
        yield piece
