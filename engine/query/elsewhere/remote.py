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
from typing import Any, cast

import pyarrow as pa
import pyarrow.dataset as ds
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

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


class RemoteTable(ds.Dataset):  # type: ignore[misc]
    def __init__(self, remote: Remote, place: str, name: str, schema: pa.Schema) -> None:
        self._remote = remote
        self._place = place
        self._name = name
        self._schema = schema

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None, **_: Any) -> "_Scan":
        return _Scan(_projected(self._schema, columns), iter(()))

    def get_fragments(self, filter: ds.Expression | None = None) -> list["_Fragment"]:
        scan, count = self._remote.ask("scan", self._place, self._name, expression_of(filter))
        return [_Fragment(self._remote, self._schema, scan, part) for part in range(count)]


class _Fragment:
    def __init__(self, remote: Remote, schema: pa.Schema, scan: int, part: int) -> None:
        self._remote = remote
        self._schema = schema
        self._scan = scan
        self._part = part

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: ds.Expression | None = None,
        batch_size: int | None = None,
        **_: Any,
    ) -> "_Scan":
        wanted = self._schema.names if columns is None else list(columns)
        rows = self._remote.rows(self._scan, self._part, wanted, expression_of(filter))
        return _Scan(_projected(self._schema, columns), rows)


class _Scan:
    """What DataFusion asks of a scanner."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.projected_schema = schema
        self._batches = batches

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches


def _projected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
