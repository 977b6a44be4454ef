"""Parameters and JSON bodies (P1, P2)."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidRequest
from httpapi.bodies import BodyReader
from httpapi.errors import UnsupportedMediaType
from httpapi.parameters import Document, boolean, json_body, one_of, query_parameters

BODIES = BodyReader(1 << 16)


def environ(body: bytes, content_type: str | None = "application/json") -> dict[str, Any]:
    headers = {} if content_type is None else {"CONTENT_TYPE": content_type}
    return {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body)), **headers}


def test_known_parameters_come_in_order_decoded_and_under_their_own_names() -> None:
    assert list(query_parameters("q=select+1&x=2&db=a%20b&q2=", ("q", "database"), {"db": "database"})) == [
        ("q", "select 1"),
        ("database", "a b"),
    ]


def test_a_known_parameter_comes_once_and_others_as_often_as_they_like() -> None:
    """P1."""
    assert dict(query_parameters("x=1&db=a&x=2", ("db",))) == {"db": "a"}
    with pytest.raises(InvalidRequest, match="duplicate field `db`"):
        dict(query_parameters("db=a&db=a", ("db",)))


@given(st.text(st.characters(max_codepoint=255)))
def test_any_query_string_is_text_or_a_refusal(query_string: str) -> None:
    """P2."""
    try:
        found = dict(query_parameters(query_string, ("db", "q")))
    except InvalidRequest:
        return
    assert all(isinstance(value, str) for value in found.values())


@pytest.mark.parametrize("word", ["True", "1", "yes", "", "TRUE"])
def test_a_boolean_is_true_or_false(word: str) -> None:
    assert (boolean("true"), boolean("false")) == (True, False)
    with pytest.raises(InvalidRequest, match="provided string was not `true` or `false`"):
        boolean(word)


def test_an_unknown_word_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidRequest, match="unknown variant `x`, expected one of `a`, `b`"):
        one_of("x", ("a", "b"))


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
def test_json_is_known_by_its_type(content_type: str) -> None:
    assert json_body(environ(b'{"a":1}', content_type), BODIES) == {"a": 1}


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "text/x+json"])
def test_another_type_is_refused_unless_any_will_do(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType, match="unacceptable content-type, expected: application/json"):
        json_body(environ(b"{}", content_type), BODIES)
    assert json_body(environ(b"{}", content_type), BODIES, any_content_type=True) == {}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"null", b'{"a":1}x', b"\xff", b'{"a":"\xff"}', b"[" * 5000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="serde json error: "):
        json_body(environ(body), BODIES)


def test_entries_are_asked_for_by_name_and_type() -> None:
    document = Document({"db": "a", "tags": ["x"], "fields": [{"name": "f"}], "none": None, "number": 1})

    assert document.text("db") == "a"
    assert document.texts("tags") == ["x"]
    assert [field.text("name") for field in document.documents("fields")] == ["f"]
    assert document.optional_text("none") is document.optional_text("missing") is None
    for ask in (document.text, document.texts, document.documents):
        with pytest.raises(InvalidRequest, match="serde json error: missing field `missing`"):
            ask("missing")
        with pytest.raises(InvalidRequest, match="serde json error: invalid type for `number`"):
            ask("number")
