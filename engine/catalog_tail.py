"""The other nodes' commits, read as they come.

G1  What another node of the cluster commits is known here one interval later at most, while the store answers.
G2  A look that fails is made again; while that is so, `problem` says it. Whoever commits reads on by himself in any case.
G3  After `close` nothing is read any more.

Held by tests/unit/engine/test_catalog_tail.py (G1-G3).

A look asks for the one object that would be next, so an interval costs one request, and nothing is ever missed: names of
commits are taken once, in order, without a gap.
"""

import logging
import threading
from typing import Protocol

from catalog.errors import ServiceError

log = logging.getLogger(__name__)


class Refreshed(Protocol):
    """A catalog, as far as this is concerned."""

    def refresh(self) -> object: ...


class CatalogTail:
    def __init__(self, catalog: Refreshed, *, interval_s: float) -> None:
        self._catalog = catalog
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, name="catalog-tail", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        return self._problem

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self._catalog.refresh()
                self._problem = None
            except ServiceError as error:
                if self._problem is None:
                    log.warning("changes that other nodes make to the catalog are not seen: %s", error)
                self._problem = f"changes that other nodes make to the catalog are not seen: {error}"
