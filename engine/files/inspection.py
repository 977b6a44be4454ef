"""Is everything there that the manifests list, and nothing else? One listing of the store answers, at any number of files.

X1  A live file that is missing, or of another size than its manifest says, is found and named.
X2  What no manifest lists is found: files of a snapshot that was cut short, or that were replaced before the last stop.
X3  Files that are added or replaced meanwhile are neither.

Held by tests/unit/engine/test_inspection.py (X1-X3).
Elsewhere: what is damaged inside, which whoever reads the file finds (access.py).
"""

from dataclasses import dataclass

from catalog.errors import Damaged
from engine.files.index import FileIndex
from engine.files.manifest import DataFile
from engine.paths import NodePaths
from engine.storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Findings:
    damaged: tuple[Damaged, ...]
    leftovers: tuple[str, ...]


def inspect(store: ObjectStore, paths: NodePaths, index: FileIndex) -> Findings:
    """To be called while no snapshot is being written."""
    live = index.files
    sizes = {info.path: info.size for info in store.list(paths.data_prefix)}
    suspects = [file for file in live if sizes.get(file.path) != file.size_bytes and index.is_live(file.path)]
    return Findings(
        damaged=tuple(_damage(file, sizes.get(file.path)) for file in suspects),
        leftovers=tuple(path for path in sizes if not index.is_live(path)),
    )


def _damage(file: DataFile, found: int | None) -> Damaged:
    if found is None:
        return Damaged(f"file {file.path} is missing", object=file.path)
    message = f"file {file.path} is damaged: it has {found} bytes and should have {file.size_bytes}"
    return Damaged(message, object=file.path)
