"""What goes wrong, for whom, and what it is called.

    ServiceError                     code for machines, sentence for people, hint where there is a way out
      InvalidRequest   invalid       the caller's mistake                          HTTP 400  gRPC INVALID_ARGUMENT
        LinesRejected                lines of line protocol that were refused
        UnsupportedFeature           something this version does not do            HTTP 400
      Unauthenticated, Forbidden     who are you; you may not                      401, 403  UNAUTHENTICATED, PERMISSION_DENIED
      NotFound         not_found     a name that does not exist                    404       NOT_FOUND
      Conflict         conflict      a name that exists already                    409       INVALID_ARGUMENT
        AlreadyExists, AlreadyDeleted
      TooLarge         too_large     a body or message beyond a limit              413       INVALID_ARGUMENT
      LimitReached     limit         a limit on databases, tables, columns         422       INVALID_ARGUMENT
      Unavailable      unavailable   not now; the same request may work later      503       UNAVAILABLE
      Damaged          damaged       stored bytes that are not what was put         500       INTERNAL
      (anything else)  internal      ours; the details are in the log              500       INTERNAL

E1  Every class has a `code` of its own, and a code never changes its meaning.
E2  An error that crosses a process boundary comes out as it went in: decode_error(encode_error(e)) equals e. Where the class
    is not known on the other side, the class of its kind stands in: same words, same status.

Held by tests/unit/catalog/test_errors.py (E1, E2).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class ServiceError(Exception):
    """The base of everything a caller may be told."""

    code: ClassVar[str] = "internal"
    kind: ClassVar[str] = "internal"
    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details
        if hint is not None:
            self.hint = hint

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ServiceError)
            and type(self) is type(other)
            and (self.message, self.hint, dict(self.details)) == (other.message, other.hint, dict(other.details))
        )

    def __hash__(self) -> int:
        return hash((type(self), self.message))


class InvalidRequest(ServiceError):
    """The request is wrong: the sentence says what, and what was expected."""

    code = "invalid_request"
    kind = "invalid"


class LinesRejected(InvalidRequest):
    """Lines were refused. `stored` tells whether the other lines of the body were kept."""

    code = "lines_rejected"

    def __init__(self, message: str, *, rejected: Sequence[Mapping[str, Any]], stored: bool, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, rejected=[dict(line) for line in rejected], stored=stored)


class UnsupportedFeature(InvalidRequest):
    """This version does not do that; the hint says what to use instead."""

    code = "unsupported"


def no_influxql() -> UnsupportedFeature:
    """The same words at every door."""
    return UnsupportedFeature("InfluxQL is not part of this version yet", hint="use SQL")


class Unauthenticated(ServiceError):
    """The server wants to know who asks."""

    code = "unauthenticated"
    kind = "unauthenticated"


class Forbidden(ServiceError):
    """The caller is known and may not do this."""

    code = "forbidden"
    kind = "forbidden"


class NotFound(ServiceError):
    """Nothing of that name is there."""

    code = "not_found"
    kind = "not_found"


class DatabaseNotFound(NotFound):
    """No database of that name is there."""

    code = "database_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"database not found: {name}", name=name)


class TableNotFound(NotFound):
    """No table of that name is there."""

    code = "table_not_found"

    def __init__(self, database: str, table: str) -> None:
        super().__init__(f"table not found: {table} in database {database}", database=database, table=table)


class Conflict(ServiceError):
    """It cannot be done as things are now."""

    code = "conflict"
    kind = "conflict"


class AlreadyExists(Conflict):
    """Something of that name is there already."""

    code = "already_exists"

    def __init__(self, name: str) -> None:
        super().__init__("attempted to create a resource that already exists", name=name)


class AlreadyDeleted(Conflict):
    """It was deleted before."""

    code = "already_deleted"

    def __init__(self, name: str) -> None:
        super().__init__(f"attempted to modify resource that was already deleted: {name}", name=name)


class TooLarge(ServiceError):
    """The body or message is longer than the server takes. Send it in parts."""

    code = "too_large"
    kind = "too_large"


class LimitReached(ServiceError):
    """A limit on databases, tables or columns that the operator has set."""

    code = "limit_reached"
    kind = "limit"


class Unavailable(ServiceError):
    """Not now: the same request may work later."""

    code = "unavailable"
    kind = "unavailable"


class Damaged(ServiceError):
    """Stored bytes are missing, or are not those that were stored. The message names the object."""

    code = "damaged"
    kind = "damaged"


def _classes(base: type[ServiceError]) -> dict[str, type[ServiceError]]:
    found = {base.code: base}
    for child in base.__subclasses__():
        found |= _classes(child)
    return found


def _class_of_kind(kind: str) -> type[ServiceError]:
    return next((child for child in ServiceError.__subclasses__() if vars(child).get("kind") == kind), ServiceError)


def encode_error(error: ServiceError) -> bytes:
    """The error as JSON, for a place beside the message (Flight's extra_info)."""
    return json.dumps(
        {"code": error.code, "kind": error.kind, "message": error.message, "hint": error.hint, "details": dict(error.details)}
    ).encode()


def decode_error(data: bytes) -> ServiceError:
    """The error that `encode_error` wrote."""
    fields = json.loads(data)
    found = _classes(ServiceError).get(fields["code"]) or _class_of_kind(fields["kind"])
    error = found.__new__(found)
    ServiceError.__init__(error, fields["message"], hint=fields["hint"], **fields["details"])
    return error
