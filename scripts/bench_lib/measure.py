"""Figures that every client reports in the same way."""

import math
import resource


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def percentile(ordered: list[float], share: float) -> float:
    """Of sorted values: the smallest that at least `share` of them do not exceed."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(latencies_s: list[float]) -> dict[str, object]:
    ordered = sorted(latencies_s)
    return {
        "requests": len(ordered),
        "p50_ms": percentile(ordered, 0.50) * 1000,
        "p99_ms": percentile(ordered, 0.99) * 1000,
        "max_ms": percentile(ordered, 1.0) * 1000,
    }
