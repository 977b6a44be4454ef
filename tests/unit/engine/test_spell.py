"""Codes become the texts they stand for."""

import random
import threading
import time
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from engine._native import spell


def ints(values: Sequence[int]) -> pa.Buffer:
    return pa.array(values, pa.int32()).buffers()[1]


def spelled(codes: Sequence[int], texts: Sequence[str]) -> pa.StringArray:
    _, offsets, data = pa.array(texts, pa.utf8()).buffers()
    made = spell(ints(codes), offsets.slice(0, 4 * len(texts) + 4), data or b"")
    return pa.StringArray.from_buffers(len(codes), *map(pa.py_buffer, made))


@pytest.mark.parametrize("seed", range(30))
def test_each_row_gets_its_text(seed: int) -> None:
    """P1, P3: in stretches of any length, empty texts and long ones."""
    choose = random.Random(seed)
    texts = ["", *("ü" * choose.randrange(20) + str(number) for number in range(choose.randrange(1, 8)))]
    codes = [code for _ in range(choose.randrange(20)) for code in [choose.randrange(len(texts))] * choose.randrange(1, 40)]

    found = spelled(codes, texts)

    found.validate(full=True)
    assert found.equals(pc.take(pa.array(texts, pa.utf8()), pa.array(codes, pa.int32())))


@pytest.mark.parametrize(
    ("codes", "offsets", "texts"),
    [([1], [0, 1], b"a"), ([-1], [0, 1], b"a"), ([0], [0, 2], b"a"), ([0], [-1, 1], b"a"), ([0], [1, 0], b"a"), ([0], [], b"")],
)
def test_what_lies_outside_is_refused(codes: Sequence[int], offsets: Sequence[int], texts: bytes) -> None:
    """P1."""
    with pytest.raises(ValueError, match=r"out of range|must rise|there is none"):
        spell(ints(codes), ints(offsets) or b"", texts)


def test_texts_that_fit_no_string_array_are_refused_before_they_are_written() -> None:
    """P1: 2 GiB of them."""
    with pytest.raises(ValueError, match="2 GiB"):
        spell(bytes(4 * 3_000), ints([0, 1 << 20]), bytes(1 << 20))


def test_another_thread_goes_on_meanwhile() -> None:
    """P2."""
    codes, counted, stop = bytes(4 * 20_000_000), 0, threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = counted
    spell(codes, ints([0, 1]), b"a")
    seen = counted - before
    stop.set()
    thread.join()

    assert seen > 1
