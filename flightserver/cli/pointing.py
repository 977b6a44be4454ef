"""Where in a statement an error is: the line, and a caret below the place. Pure.

L1  The caret stands where the message says; without a position in the message, at the name that it complains about.
L2  What cannot be located is not guessed: there is no caret then.

Held by tests/unit/flightserver/cli/test_pointing.py (L1, L2).
"""

import re

_POSITION = re.compile(r"at Line: (\d+), Column: (\d+)")
_AT_END = re.compile(r"found: EOF|Unterminated .* at EOF")
_NAMES = (
    re.compile(r"No field named (?:[\w\"]+\.)*\"?(\w+)\"?"),
    re.compile(r"[Tt]able '(?:[^'.]*\.)*([^'.]+)' not found"),
    re.compile(r"table not found: (\w+)"),
    re.compile(r"Invalid function '(\w+)'"),
    re.compile(r"[Cc]olumn '(\w+)' (?:not found|does not exist)"),
)
_LITERALS = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
WIDTH_MAX = 96


def point_at(statement: str, message: str) -> str | None:
    """The line of the statement with a caret below, or None."""
    place = _place(statement, message)
    if place is None:
        return None
    line, column = place
    text = statement.split("\n")[line].replace("\t", " ")
    begin = max(0, min(column - WIDTH_MAX // 2, len(text) - WIDTH_MAX))
    shown = text[begin : begin + WIDTH_MAX]
    margin = f"  {line + 1} | "
    return f"{margin}{shown}\n{' ' * (len(margin) - 2)}| {' ' * (column - begin)}^"


def _place(statement: str, message: str) -> tuple[int, int] | None:
    """(line, column), from zero."""
    found = _POSITION.search(message)
    if found is not None:
        line, column = int(found[1]) - 1, int(found[2]) - 1
        lines = statement.split("\n")
        return (line, min(column, len(lines[line]))) if line < len(lines) and column >= 0 else None
    if _AT_END.search(message):
        return _line_and_column(statement, len(statement.rstrip().rstrip(";")))
    for pattern in _NAMES:
        if (named := pattern.search(message)) is not None:
            return _of_name(statement, named[1])
    return None


def _of_name(statement: str, name: str) -> tuple[int, int] | None:
    plain = _LITERALS.sub(lambda literal: re.sub(r"[^\n]", " ", literal[0]), statement)
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", plain) or re.search(
        rf"(?<!\w){re.escape(name)}(?!\w)", plain, re.IGNORECASE
    )
    return None if found is None else _line_and_column(statement, found.start())


def _line_and_column(statement: str, at: int) -> tuple[int, int]:
    return statement.count("\n", 0, at), at - (statement.rfind("\n", 0, at) + 1)
