"""Errors as HTTP answers (H1, H2)."""

import json

import pytest

from catalog.errors import (
    DatabaseNotFound,
    InvalidRequest,
    LimitReached,
    LinesRejected,
    ServiceError,
    TooLarge,
    Unavailable,
)
from httpapi.errors import Family, error_reply, family_of, internal_reply, rejected_reply, write_error_reply

BAD = {"original_line": "cpu f= 1", "line_number": 2, "error_message": "No fields were provided"}


def subclasses(base: type[ServiceError]) -> list[type[ServiceError]]:
    return [base, *(found for child in base.__subclasses__() for found in subclasses(child))]


def document(body: object) -> object:
    assert isinstance(body, bytes)
    return json.loads(body)


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("kind", [c for c in subclasses(ServiceError) if c is not LinesRejected], ids=lambda c: c.__name__)
def test_every_error_has_a_status_and_a_json_object_in_every_family(kind: type[ServiceError], family: Family) -> None:
    """H1, H2."""
    error = kind.__new__(kind)
    ServiceError.__init__(error, "what happened")

    reply = error_reply(family, error)

    assert isinstance(document(reply.body), dict)
    assert reply.content_type == "application/json"
    assert (reply.status < 500) == (error.kind not in ("internal", "damaged", "unavailable"))


def test_v3_and_v1_say_error_and_v2_says_code_and_message() -> None:
    """H1."""
    error = InvalidRequest("no")

    assert document(error_reply(Family.V3, error).body) == {"error": "no"}
    assert document(error_reply(Family.V1, error).body) == {"error": "no"}
    assert document(error_reply(Family.V2, error).body) == {"code": "invalid", "message": "no"}


def test_a_way_out_is_told_where_there_is_one() -> None:
    assert document(error_reply(Family.V3, InvalidRequest("no", hint="do that")).body) == {"error": "no", "hint": "do that"}


def test_unavailable_says_after_how_many_seconds_to_try_again() -> None:
    """H2."""
    assert error_reply(Family.V3, Unavailable("later")).headers == (("Retry-After", "1"),)
    assert error_reply(Family.V2, Unavailable("later", retry_after_s=7)).headers == (("Retry-After", "7"),)


def test_what_the_engine_failed_of_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """H1."""
    reply = error_reply(Family.V3, ServiceError("Traceback (most recent call last): secret"))

    assert (reply.status, document(reply.body)) == (500, {"error": "internal error"})
    assert "secret" in caplog.text
    assert internal_reply(Family.V2).body == b'{"code":"internal error","message":"internal error"}'


def test_a_partial_write_lists_every_bad_line_with_its_keys_in_order() -> None:
    reply = rejected_reply(Family.V3, [BAD, BAD | {"line_number": 3}], stored=True)

    assert reply.status == 400
    assert reply.body == (
        b'{"error":"partial write of line protocol occurred","data":['
        b'{"error_message":"No fields were provided","line_number":2,"original_line":"cpu f= 1"},'
        b'{"error_message":"No fields were provided","line_number":3,"original_line":"cpu f= 1"}]}'
    )


@pytest.mark.parametrize("family", [Family.V1, Family.V3])
def test_a_full_reject_shows_the_first_bad_line(family: Family) -> None:
    error = LinesRejected("refused", rejected=[BAD, BAD | {"line_number": 3}], stored=False)

    reply = write_error_reply(family, error)

    assert reply.status == 400
    assert document(reply.body) == {"error": "parsing failed for write_lp endpoint", "data": BAD}


def test_v2_tells_the_first_bad_line_in_its_message() -> None:
    reply = write_error_reply(Family.V2, LinesRejected("refused", rejected=[BAD], stored=False))

    assert reply.status == 400
    assert document(reply.body) == {
        "code": "invalid",
        "message": "write buffer error: line protocol parse failed: No fields were provided",
        "line": 2,
    }


@pytest.mark.parametrize(
    "text", ["Update to schema would exceed number of columns", "Adding a new database would exceed limit of 5"]
)
def test_lines_refused_by_a_limit_are_422(text: str) -> None:
    assert rejected_reply(Family.V3, [BAD, BAD | {"error_message": text}], stored=True).status == 422


def test_a_limit_on_the_whole_write_is_422_and_400_in_v2() -> None:
    error = LimitReached("Adding a new database would exceed limit of 5 databases")

    assert write_error_reply(Family.V3, error).status == 422
    assert write_error_reply(Family.V2, error).status == 400
    assert document(write_error_reply(Family.V2, error).body) == {
        "code": "invalid",
        "message": "write buffer error: Adding a new database would exceed limit of 5 databases",
    }


def test_v2_names_its_codes_as_its_clients_know_them() -> None:
    codes = [document(error_reply(Family.V2, error).body) for error in (TooLarge("x"), DatabaseNotFound("x"), Unavailable("x"))]

    assert [code["code"] for code in codes if isinstance(code, dict)] == ["request too large", "not found", "unavailable"]


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/write", Family.V1),
        ("/query", Family.V1_QUERY),
        ("/api/v2/write", Family.V2),
        ("/api/v3/write_lp", Family.V3),
        ("/x", Family.V3),
    ],
)
def test_a_path_belongs_to_a_family(path: str, family: Family) -> None:
    assert family_of(path) is family
