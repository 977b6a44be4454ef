"""The typed client of the engine process, used by HTTP workers and the command line.

C1  What the engine raised is raised here: same class, same words, same details.
C2  An engine that can not be reached, or does not answer in time, is Unavailable; once it is back the next call reaches it.
C3  A hand-over file is unlinked by the engine as soon as it is open, and by this side if the call failed.
C4  One client serves any number of threads.

A body of HANDOVER_BYTES_MIN or more goes through a file in the hand-over directory (tmpfs, 0700, engine on the same host)
and a call that names it; a smaller one, or any when there is no such directory or it is full, in the call itself.
Measured with scripts/bench hop; the figures stand beside HANDOVER_BYTES_MIN.

Held by tests/integration/flight/test_engine_client.py (C1-C4).
Elsewhere: names and encodings (flightserver.wire), the other end (flightserver.handlers).
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.flight as fl

from catalog.errors import ServiceError, Unavailable, decode_error
from flightserver import wire

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HANDOVER_BYTES_MIN = 65536

# An engine that restarts is back within a second; gRPC's own back-off would wait up to two minutes.
_CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.max_metadata_size", 65536),
    ("grpc.absolute_max_metadata_size", 131072),
]


class EngineUnreachable(Unavailable):
    code = "engine_unreachable"


class EngineTimeout(Unavailable):
    code = "engine_timeout"


class ResultStream:
    """A query's answer: the schema first, then its batches as they arrive. Leave early with close()."""

    def __init__(self, reader: fl.FlightStreamReader) -> None:
        self._reader = reader
        with _service_errors():
            self.schema: pa.Schema = reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while True:
            with _service_errors():
                try:
                    chunk = self._reader.read_chunk()
                except StopIteration:
                    return
            if chunk.data is not None:
                yield chunk.data

    def read_all(self) -> pa.Table:
        return pa.Table.from_batches(list(self), self.schema)

    def close(self) -> None:
        self._reader.cancel()


class EngineClient:
    def __init__(
        self,
        location: str,
        *,
        headers: Mapping[str, str] | None = None,
        handover_dir: Path | None = None,
        timeout_s: float | None = None,
        tls_root_certs: bytes | None = None,
    ) -> None:
        self._client = fl.FlightClient(location, generic_options=_CHANNEL_OPTIONS, tls_root_certs=tls_root_certs)
        self._headers = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self._headers.append((wire.ERROR_DETAILS_HEADER.encode(), b"1"))
        self._handover_dir = handover_dir
        self._timeout_s = timeout_s
        self._plain_options = fl.FlightCallOptions(timeout=timeout_s, headers=self._headers)

    def write_lp(
        self,
        *,
        db: str,
        body: "ReadableBuffer",
        precision: str = "auto",
        accept_partial: bool = True,
        no_sync: bool = False,
        door: str = "v3",
        authorization: str | None = None,
    ) -> wire.WriteReportDict:
        """Store the lines of a body. Raises LinesRejected (and stores nothing) when a line is bad and accept_partial is off."""
        header = wire.WriteHeader(db, precision, accept_partial, no_sync, door)
        lines = memoryview(body).cast("B")
        answer = None
        if self._handover_dir is not None and lines.nbytes >= HANDOVER_BYTES_MIN:
            answer = self._write_handed_over(header, lines, self._handover_dir, authorization)
        if answer is None:
            answer = self._action(wire.WRITE_LP, [wire.encode_write_header(header), lines], authorization)
        return _write_report(answer)

    def query(
        self,
        *,
        db: str,
        q: str,
        language: str = "sql",
        params: Mapping[str, object] | None = None,
        authorization: str | None = None,
    ) -> ResultStream:
        """Run a statement. Errors of planning are raised here, those of running while the batches are read."""
        ticket = {"database": db, "sql_query": q, "query_type": language, "params": dict(params or {})}
        with _service_errors():
            reader = self._client.do_get(fl.Ticket(wire.encode_json(ticket)), self._options(authorization))
        return ResultStream(reader)

    def admin(self, verb: str, payload: Mapping[str, Any], authorization: str | None = None) -> dict[str, Any]:
        return wire.decode_object(self._action(wire.ADMIN + verb, [wire.encode_json(payload)], authorization))

    def health(self) -> dict[str, Any]:
        return wire.decode_object(self._action(wire.HEALTH, []))

    def metrics(self) -> bytes:
        return self._action(wire.METRICS, [])

    def identity(self) -> dict[str, Any]:
        return wire.decode_object(self._action(wire.IDENTITY, []))

    def close(self) -> None:
        self._client.close()

    def _write_handed_over(
        self, header: wire.WriteHeader, lines: memoryview, directory: Path, authorization: str | None
    ) -> bytes | None:
        """None: no room in the hand-over directory, or the engine swept it while it restarted."""
        name = wire.new_handover_name()
        path = directory / name
        try:
            _create(path, lines)
        except OSError:
            path.unlink(missing_ok=True)
            return None
        named = replace(header, shm=name)
        try:
            return self._action(wire.WRITE_LP, [wire.encode_write_header(named)], authorization)
        except wire.HandoverMissing:
            return None
        finally:
            path.unlink(missing_ok=True)

    def _action(self, name: str, body: "list[ReadableBuffer]", authorization: str | None = None) -> bytes:
        with _service_errors():
            results = self._client.do_action(fl.Action(name, b"".join(body)), self._options(authorization))
            return b"".join(result.body.to_pybytes() for result in results)

    def _options(self, authorization: str | None) -> fl.FlightCallOptions:
        if authorization is None:
            return self._plain_options
        headers = [*self._headers, (b"authorization", authorization.encode("utf-8", "replace"))]
        return fl.FlightCallOptions(timeout=self._timeout_s, headers=headers)


def _create(path: Path, lines: memoryview) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        while lines:
            lines = lines[os.write(descriptor, lines) :]
    finally:
        os.close(descriptor)


def _write_report(answer: bytes) -> wire.WriteReportDict:
    """A refused body comes as a result too: its list of lines would not fit into gRPC's trailers."""
    report = wire.decode_object(answer)
    if "error" in report:
        raise decode_error(wire.encode_json(report["error"]))
    return cast("wire.WriteReportDict", report)


@contextmanager
def _service_errors() -> Iterator[None]:
    """Flight's exceptions as ours (C1, C2)."""
    try:
        yield
    except fl.FlightError as error:
        raise _service_error(error) from None
    except pa.ArrowException as error:
        raise ServiceError(str(error)) from None


def _service_error(error: fl.FlightError) -> ServiceError:
    if error.extra_info:
        with suppress(ValueError, KeyError, TypeError):
            return decode_error(error.extra_info)
    if isinstance(error, fl.FlightUnavailableError):
        return EngineUnreachable("the engine is not reachable", hint="it may be starting; try again")
    if isinstance(error, fl.FlightTimedOutError):
        return EngineTimeout("the engine did not answer in time")
    return ServiceError(str(error))
