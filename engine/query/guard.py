"""What a statement may be before the planner sees it: the planner recurses, and a statement that is too deep ends the process.

G1  No statement takes down the process or all of its memory: size, nesting, chains of operators, numbers of joins, unions and
    columns, and what common table expressions multiply to, are bounded before DataFusion parses them.
G2  A statement only reads, and reads no more than the database: other kinds are refused with the planner's words for them.

Held by tests/unit/engine/query/test_guard.py (G1, G2).
"""

import re
from dataclasses import dataclass

from datafusion import SQLOptions

from engine.query.functions.tokens import Tokens
from engine.query.messages import QueryRefused

READ_ONLY = SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)

STATEMENT_BYTES = 2 << 20
TOKENS = 300_000
DEPTH = 100
#: tokens of one expression outside of brackets: a chain of operators becomes a tree as deep as the chain is long
CHAIN = 2_000
#: the planner's time doubles with each sub-query inside of a sub-query of an expression
SUBQUERIES = 12
JOINS = 64
SET_OPERATIONS = 500
SELECTED = 5_000
SCANS = 1_000

#: shorter than this, only common table expressions and nested sub-queries can be too much
_SHORT = 1_000
_WITH = re.compile(r"\bwith\b", re.IGNORECASE)
_SELECT = re.compile(r"\bselect\b", re.IGNORECASE)
_CLAUSES = frozenset(
    [
        "select",
        "from",
        "where",
        "group",
        "having",
        "order",
        "limit",
        "offset",
        "union",
        "intersect",
        "except",
        "window",
        "qualify",
        "values",
    ]
)
_BREAKS = _CLAUSES | {"on", "when", "then", "else"}


_FIRST_WORD = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(\w+)", re.DOTALL)
#: statements whose mistakes the planner finds before their kind
_WRITING = {
    "copy": "DML not supported: COPY",
    "insert": "DML not supported: Insert Into",
    "update": "DML not supported: Update",
    "delete": "DML not supported: Delete",
    "create": "DDL not supported: Create",
    "alter": "DDL not supported: Alter",
    "drop": "DDL not supported: Drop",
}


class StatementTooLarge(QueryRefused):
    """More than the planner can be given without harm to others."""

    code = "statement_too_large"


def of_kind(text: str) -> str | None:
    """What is to be said of a statement that writes, whatever else is wrong with it (G2)."""
    first = _FIRST_WORD.match(text)
    said = _WRITING.get(first[1].lower()) if first else None
    return said and f"Error during planning: {said}"


def check(text: str) -> None:
    """G1."""
    size = len(text)
    if size <= _SHORT and not _WITH.search(text) and len(_SELECT.findall(text)) <= SUBQUERIES:
        return
    if size > STATEMENT_BYTES or len(text.encode()) > STATEMENT_BYTES:
        raise StatementTooLarge(f"the statement is larger than {STATEMENT_BYTES >> 20} MiB")
    tokens = Tokens(text)
    _check_counts(tokens)
    _check_expressions(tokens)
    _check_subqueries(tokens)
    _check_scans(tokens)


def _check_counts(tokens: Tokens) -> None:
    if len(tokens) > TOKENS:
        raise StatementTooLarge(f"the statement has more than {TOKENS:,} words and signs")
    if tokens.depth > DEPTH:
        raise StatementTooLarge(f"the statement is nested more than {DEPTH} levels deep")
    for words, limit, what in (
        (("join",), JOINS, "joins"),
        (("union", "intersect", "except"), SET_OPERATIONS, "set operations"),
    ):
        if sum(token.kind == "word" and token.name in words for token in tokens.all) > limit:
            raise StatementTooLarge(f"the statement has more than {limit} {what}")


@dataclass(slots=True)
class _Level:
    """What stands between two brackets: the clause that is being read, its items, and the length of the one being read."""

    clause: str = ""
    items: int = 0
    chain: int = 0


def _check_expressions(tokens: Tokens) -> None:
    levels = [_Level()]
    for token in tokens.all:
        level = levels[-1]
        if token.kind == "sign" and token.name in "([{":
            levels.append(_Level())
        elif token.kind == "sign" and token.name in ")]}":
            levels = levels[:-1] or [_Level()]
        elif token.kind == "sign" and token.name in ",;":
            level.chain = 0
            level.items += 1
            if level.clause == "select" and level.items >= SELECTED:
                raise StatementTooLarge(f"a SELECT has more than {SELECTED:,} columns")
            if level.clause == "from" and level.items > JOINS:
                raise StatementTooLarge(f"the statement has more than {JOINS} joins")
        elif token.kind == "word" and token.name in _BREAKS:
            level.chain = 0
            if token.name in _CLAUSES:
                level.clause, level.items = token.name, 0
        else:
            level.chain += 1
            if level.chain > CHAIN:
                raise StatementTooLarge(f"an expression of the statement has more than {CHAIN:,} parts: use IN, or a join")


def _check_subqueries(tokens: Tokens) -> None:
    ends: list[int] = []
    for index in range(len(tokens)):
        while ends and ends[-1] <= index:
            ends.pop()
        if tokens.says(index, "(", "select") and not any(tokens.says(index - 1, word) for word in ("from", "join", "as")):
            ends.append(tokens.close[index])
            if len(ends) > SUBQUERIES:
                raise StatementTooLarge(f"sub-queries of expressions are nested more than {SUBQUERIES} levels deep")


def _check_scans(tokens: Tokens) -> None:
    """Common table expressions are planned anew wherever they are named: doubling each time, thirty of them are a billion."""
    scans: dict[str, int] = {}
    total = 0
    for index in range(len(tokens)):
        if not (tokens.is_name(index) and tokens.says(index + 1, "as")):
            continue
        body = index + 2 + tokens.says(index + 2, "not")
        body += tokens.says(body, "materialized")
        if not tokens.says(body, "("):
            continue
        named = sum(scans.get(tokens[at].name, 0) for at in range(body + 1, tokens.over(body) - 1) if tokens.is_name(at))
        scans[tokens[index].name] = max(1, named)
        total += named
        if max(named, total) > SCANS:
            raise StatementTooLarge(f"the common table expressions of the statement multiply to more than {SCANS:,} scans")
