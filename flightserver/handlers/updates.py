"""INSERT, however it arrives: DoPut with a statement or a prepared one, or asked for like a query.

    the query in it ─▶ node.query_sql ─▶ its columns become the table's (flightsql.inserts) ─▶ node.ingest ─▶ count of rows

J1  The count is that of the rows stored; when it arrives, they are durable and visible.
J2  Rows travel through in batches, however many there are. A batch is stored whole or not at all; what fails later leaves
    the batches before it.
J3  Rows of parameters for VALUES of parameters only are columns already: they are stored as such, not one by one.
J4  Statements that change anything in another way are refused by their kind. One that only reads is run, and counts 0.
J5  An INSERT whose client is gone reads no more.

Held by tests/integration/flight/test_updates.py (J1-J5).
Elsewhere: what the statement says (flightsql.statements), schema on write (engine.ingest).
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

import pyarrow as pa

from catalog.errors import UnsupportedFeature
from engine.requests import IngestOptions, Origin, QueryResult
from flightserver.flightsql.inserts import COUNT, as_inserted, inserted_names
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.flightsql.statements import Insert, is_read, parse_insert
from flightserver.handlers.bound import Bound
from flightserver.handlers.call import Call
from flightserver.handlers.guarded import GuardedNode
from flightserver.handlers.ingest import store, tags_of
from flightserver.handlers.runs import Runs
from flightserver.handlers.streams import Watcher


class Updates:
    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def statement(self, call: Call, command: sql.CommandStatementUpdate) -> int:
        if command.transaction_id:
            raise UnsupportedFeature("transactions are not supported", hint="use autocommit")
        return self.run(call, Bound(call.database(), command.query))

    def run(self, call: Call, bound: Bound) -> int:
        """Store the rows, and return how many."""
        call.check_language()
        runs, node = Runs(), call.node
        with self._watcher.watching(call.is_cancelled, runs.close):
            if is_read(bound.query):
                return self._read(node, bound, runs, call.origin(runs.watched))
            return self._insert(node, bound, tags_of(call), runs, call.origin(runs.watched, bound.query))

    def as_query(self, call: Call, bound: Bound) -> QueryResult:
        """The same for clients that ask for every statement like for a query: one row with the count."""
        parse_insert(bound.query)
        runs, node = Runs(), call.node
        tags, origin = tags_of(call), call.origin(runs.watched, bound.query)

        def rows() -> Iterator[pa.RecordBatch]:
            yield pa.record_batch([pa.array([self._insert(node, bound, tags, runs, origin)], pa.uint64())], schema=COUNT)

        return QueryResult(COUNT, rows(), runs.close)

    def parameter_types(self, node: GuardedNode, database: str, query: str, origin: Origin) -> Mapping[str, pa.DataType]:
        """Those of an INSERT: its table's where they go there unchanged, else what the plan of its query says."""
        insert = parse_insert(query)
        table = node.table_to_write(database, insert.table)
        if insert.sole_row is None or table is None:
            ask = node.values_parameter_types if insert.reads_nothing else node.parameter_types
            return ask(database, insert.source, origin)
        names = inserted_names(insert, insert.sole_row, table)
        known = {column.name: column.type for column in table}
        return {mark: known[name] for mark, name in zip(insert.sole_row, names, strict=True) if name in known}

    def _read(self, node: GuardedNode, bound: Bound, runs: Runs, origin: Origin) -> int:
        for values in bound.each():
            for _ in runs.read(node.query_sql(bound.database, bound.query, values, origin)):
                continue
        return 0

    def _insert(self, node: GuardedNode, bound: Bound, tags: tuple[str, ...] | None, runs: Runs, origin: Origin) -> int:
        insert = parse_insert(bound.query)
        table = node.table_to_write(bound.database, insert.table)
        if insert.sole_row is not None and bound.rows is not None:
            source: Iterable[pa.RecordBatch] = _columns(insert.sole_row, bound)
        else:
            source = self._queried(node, insert, bound, runs, origin)
        rows = 0
        for schema, batches in groupby(_fitted(insert, source, table), key=_schema):
            own_tags = None if tags is None else tuple(name for name in tags if name in schema.names)
            session = node.ingest(bound.database, insert.table, schema, IngestOptions(tags=own_tags))
            try:
                rows += store(session, batches)
            finally:
                session.close()
        return rows

    def _queried(self, node: GuardedNode, insert: Insert, bound: Bound, runs: Runs, origin: Origin) -> Iterator[pa.RecordBatch]:
        ask = node.values_sql if insert.reads_nothing else node.query_sql
        for values in bound.each():
            for batch in runs.read(ask(bound.database, insert.source, values, origin)):
                node.check_again()
                yield batch


def _columns(row: tuple[str, ...], bound: Bound) -> Iterator[pa.RecordBatch]:
    assert bound.rows is not None
    places = bound.places(bound.rows.schema.names)
    for batch in bound.rows.batches:
        yield batch.select([places[name] for name in row])


def _fitted(insert: Insert, source: Iterable[pa.RecordBatch], table: pa.Schema | None) -> Iterator[pa.RecordBatch]:
    for batch in source:
        if batch.num_rows:
            yield as_inserted(batch, inserted_names(insert, batch.schema.names, table), insert.table, table)


def _schema(batch: pa.RecordBatch) -> pa.Schema:
    return batch.schema
