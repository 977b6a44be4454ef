"""A server reached over HTTP: one call, its answer, and what to say when there is none.

R1  An answer that is no success becomes one line: `server responded with error [409 Conflict]: <its text>`.
R2  A server that cannot be reached is named with method, URL and cause.
R3  A connection is kept between calls. A call that finds it closed is sent once more, if nothing was answered.

Held by tests/integration/cli/test_manage.py (R1, R2) and tests/unit/flightserver/cli/test_remote.py (R3).
Elsewhere: the same calls over gRPC (cli.actions).
"""

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import quote, urlencode, urlsplit

from flightserver.cli.console import CommandError
from flightserver.cli.parsing import Given

Query = Mapping[str, object]
TIMEOUT_S = 600.0
CONNECT_TIMEOUT_S = 30.0


class Answer(NamedTuple):
    status: int
    reason: str
    body: bytes
    retry_after_s: float | None = None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace").strip()


class Refused(CommandError):
    """The server answered, with an error."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"server responded with error [{answer.status} {answer.reason}]: {_sentence(answer)}")


class Unreachable(CommandError):
    def __init__(self, method: str, url: str, cause: object) -> None:
        super().__init__(f"failed to send {method} {url} request: {cause}")


class Server(Protocol):
    """What administrative commands need of a server, whichever door it is reached by."""

    def call(self, method: str, path: str, query: Query | None = None, document: object = None) -> bytes:
        """The body of a successful answer."""


def open_server(given: Given) -> Server:
    if given.text("--host").startswith("grpc"):
        from flightserver.cli.actions import GrpcServer  # pyarrow takes a while

        return GrpcServer(given)
    return HttpServer(given)


class HttpServer:
    """One connection, for one thread."""

    def __init__(self, given: Given) -> None:
        self.url = given.text("--host")
        parts = urlsplit(self.url)
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
        sent = {"User-Agent": "influxdb3", **(headers or {})}
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        for is_last in (not again or self._connection is None, True):
            try:
                return self._exchange(method, target, body, sent)
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                self.close()
                if is_last:
                    raise Unreachable(method, self.url + target, _cause(error)) from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise Unreachable(method, self.url + target, _cause(error)) from None
        raise AssertionError("the last attempt answers or raises")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, method: str, target: str, body: bytes | memoryview | None, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._open()
            self._connection.connect()
            self._connection.sock.settimeout(TIMEOUT_S)
        self._connection.request(method, target, body, headers)  # type: ignore[arg-type]  # a buffer is sent as it is
        response = self._connection.getresponse()
        content = response.read()
        retry = response.getheader("Retry-After", "")
        if response.will_close:
            self.close()
        reason = response.reason or http.client.responses.get(response.status, "")
        return Answer(response.status, reason, content, float(retry) if retry.isdecimal() else None)


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


def _sentence(answer: Answer) -> str:
    """The sentence in an error's body: `error` or `message`, with the hint if there is one."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return answer.text
    if not isinstance(document, dict):
        return answer.text
    sentence = document.get("error") or document.get("message")
    if not isinstance(sentence, str):
        return answer.text
    hint = document.get("hint")
    return f"{sentence} ({hint})" if isinstance(hint, str) else sentence


def _cause(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {error.verify_message} (--tls-ca names one to trust)"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is the server running?"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
