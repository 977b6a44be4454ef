"""What the scans of a statement looked at and what they left out: filled by the scans, read by EXPLAIN and by the log.

    all ─▶ by time ─▶ by tags ─▶ …     each step has its reason and holds what it left over

X1  A report costs a scan no more than to hand over the lists it made anyway: what was left out is worked out by who reads it.
X2  Every chunk and every file of the table is in its report: read, or left out by the first reason that excluded it.

Held by tests/unit/engine/query/test_report.py (X1, X2).
Elsewhere: what is left out (tables.py), how it reads (explain.py).
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from engine.buffer.rows import HeldFile, OpenBatch, Run

Item = TypeVar("Item")
Chunk = OpenBatch | Run | HeldFile
"""Rows in memory: as they arrived, sorted, or a file's."""


class Narrowing(Generic[Item]):
    """A list, and what each reason to leave something out has left of it. The items are the same objects at each step."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Sequence[Item]]] = []

    def begins(self, items: Sequence[Item]) -> None:
        self._steps = [("", items)]

    def leaves(self, reason: str, items: Sequence[Item]) -> None:
        self._steps.append((reason, items))

    @property
    def all(self) -> Sequence[Item]:
        return self._steps[0][1] if self._steps else ()

    @property
    def left(self) -> Sequence[Item]:
        return self._steps[-1][1] if self._steps else ()

    def excluded(self) -> list[tuple[str, list[Item]]]:
        """By reason, in the order in which the reasons were looked at; those that excluded nothing are left out."""
        found = []
        for (_, before), (reason, after) in zip(self._steps, self._steps[1:], strict=False):
            kept = set(map(id, after))
            gone = [item for item in before if id(item) not in kept]
            if gone:
                found.append((reason, gone))
        return found


@dataclass(slots=True)
class ScanReport:
    """One scan of one table. The scan makes it, hands it to the statement, and fills it in as it goes."""

    table: str
    chunks: Narrowing[Chunk] = field(default_factory=Narrowing)
    files: Narrowing[HeldFile] = field(default_factory=Narrowing)
    #: what else there is to say of it, to go on with
    note: str = ""
    #: (those that can match, all of the table); None where every series can
    series: tuple[int, int] | None = None
    #: rows handed to the planner, by id() of the chunk or file they came from; known once the scan has run
    rows: dict[int, int] = field(default_factory=dict)
    #: files of which each row was counted without a look at it
    whole: list[Sequence[HeldFile]] = field(default_factory=list)
    #: (those that can match, all of the file): asked for by who reads the report
    row_groups: Callable[[HeldFile], tuple[int, int]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def counted(self, item: Chunk, rows: int) -> None:
        """So many more rows of it; several threads may read parts of it."""
        with self._lock:
            self.rows[id(item)] = self.rows.get(id(item), 0) + rows

    def rows_of(self, item: Chunk) -> int:
        is_whole = any(each is item for files in self.whole for each in files)
        return item.file.rows if isinstance(item, HeldFile) and is_whole else self.rows.get(id(item), 0)


def files_read(reports: Iterable[ScanReport]) -> int:
    """Different files, of all scans of a statement."""
    return len({held.file.path for report in reports for held in report.files.left})
