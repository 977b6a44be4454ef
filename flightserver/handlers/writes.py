"""Line protocol on its way in: one body in an action, or any number of them through a write lane.

L1  Each message of a lane is answered by one object, in order, after what it promises is true; an error answers its own
    message only, and the lane goes on.
L2  A body is borrowed: the node is done with it when write_lp returns, and only then does the client hear of it.
L3  Each message is its author's, who is named in it or else is whoever opened the lane; a lane itself needs no token.

Held by tests/integration/flight/test_engine_client.py (L1, L2) and tests/integration/flight/test_tokens.py (L3).
Elsewhere: Arrow batches (handlers.ingest), who opens lanes and why (flightserver.client).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import itemgetter

import pyarrow as pa
import pyarrow.flight as fl

from catalog.access import OPEN
from catalog.errors import InvalidRequest, LinesRejected, ServiceError, TooLarge, Unavailable, encode_error
from engine.requests import StartedWrite, WriteReport, WriteRequest
from flightserver import wire
from flightserver.errors import service_error
from flightserver.handlers.actions import Action
from flightserver.handlers.arena import HandoverDirectory
from flightserver.handlers.call import Call
from flightserver.handlers.guarded import GuardedNode

_NO_ARENA = memoryview(b"")


class Writes:
    def __init__(self, handover: HandoverDirectory | None, body_bytes_max: int, is_stopping: Callable[[], bool]) -> None:
        self._handover = handover
        self._body_bytes_max = body_bytes_max
        self._is_stopping = is_stopping

    def actions(self) -> list[Action]:
        return [Action(wire.WRITE_LP, "line protocol: one line of JSON, then the lines", self._write_action, OPEN)]

    def serve_lane(
        self, call: Call, command: bytes, reader: fl.MetadataRecordBatchReader, writer: fl.FlightMetadataWriter
    ) -> None:
        """Answer message after message until the client closes its side."""
        name = wire.arena_of_lane(command)
        arena = self._open_arena(name) if name else memoryview(b"")
        for chunk in reader:
            message = memoryview(chunk.app_metadata or b"")
            writes = wire.decode_convoy(message)
            if writes is None:
                writer.write(self._answer(call, message, arena))
            else:
                writer.write(wire.encode_answers(self._answer_all(call, writes)))

    def _write_action(self, call: Call, body: pa.Buffer) -> Iterable[bytes]:
        """A refused body comes as a result, not as an error: its list of lines would not fit into gRPC's trailers."""
        try:
            return [self._write(call, memoryview(body))]
        except LinesRejected as refused:
            return [_encode_failure(refused)]

    def _answer(self, call: Call, message: memoryview, arena: memoryview) -> bytes:
        return _finished(_attempt(partial(self._start, call, message, arena)))

    def _answer_all(self, call: Call, messages: Sequence[memoryview]) -> list[bytes]:
        """Started together, the writes of a convoy share a flush; those with the same header are read as one."""
        alike: dict[bytes, list[int]] = defaultdict(list)
        for place, message in enumerate(messages):
            alike[wire.header_text(message)].append(place)
        started: list[tuple[int, StartedWrite | ServiceError]] = []
        for places in alike.values():
            started += zip(places, self._start_alike(call, [messages[place] for place in places]), strict=True)
        return [_finished(write) for _, write in sorted(started, key=itemgetter(0))]

    def _start_alike(self, call: Call, messages: Sequence[memoryview]) -> Sequence[StartedWrite | ServiceError]:
        together: Sequence[StartedWrite] | None = None
        if len(messages) > 1:
            try:
                together = self._start_together(call, messages)
            except Exception as error:  # as in _attempt
                return [service_error(error)] * len(messages)
        return together or [_attempt(partial(self._start, call, message, _NO_ARENA)) for message in messages]

    def _start_together(self, call: Call, messages: Sequence[memoryview]) -> Sequence[StartedWrite] | None:
        header, _ = wire.decode_write(messages[0])
        if header.arena_bytes is not None:
            return None
        bodies = [bytes(message).partition(b"\n")[2] for message in messages]
        if any(body.endswith(b"\r") for body in bodies):  # which a newline would make part of the line's end
            return None
        whole = [body if body.endswith(b"\n") else body + b"\n" for body in bodies]
        joined, line_counts = memoryview(b"".join(whole)), [body.count(b"\n") for body in whole]
        return self._node(call, header).start_together(self._request(header, joined), line_counts)

    def _write(self, call: Call, message: memoryview) -> bytes:
        return wire.encode_json(_report(self._start(call, message, _NO_ARENA).finish()))

    def _start(self, call: Call, message: memoryview, arena: memoryview) -> StartedWrite:
        header, lines = wire.decode_write(message)
        node = self._node(call, header)
        if header.arena_bytes is not None:
            if not 0 <= header.arena_bytes <= arena.nbytes:
                raise InvalidRequest("the arena holds no such bytes")
            lines = arena[: header.arena_bytes]
        return node.start_lp(self._request(header, lines))

    def _node(self, call: Call, header: wire.WriteHeader) -> GuardedNode:
        if self._is_stopping():
            raise Unavailable("the server is stopping")
        return call.node_for(header.authorization)

    def _request(self, header: wire.WriteHeader, lines: memoryview) -> WriteRequest:
        if lines.nbytes > self._body_bytes_max:
            raise TooLarge(f"the body has {lines.nbytes} bytes, the limit is {self._body_bytes_max}")
        precision = wire.PRECISIONS[header.precision]
        return WriteRequest(header.db, lines, precision, header.accept_partial, header.no_sync, header.door)

    def _open_arena(self, name: str) -> memoryview:
        if self._handover is None:
            raise InvalidRequest("this server has no hand-over directory")
        return self._handover.open_arena(name)


def _attempt(start: Callable[[], StartedWrite]) -> StartedWrite | ServiceError:
    try:
        return start()
    except Exception as error:  # the lane goes on (L1)
        return service_error(error)


def _finished(write: StartedWrite | ServiceError) -> bytes:
    if isinstance(write, ServiceError):
        return _encode_failure(write)
    try:
        return wire.encode_json(_report(write.finish()))
    except Exception as error:  # as in _attempt
        return _encode_failure(service_error(error))


def _report(report: WriteReport) -> wire.WriteReportDict:
    return {
        "rows": report.rows,
        "rejected": [
            {
                "error_message": line.error_message,
                "line_number": line.line_number,
                "original_line": line.original_line,
            }
            for line in report.rejected
        ],
    }


def _encode_failure(error: ServiceError) -> bytes:
    return b'{"error":' + encode_error(error) + b"}"
