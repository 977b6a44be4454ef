"""A statement's answer, straight from the rows of one table (shapes/outline.py says which statements can have one).

    rows of the outline's source ─▶ kept ─▶ in order ─▶ cut ─▶ the columns of the answer

Y1  The batches are the rows that the plan of the outline gives.
Y2  Rows that would take more memory than they may end the statement, and nothing else.
Y3  Work ends with the statement's flag; rows that are not put in order are handed on as they are found, and no more are
    looked for than are wanted.

Held by tests/unit/engine/query/shapes/test_outline.py (Y1-Y3) and tests/property/test_sql_against_duckdb.py (Y1).
"""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from engine.query.limits import TooMuchMemory
from engine.query.shapes.folding import Picking
from engine.query.shapes.outline import Key, Outline, Said
from engine.query.stop import Stop
from engine.query.tables import TableDataset


def answered(outline: Outline, table: TableDataset | None, stop: Stop, memory_bytes: int) -> Iterator[pa.RecordBatch]:
    """Batches with the outline's columns, by position. `table`: the one that the outline reads, if it reads one;
    `memory_bytes`: what its rows may take while they are put in order."""
    batches = stop.checked(_found(outline, table))
    if outline.kept is not None:
        batches = map(outline.kept.kept, batches)
    if not outline.is_in_order:
        batches = _sorted(_collected(batches, memory_bytes), outline)
    elif outline.is_cut:
        batches = _cut(batches, outline)
    for batch in batches:
        yield batch.select([batch.schema.get_field_index(name) for name in outline.columns])


def _found(outline: Outline, table: TableDataset | None) -> Iterable[pa.RecordBatch]:
    if isinstance(outline.asked, Said):
        return [outline.asked.row]
    assert table is not None, "the outline was made for this catalog"
    match outline.asked:
        case "rows":
            return table.rows(outline.predicate, outline.rest, outline.reads)
        case "count":
            count = sum(batch.num_rows for batch in table.rows(outline.predicate, outline.rest, ()))
            counts = pa.repeat(pa.scalar(count, pa.int64()), 1)
            return [pa.RecordBatch.from_arrays([counts for _ in outline.schema], schema=outline.schema)]
        case shape:
            by_tag = outline.order[0] if isinstance(shape, Picking) and outline.order and outline.is_in_order else None
            return [table.made(shape, outline.schema, by_tag)]


def _cut(batches: Iterable[pa.RecordBatch], outline: Outline) -> Iterator[pa.RecordBatch]:
    skip, left = outline.skip, outline.fetch
    for batch in batches:
        part = batch.slice(skip, left)
        skip = max(0, skip - batch.num_rows)
        if part.num_rows:
            yield part
        if left is not None:
            left -= part.num_rows
            if left == 0:
                return


def _collected(batches: Iterable[pa.RecordBatch], memory_bytes: int) -> list[pa.RecordBatch]:
    found: list[pa.RecordBatch] = []
    left = memory_bytes
    for batch in batches:
        left -= batch.nbytes
        if left < 0:
            raise TooMuchMemory(memory_bytes, is_beside_the_pool=True)
        found.append(batch)
    return found


def _sorted(batches: Sequence[pa.RecordBatch], outline: Outline) -> Iterator[pa.RecordBatch]:
    if not batches:
        return
    rows = batches[0] if len(batches) == 1 else _one(batches)
    if rows.num_rows > 1:
        keys = [key for each in outline.order for key in _keys(rows.column(rows.schema.get_field_index(each.column)), each)]
        names = [str(number) for number in range(len(keys))]
        sort_keys = [(name, order, nulls) for name, (_, order, nulls) in zip(names, keys, strict=True)]
        order = pc.sort_indices(pa.table([column for column, _, _ in keys], names), sort_keys=sort_keys)
        rows = rows.take(order.slice(outline.skip, outline.fetch))
    else:
        rows = rows.slice(outline.skip, outline.fetch)
    yield rows


def _one(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    (batch,) = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()
    return batch


def _keys(column: pa.Array, key: Key) -> Iterator[tuple[pa.Array, str, str]]:
    """By which columns to sort, how, and where nulls go; to a plan, what is not a number is the greatest of all."""
    order = "ascending" if key.ascending else "descending"
    nulls = "at_start" if key.nulls_first else "at_end"
    if pa.types.is_dictionary(column.type):
        places = pc.inverse_permutation(pc.sort_indices(column.dictionary).cast(pa.int32()))
        column = places.take(column.indices)
    elif pa.types.is_floating(column.type):
        yield pc.is_nan(column), order, nulls
    yield column, order, nulls
