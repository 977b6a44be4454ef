"""What the catalog asks of the place that keeps its log.

    append(n)   store the batch of sequence n if nothing is stored there, else LogTaken
    read(n)     the batches n+1, n+2, … in order, as far as they go

G1  A sequence number is stored once and never changed or removed: the log is complete from 1 on. (A removed batch would
    let a writer that is far behind store another one in its place.)
G2  Sequence numbers are dense, so a reader may ask for one after the other and needs no listing.
G3  What `append` has stored, a `read` that begins afterwards returns, in every process.
G4  A checkpoint only saves time. It may be replaced by an older one, and a log without one can be read from 1 on.

Held by tests/contract/test_catalog_log.py, for every implementation.
Elsewhere: a log in the object store (engine/catalog_log.py); what the bytes mean (codec.py).
"""

from collections.abc import Iterator
from typing import Protocol

from catalog.errors import Conflict


class LogTaken(Conflict):
    """Another writer was first."""

    code = "log_taken"

    def __init__(self, sequence: int) -> None:
        super().__init__(f"catalog sequence {sequence} is taken", sequence=sequence)


class CatalogLog(Protocol):
    def append(self, sequence: int, data: bytes) -> None:
        """Store durably. LogTaken when there is something; any other ServiceError leaves open whether it was stored."""

    def read(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Lazily, in order, without a hole."""

    def write_checkpoint(self, sequence: int, data: bytes) -> None: ...

    def read_checkpoint(self) -> tuple[int, bytes] | None: ...

    def batch_name(self, sequence: int) -> str:
        """How people find the object of a batch: for messages."""

    def checkpoint_name(self) -> str: ...
