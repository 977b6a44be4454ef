"""Do live files hold what their manifests and the catalog say? Every page of every file is read.

B2  A live file that is missing, has any byte changed, or does not hold what its manifest and the catalog say, is named.

Held by tests/unit/engine/verify/test_nodes.py (B2).
Elsewhere: what is inside of a file (engine.files.parquet), which files are live (lists.py).
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from catalog.errors import Damaged
from catalog.state import CatalogState
from engine.files.manifest import DataFile
from engine.files.parquet import FileFacts, verify
from engine.storage.base import ObjectInfo, ObjectMissing
from engine.verify.findings import RESTORE, Look


def check_files(look: Look, live: Mapping[str, DataFile], sizes: Mapping[str, int], state: CatalogState | None) -> None:
    there = []
    for file in live.values():
        if file.path not in sizes:
            look.note("missing", file.path, f"a manifest lists it, with {_rows(file.rows)}", RESTORE)
        elif sizes[file.path] != file.size_bytes:
            message = f"it has {sizes[file.path]} bytes and should have {file.size_bytes}"
            look.note("damaged", file.path, message, RESTORE)
        else:
            there.append(file)
    wanted = {info.path for info in look.unknown(ObjectInfo(file.path, file.size_bytes) for file in there)}
    workers = min(8, (os.cpu_count() or 1) + 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="verify") as pool:
        for file, found in pool.map(lambda file: (file, _facts(look, file)), [file for file in there if file.path in wanted]):
            if isinstance(found, str):
                look.note("damaged", file.path, found, RESTORE)
            elif wrong := _difference(file, found, state):
                look.note("damaged", file.path, wrong, RESTORE)
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
