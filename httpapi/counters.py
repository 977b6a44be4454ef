"""Requests by route, method and status, right over any number of workers and across their restarts.

C1  Each worker process counts in a file of its own in a directory that all share; a figure is the sum over the files.
C2  A worker that dies leaves its file, so no figure ever falls.
C3  Counting never fails a request: where there is no room for the file, nothing is counted and the log says so once. The
    room is taken before it is written to, since a page that a full tmpfs cannot give is a signal, not an error.

The files have the format of prometheus-client's multi-process mode and are written by its code, without the environment
variable that it wants before its import.

Held by tests/unit/httpapi/test_counters.py (C1-C3).
"""

import logging
import os
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.mmap_dict import MmapedDict

log = logging.getLogger("httpapi")

_REQUESTS = "flightline_http_requests_total"
_DURATION = "flightline_http_request_duration_seconds"
_SUFFIX = ".counters"
_FILE_BYTES = 256 * 1024  # some 2,000 figures; there are as many as routes, methods and statuses make

# prometheus-client does not annotate these
_open_file: Callable[[str], Any] = MmapedDict
_read_file: Callable[[str], Iterable[tuple[str, float, float, int]]] = MmapedDict.read_all_values_from_file


class RequestCounters:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._file: Any = None
        self._unusable = False
        self._values: dict[tuple[str, ...], float] = defaultdict(float)
        self._keys: dict[tuple[str, ...], str] = {}

    def count(self, route: str, method: str, status: int, duration_s: float) -> None:
        with self._lock:
            if self._file is None and not self._unusable:  # opened by the process that counts, not by one it was forked from
                self._open()
            if self._unusable:
                return
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

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._unusable = True

    def _open(self) -> None:
        path = self._directory / f"http-{os.getpid()}-{uuid.uuid4().hex}{_SUFFIX}"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _FILE_BYTES)
            finally:
                os.close(descriptor)
            self._file = _open_file(str(path))
        except OSError as error:
            path.unlink(missing_ok=True)
            self._unusable = True
            log.error("requests are not counted: %s", error)

    def _add(self, key: tuple[str, ...], amount: float) -> None:
        name = self._keys.get(key)
        if name is None:
            name = self._keys[key] = orjson.dumps(key).decode()
        self._values[key] += amount
        self._file.write_value(name, self._values[key], 0.0)
