"""Whose node it is: the process that started last. Nobody waits for anybody, and nothing needs a clock.

    start   register in the catalog ─▶ claim the next manifest ─▶ replay the log ─▶ claim its next group ─▶ accept writes
    later   a name of ours is taken, or somebody has registered after us ─▶ Fenced: this process stops

O1  Claims are create-only objects under the very names that the process before would use next, so it stops at its next
    group and at its next snapshot. What it stored before that is read by the one who starts.
O2  A claim carries the instance that made it: of two processes that start at once, one gets the name.
O3  Names of claims in the log stay taken, while the groups around them are trimmed. A name of a manifest may be free again
    by the time that a process wakes up that slept through dozens of snapshots: so the register is read after each manifest
    is stored, and before anything is deleted on the strength of it.
O4  A process that stores nothing reads the register now and then, and stops when it has been replaced.

On a local disk the lock on the node's directory keeps the second process out instead.

Held by tests/unit/engine/test_ownership.py (O1-O4) and tests/integration/test_remote_node.py (O1).
Elsewhere: the two claims (engine.files.index, engine.wal.log), who ends the process (engine.node, flightserver.boot).
"""

from contextlib import suppress

from catalog.catalog import Catalog
from catalog.errors import Unavailable
from engine.clock import Clock

CHECK_EVERY_S = 60.0


class Fenced(Exception):
    """Another process runs this node: this one must stop. No ServiceError, so nothing that survives errors survives this."""


class Ownership:
    """`shared`: other machines can reach the node's objects."""

    def __init__(self, catalog: Catalog, node_id: str, instance_id: str, clock: Clock, *, shared: bool) -> None:
        self._catalog = catalog
        self._clock = clock
        self._checked_s = clock.monotonic_s()
        self.node_id = node_id
        self.instance_id = instance_id
        self.shared = shared

    def check(self) -> None:
        """Raise Fenced when another process has registered since; a StoreError when that cannot be told."""
        if not self.shared:
            return
        node = self._catalog.refresh().node(self.node_id)
        if node.instance_id != self.instance_id:
            raise Fenced(f"another server has started as node {self.node_id} and owns its data now")

    def check_now_and_then(self) -> None:
        """`check`, when the last one is a while ago. A store that does not answer is asked again next time."""
        if self._clock.monotonic_s() - self._checked_s >= CHECK_EVERY_S:
            self._checked_s = self._clock.monotonic_s()
            with suppress(Unavailable):
                self.check()
