"""Requests, counted (C1-C3)."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from httpapi.counters import RequestCounters

COUNT_AND_DIE = """
import os, sys, pathlib
from httpapi.counters import RequestCounters
counters = RequestCounters(pathlib.Path(sys.argv[1]))
for _ in range(100):
    counters.count("/write", "POST", 204, 0.5)
os.kill(os.getpid(), 9)
"""


def lines(counters: RequestCounters) -> list[str]:
    return [line for line in counters.render().decode().splitlines() if not line.startswith("#")]


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[RequestCounters]:
    with closing(RequestCounters(tmp_path)) as counters:
        yield counters


def test_requests_are_counted_by_route_method_and_status(counters: RequestCounters) -> None:
    counters.count("/write", "POST", 204, 0.25)
    counters.count("/write", "POST", 204, 0.5)
    counters.count("/write", "POST", 400, 0.25)

    assert lines(counters) == [
        'flightline_http_requests_total{route="/write",method="POST",status="204"} 2',
        'flightline_http_requests_total{route="/write",method="POST",status="400"} 1',
        'flightline_http_request_duration_seconds_count{route="/write"} 3.000000',
        'flightline_http_request_duration_seconds_sum{route="/write"} 1.000000',
    ]


def test_a_figure_is_the_sum_over_all_workers_the_dead_included(counters: RequestCounters, tmp_path: Path) -> None:
    """C1, C2."""
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", COUNT_AND_DIE, str(tmp_path)], check=False).returncode == -9
    counters.count("/write", "POST", 204, 0.0)

    assert lines(counters)[0].endswith(" 201")
    assert lines(RequestCounters(tmp_path))[0].endswith(" 201")


def test_threads_lose_no_count(counters: RequestCounters) -> None:
    def count_many() -> None:
        for _ in range(500):
            counters.count("/write", "POST", 204, 0.0)

    threads = [threading.Thread(target=count_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert lines(counters)[0].endswith(" 2000")


def test_without_room_nothing_is_counted_and_the_log_says_so_once(
    counters: RequestCounters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """C3."""

    def full(descriptor: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    for _ in range(3):
        counters.count("/write", "POST", 204, 0.0)

    assert lines(counters) == []
    assert caplog.text.count("requests are not counted") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_gone_fails_no_request(tmp_path: Path) -> None:
    """C3."""
    counters = RequestCounters(tmp_path / "gone")

    counters.count("/write", "POST", 204, 0.0)

    assert lines(counters) == []
