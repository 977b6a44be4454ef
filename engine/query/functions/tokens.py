"""SQL as tokens: strings, names, comments and brackets told apart, and nothing more than that.

K1  Every character of a statement lies in exactly one token or in the space between two.
K2  What stands in a string, a quoted name or a comment is never taken for anything else.

Held by tests/unit/engine/query/test_tokens.py (K1, K2).
Elsewhere: what statements mean (DataFusion).
"""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

Kind = Literal["word", "quoted", "string", "param", "number", "sign"]

_TOKEN = re.compile(
    r"""
      (?P<space>  \s+ | --[^\n]* )
    | (?P<comment> /\* )
    | (?P<string> [eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?:'|\Z)
                | (?:[nNxXbBrR]|[uU]&)?'[^']*(?:''[^']*)*(?:'|\Z)
                | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|\Z) )
    | (?P<quoted> "[^"]*(?:""[^"]*)*(?:"|\Z) | `[^`]*(?:`|\Z) )
    | (?P<param>  \$\w+ | \?\d* )
    | (?P<word>   (?:[^\W\d]|[@\#])[\w$@\#]* )
    | (?P<number> (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)? )
    | (?P<sign>   :: | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = frozenset(_OPEN.values())


class Token(NamedTuple):
    """`name` is what the token says: a word in lower case, a quoted name without its quotes, else the text itself."""

    kind: Kind
    start: int
    end: int
    name: str


class Tokens:
    """The tokens of a statement. `close` leads from an opening bracket to its closing one, or to the end where it lacks."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.all = list(scan(text))
        self.close: dict[int, int] = {}
        self.depth = 0
        open_brackets: list[int] = []
        for index, token in enumerate(self.all):
            if token.kind != "sign":
                continue
            if token.name in _OPEN:
                open_brackets.append(index)
                self.depth = max(self.depth, len(open_brackets))
            elif token.name in _CLOSE and open_brackets and _OPEN[self.all[open_brackets[-1]].name] == token.name:
                self.close[open_brackets.pop()] = index
        for index in open_brackets:
            self.close[index] = len(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, index: int) -> Token:
        return self.all[index]

    def source(self, start: int, stop: int) -> str:
        """The text of tokens [start, stop), as it was written."""
        return self.text[self.all[start].start : self.all[stop - 1].end] if start < stop else ""

    def says(self, index: int, *words: str) -> bool:
        """Whether these words or signs stand at `index`, one after another. Quoted names say nothing."""
        if index < 0 or index + len(words) > len(self.all):
            return False
        for at, word in enumerate(words, start=index):
            token = self.all[at]
            if token.name != word or token.kind not in ("word", "sign"):
                return False
        return True

    def is_name(self, index: int) -> bool:
        return 0 <= index < len(self.all) and self.all[index].kind in ("word", "quoted")

    def is_call(self, index: int) -> bool:
        """Whether a function's name stands at `index`, with its arguments in brackets after it."""
        return (
            self.is_name(index)
            and self.says(index + 1, "(")
            and not self.says(index - 1, ".")
            and not self.says(index - 1, "as")
        )

    def over(self, index: int) -> int:
        """The index after the token at `index`, or after its closing bracket if it opens one."""
        close = self.close.get(index)
        return index + 1 if close is None else min(close + 1, len(self.all))

    def split(self, start: int, stop: int, sign: str = ",") -> list[tuple[int, int]]:
        """[start, stop) cut at each `sign` that no bracket holds; nothing at all is no part."""
        parts: list[tuple[int, int]] = []
        begin = index = start
        while index < stop:
            if self.says(index, sign):
                parts.append((begin, index))
                begin = index + 1
            index = self.over(index)
        return [*parts, (begin, stop)] if parts or begin < stop else []

    def arguments(self, index: int) -> list[tuple[int, int]]:
        """Of the call at `index`: where each argument starts and stops."""
        return self.split(index + 2, min(self.close[index + 1], len(self.all)))


def scan(text: str) -> Iterator[Token]:
    """The tokens as they are found: who needs the first few need not read a long statement."""
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        assert found is not None  # the last alternative takes any character
        kind, end = found.lastgroup, found.end()
        if kind == "comment":
            end = _end_of_comment(text, end)
        elif kind == "word":
            yield Token("word", position, end, text[position:end].lower())
        elif kind == "quoted":
            yield Token("quoted", position, end, _unquoted(text[position:end]))
        elif kind in ("string", "param", "number", "sign"):
            yield Token(kind, position, end, text[position:end])  # type: ignore[arg-type]
        position = end


def _end_of_comment(text: str, position: int) -> int:
    """Comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, position):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


def _unquoted(name: str) -> str:
    quote = name[0]
    return name[1:].removesuffix(quote).replace(quote * 2, quote)


def string_value(token: Token) -> str | None:
    """What a plain string says; None for those with a prefix and for anything else."""
    if token.kind != "string" or not token.name.startswith("'"):
        return None
    return token.name[1:].removesuffix("'").replace("''", "'")


def quoted_string(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
