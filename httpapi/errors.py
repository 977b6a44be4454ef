"""Our errors as HTTP answers: one status per kind of error, one body shape per family of endpoints.

    v3, v1   {"error": "…"}, and for refused lines "data": the first one (nothing was stored) or all of them (the others were)
    v2       {"code": "…", "message": "…"}

H1  Every error of the v1, v2 and v3 APIs is a JSON object; no answer shows a traceback.
H2  A mistake of the caller is a 4xx; 503 says that the same request may work later, and after how many seconds.

Held by tests/unit/httpapi/test_errors.py (H1, H2) and tests/integration/http/test_hostile_input.py (H1).
"""

import logging
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from catalog.credentials import MalformedCredential, NotPermitted
from catalog.errors import InvalidRequest, LimitReached, LinesRejected, NotFound, ServiceError, Unauthenticated
from httpapi.replies import JSON, Reply, json_reply

log = logging.getLogger("httpapi")

PARTIAL_WRITE = "partial write of line protocol occurred"
FULL_REJECT = "parsing failed for write_lp endpoint"
INTERNAL_ERROR = "internal error"

# The beginnings of messages that report a limit, as the engine words them.
_LIMIT_TEXTS = ("Update to schema would exceed number of", "Adding a new database would exceed limit of")
_DEFAULT_RETRY_AFTER_S = 1


class Family(Enum):
    """Whose manners an endpoint follows."""

    V1 = "v1"
    V1_QUERY = "v1 query"
    V2 = "v2"
    V3 = "v3"


class UnsupportedMediaType(InvalidRequest):
    """The body's content type or encoding is not one that the endpoint takes."""

    code = "unsupported_media_type"
    kind = "media_type"


class BodyTooSlow(InvalidRequest):
    """The body came too slowly to wait for its end."""

    code = "body_too_slow"
    kind = "timeout"


class NoSuchEndpoint(NotFound):
    """No endpoint has this path and method."""

    code = "no_such_endpoint"

    def __init__(self) -> None:
        super().__init__("not found")


_STATUS_BY_KIND = {
    "invalid": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "not_allowed": 405,
    "timeout": 408,
    "conflict": 409,
    "too_large": 413,
    "media_type": 415,
    "limit": 422,
    "unavailable": 503,
}
_V2_CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    408: "timeout",
    409: "conflict",
    413: "request too large",
    415: "unsupported media type",
    500: "internal error",
    503: "unavailable",
}


def error_reply(family: Family, error: ServiceError, prefix: str = "") -> Reply:
    """The answer for an error that the caller may be told."""
    if isinstance(error, LinesRejected):
        return rejected_reply(family, error.details["rejected"], stored=error.details["stored"])
    if error.kind == "internal":
        log.error("the engine failed, its own lines tell more: %s", error)
        return internal_reply(family)
    if isinstance(error, (Unauthenticated, MalformedCredential)) or (
        isinstance(error, NotPermitted) and family is not Family.V2
    ):
        return _refused_caller(family, error)
    status = _STATUS_BY_KIND.get(error.kind, 500)
    headers = (("Retry-After", str(error.details.get("retry_after_s", _DEFAULT_RETRY_AFTER_S))),) if status == 503 else ()
    if family is Family.V2:
        status = 400 if isinstance(error, LimitReached) else status
        return json_reply(status, {"code": _V2_CODES[status], "message": prefix + error.message}, headers)
    document = {"error": error.message}
    if error.hint is not None:
        document["hint"] = error.hint
    return json_reply(status, document, headers)


def _refused_caller(family: Family, error: ServiceError) -> Reply:
    """Byte for byte what clients of InfluxDB 3 know, with a space after the colon; but for one endpoint."""
    if error.kind == "forbidden" and family is Family.V1_QUERY:
        return Reply(401, b'{"error":"unauthorized access"}', JSON)
    return Reply(_STATUS_BY_KIND[error.kind], b'{"error": "%s"}' % error.message.encode(), JSON)


def rejected_reply(family: Family, rejected: Sequence[Mapping[str, Any]], *, stored: bool) -> Reply:
    """The answer for refused lines; `stored` says whether the other lines of the body were kept."""
    first = rejected[0]
    if family is Family.V2:
        message = f"write buffer error: line protocol parse failed: {first['error_message']}"
        return json_reply(400, {"code": "invalid", "message": message, "line": first["line_number"]})
    status = 422 if any(line["error_message"].startswith(_LIMIT_TEXTS) for line in rejected) else 400
    if stored:
        return json_reply(status, {"error": PARTIAL_WRITE, "data": [_entry(line) for line in rejected]})
    return json_reply(status, {"error": FULL_REJECT, "data": _entry(first)})


def write_error_reply(family: Family, error: ServiceError) -> Reply:
    """The answer for an error of the write itself, which the v2 API marks as such."""
    if family is Family.V2 and not isinstance(error, LinesRejected):
        return error_reply(family, error, prefix="write buffer error: ")
    return error_reply(family, error)


def internal_reply(family: Family) -> Reply:
    """The answer for an error nobody planned; what it was stands in the log only."""
    if family is Family.V2:
        return json_reply(500, {"code": _V2_CODES[500], "message": INTERNAL_ERROR})
    return json_reply(500, {"error": INTERNAL_ERROR})


def family_of(path: str) -> Family:
    if path.startswith("/api/v2/"):
        return Family.V2
    return {"/write": Family.V1, "/query": Family.V1_QUERY}.get(path, Family.V3)


def _entry(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: line[key] for key in ("error_message", "line_number", "original_line")}
