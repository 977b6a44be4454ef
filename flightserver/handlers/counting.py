"""Every Flight call, counted when it ends.

Q5  A call counts once, under its method, as done, failed or cancelled, with the time from its headers to its end.

Held by tests/integration/flight/test_counting.py (Q5).
Elsewhere: the figures (engine.metrics), who is told that a call ends (handlers.call).
"""

import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.flight as fl

Ended = Callable[[str, str, float], None]
"""Method, outcome, seconds."""

_NAMES = {method: method.name.lower() for method in fl.FlightMethod}


class Counted:
    """One call, from now on."""

    __slots__ = ("_began_s", "_ended", "_method")

    def __init__(self, method: fl.FlightMethod, ended: Ended) -> None:
        self._method = _NAMES[method]
        self._ended = ended
        self._began_s = time.perf_counter()

    def end(self, exception: pa.ArrowException | None) -> None:
        outcome = "done"
        if exception is not None:
            outcome = "cancelled" if isinstance(exception, fl.FlightCancelledError) else "failed"
        self._ended(self._method, outcome, time.perf_counter() - self._began_s)
