"""A table whose rows are worked out when its plan runs.

M1  A filter and a choice of columns that the plan hands down are applied.
M2  Nothing is worked out before the plan runs; its scan ends with the statement's flag, and what goes wrong is told.

Held by tests/unit/engine/query/shapes/test_folding.py (M1, M2).
Elsewhere: what is worked out (folded.py, picked.py).
"""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.dataset as ds

from catalog.errors import ServiceError
from engine.query.dataset import Fragment, TableInPython
from engine.query.stop import Stop


class MadeTable(TableInPython):
    def __init__(
        self, schema: pa.Schema, make: Callable[[], pa.RecordBatch], stop: Stop, failed: Callable[[ServiceError], None]
    ) -> None:
        super().__init__(schema)
        self._make = make
        self._stop = stop
        self._failed = failed

    def get_fragments(self, filter: ds.Expression | None = None) -> list[Fragment]:
        return [Fragment(self._schema, lambda columns, filter: self._stop.checked(self._batches(columns, filter)))]

    def _batches(self, columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        try:
            made = self._make()
        except ServiceError as error:
            self._failed(error)
            raise
        kept = [made] if filter is None else pa.Table.from_batches([made]).filter(filter).to_batches()
        yield from (batch.select(columns) for batch in kept)
