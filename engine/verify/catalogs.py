"""Is a catalog whole? Every commit is read and made again, and the checkpoint compared with what comes out.

A1  A commit that is damaged, does not follow from those before it, or is missing while later ones are there, is named.
A2  A checkpoint that is damaged, or is not the state after its commit, is named.

Held by tests/unit/engine/verify/test_catalogs.py (A1, A2).
Elsewhere: who reads the catalog to work with it (catalog.catalog, engine.catalog_log).
"""

import re
from dataclasses import replace

from catalog.apply import apply_all
from catalog.codec import Batch, decode_batch, decode_checkpoint, encode_checkpoint
from catalog.errors import Damaged, ServiceError
from catalog.state import EMPTY, CatalogState
from engine.catalog_log import StoredCatalogLog
from engine.paths import CatalogPaths, number_of
from engine.storage.base import ObjectInfo, ObjectMissing
from engine.verify.findings import RESTORE, CatalogReport, Look

_COMMIT = re.compile(r"\d{20,}\.catalog")
_WITHOUT_CHECKPOINT = "move it away: the catalog is complete without it, and only slower to start"


def look_at_catalog(look: Look, prefix: str) -> tuple[CatalogReport, CatalogState | None]:
    """What there is, and the newest state that can be made of it; None when nothing can."""
    paths = CatalogPaths(prefix)
    checkpoint = _checkpoint(look, paths)  # before the commits: a server may be writing both
    listed = look.store.list(f"{prefix}/catalog/")
    commits = _commits(look, paths, [info for info in listed if _is_commit(paths, info.path)])
    for info in listed:
        if not _is_commit(paths, info.path) and info.path != paths.checkpoint:
            look.note("orphan", info.path, "it is no part of a catalog", "move it away")
    state = _made_again(look, paths, commits, checkpoint)
    report = CatalogReport(
        prefix,
        len(commits),
        None if checkpoint is None else checkpoint.sequence,
        0 if state is None else state.live_database_count,
        () if state is None else tuple(node.node_id for node in state.nodes),
    )
    return report, state


def _is_commit(paths: CatalogPaths, path: str) -> bool:
    return path.startswith(paths.log_prefix) and _COMMIT.fullmatch(path.removeprefix(paths.log_prefix)) is not None


def _commits(look: Look, paths: CatalogPaths, objects: list[ObjectInfo]) -> dict[int, Batch | None]:
    """By number; None for one that cannot be read. Those that are missing are named here."""
    for info, data in look.read(look.unknown(objects)):
        try:
            batch = decode_batch(data, info.path)
        except Damaged as error:
            look.note("damaged", info.path, _without_name(error, info.path), RESTORE)
            continue
        if batch.sequence != number_of(info.path):
            look.note("damaged", info.path, f"it holds commit {batch.sequence}", RESTORE)
        else:
            look.right(info, batch)
    found = {number_of(info.path): look.content(info.path) for info in objects}
    for number in range(1, max(found, default=0)):
        if number not in found:
            look.note("missing", paths.log(number), "later commits of the catalog are there", RESTORE)
    return {number: batch if isinstance(batch, Batch) else None for number, batch in sorted(found.items())}


def _checkpoint(look: Look, paths: CatalogPaths) -> CatalogState | None:
    """Read each time: it is the one object that is replaced."""
    try:
        size = len(look.store.get(paths.checkpoint))
        found = StoredCatalogLog(look.store, paths).read_checkpoint()
    except ObjectMissing:
        return None
    except Damaged as error:
        look.note("damaged", paths.checkpoint, _without_name(error, paths.checkpoint), _WITHOUT_CHECKPOINT)
        return None
    if found is None:
        return None
    sequence, data = found
    try:
        state = decode_checkpoint(data, paths.checkpoint)
    except Damaged as error:
        look.note("damaged", paths.checkpoint, _without_name(error, paths.checkpoint), _WITHOUT_CHECKPOINT)
        return None
    if state.sequence != sequence:
        look.note("damaged", paths.checkpoint, f"it says {sequence} and holds commit {state.sequence}", _WITHOUT_CHECKPOINT)
        return None
    look.right(ObjectInfo(paths.checkpoint, size), None)
    return state


def _made_again(
    look: Look, paths: CatalogPaths, commits: dict[int, Batch | None], checkpoint: CatalogState | None
) -> CatalogState | None:
    """The newest state: from the first commit on, or from the checkpoint where commits before it cannot be read."""
    state, broken = EMPTY, False
    for number in range(1, max(commits, default=0) + 1):
        batch = commits.get(number)
        if batch is None:
            broken = True
        elif not broken:
            try:
                state = replace(apply_all(batch.ops, state), sequence=number)
            except ServiceError as error:
                look.note("damaged", paths.log(number), f"it does not follow from the commits before it: {error}", RESTORE)
                broken = True
        if checkpoint is not None and number == checkpoint.sequence:
            if not broken and encode_checkpoint(state) != encode_checkpoint(checkpoint):
                message = f"it is not what the {number} commits before it make"
                look.note("damaged", paths.checkpoint, message, _WITHOUT_CHECKPOINT)
            state, broken = (checkpoint, False) if broken else (state, False)
    if checkpoint is not None and checkpoint.sequence > max(commits, default=0):
        first = max(commits, default=0) + 1
        look.note("missing", paths.log(first), f"the checkpoint holds commit {checkpoint.sequence}", RESTORE)
        return checkpoint
    return None if broken or not commits else state


def _without_name(error: Damaged, path: str) -> str:
    """A sentence about an object, for a line that begins with its name."""
    return error.message.removeprefix(f"{path} ").removeprefix("is damaged: ")
