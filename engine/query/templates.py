"""Statements that differ in nothing but the values their columns are compared with, as those of a dashboard do.

    text ─▶ template: values taken out ─▶ the reading of its plan, which is kept ─▶ bound to the values ─▶ outline

To plan a statement takes some milliseconds, to bind a reading a tenth of one. What is taken out are texts that stand right
behind a comparison, in a list or a range, and moments relative to now: which of them are times, the columns tell.

L1  A reading is kept only after it said, bound to the values of the statement that it was learned from, what that
    statement's own plan says; a template of which this is not so is not tried again.
L2  A reading holds for one state of the catalog, and says nothing about rows.
L3  TEMPLATES_MAX are kept, those asked for last. A template is learned when it is seen for the second time.
L4  What a text was found to say is kept for as many texts, for who asks again in the same state of the catalog:
    GetFlightInfo and the DoGet after it bind once. It is a value, so any number of statements may use it at once.

Held by tests/unit/engine/query/test_templates.py (L1-L4).
Elsewhere: plans that are kept for one text (plans.py), statements whose values come apart from their text (params.py).
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

import pyarrow as pa

from engine.query.plans import Key as PlanKey
from engine.query.shapes.outline import Outline, Reading
from engine.query.shapes.values import Values

TEMPLATES_MAX = 256
TEXT_MAX = 10_000

_TEXT = r"'(?:[^']|'')*+'"
#: not the first part of something longer
_ALONE = r"(?! \s* (?: -(?!-) | [+*/:|] ))"
_PART = re.compile(
    rf"""
    (?P<sign> (?:<> | != | <= | >= | < | > | =) \s*)
      (?: (?P<text>{_TEXT})
        | now\(\s*\) (?: \s* - \s* INTERVAL \s* '(?P<count>\d{{1,9}}) \s* (?P<unit>second|minute|hour|day|week)s?' )?
      ) {_ALONE}
    | (?P<listed> \bIN \s* \( \s* {_TEXT} (?: \s* , \s* {_TEXT} )* \s* \) )
    | (?P<range> \bBETWEEN \s+ {_TEXT} \s+ AND \s+ {_TEXT} ) {_ALONE}
    | (?P<other> {_TEXT} ) | "(?:[^"]|"")*+" | --[^\n]*
    | (?P<given> \$\w+ )
    | (?P<strange> /\* | \$ | \? | \b[eE]' | \bnow\b | \btoday\b | \bcurrent_ | \blocaltime )
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_ONE_TEXT = re.compile(_TEXT)
_PLACE = re.compile(r"\$_\d+")
_UNIT_NS = {
    unit: count * 10**9 for unit, count in {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}.items()
}


@dataclass(frozen=True, slots=True)
class Template:
    text: str
    values: Values
    #: of the values that came apart from the text
    types: tuple[tuple[str, str], ...] = ()

    @property
    def spelled(self) -> str:
        """A statement with these values in their places, which says the same whenever it is asked."""
        return _PLACE.sub(lambda found: _spelled(self.values[found[0]]), self.text)


def template_of(
    text: str, given: Mapping[str, object] | None = None, now_ns: Callable[[], int] = time.time_ns
) -> Template | None:
    """None for a text in which there is nothing to take out, or something that cannot be told from values here."""
    if len(text) > TEXT_MAX:
        return None
    taking = _Taking({f"${name.removeprefix('$')}": value for name, value in (given or {}).items()}, now_ns)
    template = _PART.sub(taking.taken, text)
    values = taking.values
    if not values or taking.is_strange or taking.given.keys() - values.keys():
        return None
    return Template(template, values, tuple(sorted((name, type(value).__name__) for name, value in taking.given.items())))


class _Taking:
    """Goes through a text, and takes values out of it."""

    def __init__(self, given: Mapping[str, object], now_ns: Callable[[], int]) -> None:
        self.given = given
        self.values: dict[str, object] = {}
        self.is_strange = any(name.startswith("$_") for name in given)
        self._now_ns = now_ns
        self._moment_ns: int | None = None

    def taken(self, found: re.Match[str]) -> str:
        if found["listed"] or found["range"]:
            return _ONE_TEXT.sub(lambda each: self._place(each[0]), found[0])
        if found["text"]:
            return found["sign"] + self._place(found["text"])
        if found["sign"]:
            before_ns = int(found["count"]) * _UNIT_NS[found["unit"].lower()] if found["count"] else 0
            return found["sign"] + self._put(pa.scalar(self._moment() - before_ns, pa.timestamp("ns")))
        if found["given"]:
            self.is_strange |= found["given"] not in self.given
            self.values[found["given"]] = self.given.get(found["given"])
        elif found["strange"] or (found["other"] and "$" in found["other"]):
            self.is_strange = True
        return found[0]

    def _place(self, quoted: str) -> str:
        self.is_strange |= quoted.startswith("'$")  # perhaps the name of a parameter
        return self._put(quoted[1:-1].replace("''", "'"))

    def _put(self, value: object) -> str:
        name = f"$_{len(self.values) + 1}"
        self.values[name] = value
        return name

    def _moment(self) -> int:
        """One for the whole statement."""
        if self._moment_ns is None:
            self._moment_ns = self._now_ns()
        return self._moment_ns


def _spelled(value: object) -> str:
    if isinstance(value, pa.TimestampScalar):
        seconds, rest_ns = divmod(value.value, 10**9)
        text = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09}Z"
    else:
        text = str(value)
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Known:
    """What a template's statements have in common."""

    schema: pa.Schema
    reading: Reading


Key = tuple[int, int, str, object]
"""The catalog's state, the database, the template's text, and the types of values that came apart from it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a statement says, as one of its template."""

    schema: pa.Schema
    outline: Outline
    like: Key


class Seen(Enum):
    """What there is of a template that is not known."""

    ONCE = "it is learned next time"
    IN_VAIN = "it is not tried again (L1), or being learned"


class Templates:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: OrderedDict[PlanKey, Told] = OrderedDict()
        self._known: OrderedDict[Key, Known | Seen] = OrderedDict()

    def find(self, key: Key) -> Known | None:
        with self._lock:
            found = self._known.get(key)
            if found is None:
                return None
            self._known.move_to_end(key)
        return found if isinstance(found, Known) else None

    def told(self, text_key: PlanKey | None) -> Told | None:
        """What this text says, if somebody has asked (L4)."""
        return None if text_key is None else self._told.get(text_key)

    def tell(self, text_key: PlanKey | None, told: Told) -> None:
        if text_key is None:
            return
        with self._lock:
            self._told[text_key] = told
            if len(self._told) > TEMPLATES_MAX:
                self._told.popitem(last=False)

    def is_due(self, key: Key) -> bool:
        """Whether to learn it now; whoever is told so keeps what comes of it (L3)."""
        with self._lock:
            found = self._known.get(key)
            if found is None:
                self._put(key, Seen.ONCE)
            if found is not Seen.ONCE:
                return False
            self._known[key] = Seen.IN_VAIN
            return True

    def keep(self, key: Key, known: Known) -> None:
        with self._lock:
            self._put(key, known)

    def _put(self, key: Key, known: Known | Seen) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > TEMPLATES_MAX:
            self._known.popitem(last=False)
