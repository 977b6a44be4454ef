"""The WSGI application: one road for writes, Flask for everything else, the same manners for both.

A1  Every answer carries `cluster-uuid` (once the engine has told it), `Request-Id` and `Access-Control-Allow-Origin`.
A2  Every request that reached the application is counted under its route, never under a path that a client made up.
A3  What nobody planned becomes "internal error" with a line in the log that names the request id; the worker lives on.
A4  A path nobody knows, and a known path with a method it does not take, are 404.
A5  The order of checks: OPTIONS; token endpoints of a server without tokens; who asks; the route. Nobody learns from a
    refusal what is behind a door that they may not open.

A6  A small write takes a shorter road if its head is plain (heads.py): nobody waits for it, and the answer is what the long
    road would have said.

Writes go around Flask: 13 µs a request against 89 µs through a view, measured with a gateway that does nothing; receiving
and answering a request costs gunicorn about 200 µs, and a thread that waits for the answer as much again.

Held by tests/integration/http/test_app.py (A1-A4), tests/integration/http/test_tokens.py (A5) and
tests/integration/test_short_road.py (A6).
Elsewhere: how a process is configured (httpapi.wsgi), how a connection is accepted (httpapi.worker).
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask, Response, request
from gunicorn import SERVER
from gunicorn.util import http_date
from werkzeug.exceptions import HTTPException

from catalog.access import Access
from catalog.credentials import TokensAreOff
from catalog.errors import InvalidRequest, ServiceError
from flightserver.client import Outcome, report_of
from httpapi.admission import CREDENTIAL_KEY, TOKEN_PATHS, Admission
from httpapi.bodies import BodyReader, Environ, has_body
from httpapi.calls import REQUEST_ID_KEY, Call, Routes
from httpapi.counters import RequestCounters
from httpapi.errors import NoSuchEndpoint, error_reply, family_of, internal_reply
from httpapi.gateway import Gateway
from httpapi.replies import STATUS_LINES, Reply
from httpapi.routes import configure, health, query, tokens
from httpapi.routes.write import WRITE_PATHS, Target, parse_target, reply_to, write

StartResponse = Callable[[str, list[tuple[str, str]]], Any]

log = logging.getLogger("httpapi")

_PREFLIGHT = Reply(
    204,
    headers=(
        ("Access-Control-Allow-Methods", "*"),
        ("Access-Control-Allow-Headers", "*"),
        ("Access-Control-Max-Age", "86400"),
    ),
)
ROUTES: Routes = (*health.ROUTES, *query.ROUTES, *configure.ROUTES, *tokens.ROUTES)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_ROUTE_KEY = "flightline.route"


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """What the HTTP face can be told. `counters_dir` is shared by all workers of one server."""

    counters_dir: Path
    max_request_bytes: int = 10 * 1024 * 1024
    with_tokens: bool = False
    released: frozenset[str] = frozenset()  # resources that nobody is asked for a token for


class HttpFace:
    """The WSGI callable. Holds no state of its own beyond counters, so any number of workers is correct."""

    def __init__(self, gateway: Gateway, settings: HttpSettings) -> None:
        self._gateway = gateway
        self._bodies = BodyReader(settings.max_request_bytes)
        self._counters = RequestCounters(settings.counters_dir)
        self._admission = Admission(gateway, with_tokens=settings.with_tokens, released=settings.released)
        self._flask = _flask_app(gateway, self._bodies, self._counters, self._admission)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()
        answer = self._answer(environ, start_response)
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        body: Iterable[bytes]
        refusal = _PREFLIGHT if method == "OPTIONS" else self._refusal(environ)
        if refusal is not None:
            body = answer.send(refusal)
        elif method == "POST" and path in WRITE_PATHS:
            environ[_ROUTE_KEY] = path
            body = answer.send(self._write(environ))
        else:
            body = self._flask.wsgi_app(environ, answer.start)
        if answer.status >= 400 and has_body(environ):
            body = _ThenDiscard(body, partial(self._bodies.discard, environ))
        self._note(environ, answer, started)
        return body

    def start_small(self, environ: Environ, lines: bytes, answered: Callable[[bytes | Callable[[], bytes]], None]) -> bool:
        """Begin a small write (A6); False, and nothing has happened, if the long road has to take it.

        `answered` gets the response, in a thread where it should do little; or what makes it, for one that may wait.
        """
        started = time.perf_counter()
        if not self._gateway.known_identity or len(lines) > self._bodies.limit_bytes:
            return False
        try:
            self._admission.look_at(environ)
            target = parse_target(environ["PATH_INFO"], environ["QUERY_STRING"])

            def told(outcome: Outcome) -> None:
                respond = partial(self._small_response, environ, target, outcome, started)
                is_stored = not isinstance(outcome, Exception) and outcome.get("rejected") == []
                answered(respond() if is_stored else respond)

            self._gateway.start_lp(target.header(environ[CREDENTIAL_KEY]), lines, told)
        except ServiceError:
            return False
        return True

    def _small_response(self, environ: Environ, target: Target, outcome: Outcome, started: float) -> bytes:
        response = _Response()
        answer = self._answer(environ, response.start)
        environ[_ROUTE_KEY] = environ["PATH_INFO"]
        body = answer.send(self._guarded(environ, lambda: reply_to(target, partial(report_of, outcome))))
        self._note(environ, answer, started)
        return response.head + b"".join(body)

    def _answer(self, environ: Environ, start_response: StartResponse) -> "_Answer":
        answer = _Answer(start_response, _new_request_id(), self._gateway.identity().get("cluster_uuid"))
        environ[REQUEST_ID_KEY] = answer.request_id
        return answer

    def _note(self, environ: Environ, answer: "_Answer", started: float) -> None:
        """A request has been answered (A2)."""
        method, route = environ["REQUEST_METHOD"], environ.get(_ROUTE_KEY, "other")
        duration_s = time.perf_counter() - started
        self._counters.count(route, method if method in _METHODS else "other", answer.status, duration_s)
        log.debug("%s %s %d %.1f ms %s", method, route, answer.status, duration_s * 1000, answer.request_id)

    def close(self) -> None:
        """Counting ends; for applications that end before their process."""
        self._counters.close()

    def _refusal(self, environ: Environ) -> Reply | None:
        """What is said to a caller whose credential need not be looked up (A5)."""
        path = environ["PATH_INFO"]
        try:
            if not self._admission.with_tokens and path.startswith(TOKEN_PATHS):
                raise TokensAreOff
            self._admission.look_at(environ)
        except ServiceError as error:
            return error_reply(family_of(path), error)
        return None

    def _write(self, environ: Environ) -> Reply:
        def reply() -> Reply:
            self._admission.before_body(environ)
            return write(environ, self._gateway, self._bodies)

        return self._guarded(environ, reply)

    def _guarded(self, environ: Environ, reply: Callable[[], Reply]) -> Reply:
        """The reply to a write, whatever happens."""
        try:
            found = reply()
        except ServiceError as error:
            found = error_reply(family_of(environ["PATH_INFO"]), error)
        except Exception:
            found = _unplanned(environ)
        return _unless_stranger(self._admission, environ, found.status) or found


class _ThenDiscard:
    """An answer behind which the rest of the request's body is read and dropped, once the client has the answer."""

    def __init__(self, body: Iterable[bytes], discard: Callable[[], None]) -> None:
        self._body = body
        self._discard = discard

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
        self._discard()


class _Answer:
    """One response on its way out: adds what every response carries (A1) and remembers the status."""

    def __init__(self, start_response: StartResponse, request_id: str, cluster_uuid: str | None) -> None:
        self.status = 500
        self.request_id = request_id
        self._start_response = start_response
        self._common = [("Request-Id", request_id), ("Access-Control-Allow-Origin", "*")]
        if cluster_uuid is not None:
            self._common.append(("cluster-uuid", cluster_uuid))

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status = int(status[:3])
        return self._start_response(status, [*headers, *self._common])

    def send(self, reply: Reply) -> Iterable[bytes]:
        headers = list(reply.headers)
        if reply.content_type is not None:
            headers.append(("Content-Type", reply.content_type))
        if not isinstance(reply.body, bytes):
            self.start(STATUS_LINES[reply.status], headers)
            return reply.body
        if reply.status != 204:
            headers.append(("Content-Length", str(len(reply.body))))
        self.start(STATUS_LINES[reply.status], headers)
        return (reply.body,) if reply.body else ()


class _Response:
    """The head of a response as gunicorn writes it, on a connection that stays open."""

    head = b""

    def start(self, status: str, headers: list[tuple[str, str]]) -> None:
        lines = [f"HTTP/1.1 {status}", f"Server: {SERVER}", f"Date: {http_date()}", "Connection: keep-alive"]
        self.head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")


def _unless_stranger(admission: Admission, environ: Environ, status: int) -> Reply | None:
    """What a stranger is told instead of a refusal (A5); None for everybody else."""
    if status < 400 or status in (401, 403):  # these were decided by the engine
        return None
    try:
        admission.refuse_strangers(environ)
    except ServiceError as error:
        return error_reply(family_of(environ["PATH_INFO"]), error)
    return None


def _flask_app(gateway: Gateway, bodies: BodyReader, counters: RequestCounters, admission: Admission) -> Flask:
    app = Flask("httpapi", static_folder=None)
    app.url_map.merge_slashes = False

    def add(rule: str, methods: list[str], view: Callable[[Call], Reply], access: Access) -> None:
        def respond() -> Response:
            request.environ[_ROUTE_KEY] = rule
            admission.begin(request.environ, access)
            return _flask_response(view(Call(request, gateway, counters, bodies)))

        app.add_url_rule(
            rule, endpoint=f"{rule} {methods}", view_func=respond, methods=methods, provide_automatic_options=False
        )

    @app.errorhandler(ServiceError)
    def known(error: ServiceError) -> Response:
        return _flask_response(error_reply(family_of(request.path), error))

    @app.errorhandler(HTTPException)
    def refused_by_flask(error: HTTPException) -> Response:
        known_error = NoSuchEndpoint() if error.code in (404, 405) else InvalidRequest(error.description or error.name)
        return _flask_response(error_reply(family_of(request.path), known_error))

    @app.errorhandler(Exception)
    def unplanned(_error: Exception) -> Response:
        return _flask_response(_unplanned(request.environ))

    @app.after_request
    def known_callers_only(response: Response) -> Response:
        instead = _unless_stranger(admission, request.environ, response.status_code)
        return response if instead is None else _flask_response(instead)

    for rule, methods, view, access in ROUTES:
        add(rule, methods, view, access)
    return app


def _flask_response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status, content_type=reply.content_type)
    if reply.content_type is None:
        del response.headers["Content-Type"]
    response.headers.extend(reply.headers)
    return response


def _unplanned(environ: Environ) -> Reply:
    """Called while an exception is handled that is not ours (A3)."""
    log.exception("unplanned error, please report it with this line; request %s", environ.get(REQUEST_ID_KEY))
    return internal_reply(family_of(environ["PATH_INFO"]))


def _new_request_id() -> str:
    """A UUID of version 7: sorts by time."""
    random = secrets.randbits(74)
    value = (time.time_ns() // 1_000_000) << 80 | 7 << 76 | (random >> 62) << 64 | 2 << 62 | (random & ((1 << 62) - 1))
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def create_app(gateway: Gateway, settings: HttpSettings) -> HttpFace:
    return HttpFace(gateway, settings)
