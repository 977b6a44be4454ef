"""Rows on their way in: line protocol in an action, Arrow batches in DoPut."""

from collections.abc import Iterable
from typing import cast

import pyarrow as pa

from catalog.errors import InvalidRequest, LinesRejected, TooLarge, encode_error
from engine.requests import NodeLike, WriteReport, WriteRequest
from flightserver import wire
from flightserver.handlers.actions import Action
from flightserver.handlers.call import Call
from flightserver.handlers.handover import HandoverDirectory


def write_actions(node: NodeLike, handover: HandoverDirectory | None, body_bytes_max: int) -> list[Action]:
    def write_lp(call: Call, body: pa.Buffer) -> Iterable[bytes]:
        header, lines = wire.decode_write(memoryview(body))
        if header.shm is not None:
            if handover is None:
                raise InvalidRequest("this server has no hand-over directory")
            lines = handover.take(header.shm, body_bytes_max)
        if lines.nbytes > body_bytes_max:
            raise TooLarge(f"the body has {lines.nbytes} bytes, the limit is {body_bytes_max}")
        request = WriteRequest(
            header.db, lines, wire.PRECISIONS[header.precision], header.accept_partial, header.no_sync, header.door
        )
        try:
            return [wire.encode_json(_report(node.write_lp(request)))]
        except LinesRejected as refused:
            return [b'{"error":' + encode_error(refused) + b"}"]

    return [Action(wire.WRITE_LP, "line protocol; a line of JSON, then the lines", write_lp)]


def _report(report: WriteReport) -> wire.WriteReportDict:
    return {
        "rows": report.rows,
        "rejected": [
            cast(
                "wire.RejectedLineDict",
                {
                    "error_message": line.error_message,
                    "line_number": line.line_number,
                    "original_line": line.original_line,
                },
            )
            for line in report.rejected
        ],
    }
