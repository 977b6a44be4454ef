"""The part of a stream that reads ahead, alone."""

import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from catalog.errors import InvalidRequest
from engine.requests import QueryResult
from flightserver.errors import Cancelled
from flightserver.handlers.streams import AHEAD_BYTES, Ahead, Nothing
from flightserver.handlers.threads import Threads

SCHEMA = pa.schema([("n", pa.int64())])


def batch(number: int, rows: int = 1) -> pa.RecordBatch:
    return pa.record_batch([[number] * rows], schema=SCHEMA)


def ahead(batches: Iterator[pa.RecordBatch]) -> Ahead:
    return Ahead(QueryResult(SCHEMA, batches), SCHEMA, Threads("test-ahead"))


def test_batches_come_in_order_and_then_no_more() -> None:
    reading = ahead(batch(number) for number in range(3))

    found = [reading.take(10) for _ in range(4)]

    assert found == [batch(0), batch(1), batch(2), Nothing.MORE]
    assert reading.take(0) is Nothing.MORE


def test_a_failure_that_comes_after_a_vain_wait_is_not_taken_for_the_end() -> None:
    go = threading.Event()

    def failing() -> Iterator[pa.RecordBatch]:
        yield batch(1)
        go.wait(10)
        raise InvalidRequest("no good")

    reading = ahead(failing())
    assert reading.take(10) == batch(1)
    assert reading.take(0) is Nothing.YET

    go.set()

    with pytest.raises(InvalidRequest, match="no good"):
        reading.take(10)


def test_only_so_much_is_read_ahead_and_taking_makes_room() -> None:
    read: list[int] = []

    def endless() -> Iterator[pa.RecordBatch]:
        for number in range(1_000):
            read.append(number)
            yield batch(number, rows=65_536)

    reading = ahead(endless())
    reading.take(10)
    time.sleep(0.2)
    most = AHEAD_BYTES // (65_536 * 8) + 2

    assert len(read) <= most
    for _ in range(5):
        reading.take(10)
    time.sleep(0.2)
    assert 6 <= len(read) <= most + 5


def test_a_cancel_wakes_who_waits_and_drops_what_is_ready() -> None:
    def slow() -> Iterator[pa.RecordBatch]:
        yield batch(1)
        time.sleep(0.5)
        yield batch(2)

    reading = ahead(slow())
    reading.take(10)
    threading.Timer(0.05, reading.cancel).start()

    started = time.monotonic()
    with pytest.raises(Cancelled):
        reading.take(10)

    assert time.monotonic() - started < 0.4
