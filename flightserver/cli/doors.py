"""One piece of a write, sent over HTTP: what became of it.

V1  A piece goes out once. A connection that has been idle is not trusted, but opened anew.
V2  The number of a refused line is that of the file, whichever piece carried it.

Held by tests/integration/cli/test_write.py (V1, V2).
Elsewhere: the same over gRPC (cli.actions), when to try again (cli.write).
"""

import json
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from flightserver.cli.answers import Answer, Refused, Unreachable
from flightserver.cli.console import CommandError
from flightserver.cli.parsing import Given
from flightserver.cli.refused import RefusedLine
from flightserver.cli.remote import HttpServer
from flightserver.cli.sources import Source
from flightserver.cli.splitting import Body

IDLE_CONNECTION_MAX_S = 1.0


class Outcome(NamedTuple):
    """What became of a piece: lines that were refused, or the error that stops everything."""

    refused: Sequence[RefusedLine] = ()
    error: CommandError | None = None
    answer: Answer | None = None


class Door(Protocol):
    def write(self, body: Body, source: Source) -> Outcome: ...


class HttpDoor:
    def __init__(self, given: Given) -> None:
        self._server = HttpServer(given)
        self._gzip = "--gzip" in given
        self._query = {
            "db": given.text("--database"),
            "precision": given.find("--precision"),
            "accept_partial": given.find("--accept-partial"),
            "no_sync": True if "--no-sync" in given else None,
        }
        self._used_s = 0.0

    def write(self, body: Body, source: Source) -> Outcome:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        data = body.data
        if self._gzip:
            from isal import igzip

            data = igzip.compress(data, compresslevel=1)
            headers["Content-Encoding"] = "gzip"
        if time.monotonic() - self._used_s > IDLE_CONNECTION_MAX_S:
            self._server.close()  # the server may have closed it meanwhile, and a write is not sent twice
        try:
            answer = self._server.send("POST", "/api/v3/write_lp", self._query, data, headers, again=False)
        except Unreachable as error:
            return Outcome(error=error)
        self._used_s = time.monotonic()
        return outcome_of(answer, body, source)


def outcome_of(answer: Answer, body: Body, source: Source) -> Outcome:
    if 200 <= answer.status < 300:
        return Outcome()
    refused = _refused_lines(answer, body, source)
    if refused is None:
        return Outcome(error=Refused(answer))
    lines, are_others_stored = refused
    return Outcome(lines, None if are_others_stored else Refused(answer), answer)


def _refused_lines(answer: Answer, body: Body, source: Source) -> tuple[list[RefusedLine], bool] | None:
    """The lines that an answer names, and whether the others are stored."""
    try:
        data = json.loads(answer.body)["data"]
    except (ValueError, KeyError, TypeError):
        return None
    found = [
        RefusedLine(body.line + line["line_number"] - 1, line["error_message"], line["original_line"], source.name)
        for line in (data if isinstance(data, list) else [data])
    ]
    return found, isinstance(data, list)


def open_door(given: Given) -> Door:
    if given.text("--host").startswith("grpc"):
        from flightserver.cli.actions import GrpcDoor  # pyarrow takes a while

        return GrpcDoor(given)
    return HttpDoor(given)
