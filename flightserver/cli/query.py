"""`influxdb3 query`: a statement goes to the server over Flight SQL, its rows come out in the format that was asked for.

Q1  Rows are printed as they arrive; a format that needs all of them (`pretty` into a pipe) is the exception.
Q2  Values are spelled as the HTTP endpoint spells them: the same code writes them.
Q3  A file named by --output holds the whole answer or is not there.
Q4  An error shows where in the statement it is, if the server says so.

Held by tests/integration/cli/test_query.py (Q1-Q4).
Elsewhere: the exchange (cli.flight), formats (httpapi.formats), tables on terminals (cli.tables), carets (cli.pointing).
"""

import csv
import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from flightserver.cli import flight
from flightserver.cli.console import CommandError, Interrupted, Progress, is_terminal, size, terminal_width, write_out
from flightserver.cli.files import write_file
from flightserver.cli.parsing import Given
from flightserver.cli.pointing import point_at
from flightserver.cli.tables import fitted
from httpapi.formats import FORMATS

NOTHING_GIVEN = "No input from stdin detected, no string was passed in,  and no file path was given"


def run(given: Given) -> None:
    text = statement_text(given)
    name = given.text("--format")
    if name == "parquet" and given.find("--output") is None and is_terminal(sys.stdout):
        raise CommandError("cannot write parquet to a terminal, use `--output <file>` or pipe the output")
    progress = Progress()
    started_s = time.monotonic()
    asked = flight.Statement(flight.Connection(given), given.text("--database"), text, given.text("--language"))

    def waiting() -> None:
        progress.show(lambda: f"waiting for the server, {time.monotonic() - started_s:.0f} s (Ctrl-C stops the query)")

    try:
        schema = asked.schema(waiting)
        batches = _counted(asked.batches(waiting), progress, started_s)
        _write(given, name, schema, batches, progress)
    except flight.Failed as error:
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


def statement_text(given: Given) -> str:
    """The argument, else the file, else the standard input."""
    argument, file = given.find("QUERY"), given.find("--file")
    if argument is not None:
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


def _write(given: Given, name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch], progress: Progress) -> None:
    if (file := given.find("--output")) is not None:
        write_file(file, _encoded(name, schema, batches))
    elif name == "pretty" and is_terminal(sys.stdout) and "--full" not in given:
        lines = fitted(schema.names, _cells(schema, batches), terminal_width())
        for line in lines:
            progress.clear()
            sys.stdout.write(line + "\n")
    else:
        end = b"\n"
        for data in _encoded(name, schema, batches):
            progress.clear()
            write_out(data)
            end = data[-1:] or end
        if name != "parquet" and end != b"\n":
            write_out(b"\n")


def _encoded(name: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    if name == "parquet":  # no rows are a file, too
        batches = _or_an_empty_one(schema, batches)
    return (data for data in FORMATS[name].encode(schema, batches) if data)


def _or_an_empty_one(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield next(batches, None) or pa.RecordBatch.from_pylist([], schema)
    yield from batches


def _cells(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[list[str]]:
    for batch in batches:
        text = b"".join(FORMATS["csv"].encode(schema, iter([batch]))).decode("utf-8", "replace")
        rows = csv.reader(io.StringIO(text, newline=""))
        next(rows)
        yield from rows


def _counted(batches: Iterator[pa.RecordBatch], progress: Progress, started_s: float) -> Iterator[pa.RecordBatch]:
    rows = sent_bytes = 0
    for batch in batches:
        rows, sent_bytes = rows + batch.num_rows, sent_bytes + batch.nbytes
        yield batch
        progress.show(_line(rows, sent_bytes, started_s))


def _line(rows: int, sent_bytes: int, started_s: float) -> Callable[[], str]:
    return lambda: f"{rows:,} rows, {size(sent_bytes)}, {time.monotonic() - started_s:.0f} s"
