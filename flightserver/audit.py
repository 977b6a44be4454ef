"""What administrators did: one line each, in our log and, with --audit-log-file, in a file of its own.

    {"time": "2026-01-31T12:00:00.123Z", "who": "_admin", "token_id": 0, "action": "drop_database",
     "arguments": {"name": "sensors"}, "outcome": "done"}

J1  Each administrative action of a known caller leaves one line once it is over, however it ended: `done`, or the code of the
    error. So do tokens that come from files or through the recovery address, whose `who` is null.
J2  A line holds the arguments that have a name in ARGUMENTS and no others: no token's text, no hash.
J3  The file is for its owner only, and is moved aside when it has FILE_BYTES; the newest FILES of them are kept.
J4  A line that can not be written stops nothing but is told in our log, once.

Held by tests/unit/flightserver/test_audit.py (J1-J4).
Elsewhere: which actions are administrative (handlers.actions).
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from catalog.errors import ServiceError
from catalog.tokens import Identity
from flightserver.tokens import time_text

log = logging.getLogger("flightserver.audit")

FILE_BYTES = 16 << 20
FILES = 10
ARGUMENTS = (
    *("name", "database", "retention_ns", "hard_delete_at", "hard_delete_at_ns", "data_only", "remove_tables"),
    *("tags", "fields", "permissions", "expiry_secs", "file"),
)
_LINE_BYTES = 4096


class UnusableAuditFile(ServiceError):
    """The file of --audit-log-file cannot be written."""

    code = "unusable_audit_file"


class Audit:
    def __init__(self, now_ns: Callable[[], int], file: Path | None = None) -> None:
        self._now_ns = now_ns
        self._file = None if file is None else _open(file)

    def note(self, who: Identity | None, action: str, arguments: Mapping[str, object], outcome: str = "done") -> None:
        token = None if who is None else who.token
        entry = {
            "time": time_text(self._now_ns() // 1_000_000),
            "who": None if token is None else token.name,
            "token_id": None if token is None else token.id,
            "action": action,
            "arguments": {name: arguments[name] for name in ARGUMENTS if name in arguments},
            "outcome": outcome,
        }
        line = json.dumps(entry, ensure_ascii=False)
        if len(line) > _LINE_BYTES:
            line = json.dumps(entry | {"arguments": {"name": arguments.get("name")}}, ensure_ascii=False)
        log.info("%s", line)
        if self._file is not None:
            self._file.write(line)

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what could not be written was told of
                self._file.close()


class _File(RotatingFileHandler):
    """The rotation is the logging module's; what it can not write is told once (J4)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8")
        self._is_failing = False

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        return open(descriptor, "a", encoding="utf-8")

    def write(self, line: str) -> None:
        self.handle(logging.makeLogRecord({"msg": line}))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        if not self._is_failing:
            self._is_failing = True
            cause = sys.exc_info()[1]
            said = "the audit log %s can not be written; until that is mended its lines are here only: %s"
            log.error(said, self.baseFilename, getattr(cause, "strerror", None) or cause)


def _open(path: Path) -> _File:
    try:
        return _File(path)
    except OSError as error:
        raise UnusableAuditFile(f"the audit log {path} can not be opened: {error.strerror}") from None
