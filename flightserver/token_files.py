"""Tokens that were written to files before the server ran, taken in at its start.

    --admin-token-file         {"token": "apiv3_…", "name": "_admin", "expiry_millis"?: N}
    --permission-tokens-file   {"create_databases"?: ["a"], "tokens": [{"token", "name", "expiry_millis"?, "permissions":
                               ["db:a:read,write"]}]}

Y1  A file is taken in when there is no token of its kind yet, and is of no effect from then on: what was deleted later stays
    deleted. All of a file is taken in by one commit, or nothing.
Y2  A file that can not be read, or is not what it should be, stops the start with a sentence that names it and shows no token.
Y3  A file that others may read is told of.

Held by tests/unit/flightserver/test_token_files.py (Y1-Y3).
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog import changes, token_changes
from catalog.apply import apply_all
from catalog.catalog import Build, Catalog
from catalog.errors import Conflict, InvalidRequest
from catalog.ids import INTERNAL_DATABASE_ID
from catalog.ops import Op
from catalog.state import CatalogState
from catalog.tokens import EVERYTHING, OPERATOR, TOKEN_PREFIX, hash_of, parse_permission
from engine.clock import Clock
from flightserver.audit import Audit

log = logging.getLogger("flightserver.auth")


class UnusableTokenFile(InvalidRequest):
    """A file of tokens that cannot be used."""

    code = "unusable_token_file"


def take_in_files(catalog: Catalog, clock: Clock, audit: Audit, admin_file: str | None, permission_file: str | None) -> None:
    if admin_file is not None and take_in_admin_token(catalog, clock, Path(admin_file)):
        audit.note(None, "take_in_admin_token", {"file": admin_file})
    if permission_file is not None and take_in_permission_tokens(catalog, clock, Path(permission_file)):
        audit.note(None, "take_in_permission_tokens", {"file": permission_file})


def take_in_admin_token(catalog: Catalog, clock: Clock, file: Path) -> bool:
    """Whether anything was taken in."""
    found = _read(file, "Admin")
    digest = _digest(file, found)
    now_ms = clock.now_ns() // 1_000_000

    def build(state: CatalogState) -> Sequence[Op]:
        name = str(found.get("name") or OPERATOR)
        if state.tokens.has_admin or name in state.tokens.by_name:
            return []
        expiry_ms = _expiry_ms(file, found)
        return token_changes.create_token(state, name, digest, now_ms=now_ms, expiry_ms=expiry_ms, permissions=(EVERYTHING,))

    return _commit(catalog, file, build)


def take_in_permission_tokens(catalog: Catalog, clock: Clock, file: Path) -> bool:
    """Whether anything was taken in."""
    found = _read(file, "Permission")
    databases, tokens = found.get("create_databases") or [], found.get("tokens")
    if not isinstance(databases, list) or not isinstance(tokens, list) or not all(isinstance(each, dict) for each in tokens):
        raise UnusableTokenFile(f"{file} is not a file of permission tokens: it needs a list 'tokens'")
    now_ms = clock.now_ns() // 1_000_000

    def build(state: CatalogState) -> Sequence[Op]:
        if not all(token.is_admin for token in state.tokens.all):
            return []
        ops: list[Op] = []

        def add(more: Sequence[Op]) -> None:
            nonlocal state
            ops.extend(more)
            state = apply_all(more, state)

        for name in databases:
            if state.find_database(str(name)) is None:
                add(changes.create_database(state, str(name)))
        for token in tokens:
            ids = {database.name: database.id for database in state.databases if database.id != INTERNAL_DATABASE_ID}
            given = token.get("permissions")
            if not isinstance(given, list) or not given:
                raise InvalidRequest("a token needs a list 'permissions'")
            permissions = [parse_permission(str(text), ids) for text in given]
            digest, expiry_ms = _digest(file, token), _expiry_ms(file, token)
            name = str(token.get("name") or "")
            add(token_changes.create_token(state, name, digest, now_ms=now_ms, expiry_ms=expiry_ms, permissions=permissions))
        return ops

    return _commit(catalog, file, build)


def _commit(catalog: Catalog, file: Path, build: Build) -> bool:
    try:
        before = catalog.state().tokens
        return catalog.commit(build).tokens is not before
    except UnusableTokenFile:
        raise
    except (InvalidRequest, Conflict) as error:
        raise UnusableTokenFile(f"{file} can not be used: {error.message}") from None


def _read(file: Path, kind: str) -> Mapping[str, Any]:
    try:
        mode = file.stat().st_mode & 0o777
        content = file.read_bytes()
    except OSError as error:
        raise UnusableTokenFile(f"{kind} token file {file} can not be read: {error.strerror}") from None
    if mode & 0o077:
        log.warning("%s token file has insecure permissions: %o. Consider using chmod 0600. (%s)", kind, mode, file)
    try:
        found = json.loads(content)
    except ValueError:
        raise UnusableTokenFile(f"{kind} token file {file} is not JSON") from None
    if not isinstance(found, dict):
        raise UnusableTokenFile(f"{kind} token file {file} is not a JSON object")
    return found


def _digest(file: Path, found: Mapping[str, Any]) -> str:
    token = found.get("token")
    if not isinstance(token, str) or not token.startswith(TOKEN_PREFIX):
        raise UnusableTokenFile(f"Invalid token format: must start with '{TOKEN_PREFIX}' (in {file})")
    if not token.isascii() or not token.isprintable() or " " in token or ":" in token:
        raise UnusableTokenFile(f"a token in {file} can not be sent: it has characters that no header may hold")
    return hash_of(token)


def _expiry_ms(file: Path, found: Mapping[str, Any]) -> int | None:
    value = found.get("expiry_millis")
    if value is not None and (type(value) is not int or value < 0):
        raise UnusableTokenFile(f"expiry_millis in {file} is not a number of milliseconds")
    return value
