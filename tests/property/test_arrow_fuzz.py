"""Arrow streams with bytes changed at random: refused or stored, and no memory touched that is not theirs.

Run in a child process, so that a crash is a failed test and names its seed.
"""

import random
import subprocess
import sys
from collections import Counter

import pyarrow as pa
import pytest

from catalog.errors import ServiceError
from engine._native import SeriesIndex
from engine.ingest.arrow import normalise, plan_columns

ROUNDS = 1500
CHANGED_TO = (0, 0x7F, 0x80, 0xFF)


def sample() -> bytes:
    """A stream with every layout that rows may come in, nulls in each."""
    texts = ["aa", "b" * 30, None, "dd"] * 20
    batch = pa.record_batch(
        {
            "tag": pa.array(texts).dictionary_encode(),
            "view_tag": pa.DictionaryArray.from_arrays(
                pa.array([0, 1, None, 2] * 20, pa.int8()), pa.array(["a", None, "b" * 20])
            ),
            "text": pa.array(texts),
            "large": pa.array(texts, pa.large_utf8()),
            "view": pa.array(texts, pa.string_view()),
            "float": pa.array([1.0, None] * 40, pa.float32()),
            "flag": pa.array([True, None] * 40),
            "small": pa.array([1, 2] * 40, pa.int8()),
            "time": pa.array(range(80), pa.timestamp("s")),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch.slice(3, 50))
    return bytes(sink.getvalue().to_pybytes())


def store(stream: bytes) -> None:
    """What an ingest session does with a stream, up to the log."""
    index = SeriesIndex(4)
    for batch in pa.ipc.open_stream(pa.py_buffer(stream)):
        plan = plan_columns(batch.schema, "cpu", None, ("tag", "view_tag", "text", "view"))
        rows = normalise(batch, plan, 0)
        index.resolve(rows.tags, rows.rows)
        for column in (*(tag for tag in rows.tags if tag is not None), rows.time, *rows.fields):
            column.validate(full=True)
            assert len(column) == rows.rows


def run(seed: int) -> Counter[str]:
    changes = random.Random(seed)
    original = sample()
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        changed = bytearray(original)
        for _ in range(changes.choice((0, 1, 1, 2, 4))):
            place = changes.randrange(len(changed))
            changed[place] = changes.choice((*CHANGED_TO, changes.randrange(256), changed[place] ^ 1 << changes.randrange(8)))
        try:
            store(bytes(changed))
            outcomes["stored"] += 1
        except ServiceError:
            outcomes["refused"] += 1
        except (pa.ArrowException, OSError):
            outcomes["unreadable"] += 1
    return outcomes


@pytest.mark.parametrize("seed", [1, 2])
def test_no_bytes_crash_the_engine(seed: int) -> None:
    """N4."""
    found = subprocess.run([sys.executable, "-m", __name__, str(seed)], capture_output=True, text=True, check=False)

    assert found.returncode == 0, found.stderr
    assert {"stored", "refused", "unreadable"} <= set(found.stdout.split())


if __name__ == "__main__":
    print(*run(int(sys.argv[1])))
