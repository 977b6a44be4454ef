"""Parameters: `$name`, `$1` and `?` in a statement, and the values that stand for them.

P1  A value is bound as a value: nothing that a parameter holds is ever read as SQL.
P2  Each placeholder has a value and each value a placeholder; the first that lacks the other is named.
P3  Values in a row (a sequence) belong to placeholders by position, whatever either is called: `?` as they stand, `$1`, `$2`, …
    by number, `$name` by first mention.
P4  A string that consists of a known parameter ('$host') is that parameter.

Held by tests/unit/engine/query/test_params.py (P1-P4).
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import pyarrow as pa

from engine.query.functions.tokens import Token, Tokens, string_value
from engine.query.messages import QueryRefused, planning

Parameters = Mapping[str, object] | Sequence[object]
Values = dict[str, pa.Scalar]


class Bound(NamedTuple):
    """A statement whose placeholders are all of the kind `$name`, and their values; None where they stay open."""

    text: str
    values: Values | None

    def text_of(self, placeholder: str) -> str | None:
        """What a placeholder says, if it is a text. One that is open says nothing yet."""
        if self.values is None:
            return ""
        value = self.values.get(placeholder.removeprefix("$"))
        return value.as_py() if value is not None and pa.types.is_string(value.type) else None


def placeholders(text: str) -> list[str]:
    """What values in a row belong to, in their order, as a client should see it: `$1`, `$host`; `?` counts as `$1`, `$2`, …"""
    return [f"${name}" for name in _in_order(_mentioned(Tokens(text).all))]


def left_open(text: str) -> Bound:
    """A statement whose parameters wait for values; if it has any."""
    if "$" not in text and "?" not in text:
        return Bound(text, {})
    tokens = Tokens(text)
    return Bound(_named(tokens, {}), None if _mentioned(tokens.all) else {})


def bind(text: str, given: Parameters) -> Bound:
    """P2-P4. The text changes only where `?` or a quoted parameter becomes `$name`."""
    if not given and "$" not in text and "?" not in text:
        return Bound(text, {})
    tokens = Tokens(text)
    if isinstance(given, Mapping):
        values = {name.removeprefix("$"): value for name, value in given.items()}
    else:
        names = _in_order(_mentioned(tokens.all))
        if len(given) != len(names):
            raise planning(f"the statement has {_count(len(names), 'parameter')} and was given {_count(len(given), 'value')}")
        values = dict(zip(names, given, strict=True))
    bound = _named(tokens, values)
    used = _mentioned(Tokens(bound).all) if values or bound is not text else _mentioned(tokens.all)
    for name in used:
        if name not in values:
            raise planning(f"No value found for placeholder with name ${name}")
    for name in values:
        if name not in used:
            raise planning(f"the statement has no placeholder ${name}, a value was given for it")
    return Bound(bound, {name: scalar(name, value) for name, value in values.items()})


def scalar(name: str, value: object) -> pa.Scalar:
    """Whole numbers from 0 are unsigned, as in every InfluxDB 3 door; Arrow scalars stay what they are."""
    if isinstance(value, pa.Scalar):
        return value
    if value is None:
        return pa.scalar(None)
    if isinstance(value, bool):
        return pa.scalar(value)
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise planning(f"the value of parameter ${name} does not fit into 64 bits")
        return pa.scalar(value, pa.uint64() if value >= 0 else pa.int64())
    if isinstance(value, float | str | bytes | Decimal):
        return pa.scalar(value)
    kind = (
        "JSON arrays"
        if isinstance(value, list | tuple)
        else "JSON objects"
        if isinstance(value, dict)
        else type(value).__name__
    )
    raise QueryRefused(f"{kind} are not supported as query parameters. Expected null, boolean, number, or string")


def _mentioned(tokens: Iterable[Token]) -> list[str]:
    """The names of all placeholders, each once, in the order of the text."""
    names: dict[str, None] = {}
    number = 0
    for token in tokens:
        if token.kind != "param":
            continue
        if token.name == "?":
            number += 1
            names[str(number)] = None
        else:
            names[token.name[1:]] = None
    return list(names)


def _in_order(names: list[str]) -> list[str]:
    numbered = sorted((name for name in names if name.isdecimal()), key=int)
    return numbered + [name for name in names if not name.isdecimal()]


def _named(tokens: Tokens, values: Mapping[str, object]) -> str:
    pieces: list[str] = []
    position = number = 0
    for token in tokens.all:
        quoted = string_value(token)
        if token.kind == "param" and token.name.startswith("?"):
            number += token.name == "?"
            name = str(number) if token.name == "?" else token.name[1:]
        elif quoted is not None and quoted.startswith("$") and quoted[1:] in values:
            name = quoted[1:]
        else:
            continue
        pieces += [tokens.text[position : token.start], f"${name}"]
        position = token.end
    return "".join(pieces) + tokens.text[position:] if pieces else tokens.text


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
