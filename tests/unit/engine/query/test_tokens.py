"""Statements as tokens: what looks like something inside of a string, a name or a comment is none of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.query.functions.tokens import Tokens, quoted_name, quoted_string, string_value


def names(text: str) -> list[str]:
    return [token.name for token in Tokens(text).all]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT Max(x)", ["select", "max", "(", "x", ")"]),
        ('SELECT "Max"', ["select", "Max"]),
        ('"a ""b"" (c"', ['a "b" (c']),
        ("`a b`", ["a b"]),
        ("'it''s -- no /* comment'", ["'it''s -- no /* comment'"]),
        (r"E'it\'s' x", [r"E'it\'s'", "x"]),
        ("N'x' X'00' U&'d'", ["N'x'", "X'00'", "U&'d'"]),
        ("a -- tz(b)\n c", ["a", "c"]),
        ("a /* tz( /* nested */ ) */ b", ["a", "b"]),
        ("$$tz('x')$$ $1", ["$$tz('x')$$", "$1"]),
        ("$tag$ it's $$ $tag$ x", ["$tag$ it's $$ $tag$", "x"]),
        ("$name = ? AND ?2", ["$name", "=", "?", "and", "?2"]),
        ("a$1", ["a$1"]),
        ("1.5e-3+.5", ["1.5e-3", "+", ".5"]),
        ("x::int", ["x", "::", "int"]),
        ("größe <> 'ß'", ["größe", "<", ">", "'ß'"]),
        ("'open", ["'open"]),
        ("/* open", []),
        ("", []),
    ],
)
def test_a_text_is_taken_apart(text: str, expected: list[str]) -> None:
    """K2."""
    assert names(text) == expected


@settings(max_examples=150)
@given(st.text(alphabet="ab1 .'\"`$?/*-\n()[]{}\\Eeé;:,", max_size=60))
def test_tokens_follow_one_another_and_leave_only_space_and_comments_between(text: str) -> None:
    """K1."""
    tokens = Tokens(text)

    position = 0
    for token in tokens.all:
        between = text[position : token.start]
        assert token.start >= position
        assert between.strip() == "" or between.strip().startswith(("--", "/*"))
        assert token.end > token.start
        position = token.end
    assert text[position:].strip() == "" or text[position:].strip().startswith(("--", "/*"))


def test_brackets_lead_to_those_that_close_them() -> None:
    tokens = Tokens("f(a, [b, (c)], {d)")

    closing = {tokens[at].start: close for at, close in tokens.close.items()}

    assert closing == {1: len(tokens), 5: 10, 9: 9, 15: len(tokens)}
    assert tokens.depth == 3


def test_arguments_are_split_where_no_bracket_holds_the_comma() -> None:
    tokens = Tokens("f(a, g(b, c), [d, e], 'x,y')")

    assert [tokens.source(*span) for span in tokens.arguments(0)] == ["a", "g(b, c)", "[d, e]", "'x,y'"]
    assert Tokens("f()").arguments(0) == []


@pytest.mark.parametrize(
    ("text", "expected"), [("tz(x)", True), ('"tz" (x)', True), ("tz", False), ("a.tz(x)", False), ("x AS tz(y)", False)]
)
def test_a_call_is_a_name_before_a_bracket(text: str, expected: bool) -> None:
    tokens = Tokens(text)

    assert any(tokens.is_call(index) for index in range(len(tokens)) if tokens[index].name == "tz") is expected


def test_only_plain_strings_say_something() -> None:
    assert string_value(Tokens("'it''s'")[0]) == "it's"
    assert string_value(Tokens("E'x'")[0]) is None
    assert string_value(Tokens("x")[0]) is None


@given(st.text(max_size=20))
def test_what_is_quoted_is_read_back(text: str) -> None:
    assert string_value(Tokens(quoted_string(text))[0]) == text
    if text:
        assert Tokens(quoted_name(text))[0].name == text


def test_many_openings_that_nothing_closes_take_no_time() -> None:
    assert len(Tokens(" ".join(f"$a{number}$" for number in range(50_000)))) == 1
    assert len(Tokens("/* " * 50_000)) == 0
    assert len(Tokens("'" * 100_001)) == 1
