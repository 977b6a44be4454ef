"""Every Flight call, counted when it ends.

Q5  A call counts once, under its method, as done, failed or cancelled, with the time from its headers to its end.

Held by tests/integration/flight/test_counting.py (Q5).
Elsewhere: the figures (engine.metrics).
"""

import time
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.flight as fl

Ended = Callable[[str, str, float], None]
"""Method, outcome, seconds."""


class CallCounter(fl.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, ended: Ended) -> None:
        super().__init__()
        self._ended = ended

    def start_call(self, info: fl.CallInfo, headers: Mapping[str, Sequence[str]]) -> "_Counted":
        return _Counted(fl.FlightMethod(info.method).name.lower(), self._ended)


class _Counted(fl.ServerMiddleware):  # type: ignore[misc]  # pyarrow ships no types
    def __init__(self, method: str, ended: Ended) -> None:
        super().__init__()
        self._method = method
        self._ended = ended
        self._began_s = time.perf_counter()

    def call_completed(self, exception: pa.ArrowException | None) -> None:
        outcome = "done"
        if exception is not None:
            outcome = "cancelled" if isinstance(exception, fl.FlightCancelledError) else "failed"
        self._ended(self._method, outcome, time.perf_counter() - self._began_s)
