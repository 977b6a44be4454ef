"""Which DoPut is which."""

import pyarrow.flight as fl
from google.protobuf.message import Message

from catalog.errors import UnsupportedFeature
from flightserver import wire
from flightserver.flightsql import commands
from flightserver.flightsql.proto import flightsql_pb2 as sql
from flightserver.handlers.call import Call
from flightserver.handlers.ingest import Ingests
from flightserver.handlers.writes import Writes


class Puts:
    def __init__(self, writes: Writes, ingests: Ingests) -> None:
        self._writes = writes
        self._ingests = ingests

    def serve(
        self,
        call: Call,
        descriptor: fl.FlightDescriptor,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        command = descriptor.command or b""
        if wire.is_lane_command(command):
            self._writes.serve_lane(command, reader, writer)
        elif descriptor.descriptor_type == fl.DescriptorType.PATH or command.lstrip()[:1] == b"{":
            self._ingests.put(call, descriptor, reader, writer)
        else:
            self._sql(call, commands.unpack(command), reader, writer)

    def _sql(
        self,
        call: Call,
        command: Message,
        reader: fl.MetadataRecordBatchReader,
        writer: fl.FlightMetadataWriter,
    ) -> None:
        if isinstance(command, sql.CommandStatementIngest):
            return self._ingests.ingest(call, command, reader, writer)
        if isinstance(command, sql.CommandPreparedStatementQuery):
            raise UnsupportedFeature("parameters of prepared statements are not supported by this version")
        raise UnsupportedFeature(f"{type(command).__name__} is not supported by DoPut")
