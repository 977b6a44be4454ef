"""The schema `system` as DataFusion sees it: tables whose rows are made when a plan reads them.

    declaration (system_tables.py) ─▶ a dataset of one fragment ─▶ filter ─▶ rows ─▶ what the filter keeps ─▶ columns

D1  A scan yields exactly the rows that its filter lets through, in the declared types.
D2  A table costs nothing until a plan runs that reads it.

Held by tests/integration/engine/test_system_tables.py (D1, D2).
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.dataset as ds
from datafusion.catalog import SchemaProvider
from datafusion.catalog import Table as PlanTable

from engine.query.dataset import Fragment, TableInPython
from engine.query.predicate import Predicate, read_filter, with_plain_strings
from engine.query.system_tables import Rows, Sources, SystemTable, system_tables

_BATCH_ROWS = 8_192


class SystemSchema(SchemaProvider):  # type: ignore[misc]
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._tables = system_tables(sources.database, with_tokens=sources.live.with_tokens)
        #: whether any table has been asked for
        self.is_read = False

    @property
    def owner_name(self) -> str | None:  # the bindings would show a method, and None as a text
        raise AttributeError("nobody owns a schema")

    @property
    def table_names(self) -> list[str]:  # the bindings look for a property, and for a sequence
        return list(self._tables)

    def table(self, name: str) -> PlanTable | None:
        dataset = self.dataset(name)
        return None if dataset is None else PlanTable(dataset)

    def dataset(self, name: str) -> ds.Dataset | None:
        found = self._tables.get(name)
        self.is_read = self.is_read or found is not None
        return None if found is None else _Dataset(found, self._sources)

    def table_exist(self, name: str) -> bool:
        return name in self._tables


class _Dataset(TableInPython):
    def __init__(self, table: SystemTable, sources: Sources) -> None:
        super().__init__(table.schema)
        self._table = table
        self._sources = sources

    def get_fragments(self, filter: ds.Expression | None = None) -> list[Fragment]:
        return [Fragment(self._schema, self._batches)]

    def _batches(self, wanted_names: Sequence[str], filter: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        wanted = pa.schema([self._schema.field(name) for name in wanted_names])
        schema = plain(self._table.schema)
        predicate = read_filter(filter, [column.name for column in schema if column.type == pa.utf8()])
        condition = None if filter is None else with_plain_strings(filter)
        for rows in _chunks(self._table.rows, self._sources, predicate):
            columns = [pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)]
            made = pa.Table.from_arrays(columns, schema=schema)
            kept = made if condition is None else made.filter(condition)
            for batch in kept.to_batches():
                chosen = batch.select(wanted.names)  # also of no columns: who counts wants the number of rows
                yield chosen.cast(wanted) if wanted.names else chosen


def plain(schema: pa.Schema) -> pa.Schema:
    """With texts as Utf8 where the declaration says that they are views."""
    return pa.schema([field.with_type(_plain_type(field.type)) for field in schema])


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return pa.utf8() if kind == pa.string_view() else kind


def _chunks(make: Rows, sources: Sources, predicate: Predicate) -> Iterator[list[Sequence[object]]]:
    rows: list[Sequence[object]] = []
    for row in make(sources, predicate):
        rows.append(row)
        if len(rows) == _BATCH_ROWS:
            yield rows
            rows = []
    if rows:
        yield rows
