"""Our errors as Flight errors: the one place where they are translated.

F1  A caller is told one line of at most 1000 bytes (more is lost in gRPC's trailers), and never a traceback.
F2  The gRPC code follows the kind of the error: INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, UNAUTHENTICATED,
    PERMISSION_DENIED, UNAVAILABLE, else INTERNAL. (GetSchema knows the first three only, the others are UNKNOWN
    there.) An unknown database is INTERNAL, with the words that InfluxDB's clients know; so are the words for who may not:
    `Unauthenticated` for nobody, `Permission denied` for an expired token and for what a token does not permit.
F3  Our own clients (wire.ERROR_DETAILS_HEADER) get the error whole: decode_error(extra_info) equals what was raised,
    but for details that would not fit into a trailer.
F4  What is not a ServiceError is ours: it is logged with its traceback and the caller reads "internal error".

Flight has no Python exception for INVALID_ARGUMENT, NOT_FOUND and UNIMPLEMENTED. Arrow maps ValueError, KeyError and
NotImplementedError to them, but appends what traceback.format_exception says, looked up at call time. So the three
classes below stand for those codes and format_exception, for them only, answers with the error's code word.

Held by tests/integration/flight/test_errors.py (F1-F4).
Elsewhere: the error tree (catalog.errors), HTTP statuses (httpapi.errors).
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow.flight as fl

from catalog.credentials import MalformedCredential, NotAuthenticated, NotPermitted, TokenExpired
from catalog.errors import DatabaseNotFound, ServiceError, Unavailable, UnsupportedFeature, encode_error

log = logging.getLogger(__name__)

TEXT_BYTES_MAX = 1000
DETAIL_BYTES_MAX = 4096


class _WithoutTracebackError(Exception):
    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.text = text
        self.code = code

    def __str__(self) -> str:
        return self.text


class _InvalidArgumentError(_WithoutTracebackError, ValueError):
    pass


class _MissingError(_WithoutTracebackError, KeyError):
    pass


class _UnimplementedError(_WithoutTracebackError, NotImplementedError):
    pass


class _UnknownError(_WithoutTracebackError):
    pass


class Cancelled(Unavailable):
    """Somebody ended the query. Not gRPC's CANCELLED, of which pyarrow makes a KeyboardInterrupt in the main thread."""

    code = "cancelled"


_format_exception = traceback.format_exception


def _format_without_traceback(*args: Any, **options: Any) -> list[str]:
    for value in args[:2]:
        if isinstance(value, _WithoutTracebackError):
            return [value.code]
    return _format_exception(*args, **options)


traceback.format_exception = _format_without_traceback  # see the header

_PLAIN: dict[str, type[_WithoutTracebackError]] = {
    "invalid": _InvalidArgumentError,
    "conflict": _InvalidArgumentError,
    "too_large": _InvalidArgumentError,
    "limit": _InvalidArgumentError,
    "not_found": _MissingError,
}
_FLIGHT: dict[str, type[fl.FlightError]] = {
    "unauthenticated": fl.FlightUnauthenticatedError,
    "forbidden": fl.FlightUnauthorizedError,
    "unavailable": fl.FlightUnavailableError,
}


def error_text(error: ServiceError) -> str:
    """The sentence (and the way out) in one line that survives the way through gRPC's trailers."""
    text = " ".join(error.message.split())
    if error.hint:
        text = f"{text} ({' '.join(error.hint.split())})"
    data = text.encode("utf-8", "replace")
    return text if len(data) <= TEXT_BYTES_MAX else data[: TEXT_BYTES_MAX - 3].decode("utf-8", "ignore") + "..."


def flight_error(error: ServiceError, *, detailed: bool, without_flight_classes: bool = False) -> Exception:
    """The exception that makes pyarrow answer with this error."""
    text = error_text(error)
    flight_class: Callable[..., Exception] = _FLIGHT.get(error.kind, fl.FlightInternalError)
    if detailed:
        return flight_class(text, _encode_bounded(error))
    if isinstance(error, UnsupportedFeature):
        return _UnimplementedError(text, error.code)
    if isinstance(error, DatabaseNotFound):
        text, flight_class = f"Cannot retrieve database: External error: {text}", fl.FlightInternalError
    elif isinstance(error, NotAuthenticated | MalformedCredential):
        text, flight_class = "Unauthenticated", fl.FlightUnauthenticatedError
    elif isinstance(error, TokenExpired | NotPermitted):
        text, flight_class = "Permission denied", fl.FlightUnauthorizedError
    elif error.kind in _PLAIN:
        return _PLAIN[error.kind](text, error.code)
    return _UnknownError(text, error.code) if without_flight_classes else flight_class(text)


def _encode_bounded(error: ServiceError) -> bytes:
    data = encode_error(error)
    if len(data) <= DETAIL_BYTES_MAX:
        return data
    small = type(error).__new__(type(error))
    ServiceError.__init__(small, error_text(error))
    return encode_error(small)


def service_error(error: Exception) -> ServiceError:
    """The error as one of ours; what is not is logged and becomes "internal error" (F4)."""
    if isinstance(error, ServiceError):
        return error
    log.error("unplanned error, please report it with this line", exc_info=error)
    return ServiceError("internal error")


@contextmanager
def flight_errors(*, detailed: bool = False, without_flight_classes: bool = False) -> Iterator[None]:
    """Everything that leaves this block is a Flight error. A stream's generator wears it too: it fails late.

    `without_flight_classes` is for GetSchema, where pyarrow takes Flight's own exceptions for unplanned ones.
    """
    try:
        yield
    except fl.FlightError:
        raise
    except Exception as error:
        raise flight_error(service_error(error), detailed=detailed, without_flight_classes=without_flight_classes) from None
