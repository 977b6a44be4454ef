"""Whose request it is: the credential in all its forms, made into the one header that the engine reads.

    Authorization: Bearer T | Token T | Basic base64(any:T)       everywhere
    ?p=T                                                          on /write and /query, and before any header

N1  The engine decides, for every request: nothing about a token is known or remembered here.
N2  What succeeds has been through the engine with the caller's credential. What is refused here, for whatever reason, is
    refused to callers whom the engine knows only; others learn no more than that they are not known.
N3  Without tokens (--without-auth) no credential is looked at, and none travels on.
N4  A credential stands in no log, in no error and in nothing that is kept for longer than its request.
N5  Nobody's body is read; neither is a large one, or one of unknown length, before its sender is known.

Held by tests/integration/http/test_tokens.py (N1-N5).
Elsewhere: the forms of a header (catalog.credentials), who a token is (flightserver.auth).
"""

from collections.abc import Collection
from urllib.parse import parse_qsl

from catalog.access import Access
from catalog.credentials import NotAuthenticated, bearer, token_of
from httpapi.bodies import Environ, has_body
from httpapi.gateway import Gateway

CREDENTIAL_KEY = "flightline.credential"
OPEN_KEY = "flightline.open"

TOKEN_PATHS = ("/api/v3/configure/token", "/api/v3/enterprise/configure/token")
FIRST_TOKEN_PATH = "/api/v3/configure/token/admin"
_PATHS_WITH_P = ("/write", "/query")
_RELEASED_PATHS = {
    "/health": "health",
    "/api/v1/health": "health",
    "/ping": "ping",
    "/metrics": "metrics",
    "/ready": "ready",
    "/debug/pprof/heap": "pprof",
    "/api/v3/enterprise/configure/node/stop": "node_stop",
}
_PARAMETERS_MAX = 1000
_SMALL_BODY_BYTES = 1 << 20


class Admission:
    def __init__(self, gateway: Gateway, *, with_tokens: bool, released: Collection[str] = ()) -> None:
        self.with_tokens = with_tokens
        self._gateway = gateway
        self._released = released

    def look_at(self, environ: Environ) -> None:
        """Note whose request this is. Raises MalformedCredential, or NotAuthenticated for what no token can be."""
        environ[CREDENTIAL_KEY] = None
        environ[OPEN_KEY] = not self.with_tokens or self._is_open(environ["PATH_INFO"])
        if not environ[OPEN_KEY]:
            token = _p_of(environ) or token_of(environ.get("HTTP_AUTHORIZATION"))
            if token is None:
                if has_body(environ):
                    raise NotAuthenticated  # nobody's body need not be read to know that
            elif token.isascii() and token.isprintable() and " " not in token:
                environ[CREDENTIAL_KEY] = bearer(token)
            else:
                raise NotAuthenticated

    def begin(self, environ: Environ, access: Access) -> None:
        """Before a view whose success no engine has to agree to."""
        if access.kind == "system" and not environ[OPEN_KEY]:
            self._gateway.authenticate(environ[CREDENTIAL_KEY], access.resource)

    def before_body(self, environ: Environ) -> None:
        """Raises for strangers who are about to send much (N5); what is small is read before it is known whose it is."""
        if not environ[OPEN_KEY] and not 0 <= int(environ.get("CONTENT_LENGTH") or -1) <= _SMALL_BODY_BYTES:
            self.refuse_strangers(environ)

    def refuse_strangers(self, environ: Environ) -> None:
        """Before the reason of a refusal leaves (N2). Raises what the caller is to be told instead."""
        if not environ[OPEN_KEY]:
            self._gateway.authenticate(environ[CREDENTIAL_KEY])

    def _is_open(self, path: str) -> bool:
        return path == FIRST_TOKEN_PATH or _RELEASED_PATHS.get(path) in self._released


def _p_of(environ: Environ) -> str | None:
    query_string = environ.get("QUERY_STRING", "")
    if environ["PATH_INFO"] not in _PATHS_WITH_P or "p=" not in query_string:
        return None
    try:
        pairs = parse_qsl(query_string, errors="replace", max_num_fields=_PARAMETERS_MAX)
    except ValueError:
        return None
    return next((value for name, value in pairs if name == "p"), None)
