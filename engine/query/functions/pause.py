"""`sleep`: how long a statement is to pause, counted while it runs and waited for by whoever reads its rows.

Z1  A statement pauses for the sum over its rows; no thread of the planner waits.

Held by tests/unit/engine/query/test_statement.py (Z1).
"""

import threading

import pyarrow as pa
import pyarrow.compute as pc
from datafusion import ScalarUDF, udf


class Pause:
    """Seconds that are owed. Functions run on many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        with self._lock:
            self._seconds += seconds

    def take(self) -> float:
        with self._lock:
            seconds, self._seconds = self._seconds, 0.0
        return seconds


def sleep_function(pause: Pause) -> ScalarUDF:
    def sleep(seconds: pa.DoubleArray) -> pa.Array:
        least = pc.min(seconds).as_py()
        if least is not None and least < 0:
            raise ValueError(f"duration must be non-negative but is {least:g}s")
        pause.add(pc.sum(seconds).as_py() or 0.0)
        return pa.nulls(len(seconds))

    return udf(sleep, [pa.float64()], pa.null(), "volatile", "sleep")
