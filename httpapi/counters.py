"""Requests by route, method and status, right over any number of workers and across their restarts.

C1  Each worker process counts in a file of its own in a directory that all share; a figure is the sum over the files.
C2  A worker that dies leaves its file, so no figure ever falls.

The files are prometheus-client's (the format of its multi-process mode), without its demand for an environment variable before import.

Held by tests/unit/httpapi/test_counters.py (C1, C2).
"""

import os
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.mmap_dict import MmapedDict

_REQUESTS = "flightline_http_requests_total"
_DURATION = "flightline_http_request_duration_seconds"
_SUFFIX = ".counters"

# prometheus-client does not annotate these
_open_file: Callable[[str], Any] = MmapedDict
_read_file: Callable[[str], Iterable[tuple[str, float, float, int]]] = MmapedDict.read_all_values_from_file


class RequestCounters:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._file: Any = None
        self._values: dict[tuple[str, ...], float] = defaultdict(float)
        self._keys: dict[tuple[str, ...], str] = {}

    def count(self, route: str, method: str, status: int, duration_s: float) -> None:
        with self._lock:
            self._add((_REQUESTS, route, method, str(status)), 1.0)
            self._add((_DURATION + "_count", route), 1.0)
            self._add((_DURATION + "_sum", route), duration_s)

    def render(self) -> bytes:
        """The figures of all workers in Prometheus text."""
        totals: dict[tuple[str, ...], float] = defaultdict(float)
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            for key, value, _timestamp, _position in _read_file(str(path)):
                totals[tuple(orjson.loads(key))] += value
        lines = [f"# HELP {_REQUESTS} Requests answered.", f"# TYPE {_REQUESTS} counter"]
        for _name, route, method, status in sorted(key for key in totals if key[0] == _REQUESTS):
            count = totals[_REQUESTS, route, method, status]
            lines.append(f'{_REQUESTS}{{route="{route}",method="{method}",status="{status}"}} {count:.0f}')
        lines += [f"# HELP {_DURATION} Time from a request's headers to its answer.", f"# TYPE {_DURATION} summary"]
        for name, route in sorted(key for key in totals if key[0] != _REQUESTS):
            lines.append(f'{name}{{route="{route}"}} {totals[name, route]:.6f}')
        return ("\n".join(lines) + "\n").encode()

    def _add(self, key: tuple[str, ...], amount: float) -> None:
        if self._file is None:  # opened by the process that counts, not by one it was forked from
            self._file = _open_file(str(self._directory / f"http-{os.getpid()}-{uuid.uuid4().hex}{_SUFFIX}"))
        name = self._keys.get(key)
        if name is None:
            name = self._keys[key] = orjson.dumps(key).decode()
        self._values[key] += amount
        self._file.write_value(name, self._values[key], 0.0)
