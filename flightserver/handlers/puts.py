"""Which DoPut is which.

T1  Flight SQL's commands are answered, with one message or an error, after the client has sent what it had to send: cut off
    in the middle, drivers miss the answer or report their own broken stream instead. Beyond DRAINED_BYTES_MAX it is cut off.

Held by tests/integration/flight/test_updates.py (T1).
"""

from contextlib import suppress

import pyarrow as pa
import pyarrow.flight as fl
from google.protobuf.message import Message

from catalog.access import TOKEN
from catalog.errors import ServiceError
from flightserver import wire
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers.call import Call
from flightserver.handlers.ingest import Ingests, next_chunk
from flightserver.handlers.prepared import Prepared
from flightserver.handlers.queries import unsupported
from flightserver.handlers.updates import Updates
from flightserver.handlers.writes import Writes

DRAINED_BYTES_MAX = 16 << 20


class Puts:
    def __init__(self, writes: Writes, ingests: Ingests, updates: Updates, prepared: Prepared) -> None:
        self._writes = writes
        self._ingests = ingests
        self._updates = updates
        self._prepared = prepared

    def serve(
        self,
        call: Call,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        command = descriptor.command or b""
        if wire.is_lane_command(command):
            self._writes.serve_lane(call, command, reader, writer)
            return
        call.admit(TOKEN)
        if descriptor.descriptor_type == fl.DescriptorType.PATH or command.lstrip()[:1] == b"{":
            self._ingests.put(call, descriptor, reader, writer)
        else:
            writer.write(self._answer(call, commands.unpack(command), reader))

    def _answer(self, call: Call, command: Message, reader: fl.MetadataRecordBatchReader) -> bytes:
        """The one message that answers a command of Flight SQL."""
        if isinstance(command, sql.CommandStatementUpdate):  # clients send no schema with it: nothing may be read
            return _count(self._updates.statement(call, command))
        try:
            match command:
                case sql.CommandPreparedStatementQuery():
                    return self._prepared.bind(call, command, reader)
                case sql.CommandStatementIngest():
                    return _count(self._ingests.ingest(call, command, reader))
                case sql.CommandPreparedStatementUpdate():
                    return _count(self._prepared.update(call, command, reader))
            raise unsupported(command)
        finally:
            _drain(reader)


def _count(rows: int) -> bytes:
    return sql.DoPutUpdateResult(record_count=rows).SerializeToString()


def _drain(reader: fl.MetadataRecordBatchReader) -> None:
    """Let the client finish (T1)."""
    drained_bytes = 0
    with suppress(OSError, pa.ArrowException, ServiceError):
        while drained_bytes < DRAINED_BYTES_MAX and (chunk := next_chunk(reader)) is not None:
            drained_bytes += chunk.data.get_total_buffer_size() if chunk.data is not None else 0
