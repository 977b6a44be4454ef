"""What DataFusion asks of every table of ours (engine/query/dataset.py)."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest

from engine.query.dataset import Fragment, TableInPython

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.utf8()), ("c", pa.bool_())])


@pytest.mark.parametrize(("columns", "names"), [(None, ["a", "b", "c"]), (["c", "a"], ["c", "a"]), ([], [])])
def test_a_scanner_has_the_columns_asked_for_and_reads_nothing_before_it_is_read(
    columns: list[str] | None, names: list[str]
) -> None:
    """D1."""
    asked: list[tuple[list[str], str | None]] = []

    def batches(wanted: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        asked.append((list(wanted), None if filter is None else str(filter)))
        yield pa.record_batch([[1], ["x"], [True]], schema=SCHEMA).select(list(wanted))

    scanner = Fragment(SCHEMA, batches).scanner(schema=SCHEMA, columns=columns, filter=pc.field("a") > 0, batch_size=8)

    assert scanner.projected_schema.names == names
    assert asked == []
    assert [batch.schema.names for batch in scanner.to_batches()] == [names]
    assert asked == [(names, "(a > 0)")]


def test_a_table_itself_tells_its_schema_and_has_no_rows() -> None:
    """D1."""
    scanner = TableInPython(SCHEMA).scanner(columns=["b"], filter=None)

    assert scanner.projected_schema == pa.schema([SCHEMA.field("b")])
    assert list(scanner.to_batches()) == []
