"""The catalog of a cluster: one current state, replaced as a whole. The only mutable object in this package.

C1  `state()` is one attribute read; it never waits, and the value never changes in the reader's hands.
C2  A commit is one create-only object at the next sequence number. It is published after it is stored, never before, and in
    the order of the numbers, so every node walks through the same states.
C3  A writer that lost its number reads what won, and builds again from the new state. Nothing of its first try remains. What
    is refused, is refused in view of everything committed before: a state that other writers have left behind refuses nothing.
C4  A commit whose fate is unknown is looked up: our bytes there are a success, another's a lost race; nothing there, or no
    answer, is an error and leaves the state as it was. (Should it land after all, it is found by the next commit or refresh
    as if another writer had made it.)
C5  State after opening (checkpoint, then the rest of the log) equals the state that the writers had.
C6  Subscribers hear of every step in order: ours before `commit` returns, others' when they are read. They must neither
    commit nor raise; what one raises reaches the committer after all have heard.
C7  A checkpoint never fails a commit, and `later` decides on which thread it is written: states do not change, so it needs
    no lock.
C8  A commit waits for those under way, but not for ever: while the store does not answer, the others are told so.

Held by tests/unit/catalog/test_catalog.py (C1-C8) and tests/property/test_catalog_random.py (C5).
Elsewhere: a log in the object store (engine/catalog_log.py), polling for the other nodes' commits (who calls `refresh`).
"""

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from catalog.apply import apply_all
from catalog.codec import Batch, decode_batch, decode_checkpoint, encode_batch, encode_checkpoint
from catalog.errors import Damaged, ServiceError, Unavailable
from catalog.log import CatalogLog, LogTaken
from catalog.ops import FoundCluster, Op
from catalog.state import EMPTY, CatalogState

CHECKPOINT_INTERVAL = 100
"""Commits between checkpoints: what a start has to replay at most, give or take those under way."""

PATIENCE_S = 30.0
"""How long a commit waits for others that are under way."""

WORTHWHILE_CHECKPOINT = 16
"""Commits that make a checkpoint worth writing when a process ends anyway."""

_WITHOUT_CHECKPOINT = "move it away: the catalog is complete without it, and only slower to start"

log = logging.getLogger(__name__)

Build = Callable[[CatalogState], Sequence[Op]]
Subscriber = Callable[[CatalogState, CatalogState, Sequence[Op]], None]
Later = Callable[[Callable[[], None]], object]


class Clock(Protocol):
    def now_ns(self) -> int: ...


def at_once(task: Callable[[], None]) -> None:
    task()


def new_uuid() -> str:
    return str(uuid.uuid4())


class Catalog:
    def __init__(
        self, log: CatalogLog, state: CatalogState, *, clock: Clock, later: Later, new_uuid: Callable[[], str]
    ) -> None:
        """Call `open`."""
        self._log = log
        self._state = state
        self._clock = clock
        self._later = later
        self._new_uuid = new_uuid
        self._committing = threading.Lock()
        self._subscribers: list[Subscriber] = []
        self._checkpoint_sequence = state.sequence
        self._checkpoint_running = False

    @classmethod
    def open(
        cls, log: CatalogLog, *, clock: Clock, later: Later = at_once, new_uuid: Callable[[], str] = new_uuid
    ) -> "Catalog":
        """Read what is there; found the cluster when nothing is."""
        catalog = cls(log, _read_checkpoint(log), clock=clock, later=later, new_uuid=new_uuid)
        catalog.refresh()
        catalog.commit(lambda state: [] if state.uuid else [FoundCluster(new_uuid())])
        return catalog

    def state(self) -> CatalogState:
        return self._state

    def subscribe(self, callback: Subscriber) -> CatalogState:
        """The state returned is the one that the first call of `callback` starts from."""
        with self._committing:
            self._subscribers.append(callback)
            return self._state

    def commit(self, build: Build) -> CatalogState:
        """Make the changes that `build` finds necessary; returns the state in which they are made.

        `build` is called with the newest state known, again whenever another writer turns out to have been first, and may raise
        a ServiceError to give up.
        """
        if not self._committing.acquire(timeout=PATIENCE_S):
            raise Unavailable("an earlier change of the catalog still waits for the store; try again")
        try:
            while True:
                before = self._state
                sequence = before.sequence + 1
                try:
                    ops = tuple(build(before))
                    after = replace(apply_all(ops, before), sequence=sequence)
                except ServiceError:
                    self._read_on()
                    if self._state is before:
                        raise
                    continue
                if not ops:
                    return before
                if self._stored(Batch(sequence, self._new_uuid(), self._clock.now_ns(), ops)):
                    self._publish(before, after, ops)
                    return after
                self._read_on()
                if self._state.sequence < sequence:
                    raise Unavailable(f"{self._log.batch_name(sequence)} exists but cannot be read yet")
        finally:
            self._committing.release()

    def refresh(self) -> CatalogState:
        """Take in what other writers have committed."""
        with self._committing:
            self._read_on()
            return self._state

    def write_checkpoint(self) -> None:
        """Now, on this thread: the next start is spared the log so far."""
        state = self._state
        self._log.write_checkpoint(state.sequence, encode_checkpoint(state))
        self._checkpoint_sequence = state.sequence

    def checkpoint_if_behind(self) -> None:
        """At the end of a process: spare the next start a log that is worth sparing. A failure is told in the log only (C7)."""
        if self._state.sequence - self._checkpoint_sequence >= WORTHWHILE_CHECKPOINT:
            self._checkpoint()

    def _stored(self, batch: Batch) -> bool:
        """False when another writer has the number."""
        data = encode_batch(batch)
        try:
            self._log.append(batch.sequence, data)
        except ServiceError as error:
            found = self._find(batch.sequence)
            if found is None and not isinstance(error, LogTaken):
                raise
            return found == data
        return True

    def _find(self, sequence: int) -> bytes | None:
        for found, data in self._log.read(sequence - 1):
            return data if found == sequence else None
        return None

    def _read_on(self) -> None:
        for sequence, data in self._log.read(self._state.sequence):
            before = self._state
            name = self._log.batch_name(sequence)
            batch = decode_batch(data, name)
            if not sequence == batch.sequence == before.sequence + 1:
                raise Damaged(
                    f"{name} holds commit {batch.sequence} of the catalog where {before.sequence + 1} was expected", object=name
                )
            self._publish(before, _replayed(batch, before, name), batch.ops)

    def _publish(self, before: CatalogState, after: CatalogState, ops: Sequence[Op]) -> None:
        self._state = after
        failures: list[Exception] = []
        for subscriber in self._subscribers:
            try:
                subscriber(before, after, ops)
            except Exception as error:  # the others must hear of it all the same (C6)
                failures.append(error)
        self._checkpoint_when_due(after)
        if failures:
            raise failures[0]

    def _checkpoint_when_due(self, state: CatalogState) -> None:
        if self._checkpoint_running or state.sequence - self._checkpoint_sequence < CHECKPOINT_INTERVAL:
            return
        self._checkpoint_running = True
        self._later(self._checkpoint)

    def _checkpoint(self) -> None:
        try:
            self.write_checkpoint()
        except ServiceError as error:
            log.warning("checkpoint of the catalog failed and will be tried again: %s", error)
        finally:
            self._checkpoint_running = False


def _read_checkpoint(log: CatalogLog) -> CatalogState:
    stored = log.read_checkpoint()
    if stored is None:
        return EMPTY
    sequence, data = stored
    name = log.checkpoint_name()
    try:
        state = decode_checkpoint(data, name)
    except Damaged as error:
        raise Damaged(error.message, hint=_WITHOUT_CHECKPOINT, **error.details) from error
    if state.sequence != sequence:
        raise Damaged(f"{name} holds commit {state.sequence} of the catalog where {sequence} was expected", object=name)
    return state


def _replayed(batch: Batch, before: CatalogState, name: str) -> CatalogState:
    try:
        return replace(apply_all(batch.ops, before), sequence=batch.sequence)
    except ServiceError as error:
        raise Damaged(f"{name} does not follow from the commits before it: {error}", object=name) from error
