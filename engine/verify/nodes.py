"""Are a node's manifests, files and log whole, and do they fit one another and the catalog?

B1  A manifest or an index that is damaged or missing is named, and so is an index that is not what the manifests make.
B2  A live file that is missing, has any byte changed, or does not hold what its manifest and the catalog say, is named.
B3  A group of the log that is damaged is named with its place, a missing one with the object that should begin with it. What
    was never acknowledged is no finding: the end of the last object, cut short.
B4  What lies among the node's objects and is listed nowhere is named, unless the server itself is about to list or delete it.
B5  The log is read first, then the manifests, then files are listed, and the catalog comes after that: what a running server
    does meanwhile looks right, or right at a second look.

Held by tests/unit/engine/verify/test_nodes.py (B1-B4) and tests/unit/engine/verify/test_walk.py (B5).
Elsewhere: the same questions as a start asks them (engine.files.index, engine.files.inspection, engine.wal.reader).
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from catalog.errors import Damaged
from catalog.state import CatalogState
from engine.files.manifest import DataFile, LiveFiles, Manifest, decode_live_files, decode_manifest
from engine.files.parquet import FileFacts, verify
from engine.paths import NodePaths, number_of
from engine.storage.ahead import read_ahead
from engine.storage.base import ObjectInfo, ObjectMissing
from engine.verify.findings import Look, NodeReport
from engine.wal.codec import DamagedGroup, decode, find_header, read_header

_RESTORE = "restore this object from a backup"
_AT_START = "the next start of the node goes on without it; restore it from a backup first, if there is one"
_SWEPT = "the next start of the node deletes it"
_MOVE = "move it away"

Tables = frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Segment:
    """What an object of the log holds."""

    sequences: tuple[int, ...]
    rows: int
    tables: Tables
    torn_bytes: int = 0
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class _Live:
    """The files that the manifests leave live, and those that they have taken out."""

    number: int
    wal_sequence: int
    files: Mapping[str, DataFile]
    removed: frozenset[str]
    unread: frozenset[int]
    """Manifests that are missing or damaged: what they listed is not known."""
    is_whole: bool
    """Whether the last state is known, so that what is not in it can be called unlisted."""


@dataclass(frozen=True, slots=True)
class NodeContents:
    """What a node's log and manifests say, and what a listing of it shows."""

    paths: NodePaths
    segments: Mapping[str, _Segment]
    live: _Live
    listed: tuple[ObjectInfo, ...]

    @property
    def has_data(self) -> bool:
        return bool(self.segments or self.live.number)


def read_node(look: Look, node_id: str) -> NodeContents:
    paths = NodePaths(node_id)
    segments = _log(look, paths)
    live = _manifests(look, paths)
    return NodeContents(paths, segments, live, tuple(look.store.list(f"{node_id}/")))


def look_at_node(look: Look, node: NodeContents, catalog: str | None, state: CatalogState | None) -> NodeReport:
    """Check what has been read, and the files; `state` of the node's catalog was read after that."""
    paths, segments, live = node.paths, node.segments, node.live
    if live.is_whole:
        _check_log(look, paths, segments, live.wal_sequence)
    _check_files(look, live, {info.path: info.size for info in node.listed}, state)
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


# ------------------------------------------------------------------------------------------------------------------ log


def _log(look: Look, paths: NodePaths) -> dict[str, _Segment]:
    """The objects of the log, in order."""
    objects = [info for info in look.store.list(paths.wal_prefix) if _is_segment(paths, info.path)]
    wanted = {info.path for info in look.unknown(objects)}
    found: dict[str, _Segment] = {}
    for info in objects:
        known = look.content(info.path)
        if info.path not in wanted and isinstance(known, _Segment):
            found[info.path] = known
            continue
        try:
            data = look.store.get(info.path)
        except ObjectMissing:
            continue  # trimmed meanwhile, and if not, its number is missed
        segment = _segment(look, info.path, memoryview(data), last=info is objects[-1])
        found[info.path] = segment
        if not segment.damaged and not segment.torn_bytes:
            look.right(ObjectInfo(info.path, len(data)), segment)
    return found


def _segment(look: Look, path: str, data: memoryview, *, last: bool) -> _Segment:
    sequences: list[int] = []
    tables: set[tuple[int, int]] = set()
    rows, torn_bytes, damaged = 0, 0, False
    at: int | None = 0
    while at is not None:
        try:
            for group in decode(data, at):
                sequences.append(group.sequence)
                tables.update((table.database_id, table.table_id) for table in group.tables)
                rows += sum(table.rows.num_rows for table in group.tables)
            at = None
        except DamagedGroup as damage:
            at = find_header(data, damage.offset + 1)
            if at is None and last and look.store.durable_appends is not None and _is_cut_short(data, damage.offset):
                torn_bytes = len(data) - damage.offset
            else:
                damaged = True
                look.note("damaged", path, f"{damage}; writes of that group are lost", _AT_START)
    if not data and not last:
        damaged = True
        look.note("damaged", path, "it is empty", _AT_START)
    if sequences and not damaged:
        damaged = _is_out_of_order(look, path, sequences)
    return _Segment(tuple(sequences), rows, frozenset(tables), torn_bytes, damaged)


def _is_cut_short(data: memoryview, offset: int) -> bool:
    """Whether a group was begun there whose end is not written: an end that is there and wrong was damaged later."""
    if not any(data[offset:]):
        return True
    try:
        read_header(data, offset)
    except DamagedGroup as damage:
        return damage.reason.startswith("incomplete")
    return False


def _is_out_of_order(look: Look, path: str, sequences: Sequence[int]) -> bool:
    first = number_of(path)
    if list(sequences) == list(range(first, first + len(sequences))):
        return False
    look.note("damaged", path, f"it holds groups {sequences[0]} to {sequences[-1]}, not those that its name says", _AT_START)
    return True


def _check_log(look: Look, paths: NodePaths, segments: Mapping[str, _Segment], wal_sequence: int) -> None:
    """From where the newest manifest ends, no number may be missing; before that the log has been trimmed."""
    expected, explained = wal_sequence + 1, False
    for path, segment in segments.items():
        if segment.sequences and segment.sequences[-1] >= expected:
            if max(segment.sequences[0], number_of(path)) > expected and not (explained or segment.damaged):
                message = f"the log goes on with group {segment.sequences[0]} in {path} where {expected} should come"
                look.note("missing", paths.wal(expected), message, _AT_START)
            expected = segment.sequences[-1] + 1
        explained = segment.damaged


# ------------------------------------------------------------------------------------------------- manifests and files


def _manifests(look: Look, paths: NodePaths) -> _Live:
    listed = [info for info in look.store.list(paths.snapshot_prefix) if _is_list(paths, info.path)]
    for info, data in read_ahead(look.store.get, look.unknown(listed)):
        try:
            read = decode_manifest(data, info.path) if info.path.endswith(".manifest") else decode_live_files(data, info.path)
        except Damaged as error:
            message = error.message.removeprefix(f"{info.path} ").removeprefix("is damaged: ")
            look.note("damaged", info.path, message, _RESTORE)
            continue
        look.right(info, read)
    manifests = {number_of(info.path): info.path for info in listed if info.path.endswith(".manifest")}
    indexes = [info.path for info in listed if info.path.endswith(".index")]
    return _replayed(look, paths, manifests, indexes)


def _replayed(look: Look, paths: NodePaths, manifests: Mapping[int, str], indexes: Sequence[str]) -> _Live:
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
                look.note("missing", paths.manifest(number), later, _RESTORE)
        index = kept.get(number)
        if index is not None:
            listed = {file.path: file for file in index.files}
            if is_whole and (index.wal_sequence != wal_sequence or listed != live):
                message = "it does not list what the manifests before it leave live"
                look.note("damaged", paths.file_index(number), message, _RESTORE)
            live, wal_sequence, is_whole = listed, index.wal_sequence, True
    return _Live(newest, wal_sequence, live, frozenset(removed), frozenset(unread), is_whole)


def _base(indexes: Sequence[str], kept: Mapping[int, LiveFiles], manifests: Mapping[int, str]) -> tuple[LiveFiles, bool]:
    """Where to begin, and whether all that came before is in it."""
    if not indexes or (len(indexes) == 1 and 1 in manifests):
        return LiveFiles(0, 0, ()), True
    for path in indexes[-2:]:
        if (found := kept.get(number_of(path))) is not None:
            return found, True
    return LiveFiles(min(manifests, default=1) - 1, 0, ()), False


def _check_files(look: Look, live: _Live, sizes: Mapping[str, int], state: CatalogState | None) -> None:
    there = []
    for file in live.files.values():
        if file.path not in sizes:
            look.note("missing", file.path, f"a manifest lists it, with {_rows(file.rows)}", _RESTORE)
        elif sizes[file.path] != file.size_bytes:
            message = f"it has {sizes[file.path]} bytes and should have {file.size_bytes}"
            look.note("damaged", file.path, message, _RESTORE)
        else:
            there.append(file)
    wanted = {info.path for info in look.unknown(ObjectInfo(file.path, file.size_bytes) for file in there)}
    workers = min(8, (os.cpu_count() or 1) + 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="verify") as pool:
        for file, found in pool.map(lambda file: (file, _facts(look, file)), [file for file in there if file.path in wanted]):
            if isinstance(found, str):
                look.note("damaged", file.path, found, _RESTORE)
            elif wrong := _difference(file, found, state):
                look.note("damaged", file.path, wrong, _RESTORE)
            else:
                look.right(ObjectInfo(file.path, file.size_bytes), None)


def _facts(look: Look, file: DataFile) -> FileFacts | str:
    """What a file holds, every page decoded; or what is wrong with it."""
    try:
        return verify(look.store.local_path(file.path) or look.store.get(file.path), name=file.path)
    except Damaged as error:
        return error.message.removeprefix(f"file {file.path} is damaged: ")
    except (FileNotFoundError, ObjectMissing):
        return "it was deleted while it was read"


def _difference(file: DataFile, facts: FileFacts, state: CatalogState | None) -> str:
    """What a manifest or the catalog says otherwise; nothing when they agree."""
    if file.rows != facts.rows:
        return f"it has {_rows(facts.rows)}, and its manifest says {file.rows}"
    for name, said, is_so in (
        ("as its first time", file.time_min_ns, facts.time_min_ns),
        ("as its last time", file.time_max_ns, facts.time_max_ns),
    ):
        if said != is_so:
            return f"it has {is_so} {name}, and its manifest says {said}"
    database = None if state is None else state.find_database_by_id(file.database_id)
    table = None if database is None else database.find_table_by_id(file.table_id)
    if table is None:
        return ""
    strange = sorted({column.name for column in facts.columns} - {"time", *table.tags, *table.fields})
    return f"it has columns that the catalog does not know: {', '.join(strange)}" if strange else ""


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _check_tables(look: Look, segments: Mapping[str, _Segment], live: _Live, state: CatalogState | None) -> None:
    """Rows of a table whose id has not been given out yet are from after the catalog's end: it has lost commits."""
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


# -------------------------------------------------------------------------------------------------------------- orphans


def _check_orphans(
    look: Look,
    paths: NodePaths,
    listed: Iterable[ObjectInfo],
    segments: Mapping[str, _Segment],
    live: _Live,
    state: CatalogState | None,
) -> int:
    """How many files wait to be listed or deleted; all else that is listed nowhere is named (B4)."""
    following = live.wal_sequence + 1
    log_goes_on = paths.wal(following) in segments or any(following in segment.sequences for segment in segments.values())
    own = (f"{paths.node_id}/lock", f"{paths.node_id}/damaged/", f"{paths.node_id}/catalog/")
    waiting, unlisted = 0, []
    for path in (info.path for info in listed):
        numbers = paths.parquet_numbers(path) if path.startswith(paths.data_prefix) else None
        if path in live.files or path.startswith(own) or _is_segment(paths, path) or _is_list(paths, path):
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
            unlisted.append((numbers[2], path))
        else:
            look.note("orphan", path, "no manifest lists it", _SWEPT)
    if unlisted:
        message = f"{len(unlisted)} files of this snapshot or later ones are there, and the log does not have their rows"
        look.note("missing", paths.manifest(live.number + 1), message, _RESTORE)
    return waiting


def _goes_with_its_table(state: CatalogState | None, database_id: int, table_id: int) -> bool:
    """Files of a table that was deleted leave the manifests first, and the store later."""
    database = None if state is None else state.find_database_by_id(database_id)
    table = None if database is None else database.find_table_by_id(table_id)
    if database is None or table is None:
        return state is not None and _was_given(state, database_id, table_id)
    return database.deleted or table.deleted


def _is_segment(paths: NodePaths, path: str) -> bool:
    return path.startswith(paths.wal_prefix) and re.fullmatch(r"\d{20,}\.wal", path.removeprefix(paths.wal_prefix)) is not None


def _is_list(paths: NodePaths, path: str) -> bool:
    name = path.removeprefix(paths.snapshot_prefix)
    return path.startswith(paths.snapshot_prefix) and re.fullmatch(r"\d{20,}\.(manifest|index)", name) is not None
