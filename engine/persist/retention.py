"""Expired data leaves the store: when it is looked for.

    readers       see no row that has outlived its table's retention (engine.view, V5)
    every `--retention-check-interval`   files in which every row has expired leave with a manifest, soon after the store too
    whenever files are rewritten, and rows settled   expired ones are left out (snapshot.py, P8)

E1  The first look is at the start, the next ones come an interval apart; a look that fails is made again next time.

Held by tests/unit/engine/test_retention.py (E1).
"""

import logging

from engine.clock import Clock
from engine.persist.snapshot import Snapshots

log = logging.getLogger(__name__)


class Retention:
    def __init__(self, snapshots: Snapshots, clock: Clock, *, interval_s: float) -> None:
        self._snapshots = snapshots
        self._clock = clock
        self._interval_s = interval_s
        self._next_s = clock.monotonic_s()

    def look(self) -> None:
        """Do what is due. Costs next to nothing when that is nothing."""
        if self._clock.monotonic_s() < self._next_s:
            return
        gone = self._snapshots.expire()
        self._next_s = self._clock.monotonic_s() + self._interval_s
        if gone:
            log.info("%d files hold expired rows only and leave the store", gone)
