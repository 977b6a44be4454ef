import json

import pytest

import catalog.apply
import catalog.catalog
import catalog.changes
import catalog.growth  # noqa: F401 (every module that declares errors)
from catalog.errors import (
    AlreadyDeleted,
    AlreadyExists,
    Damaged,
    DatabaseNotFound,
    InvalidRequest,
    LinesRejected,
    ServiceError,
    TableNotFound,
    Unavailable,
    decode_error,
    encode_error,
)
from catalog.growth import SchemaMoved
from catalog.log import LogTaken
from catalog.schema import ColumnExists


def every_class(base: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    return [base, *(found for child in base.__subclasses__() for found in every_class(child))]


def test_every_error_class_declares_a_code_of_its_own() -> None:
    """E1."""
    classes = every_class()

    assert all("code" in vars(one) for one in classes)
    assert len({one.code for one in classes}) == len(classes)


@pytest.mark.parametrize(
    "error",
    [
        ServiceError("plain", hint="try again"),
        InvalidRequest("incoming write was empty"),
        LinesRejected("no", rejected=[{"line_number": 1, "error_message": "x", "original_line": "é"}], stored=True),
        DatabaseNotFound("db"),
        TableNotFound("db", "cpu"),
        AlreadyExists("cpu"),
        AlreadyDeleted("cpu"),
        Damaged("bytes", hint="restore it", object="a/b"),
        ColumnExists("host", "iox::column_type::tag"),
        SchemaMoved(["table cpu is gone"]),
        LogTaken(7),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_crosses_a_process_boundary_unchanged(error: ServiceError) -> None:
    """E2."""
    assert decode_error(encode_error(error)) == error


def test_an_error_of_an_unknown_class_keeps_its_kind_and_its_words() -> None:
    """E2: the other side may lack the module that declares it."""
    sent = encode_error(Unavailable("the store is away", hint="wait", store="s3://b"))
    from_elsewhere = json.dumps(json.loads(sent) | {"code": "store_is_away"}).encode()

    assert decode_error(from_elsewhere) == Unavailable("the store is away", hint="wait", store="s3://b")


def test_an_error_of_an_unknown_kind_is_an_internal_one() -> None:
    """E2."""
    sent = json.dumps({"code": "new", "kind": "new", "message": "m", "hint": None, "details": {}}).encode()

    assert decode_error(sent) == ServiceError("m")


def test_errors_with_different_words_or_details_are_different() -> None:
    assert DatabaseNotFound("a") != DatabaseNotFound("b")
    assert len({DatabaseNotFound("a"), DatabaseNotFound("a"), DatabaseNotFound("b")}) == 2
