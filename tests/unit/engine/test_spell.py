"""Columns of dictionaries become the texts they stand for."""

import random
import threading
import time
from collections.abc import Sequence

import pyarrow as pa
import pytest

from engine._native import spell

CODED = pa.dictionary(pa.int32(), pa.utf8())


def spelled(batch: pa.RecordBatch) -> pa.RecordBatch:
    fields = [pa.field(field.name, pa.utf8() if field.type == CODED else field.type) for field in batch.schema]
    return pa.record_batch(spell(batch, pa.schema(fields)))


def coded(codes: Sequence[int | None], texts: Sequence[str | None]) -> pa.DictionaryArray:
    """With offsets of its own, in both parts."""
    indices = pa.array([0, *codes] if texts else [], pa.int32()).slice(1 if texts else 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(["before", *texts], pa.utf8()).slice(1))


@pytest.mark.parametrize("seed", range(40))
def test_each_row_gets_its_text(seed: int) -> None:
    """P1, P3: in stretches of any length, empty texts and long ones, without a code and without a text."""
    choose = random.Random(seed)
    texts = ["", *("ü" * choose.randrange(20) + str(number) for number in range(choose.randrange(1, 8)))]
    some: list[str | None] = [None if seed % 3 == 0 and choose.random() < 0.3 else text for text in texts]
    codes = [
        code
        for _ in range(choose.randrange(20))
        for code in [None if seed % 2 and choose.random() < 0.3 else choose.randrange(len(texts))] * choose.randrange(1, 40)
    ]
    batch = pa.record_batch({"a": coded(codes, some), "n": pa.array(range(len(codes)))})

    for part in (batch, batch.slice(len(codes) // 3, len(codes) // 2)):
        found = spelled(part)
        found.validate(full=True)
        assert found.to_pydict() == part.to_pydict()


def test_other_columns_are_handed_on_as_they_are() -> None:
    """P4: also what is nested, or a dictionary of something else; marks are the schema's."""
    numbers, lists = pa.array([1.5, None]), pa.array([["a"], None])
    others = pa.array([1, None]).dictionary_encode()
    batch = pa.record_batch({"n": numbers, "t": coded([0, None], ["x"]), "l": lists, "o": others})
    mark = {b"iox::column::type": b"iox::column_type::tag"}
    schema = pa.schema([batch.schema.field("n"), pa.field("t", pa.utf8(), metadata=mark), *list(batch.schema)[2:]])

    found = pa.record_batch(spell(batch, schema))

    assert found.schema.equals(schema, check_metadata=True)
    assert found.to_pydict() == batch.to_pydict()
    assert found.column("n").buffers()[1].address == numbers.buffers()[1].address
    found.validate(full=True)
    del batch, found
    assert numbers.to_pylist() == [1.5, None]


@pytest.mark.parametrize("code", [1, -1])
def test_a_code_that_has_no_text_is_refused(code: int) -> None:
    """P1."""
    wrong = pa.DictionaryArray.from_arrays(pa.array([code], pa.int32()), pa.array(["a"]), safe=False)
    with pytest.raises(ValueError, match="out of range"):
        spelled(pa.record_batch({"n": pa.array([1]), "a": wrong}))


def test_what_does_not_fit_the_schema_is_refused() -> None:
    """P1: another number of columns, other types, dictionaries that are coded otherwise."""
    batch = pa.record_batch({"a": coded([0], ["x"])})
    small = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.array(["a"]))
    for given, kinds in ((batch, []), (batch, [pa.int64()]), (pa.record_batch({"a": small}), [pa.utf8()])):
        with pytest.raises(ValueError, match="does not fit"):
            spell(given, pa.schema([(str(at), kind) for at, kind in enumerate(kinds)]))


def test_texts_that_fit_no_string_array_are_refused_before_they_are_written() -> None:
    """P1: 2 GiB of them."""
    with pytest.raises(ValueError, match="2 GiB"):
        spelled(pa.record_batch({"a": coded([0] * 3_000, ["x" * (1 << 20)])}))


def test_another_thread_goes_on_meanwhile() -> None:
    """P2."""
    codes = pa.Array.from_buffers(pa.int32(), 20_000_000, [None, pa.py_buffer(bytes(4 * 20_000_000))])
    batch = pa.record_batch({"a": pa.DictionaryArray.from_arrays(codes, pa.array(["a"]), safe=False)})
    counted, stop = 0, threading.Event()

    def count() -> None:
        nonlocal counted
        while not stop.is_set():
            counted += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    before = counted
    spelled(batch)
    seen = counted - before
    stop.set()
    thread.join()

    assert seen > 1
