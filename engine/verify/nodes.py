"""One node: what has been read of its log, lists and files is compared with each other, with a listing and with the catalog.

B4  What lies among the node's objects and is listed nowhere is named, unless the server itself is about to list or delete it.
B5  The log is read first, then the manifests, then files are listed, and the catalog comes after that: what a running server
    does meanwhile looks right, or right at a second look.
B6  Rows of a table that the catalog has never had are named: it has lost commits.

Held by tests/unit/engine/verify/test_nodes.py (B4, B6) and tests/unit/engine/verify/test_walk.py (B5).
Elsewhere: the log (segments.py), manifests and indexes (lists.py), files (files.py).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from catalog.state import CatalogState
from engine.paths import NodePaths, number_of
from engine.storage.base import ObjectInfo
from engine.verify.files import check_files
from engine.verify.findings import RESTORE, Look, NodeReport
from engine.verify.lists import Live, is_list, read_lists
from engine.verify.segments import Segment, check_continuity, is_segment, read_segments

_SWEPT = "the next start of the node deletes it"
_MOVE = "move it away"


@dataclass(frozen=True, slots=True)
class NodeContents:
    """What a node's log and manifests say, and what a listing of it shows."""

    paths: NodePaths
    segments: Mapping[str, Segment]
    live: Live
    listed: tuple[ObjectInfo, ...]

    @property
    def has_data(self) -> bool:
        return bool(self.segments or self.live.number)


def read_node(look: Look, node_id: str) -> NodeContents:
    paths = NodePaths(node_id)
    segments = read_segments(look, paths)
    live = read_lists(look, paths)
    return NodeContents(paths, segments, live, tuple(look.store.list(f"{node_id}/")))


def look_at_node(look: Look, node: NodeContents, catalog: str | None, state: CatalogState | None) -> NodeReport:
    """Check what has been read, and the files; `state` of the node's catalog was read after that."""
    paths, segments, live = node.paths, node.segments, node.live
    if live.is_whole:
        check_continuity(look, paths, segments, live.wal_sequence)
    check_files(look, live.files, {info.path: info.size for info in node.listed}, state)
    _check_tables(look, segments, live, state)
    waiting = _check_orphans(look, paths, node.listed, segments, live, state)
    groups = [number for segment in segments.values() for number in segment.sequences]
    return NodeReport(
        paths.node_id,
        catalog,
        live.number,
        len(live.files),
        sum(file.rows for file in live.files.values()),
        sum(file.size_bytes for file in live.files.values()),
        min(groups, default=None),
        max(groups, default=None),
        sum(segment.rows for path, segment in segments.items() if number_of(path) > live.wal_sequence),
        waiting,
        sum(segment.torn_bytes for segment in segments.values()),
        tuple(info.path for info in node.listed if info.path.startswith(f"{paths.node_id}/damaged/")),
    )


def _check_tables(look: Look, segments: Mapping[str, Segment], live: Live, state: CatalogState | None) -> None:
    """Rows of a table whose id has not been given out yet are from after the catalog's end (B6)."""
    if state is None:
        return
    for path, tables in (
        *((path, segment.tables) for path, segment in segments.items()),
        *((file.path, frozenset({(file.database_id, file.table_id)})) for file in live.files.values()),
    ):
        for database_id, table_id in sorted(tables):
            if not _was_given(state, database_id, table_id):
                message = f"it has rows of table {database_id}/{table_id}, which the catalog has never had"
                look.note("damaged", path, message, "restore the catalog from a backup that is as new as the node's data")


def _was_given(state: CatalogState, database_id: int, table_id: int) -> bool:
    database = state.find_database_by_id(database_id)
    if database is None:
        return database_id < state.next_database_id
    return table_id < database.next_table_id


def _check_orphans(
    look: Look,
    paths: NodePaths,
    listed: Iterable[ObjectInfo],
    segments: Mapping[str, Segment],
    live: Live,
    state: CatalogState | None,
) -> int:
    """How many files wait to be listed or deleted; all else that is listed nowhere is named (B4)."""
    following = live.wal_sequence + 1
    log_goes_on = paths.wal(following) in segments or any(following in segment.sequences for segment in segments.values())
    own = (f"{paths.node_id}/lock", f"{paths.node_id}/damaged/", f"{paths.node_id}/catalog/")
    waiting = unlisted = 0
    for path in (info.path for info in listed):
        numbers = paths.parquet_numbers(path) if path.startswith(paths.data_prefix) else None
        if path in live.files or path.startswith(own) or is_segment(paths, path) or is_list(paths, path):
            continue
        if path.startswith(f"{paths.data_prefix}probe/"):
            look.note("orphan", path, "a start that was cut short has left it behind", "delete it")
        elif numbers is None:
            look.note("orphan", path, "the server has not made it", _MOVE)
        elif not live.is_whole or numbers[2] in live.unread:
            continue  # it may be one of those that cannot be known
        elif path in live.removed or (numbers[2] > live.number and log_goes_on) or _goes_with_its_table(state, *numbers[:2]):
            waiting += 1
        elif numbers[2] > live.number:
            unlisted += 1
        else:
            look.note("orphan", path, "no manifest lists it", _SWEPT)
    if unlisted:
        files = "a file" if unlisted == 1 else f"{unlisted} files"
        message = f"of this snapshot or later ones there are {files}, and the log does not have their rows"
        look.note("missing", paths.manifest(live.number + 1), message, RESTORE)
    return waiting


def _goes_with_its_table(state: CatalogState | None, database_id: int, table_id: int) -> bool:
    """Files of a table that was deleted leave the manifests first, and the store later."""
    database = None if state is None else state.find_database_by_id(database_id)
    table = None if database is None else database.find_table_by_id(table_id)
    if database is None or table is None:
        return state is not None and _was_given(state, database_id, table_id)
    return database.deleted or table.deleted
