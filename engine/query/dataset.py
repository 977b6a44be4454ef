"""What DataFusion asks of a table in Python, said once for all kinds of tables.

    schema, when it plans   filter ─▶ fragments, when it plans a scan   columns and filter ─▶ batches, when it runs

D1  A scanner announces exactly the columns that are asked for, in that order, and asks for no row before it is read.

Held by tests/unit/engine/query/test_dataset.py (D1).
Elsewhere: which rows there are: of a view (tables.py), of whichever statement runs (shell.py), worked out (made.py), of gap
filling (functions/late.py), of the server itself (system_schema.py), of another process (elsewhere/remote.py).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from engine._native import keep_thread_state
from engine.query.predicate import expression_of

Batches = Callable[[Sequence[str], ds.Expression | None], Iterator[pa.RecordBatch]]
"""The rows that a filter lets through, with these columns in this order."""


class TableInPython(ds.Dataset):  # type: ignore[misc]
    """Registered with a plan. Whoever derives from it has `get_fragments(filter)`; each fragment gets a thread."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, **_: Any) -> "Scanner":
        """Of the schema alone: rows are read from fragments."""
        return Scanner(_projected(self._schema, columns), iter(()))


class Fragment:
    def __init__(self, schema: pa.Schema, batches: Batches) -> None:
        self._schema = schema
        self._batches = batches

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: ds.Expression | None = None,
        **_: Any,
    ) -> "Scanner":
        keep_thread_state()  # DataFusion's, which comes for each batch
        projected = _projected(self._schema, columns)
        return Scanner(projected, self._batches(projected.names, expression_of(filter)))


class Scanner:
    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.projected_schema = schema
        self._batches = batches

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches


def _projected(schema: pa.Schema, columns: Sequence[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])
