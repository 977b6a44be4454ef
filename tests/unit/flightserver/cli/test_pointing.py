"""The caret below a mistake."""

import pytest

from flightserver.cli.pointing import WIDTH_MAX, point_at


@pytest.mark.parametrize(
    ("statement", "message", "shown"),
    [
        (
            "SELECT * FORM cpu",
            'SQL error: ParserError("Expected: end of statement, found: FORM at Line: 1, Column: 10")',
            "  1 | SELECT * FORM cpu\n    |          ^",
        ),
        (
            "SELECT host\nFROM cpu WHERE\n\thost = = 1",
            "… found: = at Line: 3, Column: 9",
            "  3 |  host = = 1\n    |         ^",
        ),
        ("SELECT 1 +", 'ParserError("Expected: an expression, found: EOF")', "  1 | SELECT 1 +\n    |           ^"),
        ("SELECT 1 +;\n", "found: EOF", "  1 | SELECT 1 +;\n    |           ^"),
        (
            "SELECT 'foo', Foo FROM cpu -- foo",
            "Schema error: No field named foo. Valid fields are cpu.host.",
            "  1 | SELECT 'foo', Foo FROM cpu -- foo\n    |               ^",
        ),
        ("SELECT a.b FROM a", 'No field named a."b".', "  1 | SELECT a.b FROM a\n    |          ^"),
        ("SELECT *\nFROM cp", "table 'public.iox.cp' not found. Did you mean 'cpu'?", "  2 | FROM cp\n    |      ^"),
        ("SELECT bogus(1)", "Error during planning: Invalid function 'bogus'", "  1 | SELECT bogus(1)\n    |        ^"),
    ],
)
def test_the_caret_stands_where_the_message_says_or_at_the_name_it_names(statement: str, message: str, shown: str) -> None:
    """L1."""
    assert point_at(statement, message) == shown


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("SELECT 1/0", "Arrow error: Divide by zero error"),
        ("SELECT 1", "database not found: x"),
        ("SELECT 1", "found: x at Line: 7, Column: 1"),
        ("SELECT 1", "No field named nowhere."),
    ],
)
def test_what_cannot_be_located_is_not_guessed(statement: str, message: str) -> None:
    """L2."""
    assert point_at(statement, message) is None


def test_of_a_long_line_the_part_around_the_place_is_shown() -> None:
    """L1."""
    statement = f"SELECT {', '.join(f'column_{number}' for number in range(100))} FORM cpu"
    column = statement.index("FORM") + 1

    shown = point_at(statement, f"found: FORM at Line: 1, Column: {column}")

    assert shown is not None
    text, caret = shown.split("\n")
    assert len(text) <= WIDTH_MAX + 10
    assert text[caret.index("^") :].startswith("FORM")
