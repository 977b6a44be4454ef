"""Objects fetched ahead."""

import threading
import time

import pytest

from engine.storage import ahead
from engine.storage.ahead import read_ahead
from engine.storage.base import ObjectInfo, ObjectMissing

OBJECTS = [ObjectInfo(f"{number:03}", 10) for number in range(100)]


class Reads:
    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.busy = self.most_busy = self.count = 0
        self._lock = threading.Lock()

    def __call__(self, path: str) -> bytes:
        with self._lock:
            self.count += 1
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        time.sleep(self.delay_s)
        with self._lock:
            self.busy -= 1
        if path == "missing":
            raise ObjectMissing("memory://", path)
        return path.encode()


def test_objects_come_in_order_and_take_their_time_together() -> None:
    """A1, A2."""
    read = Reads(0.02)
    found = list(read_ahead(read, OBJECTS))

    assert found == [(info, info.path.encode()) for info in OBJECTS]
    assert read.count == len(OBJECTS)
    assert 1 < read.most_busy <= ahead.AHEAD


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: by number and by size, yet an object beyond the limit is read, alone."""
    monkeypatch.setattr(ahead, "AHEAD_BYTES", 35)
    read = Reads()
    coming = read_ahead(read, [*OBJECTS[:10], ObjectInfo("large", 1000), *OBJECTS[10:20]])
    next(coming)
    time.sleep(0.05)
    assert read.count <= 3

    assert [info.path for info, _ in coming][8:11] == ["009", "large", "010"]


def test_an_object_that_cannot_be_read_raises_in_its_turn() -> None:
    """A3."""
    read = Reads()
    coming = read_ahead(read, [OBJECTS[0], ObjectInfo("missing", 1), *OBJECTS])

    assert next(coming)[1] == b"000"
    with pytest.raises(ObjectMissing, match="missing"):
        next(coming)
    assert read.count <= ahead.AHEAD + 1
