"""What a statement is, before anyone plans it: its kind, its parameters, and the head of an INSERT. Pure.

Only the outside of a statement is read here; the query inside an INSERT stays text and is planned by the engine like any
other. Names without quotes are lower-cased, as the planner does.

V1  What stands in strings, quoted names and comments is nobody's keyword or parameter.
V2  An INSERT names its table (in public.iox), the columns if it likes, and a query; other changes are refused by their kind.
V3  Question marks are numbered as they come. Parameters are listed by name, each once, in the order in which values are given
    by position: numbers ($2, or the second `?`) by value, names ($host) as they first occur.

Held by tests/unit/flightserver/test_flightsql_statements.py (V1-V3).
Elsewhere: binding parameters (engine.query), running an INSERT (flightserver.handlers.updates).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from catalog.errors import InvalidRequest, UnsupportedFeature

_OPAQUE = r"""
      (?P<space>    --[^\n]*                                       )
    | (?P<comment>  /\*                                           )
    | (?P<string>   (?<![\w$])[eE]'(?:[^'\\]|\\.|'')*'?
                  | '(?:[^']|'')*'?
                  | (?<![\w$])\$(?P<tag>\w*)\$.*?\$(?P=tag)\$     )
    | (?P<name>     "(?:[^"]|"")*"? | `[^`]*`?                    )
    | (?P<mark>     (?<![\w$])\$\w+ | \?\d*                      )
"""
_NOTABLE = re.compile(_OPAQUE, re.VERBOSE | re.DOTALL)
_TOKEN = re.compile(rf"(?P<blank>\s+) | {_OPAQUE} | (?P<word>[^\W\d][\w$]*) | (?P<other>.)", re.VERBOSE | re.DOTALL)
_COMMENT_PART = re.compile(r"/\*|\*/")
_QUERIES = frozenset(("SELECT", "WITH", "VALUES", "TABLE", "FROM"))
_READS = _QUERIES | {"SHOW", "DESCRIBE", "DESC", "EXPLAIN"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    end: int

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.upper() == word


_NONE = Token("none", "", 0)


@dataclass(frozen=True, slots=True)
class Insert:
    """`source` is the query whose rows are inserted. `sole_row` holds the parameters of a source that is VALUES of one row
    of parameters and nothing else."""

    table: str
    columns: tuple[str, ...] | None
    source: str
    sole_row: tuple[str, ...] | None

    @property
    def is_values(self) -> bool:
        return kind_of(self.source) == "VALUES"


def tokens(sql: str) -> Iterator[Token]:
    """Everything but blanks and comments."""
    at = 0
    while at < len(sql):
        found = _TOKEN.match(sql, at)
        assert found is not None  # `other` takes any character
        kind, at = _kind(found), _end(found)
        if kind not in ("blank", "space", "comment"):
            yield Token(kind, found.group(), at)


def _kind(found: re.Match[str]) -> str:
    return "string" if found.lastgroup == "tag" else str(found.lastgroup)


def _end(found: re.Match[str]) -> int:
    """Comments nest."""
    if found.lastgroup != "comment":
        return found.end()
    depth = 0
    for part in _COMMENT_PART.finditer(found.string, found.start()):
        depth += 1 if part.group() == "/*" else -1
        if depth == 0:
            return part.end()
    return len(found.string)


def kind_of(sql: str) -> str:
    """The first word of a statement, in capitals; empty if it begins with none."""
    for token in tokens(sql):
        if token.kind == "word":
            return token.text.upper()
        if token.text != "(":
            break
    return ""


def is_read(sql: str) -> bool:
    return kind_of(sql) in _READS


def is_insert(sql: str) -> bool:
    return kind_of(sql) == "INSERT"


def parameters(sql: str) -> tuple[str, ...]:
    """The names of a statement's parameters, without `$`; question marks are numbered as they come (V3)."""
    names = dict.fromkeys(name for name, _, _ in _marks(sql))
    numbers = sorted((name for name in names if name.isdecimal()), key=int)
    return (*numbers, *(name for name in names if not name.isdecimal()))


def numbered(sql: str) -> str:
    """The statement with its question marks as the planner wants them: `$1`, `$2`, …"""
    parts, at = [], 0
    for name, start, end in _marks(sql):
        parts += [sql[at:start], "$", name]
        at = end
    return "".join([*parts, sql[at:]])


def _marks(sql: str) -> Iterator[tuple[str, int, int]]:
    """Every parameter as it comes, with its place. Only what can hide or be one is looked at: statements may be long."""
    asked = at = 0
    while (found := _NOTABLE.search(sql, at)) is not None:
        at = _end(found)
        if _kind(found) == "mark":
            asked += found.group() == "?"
            yield str(asked) if found.group() == "?" else found.group()[1:], found.start(), at


def parse_insert(sql: str) -> Insert:
    """The parts of an INSERT; what is not one is refused by its kind."""
    if not is_insert(sql):
        raise UnsupportedFeature(f"{kind_of(sql) or 'this'} is not supported: rows are changed by INSERT INTO only")
    head = _Head(sql)
    head.word("INSERT")
    if not head.skip_word("INTO"):
        raise UnsupportedFeature(f"INSERT {head.shown} is not supported", hint="use INSERT INTO")
    head.skip_word("TABLE")
    table = _table(head.path())
    columns = head.names_in_brackets()
    source = sql[head.at :].strip()
    if kind_of(source) not in _QUERIES:
        raise InvalidRequest(f"INSERT INTO {table} needs VALUES or a query, found: {head.shown}")
    return Insert(table, columns, source, _sole_row(sql, head.at))


def _table(path: list[str]) -> str:
    *place, table = path
    if place not in ([], ["iox"], ["public", "iox"]):
        raise InvalidRequest(f"tables live in public.iox, not in {'.'.join(place)}")
    return table


def _sole_row(sql: str, start: int) -> tuple[str, ...] | None:
    """The parameters of VALUES ($1, $2, …): numbered within the whole statement, whose head holds none."""
    parts = tokens(sql[start:].rstrip().removesuffix(";"))
    if next(parts).text.upper() != "VALUES" or next(parts, _NONE).text != "(":
        return None
    between = ","
    while between == ",":
        if next(parts, _NONE).kind != "mark":
            return None
        between = next(parts, _NONE).text
    return None if between != ")" or next(parts, None) else tuple(name for name, _, _ in _marks(sql))


class _Head:
    """Reads the beginning of an INSERT, one token ahead."""

    def __init__(self, sql: str) -> None:
        self._tokens = tokens(sql)
        self._ahead: Token | None = None
        self.at = 0
        self._advance()

    @property
    def shown(self) -> str:
        return "the end of the statement" if self._ahead is None else self._ahead.text[:100]

    def word(self, word: str) -> None:
        if not self.skip_word(word):
            raise InvalidRequest(f"expected {word}, found: {self.shown}")

    def skip_word(self, word: str) -> bool:
        found = self._ahead is not None and self._ahead.is_word(word)
        if found:
            self._advance()
        return found

    def path(self) -> list[str]:
        path = [self._name()]
        while self._skip("."):
            path.append(self._name())
        return path

    def names_in_brackets(self) -> tuple[str, ...] | None:
        """None if there is no list; a bracket that begins a query is left alone."""
        if self._ahead is None or self._ahead.text != "(":
            return None
        before = self.at, self._ahead
        self._advance()
        if self._ahead is not None and self._ahead.kind == "word" and self._ahead.text.upper() in _QUERIES:
            self.at = before[0]
            return None
        names = [self._name()]
        while self._skip(","):
            names.append(self._name())
        if not self._skip(")"):
            raise InvalidRequest(f"expected ) after the columns of INSERT, found: {self.shown}")
        if len(set(names)) < len(names):
            raise InvalidRequest("INSERT names a column twice")
        return tuple(names)

    def _name(self) -> str:
        token = self._ahead
        if token is None or token.kind not in ("word", "name"):
            raise InvalidRequest(f"expected a name in INSERT, found: {self.shown}")
        self._advance()
        if token.kind == "word":
            return token.text.lower()
        quote = token.text[0]
        return token.text[1:-1].replace(quote * 2, quote)

    def _skip(self, text: str) -> bool:
        found = self._ahead is not None and self._ahead.kind == "other" and self._ahead.text == text
        if found:
            self._advance()
        return found

    def _advance(self) -> None:
        """`at` is where the token ahead begins, but for blanks and comments."""
        if self._ahead is not None:
            self.at = self._ahead.end
        self._ahead = next(self._tokens, None)
