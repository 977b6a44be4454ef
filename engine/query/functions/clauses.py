"""Where the parts of a SELECT begin and end, and which common table expressions it sees.

A1  Only words outside of all brackets of a query separate its parts; what stands in brackets belongs to the part around it.

Held by tests/unit/engine/query/test_clauses.py (A1).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from engine.query.functions.tokens import Tokens

Span = tuple[int, int]
"""Tokens [start, stop)."""

#: of a whole query, after its last arm
_TAIL = frozenset({"order", "limit", "offset", "fetch"})
_CLAUSES = frozenset({"select", "from", "where", "group", "having", "window", "qualify"}) | _TAIL
_SET_OPERATIONS = frozenset({"union", "intersect", "except", "minus"})
#: words that end an expression, and so are no alias; and words after which an expression goes on
_ENDING = frozenset({"end", "null", "true", "false", "unknown", "precision", "zone", "asc", "desc", "first", "last"})
_GOING_ON = frozenset(
    {"and", "or", "not", "is", "like", "ilike", "similar", "between", "in", "case", "when", "then", "else", "distinct"}
    | {"collate", "escape", "from", "at", "as", "any", "all", "some"}
)


@dataclass(frozen=True, slots=True)
class Item:
    """An expression of a SELECT list; `alias` as it was written, `name` as others say it."""

    span: Span
    alias: str | None = None
    name: str | None = None


@dataclass(slots=True)
class Select:
    """One SELECT: `span` is all of it, `quantifier` its DISTINCT or ALL, `clauses` what follows the items, by first word."""

    span: Span
    quantifier: Span
    items: list[Item]
    clauses: dict[str, Span] = field(default_factory=dict)


def statement(tokens: Tokens) -> Span:
    """Without EXPLAIN and its words before, and semicolons behind."""
    start, stop = 0, len(tokens)
    while stop > start and tokens.says(stop - 1, ";"):
        stop -= 1
    if tokens.says(0, "explain"):
        start = 1
        while tokens.says(start, "analyze") or tokens.says(start, "verbose"):
            start += 1
        if tokens.says(start, "format"):
            start += 2
    return start, stop


def queries_around(tokens: Tokens, index: int) -> list[Span]:
    """The queries that a token is part of, from the outside in."""
    opened = [at for at, close in tokens.close.items() if at < index < close and _begins_query(tokens, at + 1)]
    return [statement(tokens), *((at + 1, tokens.close[at]) for at in sorted(opened))]


def definitions(tokens: Tokens, query: Span) -> tuple[list[Span], int]:
    """The common table expressions of a query, and where its body begins."""
    start, stop = query
    if not tokens.says(start, "with"):
        return [], start
    found: list[Span] = []
    index = start + 1 + tokens.says(start + 1, "recursive")
    while index < stop:
        begin = index
        while index < stop and not tokens.says(index, "as"):
            index = tokens.over(index)
        index += 1 + tokens.says(index + 1, "not")
        index += tokens.says(index, "materialized")
        index = tokens.over(index)
        found.append((begin, index))
        if not tokens.says(index, ","):
            break
        index += 1
    return found, index


def visible(tokens: Tokens, index: int) -> str:
    """The WITH clause that gives a SELECT at `index` all names that it sees where it stands."""
    seen: dict[str, str] = {}
    recursive = False
    for query in queries_around(tokens, index):
        found, _ = definitions(tokens, query)
        recursive = recursive or (bool(found) and tokens.says(query[0] + 1, "recursive"))
        for start, stop in found:
            if stop <= index:
                seen[tokens[start].name] = tokens.source(start, stop)
    return f"WITH {'RECURSIVE ' if recursive else ''}{', '.join(seen.values())} " if seen else ""


def arm_around(tokens: Tokens, query: Span, index: int) -> Span:
    """The SELECT of a query, or the one of several under a set operation, that a token is part of. What follows a query
    (ORDER BY, LIMIT) belongs to a SELECT that stands alone."""
    _, start = definitions(tokens, query)
    cuts = [at for at in _outside(tokens, (start, query[1])) if _is_clause(tokens, at, _SET_OPERATIONS)]
    edges = [start, *cuts, query[1]]
    for begin, end in pairwise(edges):
        if begin <= index < end:
            while not tokens.says(begin, "select") and begin < end:
                begin += 1
            if cuts:
                tail = (at for at in _outside(tokens, (begin, end)) if _is_clause(tokens, at, _TAIL))
                end = next(tail, end)
            return begin, end
    return start, query[1]


def select(tokens: Tokens, span: Span) -> Select:
    start, stop = span
    heads = [(at, tokens[at].name) for at in _outside(tokens, span) if _is_clause(tokens, at, _CLAUSES)]
    edges = [at for at, _ in heads[1:]] + [stop]
    first = start + 1
    items = first
    if tokens.says(first, "all") or tokens.says(first, "distinct"):
        items = first + 1
        if tokens.says(items, "on", "("):
            items = tokens.over(items + 1)
    found = Select(span, (first, items), [item(tokens, part) for part in tokens.split(items, edges[0])])
    for (at, word), end in zip(heads[1:], edges[1:], strict=True):
        found.clauses[word] = (at, end)
    return found


def item(tokens: Tokens, span: Span) -> Item:
    start, stop = span
    last = stop - 1
    if stop - start < 2:
        return Item(span)
    if tokens.says(stop - 2, "as"):
        return Item((start, stop - 2), tokens.source(last, stop), tokens[last].name)
    before = tokens[stop - 2]
    ends = before.kind in ("number", "string", "quoted", "param") or before.name in (")", "]", "end")
    follows = ends or (before.kind == "word" and before.name not in _GOING_ON)
    if tokens.is_name(last) and follows and not (tokens[last].kind == "word" and tokens[last].name in _ENDING):
        return Item((start, last), tokens.source(last, stop), tokens[last].name)
    return Item(span)


def _outside(tokens: Tokens, span: Span) -> Iterator[int]:
    """The tokens of a span that stand in no bracket of it."""
    index, stop = span
    while index < stop:
        yield index
        index = tokens.over(index)


def _is_clause(tokens: Tokens, index: int, words: frozenset[str]) -> bool:
    token = tokens[index]
    if token.kind != "word" or token.name not in words or tokens.says(index - 1, "."):
        return False
    if token.name in ("group", "order"):
        return tokens.says(index + 1, "by")
    if token.name == "from":
        return not (tokens.says(index - 1, "distinct") and (tokens.says(index - 2, "is") or tokens.says(index - 2, "not")))
    return True


def _begins_query(tokens: Tokens, index: int) -> bool:
    return tokens.says(index, "select") or tokens.says(index, "with")
