"""Conditions that a tag's value fulfils or not, whatever row it stands in: patterns, and lists where one of several will do.

T1  A test says of a text what the plan's condition says of it, or, where `exact` is not claimed, no less than that.
T2  What the two regular expression engines may read differently (classes, flags, escapes of letters) is no test.

Held by tests/unit/engine/query/test_texts.py (T1, T2).
Elsewhere: reading them from a filter (predicate.py), series and rows by them (select.py, scan.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

#: an array of texts, or an expression that stands for one
Texts: TypeAlias = pa.StringArray | pc.Expression
Answers: TypeAlias = pa.BooleanArray | pc.Expression

_LIKE = re.compile(r"(?:[^\\]|\\[\\%_])*", re.DOTALL)
_CLASS = r"\[\^?(?:[\w /:,=@#%<>!;\"'.*+?$|(){}-])+\]"
_REGEX = re.compile(
    rf"(?:[\w /:,=@#%&~<>!;\"'-]|\.|\||\^|\$|\((?!\?)|\)|(?<=[\w)\].])[*+?]|\\[.\-/+*?()|^$\[\]]|{_CLASS})*", re.ASCII
)


@dataclass(frozen=True, slots=True)
class _Pattern:
    pattern: str
    ignores_case: bool = False
    negated: bool = False

    @property
    def exact(self) -> bool:
        return not self.ignores_case

    def of(self, texts: Texts) -> Answers:
        return _judged(self._found(texts), texts, negated=self.negated, ascii_only=self.ignores_case)

    def _found(self, texts: Texts) -> Answers:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Like(_Pattern):
    def _found(self, texts: Texts) -> Answers:
        return pc.match_like(texts, self.pattern, ignore_case=self.ignores_case)


@dataclass(frozen=True, slots=True)
class Matches(_Pattern):
    """A regular expression, found anywhere in the text."""

    def _found(self, texts: Texts) -> Answers:
        return pc.match_substring_regex(texts, self.pattern, ignore_case=self.ignores_case)


@dataclass(frozen=True, slots=True)
class OneOf:
    values: frozenset[str]
    negated: bool = False
    exact: bool = True

    def of(self, texts: Texts) -> Answers:
        said = pc.is_in(texts, value_set=pa.array(sorted(self.values), pa.utf8()))
        return pc.invert(said) if self.negated else said


@dataclass(frozen=True, slots=True)
class Either:
    """All of the one, or all of the other."""

    one: tuple["Test", ...]
    other: tuple["Test", ...]

    @property
    def exact(self) -> bool:
        return all(test.exact for test in (*self.one, *self.other))

    def of(self, texts: Texts) -> Answers:
        return pc.or_kleene(all_of(self.one, texts), all_of(self.other, texts))


Test: TypeAlias = Like | Matches | OneOf | Either


def all_of(tests: Sequence[Test], texts: Texts) -> Answers:
    return reduce(pc.and_kleene, [test.of(texts) for test in tests])


def expression_of(tests: Sequence[Test], name: str) -> pc.Expression:
    """The tests of a tag as a filter; a row without the tag passes none."""
    texts = pc.field(name).cast(pa.utf8())
    return reduce(and_, [pc.field(name).is_valid(), *(test.of(texts) for test in tests)])


def like(pattern: str, *, ignores_case: bool, negated: bool) -> Like | None:
    return Like(pattern, ignores_case, negated) if _LIKE.fullmatch(pattern) else None


def matches(pattern: str, *, ignores_case: bool, negated: bool) -> Matches | None:
    if _REGEX.fullmatch(pattern) is None:  # T2
        return None
    try:
        pc.match_substring_regex(pa.array([""]), pattern, ignore_case=ignores_case)
    except pa.ArrowInvalid:
        return None
    return Matches(pattern, ignores_case, negated)


def _judged(said: Answers, texts: Texts, *, negated: bool, ascii_only: bool) -> Answers:
    """Which letters are alike beyond ASCII is a matter of tables: a text with such letters passes, and is judged later."""
    if negated:
        said = pc.invert(said)
    return pc.or_kleene(said, pc.invert(pc.string_is_ascii(texts))) if ascii_only else said
