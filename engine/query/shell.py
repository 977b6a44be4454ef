"""A table as a plan knows it: a schema, and whom to ask for the rows when the plan runs.

H1  What a plan scans are the rows of the statement that runs it, whichever statement it was made for.

Held by tests/integration/engine/test_plans.py (H1).
Elsewhere: which rows those are (tables.py), who keeps plans (plans.py).
"""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.dataset as ds

from engine.query.dataset import Fragment, TableInPython


class Shell(TableInPython):
    def __init__(self, schema: pa.Schema, rows: Callable[[], ds.Dataset]) -> None:
        super().__init__(schema)
        self._rows = rows

    def get_fragments(self, filter: ds.Expression | None = None) -> list[Fragment]:
        return list(self._rows().get_fragments(filter))
