"""Are a node's manifests and indexes whole, and which files do they leave live?

B1  A manifest or an index that is damaged or missing is named, and so is an index that is not what the manifests make.

Held by tests/unit/engine/verify/test_nodes.py (B1).
Elsewhere: the same as a start does it (engine.files.index).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catalog.errors import Damaged
from engine.files.manifest import DataFile, LiveFiles, Manifest, decode_live_files, decode_manifest
from engine.paths import NodePaths, number_of
from engine.verify.findings import RESTORE, Look


@dataclass(frozen=True, slots=True)
class Live:
    """The files that the manifests leave live, and those that they have taken out."""

    number: int
    wal_sequence: int
    files: Mapping[str, DataFile]
    removed: frozenset[str]
    unread: frozenset[int]
    """Manifests that are missing or damaged: what they listed is not known."""
    is_whole: bool
    """Whether the last state is known, so that what is not in it can be called unlisted."""


def read_lists(look: Look, paths: NodePaths) -> Live:
    listed = [info for info in look.store.list(paths.snapshot_prefix) if is_list(paths, info.path)]
    for info, data in look.read(look.unknown(listed)):
        try:
            read = decode_manifest(data, info.path) if info.path.endswith(".manifest") else decode_live_files(data, info.path)
        except Damaged as error:
            message = error.message.removeprefix(f"{info.path} ").removeprefix("is damaged: ")
            look.note("damaged", info.path, message, RESTORE)
            continue
        look.right(info, read)
    manifests = {number_of(info.path): info.path for info in listed if info.path.endswith(".manifest")}
    indexes = [info.path for info in listed if info.path.endswith(".index")]
    return _replayed(look, paths, manifests, indexes)


def _replayed(look: Look, paths: NodePaths, manifests: Mapping[int, str], indexes: Sequence[str]) -> Live:
    """From the last index but one, which is kept in case the last one gets damaged, through all manifests behind it."""
    kept = {number_of(path): found for path in indexes[-2:] if isinstance(found := look.content(path), LiveFiles)}
    base, is_whole = _base(indexes, kept, manifests)
    live = {file.path: file for file in base.files}
    removed: set[str] = set()
    unread: set[int] = set()
    wal_sequence = base.wal_sequence
    newest = max([*manifests, *kept], default=base.number)
    for number in range(base.number + 1, newest + 1):
        manifest = look.content(manifests.get(number, ""))
        if isinstance(manifest, Manifest):
            live.update({file.path: file for file in manifest.added})
            removed.update(manifest.removed)
            for path in manifest.removed:
                live.pop(path, None)
            wal_sequence = manifest.wal_sequence
        else:
            is_whole = False
            unread.add(number)
            if number not in manifests:
                later = "later ones are there, and the files that it lists cannot be served"
                look.note("missing", paths.manifest(number), later, RESTORE)
        index = kept.get(number)
        if index is not None:
            listed = {file.path: file for file in index.files}
            if is_whole and (index.wal_sequence != wal_sequence or listed != live):
                message = "it does not list what the manifests before it leave live"
                look.note("damaged", paths.file_index(number), message, RESTORE)
            live, wal_sequence, is_whole = listed, index.wal_sequence, True
    return Live(newest, wal_sequence, live, frozenset(removed), frozenset(unread), is_whole)


def _base(indexes: Sequence[str], kept: Mapping[int, LiveFiles], manifests: Mapping[int, str]) -> tuple[LiveFiles, bool]:
    """Where to begin, and whether all that came before is in it."""
    if not indexes or (len(indexes) == 1 and 1 in manifests):
        return LiveFiles(0, 0, ()), True
    for path in indexes[-2:]:
        if (found := kept.get(number_of(path))) is not None:
            return found, True
    return LiveFiles(min(manifests, default=1) - 1, 0, ()), False


def is_list(paths: NodePaths, path: str) -> bool:
    name = path.removeprefix(paths.snapshot_prefix)
    return path.startswith(paths.snapshot_prefix) and re.fullmatch(r"\d{20,}\.(manifest|index)", name) is not None
