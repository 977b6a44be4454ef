"""A statement over Flight SQL: described, fetched batch by batch, and stopped by name when the person has had enough.

    GetFlightInfo(CommandStatementQuery) ─▶ DoGet(ticket) ─▶ batches ┄ Ctrl-C ─▶ CancelFlightInfo, and the call's own cancel

K1  Waiting never blocks Ctrl-C: a thread of ours talks to the server, the main thread waits for it in slices.
K2  At most WAITING_MAX batches lie between the two threads, so a reader that stops stops the server.

Held by tests/integration/cli/test_query.py (K1, K2).
Elsewhere: what is made of the batches (cli.query). The three messages are written by hand: importing protobuf for them would
cost more than the whole exchange.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.flight as fl

from catalog.errors import ServiceError, Unauthenticated, decode_error
from flightserver import wire
from flightserver.cli.answers import TOKEN_NEEDED, Unreachable
from flightserver.cli.console import CommandError
from flightserver.cli.parsing import Given

WAITING_MAX = 4
SLICE_S = 0.1
CANCEL_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_MS = 5000
_STATEMENT = "type.googleapis.com/arrow.flight.protocol.sql.CommandStatementQuery"
_SCHEMES = {"http": "grpc", "https": "grpc+tls", "grpc": "grpc", "grpc+tcp": "grpc", "grpc+tls": "grpc+tls"}
_DEBUG = ". gRPC client debug context:"


class Failed(CommandError):
    """The server's sentence, and the error it was, if it told."""

    def __init__(self, message: str, error: ServiceError | None = None) -> None:
        super().__init__(message, more=TOKEN_NEEDED if isinstance(error, Unauthenticated) else "")
        self.error = error


class Connection:
    """A server's gRPC door. Safe for several threads."""

    def __init__(self, given: Given) -> None:
        self.location = location(given.text("--host"))
        self.roots: bytes | None = None
        if (file := given.find("--tls-ca")) is not None:
            try:
                with open(file, "rb") as stream:
                    self.roots = stream.read()
            except OSError as error:
                raise CommandError(f"--tls-ca {file} cannot be used: {error.strerror}") from None
        self.verifies = "--tls-no-verify" not in given or not self.location.startswith("grpc+tls")
        self.client = fl.FlightClient(
            self.location,
            tls_root_certs=self.roots,
            disable_server_verification=not self.verifies,
            generic_options=[("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS)],
        )
        token = given.find("--token")
        self._headers = [(wire.ERROR_DETAILS_HEADER.encode(), b"1")]
        if token is not None:
            self._headers.append((b"authorization", f"Bearer {token}".encode()))

    def options(self, timeout_s: float | None = None, **headers: str) -> fl.FlightCallOptions:
        more = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return fl.FlightCallOptions(timeout=timeout_s, headers=[*self._headers, *more])

    def action(self, name: str, body: bytes, timeout_s: float | None = None) -> bytes:
        try:
            results = self.client.do_action(fl.Action(name, body), self.options(timeout_s))
            return b"".join(result.body.to_pybytes() for result in results)
        except (fl.FlightError, pa.ArrowException) as error:
            raise self.failure(error, name) from None

    def failure(self, error: Exception, call: str) -> CommandError:
        extra = getattr(error, "extra_info", b"")
        if extra:
            with suppress(ValueError, KeyError, TypeError):
                told = decode_error(extra)
                return Failed(f"{told.message} ({told.hint})" if told.hint else told.message, told)
        text = str(error).partition(_DEBUG)[0].strip()
        if isinstance(error, fl.FlightUnavailableError):
            return Unreachable(call, self.location, _why(text))
        return Failed(text)


def location(host: str) -> str:
    """`http://host:8181` names the same port as `grpc://host:8181`: one port serves both."""
    parts = urlsplit(host)
    port = parts.port or (443 if parts.scheme == "https" else 80 if parts.scheme == "http" else 8181)
    name = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    return f"{_SCHEMES[parts.scheme]}://{name}:{port}"


def _why(text: str) -> str:
    if "onnection refused" in text:
        return "connection refused; is the server running?"
    if "Connection reset" in text:
        return "the connection was closed without an answer (a server with a certificate wants grpc+tls://)"
    if "ertificate" in text or "CERTIFICATE" in text:
        return "the certificate is not trusted (--tls-ca names one to trust)"
    return text.rpartition("; last error: ")[2] or text


class _End(NamedTuple):
    error: Exception | None


class Statement:
    """One statement on its way. `schema` comes first; iterating gives the batches."""

    def __init__(self, connection: Connection, database: str, text: str, language: str) -> None:
        self._connection = connection
        self._options = connection.options(database=database, x_influxdata_query_language=language)
        self._text = text
        self._arrived: queue.Queue[Any] = queue.Queue(WAITING_MAX)
        self._info: fl.FlightInfo | None = None
        self._reader: fl.FlightStreamReader | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fetch, daemon=True, name="flight")
        self._thread.start()

    def schema(self, waiting: Callable[[], None]) -> pa.Schema:
        return self._next(waiting)

    def batches(self, waiting: Callable[[], None]) -> Iterator[pa.RecordBatch]:
        while (found := self._next(waiting)) is not None:
            yield found

    def cancel(self) -> None:
        """Stop the server's work by name, and the call; what was under way is dropped."""
        self._stopped.set()
        if self._info is not None:
            with suppress(CommandError):
                request = _field(1, self._info.serialize())
                self._connection.action("CancelFlightInfo", request, CANCEL_TIMEOUT_S)
        if self._reader is not None:
            self._reader.cancel()
        while self._thread.is_alive() and not self._arrived.empty():
            self._arrived.get_nowait()
        self._thread.join(CANCEL_TIMEOUT_S)

    def _next(self, waiting: Callable[[], None]) -> Any:
        while True:
            try:
                found = self._arrived.get(timeout=SLICE_S)
            except queue.Empty:
                waiting()
                continue
            if isinstance(found, _End):
                if found.error is not None:
                    raise found.error
                return None
            return found

    def _fetch(self) -> None:
        call = "GetFlightInfo"
        try:
            client = self._connection.client
            command = _field(1, _STATEMENT.encode()) + _field(2, _field(1, self._text.encode()))
            self._info = client.get_flight_info(fl.FlightDescriptor.for_command(command), self._options)
            call = "DoGet"
            if self._stopped.is_set():
                return
            self._reader = client.do_get(self._info.endpoints[0].ticket, self._options)
            self._hand_over(self._reader.schema)
            for chunk in self._reader:
                if chunk.data is not None and chunk.data.num_rows:
                    self._hand_over(chunk.data)
            self._hand_over(_End(None))
        except (fl.FlightError, pa.ArrowException) as error:
            self._hand_over(_End(self._connection.failure(error, call)))

    def _hand_over(self, item: object) -> None:
        while not self._stopped.is_set():
            try:
                return self._arrived.put(item, timeout=SLICE_S)
            except queue.Full:
                continue
        return None


def _field(number: int, value: bytes) -> bytes:
    """A protobuf field of bytes."""
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
