"""Servers that read what they are sent and do nothing with it: what the doors alone cost.

`application` is for gunicorn; run as a program, this file is a Flight server that acknowledges each batch of a DoPut, and
sends ready batches for a DoGet: its ticket says {"batches": an Arrow file, "rows": how many rows to send}.
"""

import itertools
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
from pyarrow import flight

SCRATCH = bytearray(1 << 20)  # shared by all threads: nobody reads it


def application(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """Takes the body from the socket itself: gunicorn's own reader would copy it several times and be the limit."""
    reader = environ["wsgi.input"].reader
    left = int(environ["CONTENT_LENGTH"]) - len(reader.unreader.take_buffered())
    while left > 0:
        left -= reader.unreader.sock.recv_into(SCRATCH, min(left, len(SCRATCH))) or left
    reader.length = 0
    start_response("204 No Content", [])
    return ()


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


class Nothing(flight.FlightServerBase):  # type: ignore[misc]
    def do_put(
        self,
        context: flight.ServerCallContext,
        descriptor: flight.FlightDescriptor,
        reader: flight.MetadataRecordBatchReader,
        writer: flight.FlightMetadataWriter,
    ) -> None:
        rows = 0
        by_path = bool(descriptor.path)
        for chunk in reader:
            rows += chunk.data.num_rows
            if by_path:
                writer.write(varint(rows))
        if not by_path:
            writer.write(b"\x08" + varint(rows))  # DoPutUpdateResult.record_count

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.RecordBatchStream:
        asked = json.loads(ticket.ticket)
        with pa.memory_map(asked["batches"]) as file:
            reader = pa.ipc.open_file(file)
            some = [plain(reader.get_batch(place)) for place in range(min(20, reader.num_record_batches))]
        counts = itertools.accumulate(batch.num_rows for batch in itertools.cycle(some))
        sent = sum(1 for _ in itertools.takewhile(lambda rows: rows < asked["rows"], counts)) + 1
        batches = itertools.islice(itertools.cycle(some), sent)
        return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(some[0].schema, list(batches)))


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text instead of dictionaries, as clients expect it on the wire, in a message of less than 2 MiB."""
    fields = [
        pa.field(column.name, pa.utf8() if pa.types.is_dictionary(column.type) else column.type) for column in batch.schema
    ]
    return batch.slice(0, 8_000).cast(pa.schema(fields))


if __name__ == "__main__":
    Nothing(f"grpc://127.0.0.1:{sys.argv[1]}").serve()
