"""Is everything there that the manifests list, and nothing else? One listing of the store answers, at any number of files.

X1  A live file that is missing, or of another size than its manifest says, is found and named.
X2  What no manifest lists is found: files of a snapshot that was cut short, or that were replaced before the last stop.
X3  Files that are added or replaced meanwhile are neither.
X4  Files of a snapshot whose manifest was lost are not taken for leftovers. A snapshot that was cut short still has its rows in
    the log, right behind the newest manifest; where the log does not go on there, those files are all that is left of them.

Held by tests/unit/engine/test_inspection.py (X1-X4).
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


def refuse_lost_manifest(store: ObjectStore, paths: NodePaths, index: FileIndex) -> None:
    """To be called when the log has nothing right behind the newest manifest: raise Damaged when there was a newer one (X4)."""
    files = [info.path for info in store.list(paths.data_prefix) if not index.is_live(info.path)]
    numbers = [numbers[2] for path in files if (numbers := paths.parquet_numbers(path)) is not None]
    newer = [number for number in numbers if number > index.number]
    if newer:
        lost = paths.manifest(min(newer))
        raise Damaged(
            f"{lost} is missing: the log does not go on behind the one before it, and {len(newer)} files of later snapshots"
            " are there that no manifest lists",
            hint="restore it from a backup; to go on without those files, move them away",
            object=lost,
        )


def _damage(file: DataFile, found: int | None) -> Damaged:
    if found is None:
        return Damaged(f"file {file.path} is missing", object=file.path)
    message = f"file {file.path} is damaged: it has {found} bytes and should have {file.size_bytes}"
    return Damaged(message, object=file.path)
