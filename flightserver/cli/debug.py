"""`influxdb3 debug catalog …`: the catalog read straight from the object store, without a server.

    list             one line for each commit: when, and what it changed
    snapshot         what there is after the last one
    sequence [N]     one commit, as it is stored

E1  Nothing is written to the store, and what is not there is not made.
E2  Of a token's hash no more is shown than `show tokens` shows.

Held by tests/integration/cli/test_debug.py (E1, E2).
Elsewhere: the log (engine.catalog_log, catalog.codec), opening the store (cli.looking), `debug verify` (cli.verify).
"""

import dataclasses
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from catalog.catalog import Catalog
from catalog.codec import Batch, decode_batch
from catalog.errors import Unavailable
from catalog.log import CatalogLog
from catalog.ops import Op
from catalog.schema import Database, Table
from catalog.state import CatalogState
from engine.catalog_log import StoredCatalogLog
from engine.clock import SystemClock
from engine.paths import CatalogPaths
from flightserver.cli.console import CommandError, is_terminal, terminal_width
from flightserver.cli.looking import look_into
from flightserver.cli.parsing import Given, UsageError
from flightserver.cli.tables import fitted

_HASH_SHOWN = 9


def list_commits(given: Given) -> None:
    log = _open_log(given)
    checkpoint = log.read_checkpoint()
    after = 0 if checkpoint is None or "--all" in given else checkpoint[0]
    commits = [decode_batch(data, log.batch_name(sequence)) for sequence, data in log.read(after)]
    if given.text("--format") == "json":
        _print_json([_commit_line(commit) for commit in commits])
        return
    rows = [[str(cell) for cell in _commit_line(commit).values()] for commit in commits]
    width = terminal_width() if is_terminal(sys.stdout) else sys.maxsize
    sys.stdout.writelines(line + "\n" for line in fitted(("sequence", "time", "changes"), rows, width))
    if after:
        print(f"(the first {after} commits are in a checkpoint; --all lists them too)")


def snapshot(given: Given) -> None:
    state = Catalog.open(_ReadOnly(_open_log(given)), clock=SystemClock()).state()
    _print_json(_described(state), pretty=given.text("--format") == "pretty")


def sequence(given: Given) -> None:
    log = _open_log(given)
    wanted = given.find("SEQUENCE")
    if wanted is not None and not (wanted.isdecimal() and int(wanted)):
        raise UsageError(
            f"invalid value '{wanted}' for '[SEQUENCE]': expected the number of a commit", "debug catalog sequence"
        )
    checkpoint = log.read_checkpoint()
    after = int(wanted) - 1 if wanted is not None else max((checkpoint[0] if checkpoint else 0) - 1, 0)
    found: Batch | None = None
    for number, data in log.read(after):
        found = decode_batch(data, log.batch_name(number))
        if wanted is not None:
            break
    if found is None:
        raise CommandError(f"there is no commit {wanted}")
    ops = [{op.kind: _plain(op)} for op in found.ops]
    document = {"sequence": found.sequence, "time": _time(found.time_ns), "ops": ops}
    _print_json(document, pretty=given.text("--format") == "pretty")


class _ReadOnly:
    """A log that is there, and stays as it is."""

    def __init__(self, log: CatalogLog) -> None:
        self.read = log.read
        self.read_checkpoint = log.read_checkpoint
        self.batch_name = log.batch_name
        self.checkpoint_name = log.checkpoint_name

    def append(self, sequence: int, data: bytes) -> None:
        raise Unavailable("this is only looked at")  # a catalog that exists needs no commit to be opened

    def write_checkpoint(self, sequence: int, data: bytes) -> None: ...


def _open_log(given: Given) -> StoredCatalogLog:
    """The log of a catalog that exists."""
    opened = look_into(given, "debug catalog")
    prefix = given.find("--catalog-prefix") or opened.node_id
    log = StoredCatalogLog(opened.store, CatalogPaths(prefix))
    if not log.is_there():
        raise CommandError(f"{opened.store.url} holds no catalog of {prefix}; --node-id or --catalog-prefix names another one")
    return log


# ---------------------------------------------------------------------------------------------------------- descriptions


def _commit_line(commit: Batch) -> dict[str, object]:
    changes = ", ".join(f"{op.kind} {_object_of(op)}".rstrip() for op in commit.ops)
    return {"sequence": commit.sequence, "time": _time(commit.time_ns), "changes": changes}


def _object_of(op: Op) -> str:
    named = next((getattr(op, name) for name in ("name", "node_id", "deleted_name") if hasattr(op, name)), "")
    return str(named or "")


def _described(state: CatalogState) -> dict[str, object]:
    return {
        "sequence": state.sequence,
        "uuid": state.uuid,
        "nodes": [_plain(node) for node in state.nodes],
        "databases": [_database(database) for database in state.databases],
        "tokens": [_plain(token) for token in state.tokens.all],
    }


def _database(database: Database) -> dict[str, object]:
    tables = sorted(database.tables_by_id.entries(), key=lambda table: table.id)
    return {**_life(database), "tables": [_table(table) for table in tables]}


def _table(table: Table) -> dict[str, object]:
    return {**_life(table), "tags": list(table.tags), "fields": {name: kind.api_name for name, kind in table.fields.items()}}


def _life(thing: Database | Table) -> dict[str, object]:
    found: dict[str, object] = {"id": thing.id, "name": thing.name, "retention_ns": thing.retention_ns}
    if thing.deleted_at_ns is not None:
        found["deleted_at"] = _time(thing.deleted_at_ns)
        found["hard_delete_at"] = None if thing.hard_delete_at_ns is None else _time(thing.hard_delete_at_ns)
    return found


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: _plain(item[:_HASH_SHOWN] if name == "hash" else item) for name, item in fields.items()}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print_json(document: object, *, pretty: bool = False) -> None:
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2 if pretty else 0).decode())
