"""A server reached over HTTP, with nothing but the standard library.

R1  A connection is kept between calls. A call that finds it closed is sent once more, if nothing was answered.

Held by tests/unit/flightserver/cli/test_remote.py (R1).
Elsewhere: answers and refusals (cli.answers), the same calls over gRPC (cli.actions).
"""

import http.client
import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, urlencode, urlsplit

from flightserver.cli.answers import Answer, Query, Refused, Server, Unreachable, reason_of
from flightserver.cli.console import CommandError
from flightserver.cli.parsing import Given

TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 5.0
_PIECE_BYTES = 65536


def open_server(given: Given) -> Server:
    if given.text("--host").startswith("grpc"):
        from flightserver.cli.actions import GrpcServer  # pyarrow takes a while

        return GrpcServer(given)
    return HttpServer(given)


class HttpServer:
    """One connection, for one thread."""

    def __init__(self, given: Given) -> None:
        parts = urlsplit(given.text("--host"))
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path.rstrip("/")
        self._token = given.find("--token")
        host, port = parts.hostname or "", parts.port
        self._open: Callable[[], http.client.HTTPConnection]
        if parts.scheme == "https":
            context = tls_context(given)
            self._open = lambda: http.client.HTTPSConnection(host, port or 443, timeout=CONNECT_TIMEOUT_S, context=context)
        else:
            self._open = lambda: http.client.HTTPConnection(host, port or 80, timeout=CONNECT_TIMEOUT_S)
        self._connection: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, query: Query | None = None, document: object = None) -> bytes:
        body = None if document is None else json.dumps(document).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        answer = self.send(method, path, query, body, headers)
        if not 200 <= answer.status < 300:
            raise Refused(answer)
        return answer.body

    def rows(self, database: str, statement: str, name: str) -> bytes:
        return self.call("POST", "/api/v3/query_sql", document={"db": database, "q": statement, "format": name})

    def stream(self, path: str, document: object) -> Iterator[bytes]:
        """The body of a successful answer, as it arrives. The first piece is asked for when this is called."""
        target = self._prefix + quote(path)
        headers = {**self._headers(), "Content-Type": "application/json"}
        try:
            connection = self._connected(None)
            connection.request("POST", target, json.dumps(document).encode(), headers)
            response = connection.getresponse()
            if not 200 <= response.status < 300:
                raise Refused(Answer(response.status, reason_of(response.status), response.read()))
            first = response.read1(_PIECE_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable("POST", self._origin + target, _cause(error)) from None
        return self._pieces(first, response)

    def _pieces(self, piece: bytes, response: http.client.HTTPResponse) -> Iterator[bytes]:
        while piece:
            yield piece
            try:
                piece = response.read1(_PIECE_BYTES)
            except (OSError, http.client.HTTPException):
                raise CommandError("the answer broke off: the server failed, or the connection did") from None

    def send(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: bytes | memoryview | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        again: bool = True,
    ) -> Answer:
        """The answer, whatever it says. Without `again` nothing is ever sent a second time."""
        target = self._prefix + quote(path) + _query_string(query)
        sent = {**self._headers(), **(headers or {})}
        for is_last in (not again or self._connection is None, True):
            try:
                return self._exchange(method, target, body, sent)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                self.close()
                if is_last:
                    raise Unreachable(method, self._origin + target, _cause(error)) from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise Unreachable(method, self._origin + target, _cause(error)) from None
        raise AssertionError("the last attempt answers or raises")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _headers(self) -> dict[str, str]:
        token = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        return {"User-Agent": "influxdb3", **token}

    def _connected(self, timeout_s: float | None) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = self._open()
            self._connection.connect()
        self._connection.sock.settimeout(timeout_s)
        return self._connection

    def _exchange(self, method: str, target: str, body: bytes | memoryview | None, headers: Mapping[str, str]) -> Answer:
        connection = self._connected(TIMEOUT_S)
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        content = response.read()
        retry = response.getheader("Retry-After", "")
        if response.will_close:
            self.close()
        return Answer(response.status, reason_of(response.status), content, float(retry) if retry.isdecimal() else None)


def tls_context(given: Given) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if (file := given.find("--tls-ca")) is not None:
        try:
            context = ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise CommandError(f"--tls-ca {file} cannot be used: {_cause(error)}") from None
    if "--tls-no-verify" in given:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _query_string(query: Query | None) -> str:
    given = {name: _spelled(value) for name, value in (query or {}).items() if value is not None}
    return "?" + urlencode(given) if given else ""


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cause(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message} (--tls-ca names one to trust)"
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return "what answers there does not speak TLS; is it http://?"
    if isinstance(error, ConnectionResetError):  # RemoteDisconnected is one
        return "the connection was closed without an answer (a server with a certificate wants https://)"
    if isinstance(error, http.client.BadStatusLine):
        return "what answers there does not speak HTTP"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is the server running?"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
