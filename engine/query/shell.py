"""A table as a plan knows it: a schema, and whom to ask for the rows when the plan runs.

H1  What a plan scans are the rows of the statement that runs it, whichever statement it was made for.

Held by tests/integration/engine/test_plans.py (H1).
Elsewhere: which rows those are (tables.py), who keeps plans (plans.py).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds


class Shell(ds.Dataset):  # type: ignore[misc]
    def __init__(self, schema: pa.Schema, rows: Callable[[], ds.Dataset]) -> None:
        self._schema = schema
        self._rows = rows

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    def scanner(self, columns: Sequence[str] | None = None, filter: ds.Expression | None = None, **_: Any) -> "_Scan":
        wanted = self._schema if columns is None else pa.schema([self._schema.field(name) for name in columns])
        return _Scan(wanted)

    def get_fragments(self, filter: ds.Expression | None = None) -> list[ds.Fragment]:
        return list(self._rows().get_fragments(filter))


class _Scan:
    """What DataFusion asks of a scanner, when it only wants the schema."""

    def __init__(self, schema: pa.Schema) -> None:
        self.projected_schema = schema

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        return iter(())
