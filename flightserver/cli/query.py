"""`influxdb3 query`: a statement goes to the server over Flight SQL, its rows come out in the format that was asked for.

Q1  Rows are printed as they arrive; a format that needs all of them (`pretty` into a pipe) is the exception.
Q2  Values are spelled as the HTTP endpoint spells them: the same code writes them.
Q3  A file named by --output holds the whole answer or is not there.
Q4  An error shows where in the statement it is, if the server says so.
Q5  Where gRPC does not get through, the HTTP endpoint of the same address is asked, and prints the same.

Held by tests/integration/cli/test_query.py (Q1-Q5).
Elsewhere: the exchange (cli.flight), formats (httpapi.formats), tables on terminals (cli.tables), carets (cli.pointing).
"""

import csv
import io
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from flightserver.cli import flight
from flightserver.cli.answers import Refused, Unreachable
from flightserver.cli.console import (
    CommandError,
    Interrupted,
    Progress,
    is_terminal,
    refuse_file_name,
    size,
    terminal_width,
    write_out,
)
from flightserver.cli.files import write_file
from flightserver.cli.parsing import Given
from flightserver.cli.pointing import point_at
from flightserver.cli.tables import fitted
from httpapi.formats import FORMATS

NOTHING_GIVEN = "No input from stdin detected, no string was passed in,  and no file path was given"


class Answer(Protocol):
    """Rows on their way, in whatever form they are wanted."""

    def encoded(self, name: str) -> Iterator[bytes]: ...

    def cells(self) -> tuple[Sequence[str], Iterator[list[str]]]:
        """The names of the columns, and the rows as texts."""

    def cancel(self) -> None: ...


def run(given: Given) -> None:
    text = statement_text(given)
    name = given.text("--format")
    if name == "parquet" and given.find("--output") is None and is_terminal(sys.stdout):
        raise CommandError("cannot write parquet to a terminal, use `--output <file>` or pipe the output")
    progress = Progress()
    over_flight = OverFlight(given, text, progress)
    asked: Answer = over_flight
    try:
        try:
            over_flight.begin()
        except Unreachable:
            if not given.text("--host").startswith("http"):
                raise
            asked = OverHttp(given, text)  # something between us and the server lets no gRPC through
        _write(given, name, asked, progress)
    except (flight.Failed, Refused) as error:
        progress.clear()
        raise CommandError(str(error), more=point_at(text, str(error)) or error.more) from None
    except KeyboardInterrupt:
        progress.clear()
        asked.cancel()
        raise Interrupted from None
    except BrokenPipeError:
        asked.cancel()
        raise
    finally:
        progress.clear()


class OverFlight:
    def __init__(self, given: Given, text: str, progress: Progress) -> None:
        self._statement = flight.Statement(flight.Connection(given), given.text("--database"), text, given.text("--language"))
        self._progress = progress
        self._started_s = time.monotonic()
        self._schema = pa.schema([])

    def begin(self) -> None:
        """Wait until the server has said what is coming; raises what is wrong with the statement."""
        self._schema = self._statement.schema(self._waiting)

    def encoded(self, name: str) -> Iterator[bytes]:
        batches = self._batches()
        if name == "parquet":  # no rows are a file, too
            batches = _or_an_empty_one(self._schema, batches)
        return (data for data in FORMATS[name].encode(self._schema, batches) if data)

    def cells(self) -> tuple[Sequence[str], Iterator[list[str]]]:
        return self._schema.names, _cells(self._schema, self._batches())

    def cancel(self) -> None:
        self._statement.cancel()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        rows = sent_bytes = 0
        for batch in self._statement.batches(self._waiting):
            rows, sent_bytes = rows + batch.num_rows, sent_bytes + batch.nbytes
            yield batch
            self._progress.show("{:,} rows, {}, {:.0f} s", rows, size(sent_bytes), self._elapsed_s())

    def _waiting(self) -> None:
        self._progress.show("waiting for the server, {:.0f} s (Ctrl-C stops the query)", self._elapsed_s())

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._started_s


class OverHttp:
    """The same answer from the HTTP endpoint. The server stops when the connection is closed."""

    def __init__(self, given: Given, text: str) -> None:
        from flightserver.cli.remote import HttpServer  # seldom needed, and the TLS library takes a while

        self._server = HttpServer(given)
        self._path = f"/api/v3/query_{given.text('--language')}"
        self._document = {"db": given.text("--database"), "q": text}

    def encoded(self, name: str) -> Iterator[bytes]:
        return self._server.stream(self._path, {**self._document, "format": name})

    def cells(self) -> tuple[Sequence[str], Iterator[list[str]]]:
        rows = csv.reader(_lines(self.encoded("csv")))
        return next(rows, []), rows

    def cancel(self) -> None:
        self._server.close()


def statement_text(given: Given) -> str:
    """The argument, else the file, else the standard input."""
    argument, file = given.find("QUERY"), given.find("--file")
    if argument is not None:
        refuse_file_name(argument)
        return argument
    if file is not None and file != "-":
        try:
            with open(file, encoding="utf-8") as stream:
                return stream.read()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"cannot read {file}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
    text = "" if sys.stdin.isatty() and file is None else sys.stdin.read()
    if not text.strip():
        raise CommandError(NOTHING_GIVEN)
    return text


def _write(given: Given, name: str, answer: Answer, progress: Progress) -> None:
    if (file := given.find("--output")) is not None:
        write_file(file, answer.encoded(name))
    elif name == "pretty" and is_terminal(sys.stdout) and "--full" not in given:
        for line in fitted(*answer.cells(), terminal_width()):
            progress.clear()
            sys.stdout.write(line + "\n")
    else:
        end = b"\n"
        for data in answer.encoded(name):
            progress.clear()
            write_out(data)
            end = data[-1:]
        if name != "parquet" and end != b"\n":
            write_out(b"\n")


def _or_an_empty_one(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield next(batches, None) or pa.RecordBatch.from_pylist([], schema)
    yield from batches


def _cells(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[list[str]]:
    for batch in batches:
        text = b"".join(FORMATS["csv"].encode(schema, iter([batch]))).decode("utf-8", "replace")
        rows = csv.reader(io.StringIO(text, newline=""))
        next(rows)
        yield from rows


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """Lines with their ends, of a text that comes in pieces."""
    held = b""
    for piece in pieces:
        *whole, held = (held + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace") + "\n" for line in whole)
    if held:
        yield held.decode("utf-8", "replace")
