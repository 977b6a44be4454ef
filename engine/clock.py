"""Time as an argument: whoever needs it gets a Clock through its constructor."""

import time
from typing import Protocol


class Clock(Protocol):
    def now_ns(self) -> int:
        """Wall-clock time, nanoseconds since 1970 UTC. It may be set back."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only ever grow."""
        ...


class SystemClock:
    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()
