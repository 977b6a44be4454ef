"""A table that is planned against before its rows are there.

T1  The filter and the columns that DataFusion hands down are applied exactly.
T2  A scan ends with its statement's flag.

Held by tests/unit/engine/query/test_gapfill.py (T1, T2).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from engine.query.predicate import expression_of
from engine.query.stop import Stop


def _no_rows() -> Iterator[pa.RecordBatch]:
    raise RuntimeError("a table was read before its rows were made")


class LateTable(ds.Dataset):  # type: ignore[misc]
    """`rows` is set between planning and running; it may be asked for more than once."""

    def __init__(self, schema: pa.Schema, stop: Stop) -> None:
        self._schema = schema
        self.stop = stop
        self.rows: Callable[[], Iterator[pa.RecordBatch]] = _no_rows

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None, **_: Any) -> "_Scan":
        return _Scan(self.projected(columns), iter(()))

    def get_fragments(self, filter: ds.Expression | None = None) -> list["_Fragment"]:
        return [_Fragment(self)]

    def projected(self, columns: Sequence[str] | None) -> pa.Schema:
        return self._schema if columns is None else pa.schema([self._schema.field(name) for name in columns])


class _Fragment:
    def __init__(self, table: LateTable) -> None:
        self._table = table

    def scanner(
        self,
        schema: pa.Schema | None = None,
        columns: Sequence[str] | None = None,
        filter: ds.Expression | None = None,
        batch_size: int | None = None,
        **_: Any,
    ) -> "_Scan":
        return _Scan(self._table.projected(columns), self._table.stop.checked(self._batches(columns, expression_of(filter))))

    def _batches(self, columns: Sequence[str] | None, filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        names = self._table.schema.names if columns is None else list(columns)
        for batch in self._table.rows():
            if filter is None:
                yield batch.select(names)
            else:
                yield from pa.Table.from_batches([batch]).filter(filter).select(names).to_batches()


class _Scan:
    """What DataFusion asks of a scanner."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self.projected_schema = schema
        self._batches = batches

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return self._batches
