"""LIKE with a pattern that has no wildcards, said as what it comes to: `r LIKE 'y'` as `r IN ('y')`.

DataFusion (55) makes an equation of it itself, but compares a tag with a text there where all other conditions compare it with
a tag's value, takes 'y' and 'y' for two different things, and so answers `r LIKE 'y' AND r = 'y'` with no rows and
`r LIKE 'y' AND r <> 'y'` with those of the first condition alone.

I1  What is returned means the same as what was given, for whatever a plan can be made of.
I2  No pattern without wildcards is left where a condition can end after it, be it a plain text or a parameter's value.

Held by tests/unit/engine/query/test_likes.py (I1, I2) and tests/property/test_sql_against_duckdb.py (I1).
"""

import re
from collections.abc import Mapping

import pyarrow as pa

from engine.query.functions.tokens import Token, Tokens, string_value

_LIKE = re.compile(r"\blike\b", re.IGNORECASE)
_WILD = frozenset("%_\\")
#: what may follow a condition; what binds closer than LIKE would belong to its pattern
_FOLLOWING = re.compile(
    "and|or|then|when|else|end|is|as|from|where|group|having|order|limit|offset|fetch|window|qualify|union|except|intersect|"
    "join|inner|left|right|full|cross"
)
_SIGNS = (")", ",", ";", "]")


def without_plain_likes(text: str, values: Mapping[str, pa.Scalar]) -> str:
    """`values`: of parameters, by names without `$`."""
    if not _LIKE.search(text):
        return text
    tokens = Tokens(text)
    pieces: list[str] = []
    position = 0
    for index, token in enumerate(tokens.all[:-1]):
        pattern = tokens[index + 1]
        if token.kind == "word" and token.name == "like" and _is_plain(pattern, values) and _ends(tokens, index + 2):
            pieces += [text[position : token.start], "IN (", text[pattern.start : pattern.end], ")"]
            position = pattern.end
    return "".join(pieces) + text[position:]


def _is_plain(pattern: Token, values: Mapping[str, pa.Scalar]) -> bool:
    value = string_value(pattern)
    if pattern.kind == "param" and pattern.name[1:] in values:
        value = values[pattern.name[1:]].as_py()
    return isinstance(value, str) and _WILD.isdisjoint(value)


def _ends(tokens: Tokens, index: int) -> bool:
    if index == len(tokens):
        return True
    found = tokens[index]
    return _FOLLOWING.fullmatch(found.name) is not None if found.kind == "word" else found.name in _SIGNS
