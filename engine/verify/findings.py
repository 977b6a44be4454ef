"""What a look at a store finds, as values.

damaged   the object is there, and is not what was written
missing   something says that it must be there
orphan    it lies among our objects, and nothing says that it should

Elsewhere: who looks (walk.py first; then catalogs.py, and nodes.py with segments.py, lists.py and files.py).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from engine.storage.ahead import read_ahead
from engine.storage.base import ObjectInfo, ObjectMissing, ObjectStore

RESTORE = "restore this object from a backup"

Kind: TypeAlias = Literal["damaged", "missing", "orphan"]


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    object: str
    message: str
    """What is wrong, without the name."""
    next_step: str

    @property
    def about(self) -> tuple[Kind, str]:
        return self.kind, self.object


@dataclass(frozen=True, slots=True)
class CatalogReport:
    prefix: str
    commits: int
    checkpoint_sequence: int | None
    databases: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeReport:
    node_id: str
    catalog: str | None
    snapshots: int
    files: int
    rows: int
    size_bytes: int
    first_group: int | None
    last_group: int | None
    rows_in_log: int
    waiting_files: int
    """Files that the server is about to list, or to delete."""
    torn_bytes: int
    """The end of the log that a process was writing when it died, or writes now: nobody was told that it is stored."""
    kept_aside: tuple[str, ...]
    """Copies of what a start found damaged."""


@dataclass(frozen=True, slots=True)
class Report:
    url: str
    catalogs: tuple[CatalogReport, ...]
    nodes: tuple[NodeReport, ...]
    findings: tuple[Finding, ...]
    sound: tuple[str, ...]
    others: int
    """Objects that lie outside of all that is ours: somebody else's."""


@dataclass(slots=True)
class Look:
    """One look at a store. What was found right once is not read again: objects do not change."""

    store: ObjectStore
    note_progress: Callable[[int], None]
    known: dict[str, tuple[int, object]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    sound: set[str] = field(default_factory=set)
    has_missed: bool = False
    """Something went away between its listing and its reading: a server goes on here."""

    def read(self, objects: Iterable[ObjectInfo]) -> Iterator[tuple[ObjectInfo, bytes]]:
        """Each object with its bytes, but for those that have gone since they were listed."""

        def get(path: str) -> bytes:
            try:
                return self.store.get(path)
            except ObjectMissing:
                return b""

        for info, data in read_ahead(get, objects):
            if data or not info.size:
                yield info, data
            else:
                self.has_missed = True

    def note(self, kind: Kind, path: str, message: str, next_step: str) -> None:
        self.findings.append(Finding(kind, path, message, next_step))

    def right(self, info: ObjectInfo, content: object) -> None:
        """This object is as it should be, and says so much."""
        self.known[info.path] = info.size, content
        self.sound.add(info.path)
        self.note_progress(len(self.sound))

    def unknown(self, objects: Iterable[ObjectInfo]) -> list[ObjectInfo]:
        """Those that have to be read; the others count as sound."""
        wanted = []
        for info in objects:
            if self.known.get(info.path, (-1,))[0] == info.size:
                self.sound.add(info.path)
            else:
                wanted.append(info)
        return wanted

    def content(self, path: str) -> object | None:
        """What is known of an object that was found right."""
        return self.known[path][1] if path in self.known else None

    def again(self) -> "Look":
        return Look(self.store, self.note_progress, self.known)
