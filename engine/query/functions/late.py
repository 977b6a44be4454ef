"""A table that is planned against before its rows are there.

T1  The filter and the columns that DataFusion hands down are applied exactly.
T2  A scan ends with its statement's flag.

Held by tests/unit/engine/query/test_gapfill.py (T1, T2).
"""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.dataset as ds

from engine.query.dataset import Fragment, TableInPython
from engine.query.stop import Stop


def _no_rows() -> Iterator[pa.RecordBatch]:
    raise RuntimeError("a table was read before its rows were made")


class LateTable(TableInPython):
    """`rows` is set between planning and running; it may be asked for more than once."""

    def __init__(self, schema: pa.Schema, stop: Stop) -> None:
        super().__init__(schema)
        self.stop = stop
        self.rows: Callable[[], Iterator[pa.RecordBatch]] = _no_rows

    def get_fragments(self, filter: ds.Expression | None = None) -> list[Fragment]:
        return [Fragment(self._schema, lambda columns, filter: self.stop.checked(self._batches(columns, filter)))]

    def _batches(self, columns: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        for batch in self.rows():
            if filter is None:
                yield batch.select(columns)
            else:
                yield from pa.Table.from_batches([batch]).filter(filter).select(columns).to_batches()
