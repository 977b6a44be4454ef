"""Arrow batches on their way in: DoPut by path, by JSON command, and Flight SQL's bulk ingest.

    path [database, table]                     tags by header x-flightline-tags: a,b
    {"database": …, "table": …, "tags": […], "if_exists": append|fail|replace, "if_not_exists": create|fail, "no_sync": …}
    CommandStatementIngest                     database by header (or as its catalog), tags by header or its options map

D1  By path or JSON each batch is answered with {"rows": n, "batch": k} once its rows are durable, in order, so a client may
    stream for hours; what fails is answered with {"error": …}, and the call ends with the same error.
D2  CommandStatementIngest is answered once, with the count of all rows, when all of them are durable.
D3  A batch is read while earlier ones are on their way to the disk, and only so many of them: memory stays bounded.

Held by tests/integration/flight/test_do_put.py (D1, D3) and tests/integration/flight/test_adbc_ingest.py (D2).
Elsewhere: which column becomes what (engine.ingest.arrow), line protocol (handlers.writes).
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.flight as fl

from catalog.errors import InvalidRequest, ServiceError, TooLarge, Unavailable, UnsupportedFeature, encode_error
from engine.requests import IngestOptions, IngestSession, PendingWrite
from flightserver import wire
from flightserver.errors import service_error
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers.call import Call, table_path
from flightserver.handlers.guarded import GuardedNode

TAGS_HEADER = "x-flightline-tags"
IN_FLIGHT_MAX = 64
IN_FLIGHT_BYTES_MAX = 32 << 20

_IF_NOT_EXISTS: Mapping[int, Literal["create", "fail"]] = {1: "create", 2: "fail"}
_IF_EXISTS: Mapping[int, Literal["fail", "append", "replace"]] = {1: "fail", 2: "append", 3: "replace"}


@dataclass(frozen=True, slots=True)
class Destination:
    database: str
    table: str
    options: IngestOptions


class Ingests:
    def __init__(self, batch_bytes_max: int, is_stopping: Callable[[], bool]) -> None:
        self._batch_bytes_max = batch_bytes_max
        self._is_stopping = is_stopping

    def put(
        self,
        call: Call,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        """By path or JSON command: an answer for each batch."""
        node = call.node
        session = _open(node, destination_of(call, descriptor), reader)
        try:
            store(session, self.batches(node, reader), _AnswerEach(writer))
        finally:
            session.close()

    def ingest(
        self,
        call: Call,
        command: sql.CommandStatementIngest,
        reader: fl.MetadataRecordBatchReader,
    ) -> int:
        """Flight SQL's bulk ingest: the count of all rows."""
        node = call.node
        session = _open(node, destination_of_command(call, command), reader)
        try:
            return store(session, self.batches(node, reader))
        finally:
            session.close()

    def batches(self, node: GuardedNode, reader: fl.MetadataRecordBatchReader) -> Iterator[pa.RecordBatch]:
        """What the client sends, as it comes, as long as the client is somebody."""
        while (chunk := next_chunk(reader)) is not None:
            node.check_again()
            if self._is_stopping():
                raise Unavailable("the server is stopping")
            if chunk.data is None:
                continue
            if _size_bytes(chunk.data) > self._batch_bytes_max:
                raise TooLarge(f"a batch has {_size_bytes(chunk.data)} bytes, the limit is {self._batch_bytes_max}")
            yield chunk.data


def _open(node: GuardedNode, destination: Destination, reader: fl.MetadataRecordBatchReader) -> IngestSession:
    return node.ingest(destination.database, destination.table, schema_of(reader), destination.options)


def destination_of(call: Call, descriptor: fl.FlightDescriptor) -> Destination:
    if descriptor.descriptor_type == fl.DescriptorType.PATH:
        database, table = table_path(descriptor)
        return Destination(database, table, IngestOptions(tags=tags_of(call)))
    return _destination_of_json(call, wire.decode_object(descriptor.command))


def _destination_of_json(call: Call, found: dict[str, Any]) -> Destination:
    database = found.pop("database", None) or call.database()
    table = found.pop("table", None)
    options = IngestOptions(
        tags=_tags(found.pop("tags", None), call),
        if_not_exists=found.pop("if_not_exists", "create"),
        if_exists=found.pop("if_exists", "append"),
        no_sync=found.pop("no_sync", False),
    )
    if found:
        raise InvalidRequest(f"unknown entry in a write's command: {next(iter(found))}")
    if not isinstance(database, str) or not isinstance(table, str):
        raise InvalidRequest("a write's command names its database and its table")
    known = options.if_not_exists in _IF_NOT_EXISTS.values() and options.if_exists in _IF_EXISTS.values()
    if not known or not isinstance(options.no_sync, bool):
        raise InvalidRequest("if_not_exists is create or fail, if_exists is append, fail or replace, no_sync is true or false")
    return Destination(database, table, options)


def destination_of_command(call: Call, command: sql.CommandStatementIngest) -> Destination:
    if command.temporary:
        raise UnsupportedFeature("temporary tables are not supported")
    if command.HasField("transaction_id"):
        raise UnsupportedFeature("transactions are not supported: each batch is durable by itself", hint="use autocommit")
    if command.HasField("schema") and command.schema != "iox":
        raise InvalidRequest(f"tables live in the schema iox, not in {command.schema}")
    wanted = command.table_definition_options
    if wanted.if_not_exist not in _IF_NOT_EXISTS or wanted.if_exists not in _IF_EXISTS:
        raise InvalidRequest("the ingest does not say what to do if the table exists, or if it does not")
    options = IngestOptions(
        tags=_tags(command.options.get("tags"), call),
        if_not_exists=_IF_NOT_EXISTS[wanted.if_not_exist],
        if_exists=_IF_EXISTS[wanted.if_exists],
    )
    return Destination(_ingest_database(call, command), command.table, options)


def _ingest_database(call: Call, command: sql.CommandStatementIngest) -> str:
    """The header's database; a catalog other than `public` is taken for a database that no header names."""
    catalog = commands.optional(command, "catalog")
    if catalog in (None, "public"):
        return call.database()
    if call.find_database() not in (None, catalog):
        raise InvalidRequest(f"tables live in the catalog public, not in {catalog}")
    return str(catalog)


def tags_of(call: Call) -> tuple[str, ...] | None:
    """The columns that are tags of a table yet to be made, if the call says so."""
    return _tags(None, call)


def _tags(given: object, call: Call) -> tuple[str, ...] | None:
    """`["a", "b"]` or `a,b`; an empty list means no tags, nothing at all leaves it to the columns."""
    if given is None:
        given = call.header(TAGS_HEADER)
    if given is None:
        return None
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("tags are a list of column names")
    return tuple(stripped for name in names if (stripped := name.strip()))


def store(session: IngestSession, batches: Iterable[pa.RecordBatch], answers: "Answers | None" = None) -> int:
    """Write batch after batch, and return their rows when all are durable."""
    rows = 0
    following = _Following(answers or Answers())
    try:
        for batch in batches:
            following.make_room(_size_bytes(batch))
            following.follow(session.write(batch), batch.num_rows, _size_bytes(batch))
            rows += batch.num_rows
    except Exception as error:  # whatever it was, the client hears of it after the batches before
        following.fail(service_error(error))
    following.finish()
    return rows


class Answers:
    """Tells nothing: the end of the call is the answer."""

    def durable(self, rows: int) -> None:
        pass

    def failed(self, error: ServiceError) -> None:
        pass


class _AnswerEach(Answers):
    def __init__(self, writer: fl.FlightMetadataWriter) -> None:
        self._writer = writer
        self._batch = 0

    def durable(self, rows: int) -> None:
        self._writer.write(wire.encode_json({"rows": rows, "batch": self._batch}))
        self._batch += 1

    def failed(self, error: ServiceError) -> None:
        """The client may be waiting for an answer before it sends more; without one the call could not end."""
        try:
            self._writer.write(b'{"error":' + encode_error(error) + b"}")
        except (fl.FlightError, pa.ArrowException, OSError):
            return  # it has gone


class _Following:
    """Waits for one write after the other and tells the client, while the call's own thread reads on.

    A thread of its own is needed because both sides may wait: the reader for a batch, the client for the answer to its last.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._failure: ServiceError | None = None
        self._in_flight = self._in_flight_bytes = 0
        self._less_in_flight = threading.Condition()
        self._queue: queue.SimpleQueue[tuple[PendingWrite, int, int] | ServiceError | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="acknowledge", daemon=True)
        self._thread.start()

    def make_room(self, size_bytes: int) -> None:
        """Wait until so much more may be in flight; a batch of any size may be alone. Raises what has failed."""

        def has_room() -> bool:
            fits = self._in_flight < IN_FLIGHT_MAX and self._in_flight_bytes + size_bytes <= IN_FLIGHT_BYTES_MAX
            return fits or self._in_flight == 0

        with self._less_in_flight:
            self._less_in_flight.wait_for(has_room)
        if self._failure is not None:
            raise self._failure

    def follow(self, pending: PendingWrite, rows: int, size_bytes: int) -> None:
        with self._less_in_flight:
            self._in_flight += 1
            self._in_flight_bytes += size_bytes
        self._queue.put((pending, rows, size_bytes))

    def fail(self, error: ServiceError) -> None:
        """What comes after the writes so far is this error."""
        self._queue.put(error)

    def finish(self) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                if isinstance(item, ServiceError):
                    raise item
                self._wait(*item)
            except Exception as error:  # the thread's edge: the call's own thread raises it
                if self._failure is None:
                    self._failure = service_error(error)
                    self._answers.failed(self._failure)

    def _wait(self, pending: PendingWrite, rows: int, size_bytes: int) -> None:
        try:
            pending.wait()
            if self._failure is None:
                self._answers.durable(rows)
        finally:
            with self._less_in_flight:
                self._in_flight -= 1
                self._in_flight_bytes -= size_bytes
                self._less_in_flight.notify()


def _size_bytes(batch: pa.RecordBatch) -> int:
    """Of its buffers. (`nbytes` would look at offsets that nobody has validated yet.)"""
    return int(batch.get_total_buffer_size())


def schema_of(reader: fl.MetadataRecordBatchReader) -> pa.Schema:
    try:
        return reader.schema
    except (OSError, pa.ArrowException) as error:
        raise InvalidRequest(f"the stream has no usable schema: {error}") from None


def next_chunk(reader: fl.MetadataRecordBatchReader) -> fl.FlightStreamChunk | None:
    try:
        return reader.read_chunk()
    except StopIteration:
        return None
    except (OSError, pa.ArrowException) as error:
        raise InvalidRequest(f"the stream can not be read: {error}") from None
