"""The first or last row of each series of a file, kept for a while: all that questions for newest rows want of an old file.

L1  A file's tails are, for each combination of tag values in it, the row with the newest (oldest) time.
L2  What is kept stays within a budget of bytes; whoever was asked for longest ago goes first.

Held by tests/unit/engine/test_file_tails.py (L1, L2).
Elsewhere: reading the rows (access.py), which questions these answer (engine/query/ends.py, picked.py).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

BUDGET_BYTES = 64 << 20

Key = tuple[str, bool, int]


class Tails:
    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._kept: OrderedDict[Key, pa.Table] = OrderedDict()
        self._lock = threading.Lock()
        self.byte_count = 0

    def of(self, key: Key, make: Callable[[], pa.Table]) -> pa.Table:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self.byte_count += made.nbytes
            while self.byte_count > self._budget_bytes and self._kept:
                _, dropped = self._kept.popitem(last=False)
                self.byte_count -= dropped.nbytes
        return made


def tails_of(parts: Iterable[pa.Table], tags: Sequence[str], *, newest: bool) -> pa.Table | None:
    """Of rows in order of (tags, time), given part by part; None without rows."""
    found = [_ends(part, tags, newest=newest) for part in parts if part.num_rows]
    if not found:
        return None
    # a series may go on in the next part
    return _ends(pa.concat_tables(found), tags, newest=newest)


def _ends(rows: pa.Table, tags: Sequence[str], *, newest: bool) -> pa.Table:
    whole = rows.unify_dictionaries().combine_chunks()
    changes = pa.array([False] * (whole.num_rows - 1), pa.bool_())
    for tag in tags:
        codes = whole.column(tag).chunk(0).indices.fill_null(-1)
        changes = pc.or_(changes, pc.not_equal(codes[1:], codes[:-1]))
    border = pa.array([True])
    return whole.filter(pa.concat_arrays([changes, border] if newest else [border, changes]))
