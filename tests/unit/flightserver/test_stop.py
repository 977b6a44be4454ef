"""The order in which an engine process lets go of things (E2)."""

import threading
import time
from typing import Any, cast

from flightserver.engine_process import Running


class Part:
    """Notes what is asked of it; a server's shutdown may hang as one does whose client keeps a call open."""

    def __init__(self, name: str, order: list[str], hangs: threading.Event | None = None) -> None:
        self.name = name
        self.order = order
        self.hangs = hangs

    def shutdown(self) -> None:
        self.order.append(f"{self.name} refuses")
        if self.hangs is not None:
            self.hangs.wait(60)
        self.order.append(f"{self.name} drained")

    def close(self) -> None:
        self.order.append(f"{self.name} closed")


def running(order: list[str], hangs: threading.Event | None = None) -> Running:
    servers = (Part("inner", order, hangs), Part("outer", order, hangs))
    return Running(cast("Any", Part("store", order)), cast("Any", Part("node", order)), cast("Any", servers), {})


def test_calls_are_waited_for_before_the_node_closes_and_the_store_goes_last() -> None:
    """E2."""
    order: list[str] = []

    running(order).stop(10)

    assert sorted(order[:4]) == ["inner drained", "inner refuses", "outer drained", "outer refuses"]
    assert order[4:] == ["node closed", "store closed"]


def test_two_servers_whose_calls_do_not_end_are_waited_for_once() -> None:
    """E2."""
    order: list[str] = []
    hangs = threading.Event()
    started_s = time.monotonic()

    running(order, hangs).stop(0.4)

    assert 0.4 <= time.monotonic() - started_s < 0.75
    assert order[-2:] == ["node closed", "store closed"]
    hangs.set()
