"""What a statement is, before anyone plans it: its kind, its parameters, and the head of an INSERT. Pure.

Only the outside of a statement is read here; the query inside an INSERT stays text and is planned by the engine like any
other. Names without quotes are lower-cased, as the planner does.

V1  What stands in strings, quoted names and comments is nobody's keyword or parameter.
V2  An INSERT names its table (in public.iox), the columns if it likes, and a query; other changes are refused by their kind.
V3  Parameters are listed by name, each once, in the order in which values are given by position: numbers ($2, or the
    second `?`) by value, names ($host) as they first occur.

Held by tests/unit/flightserver/test_flightsql_statements.py (V1-V3).
Elsewhere: tokens and binding (engine.query), running an INSERT (flightserver.handlers.updates).
"""

import re
from dataclasses import dataclass
from itertools import islice

from catalog.errors import InvalidRequest, UnsupportedFeature
from engine.query.functions.tokens import Token, scan, string_value
from engine.query.params import placeholders

_PLAIN_START = re.compile(r"\s*([a-z]+)(?=[\s(*])", re.ASCII | re.IGNORECASE)
_QUERIES = ("select", "with", "values", "table", "from")
_READING = ("select", "from", "table", "with")
_READS = (*_QUERIES, "show", "describe", "desc", "explain")


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
        return kind_of(self.source) == "values"

    @property
    def reads_nothing(self) -> bool:
        """Whether the source is VALUES without a query in it, which can be planned by someone who may only write."""
        return self.is_values and not any(token.kind == "word" and token.name in _READING for token in scan(self.source))


def kind_of(sql: str) -> str:
    """The first word of a statement; empty if it begins with none."""
    plain = _PLAIN_START.match(sql)
    if plain is not None:  # as most do, and then there is nothing to take apart
        return plain[1].lower()
    for token in scan(sql):
        if token.kind == "word":
            return token.name
        if token.name != "(":
            break
    return ""


def is_read(sql: str) -> bool:
    return kind_of(sql) in _READS


def is_insert(sql: str) -> bool:
    return kind_of(sql) == "insert"


def parameters(sql: str) -> tuple[str, ...]:
    """The names of a statement's parameters, without `$` (V3)."""
    if "$" not in sql and "?" not in sql:
        return ()
    return tuple(name.removeprefix("$") for name in placeholders(sql))


def quoted_parameters(sql: str) -> frozenset[str]:
    """What may be a parameter too if a value of that name is given: `'$host'`, as some write it."""
    if "'$" not in sql:
        return frozenset()
    strings = (string_value(token) or "" for token in scan(sql))
    return frozenset(text[1:] for text in strings if text.startswith("$"))


def parse_insert(sql: str) -> Insert:
    """The parts of an INSERT; what is not one is refused by its kind."""
    if not is_insert(sql):
        raise UnsupportedFeature(f"{kind_of(sql).upper() or 'this'} is not supported: rows are changed by INSERT INTO only")
    head = _Head(sql)
    head.skip("insert")
    if not head.skip("into"):
        raise UnsupportedFeature(f"INSERT {head.shown} is not supported", hint="use INSERT INTO")
    head.skip("table")
    table = _table(head.path())
    columns = head.names_in_brackets()
    source = head.rest()
    if kind_of(source) not in _QUERIES:
        raise InvalidRequest(f"INSERT INTO {table} needs VALUES or a query, found: {head.shown}")
    return Insert(table, columns, source, head.sole_row())


def _table(path: list[str]) -> str:
    *place, table = path
    if place not in ([], ["iox"], ["public", "iox"]):
        raise InvalidRequest(f"tables live in public.iox, not in {'.'.join(place)}")
    return table


class _Head:
    """Reads the beginning of an INSERT, and no further than it must: what follows may be long."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = scan(sql)
        self._ahead: list[Token] = []
        while self.skip("("):
            continue

    @property
    def shown(self) -> str:
        """What stands where something else was expected."""
        found = self._peek()
        return "the end of the statement" if found is None else self._sql[found.start : found.end][:100]

    def skip(self, word: str) -> bool:
        found = self._says(0, word)
        if found:
            self._ahead.pop(0)
        return found

    def path(self) -> list[str]:
        path = [self._name()]
        while self.skip("."):
            path.append(self._name())
        return path

    def names_in_brackets(self) -> tuple[str, ...] | None:
        """None if there is no list; a bracket that begins a query is left alone."""
        begins_query = any(self._says(1, word) for word in _QUERIES)
        if begins_query or not self.skip("("):
            return None
        names = [self._name()]
        while self.skip(","):
            names.append(self._name())
        if not self.skip(")"):
            raise InvalidRequest(f"expected ) after the columns of INSERT, found: {self.shown}")
        if len(set(names)) < len(names):
            raise InvalidRequest("INSERT names a column twice")
        return tuple(names)

    def rest(self) -> str:
        found = self._peek()
        return "" if found is None else self._sql[found.start :].strip()

    def sole_row(self) -> tuple[str, ...] | None:
        """The parameters of VALUES ($1, $2, …): numbered within the whole statement, whose head holds none."""
        if not (self.skip("values") and self.skip("(")):
            return None
        names: list[str] = []
        asked = 0
        while (found := self._peek()) is not None and found.kind == "param":
            self._ahead.pop(0)
            asked += found.name == "?"
            names.append(str(asked) if found.name == "?" else found.name[1:])
            if not self.skip(","):
                break
        if not self.skip(")"):
            return None
        self.skip(";")
        return tuple(names) if names and self._peek() is None else None

    def _name(self) -> str:
        found = self._peek()
        if found is None or found.kind not in ("word", "quoted"):
            raise InvalidRequest(f"expected a name in INSERT, found: {self.shown}")
        self._ahead.pop(0)
        return found.name

    def _says(self, distance: int, word: str) -> bool:
        found = self._peek(distance)
        return found is not None and found.name == word and found.kind in ("word", "sign")

    def _peek(self, distance: int = 0) -> Token | None:
        self._ahead += islice(self._tokens, max(0, distance + 1 - len(self._ahead)))
        return self._ahead[distance] if distance < len(self._ahead) else None
