"""Tables whose rows are in another process: planned against here, scanned there.

    names and schemas, when the planner asks   filter ─▶ fragments, when it plans a scan   columns ─▶ batches, when it runs

R1  A scan here yields what the same scan yields there: its filter and its columns go over as they are.
R2  A scan that ends early, on either side, ends on the other one too.

Held by tests/integration/engine/test_elsewhere.py (R1, R2).
Elsewhere: the scans themselves (tables.py), who answers (workers.py).
"""

import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, cast

import pyarrow as pa
import pyarrow.dataset as ds
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

from engine.query.dataset import Fragment, TableInPython
from engine.query.elsewhere.channel import Messages, received_batches
from engine.query.predicate import expression_of


class ScanFailed(Exception):
    """The other side knows why."""


class Remote:
    """Asks the other side; from any thread, one question at a time. `answers` are put there by whoever receives."""

    def __init__(self, messages: Messages) -> None:
        self.answers: queue.SimpleQueue[Sequence[Any]] = queue.SimpleQueue()
        self._messages = messages
        self._asking = threading.Lock()

    def ask(self, *question: object) -> Any:
        with self._asking:
            self._messages.send(*question)
            done, answer = self.answers.get()
        if not done:
            raise ScanFailed(answer)
        return answer

    def rows(self, scan: int, part: int, columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        here, there = socket.socketpair()
        with here:
            with there:
                self._messages.send("read", scan, part, list(columns), filter, attached=there)
            try:
                yield from received_batches(here)
            except (EOFError, OSError):
                raise ScanFailed("a scan broke off") from None


class RemoteSchema(SchemaProvider):  # type: ignore[misc]
    def __init__(self, remote: Remote, name: str) -> None:
        self._remote = remote
        self._name = name

    @property
    def owner_name(self) -> str | None:  # the bindings would show a method, and None as a text
        raise AttributeError("nobody owns a schema")

    @property
    def table_names(self) -> list[str]:
        return cast("list[str]", self._remote.ask("tables", self._name))

    def table(self, name: str) -> PlanTable | None:
        schema = self._remote.ask("schema", self._name, name)
        return None if schema is None else PlanTable(RemoteTable(self._remote, self._name, name, schema))

    def table_exist(self, name: str) -> bool:
        return self._remote.ask("schema", self._name, name) is not None


class RemoteTable(TableInPython):
    def __init__(self, remote: Remote, place: str, name: str, schema: pa.Schema) -> None:
        super().__init__(schema)
        self._remote = remote
        self._place = place
        self._name = name

    def get_fragments(self, filter: ds.Expression | None = None) -> list[Fragment]:
        scan, count = self._remote.ask("scan", self._place, self._name, expression_of(filter))
        return [Fragment(self._schema, partial(self._remote.rows, scan, part)) for part in range(count)]
