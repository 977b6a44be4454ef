"""A table whose rows are worked out when its plan runs.

M1  A filter and a choice of columns that the plan hands down are applied.
M2  Nothing is worked out before the plan runs; its scan ends with the statement's flag, and what goes wrong is told.

Held by tests/unit/engine/query/shapes/test_folding.py (M1, M2).
Elsewhere: what is worked out (folded.py, picked.py).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from catalog.errors import ServiceError
from engine.query.predicate import expression_of
from engine.query.stop import Stop


class MadeTable(ds.Dataset):  # type: ignore[misc]
    """One fragment: itself."""

    def __init__(
        self, schema: pa.Schema, make: Callable[[], pa.RecordBatch], stop: Stop, failed: Callable[[ServiceError], None]
    ) -> None:
        self._schema = schema
        self._make = make
        self._stop = stop
        self._failed = failed

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def get_fragments(self, filter: ds.Expression | None = None) -> list["MadeTable"]:
        return [self]

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: ds.Expression | None = None,
        **_: Any,
    ) -> "_Scanner":
        names = self._schema.names if columns is None else list(columns)
        projected = pa.schema([self._schema.field(name) for name in names])
        return _Scanner(projected, self._stop.checked(self._batches(names, expression_of(filter))))

    def _batches(self, columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        try:
            made = self._make()
        except ServiceError as error:
            self._failed(error)
            raise
        kept = [made] if filter is None else pa.Table.from_batches([made]).filter(filter).to_batches()
        yield from (batch.select(columns) for batch in kept)


class _Scanner:
    """What DataFusion asks of a scanner."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.projected_schema = schema
        self._batches = batches

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches
