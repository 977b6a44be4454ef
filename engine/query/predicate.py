"""A scan's filter, read: which times and which tag values can match.

DataFusion hands a scan its filter as a pyarrow expression, which says what it is only when asked to serialise itself: an
Arrow IPC file whose schema metadata spells the tree in order (call, field_ref, literal, end) and whose one row holds the
literals. What is not understood narrows nothing. What a plan keeps
to itself above a scan is read the same way, from shapes/expressions.py.

F1  A row that the filter accepts lies in `times`, has, for each tag in `tags`, one of the values there, for each tag in
    `without` none of those, and for each tag in `tests` a value that passes them.
F2  `exact` is claimed only when every row that does so is accepted.
F3  `expression_for` accepts exactly the rows that do so.

Held by tests/unit/engine/query/test_predicate.py (F1-F3).
"""

import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_, or_

import pyarrow as pa
import pyarrow.compute as pc

from catalog.names import TIME_COLUMN
from engine.buffer.rows import TimeRange
from engine.hydrate import TAG_ARROW
from engine.query.shapes.expressions import Call, Column, Literal, Tree, columns_of
from engine.query.texts import Either, OneOf, Test, like, matches
from engine.query.texts import expression_of as expression_of_tests

ALL_TIME = TimeRange(-(2**63), 2**63 - 1)

Value = str | None


@dataclass(frozen=True, slots=True)
class Predicate:
    """What a filter lets through, as far as times and tags tell. A tag's values may hold None: no value."""

    times: TimeRange = ALL_TIME
    tags: Mapping[str, frozenset[Value]] = field(default_factory=dict)
    exact: bool = True
    without: Mapping[str, frozenset[Value]] = field(default_factory=dict)
    #: conditions on texts, all of which a tag's value passes; no value passes none
    tests: Mapping[str, tuple[Test, ...]] = field(default_factory=dict)

    @property
    def tested(self) -> Sequence[str]:
        """The tags that it speaks of."""
        return list(dict.fromkeys([*self.tags, *self.without, *self.tests]))

    def since(self, start_ns: int) -> "Predicate":
        """The same, without the times before `start_ns`; as exact as it was, for whoever applies `times` too."""
        return replace(self, times=replace(self.times, start_ns=max(self.times.start_ns, start_ns)))

    def both(self, other: "Predicate") -> "Predicate":
        tags = dict(self.tags)
        for name, values in other.tags.items():
            tags[name] = tags[name] & values if name in tags else values
        without = dict(self.without)
        for name, values in other.without.items():
            without[name] = without.get(name, frozenset()) | values
        tests = dict(self.tests)
        for name, own in other.tests.items():
            tests[name] = tuple(dict.fromkeys([*tests.get(name, ()), *own]))
        times = TimeRange(max(self.times.start_ns, other.times.start_ns), min(self.times.end_ns, other.times.end_ns))
        return Predicate(times, tags, self.exact and other.exact, without, tests)

    def either(self, other: "Predicate") -> "Predicate":
        """The narrowest that holds both. Exact only where both speak of one and the same tag, or of nothing."""
        times = self.times.union(other.times)
        if (self.tests or other.tests) and self.tested == other.tested and len(self.tested) == 1:
            (name,) = self.tested
            one, two = self._as_tests(name), other._as_tests(name)
            if one is not None and two is not None:
                exact = self.exact and other.exact and self.times == other.times
                return Predicate(times, exact=exact, tests={name: (Either(one, two),)})
        shared = self.tags.keys() & other.tags.keys()
        tags = {name: self.tags[name] | other.tags[name] for name in shared}
        without = {name: self.without[name] & other.without[name] for name in self.without.keys() & other.without.keys()}
        alike = self.times == other.times and len(shared) == 1 and self.tags.keys() == other.tags.keys()
        plain = not (self.without or other.without or self.tests or other.tests)
        return Predicate(times, tags, alike and plain and self.exact and other.exact, without)

    def _as_tests(self, name: str) -> tuple[Test, ...] | None:
        """What it says of a tag, where a row without the tag does not pass."""
        values, excluded = self.tags.get(name), self.without.get(name)
        if values is not None and None in values:
            return None
        if values is None and not self.tests.get(name) and (excluded is None or None not in excluded):
            return None
        listed = () if values is None else (OneOf(_known(values)),)
        unlisted = () if excluded is None else (OneOf(_known(excluded), negated=True),)
        return *self.tests.get(name, ()), *listed, *unlisted


def _known(values: frozenset[Value]) -> frozenset[str]:
    return frozenset(value for value in values if value is not None)


EVERYTHING = Predicate()
_UNKNOWN = Predicate(exact=False)


def expression_of(filter: pc.Expression | pa.Scalar | None) -> pc.Expression | None:
    """A scan's filter as an expression: one that the planner found to be always or never true arrives as a plain value."""
    return filter if filter is None or isinstance(filter, pc.Expression) else pc.scalar(filter)


def expression_for(predicate: Predicate) -> pc.Expression | None:
    """The predicate as a filter (F3); None for one that lets everything through."""
    parts: list[pc.Expression] = []
    time = pc.field(TIME_COLUMN)
    if predicate.times.start_ns > ALL_TIME.start_ns:
        parts.append(time >= pa.scalar(predicate.times.start_ns, pa.timestamp("ns")))
    if predicate.times.end_ns < ALL_TIME.end_ns:
        parts.append(time <= pa.scalar(predicate.times.end_ns, pa.timestamp("ns")))
    parts += [_any_of(name, values) for name, values in predicate.tags.items()]
    for name, values in predicate.without.items():
        parts.append(~_any_of(name, values) if None in values else ~_any_of(name, values) | pc.field(name).is_null())
    parts += [expression_of_tests(tests, name) for name, tests in predicate.tests.items()]
    return reduce(and_, parts) if parts else None


def _any_of(name: str, values: frozenset[Value]) -> pc.Expression:
    """True or false, or, for a null that is not among the values, null."""
    known = [pc.field(name) == pa.scalar(value, TAG_ARROW) for value in sorted(value for value in values if value is not None)]
    if None in values:
        empty = pc.field(name).is_null()
        return reduce(or_, [empty, *(~empty & each for each in known)])
    return reduce(or_, known) if known else pc.scalar(False)


def columns_in(expression: pc.Expression, names: Collection[str]) -> frozenset[str]:
    """Those of `names` that an expression speaks of; all where it cannot be read."""
    try:
        return frozenset(columns_of(_read_tree(expression))) & frozenset(names)
    except (pa.ArrowInvalid, ValueError, IndexError, struct.error):
        return frozenset(names)


def read_filter(expression: pc.Expression | None, tags: Sequence[str]) -> Predicate:
    """What `expression` lets through, in a table with these tags."""
    if expression is None:
        return EVERYTHING
    try:
        return narrowed(_read_tree(expression), frozenset(tags))
    except (
        pa.ArrowInvalid,
        ValueError,
        IndexError,
        struct.error,
        RecursionError,
    ):  # the last: a chain of a thousand conditions
        return _UNKNOWN


#: pyarrow's names for what DataFusion calls otherwise
_NAMES = {
    "and_kleene": "And",
    "or_kleene": "Or",
    "equal": "Eq",
    "not_equal": "NotEq",
    "less": "Lt",
    "less_equal": "LtEq",
    "greater": "Gt",
    "greater_equal": "GtEq",
    "is_valid": "is_not_null",
    "invert": "not",
}
_SKELETON = ("And", "Or")
_MIRRORED = {"Lt": "Gt", "Gt": "Lt", "LtEq": "GtEq", "GtEq": "LtEq", "Eq": "Eq", "NotEq": "NotEq"}
#: calls that mean the same without their options, as pyarrow calls them
_PLAIN = {ours: name for name, ours in _NAMES.items()} | {"is_null": "is_null"}


def narrowed(tree: Tree, tags: Collection[str]) -> Predicate:
    """Bottom up over the and/or skeleton, again without recursion."""
    done: list[Predicate] = []
    waiting: list[tuple[Tree, bool]] = [(tree, False)]
    while waiting:
        part, visited = waiting.pop()
        if isinstance(part, Call) and part.name in _SKELETON and len(part.arguments) == 2:
            if visited:
                right, left = done.pop(), done.pop()
                done.append(left.both(right) if part.name == "And" else left.either(right))
            else:
                waiting += [(part, True), (part.arguments[1], False), (part.arguments[0], False)]
        else:
            done.append(_leaf(part, tags))
    return done[0]


def _leaf(tree: Tree, tags: Collection[str]) -> Predicate:
    match tree:
        case Call(comparison, (Column(name), Literal(value))) if comparison in _MIRRORED:
            return _compared(comparison, name, value, tags)
        case Call(comparison, (Literal(value), Column(name))) if comparison in _MIRRORED:
            return _compared(_MIRRORED[comparison], name, value, tags)
        case Call("not", (Call("like" | "ilike" as word, (left, Literal(value))),)):
            return _tested(word, left, value, tags, negated=True)
        case Call("like" | "ilike" as word, (left, Literal(value))):
            return _tested(word, left, value, tags, negated=False)
        case Call("RegexMatch" | "RegexIMatch" as word, (left, Literal(value))):
            return _tested(word, left, value, tags, negated=False)
        case Call("RegexNotMatch" | "RegexNotIMatch" as word, (left, Literal(value))):
            return _tested(word, left, value, tags, negated=True)
        case Call("is_null", (Column(name),)) if name in tags:
            return Predicate(tags={name: frozenset([None])})
        case Call("is_not_null", (Column(name),)) | Call("not", (Call("is_null", (Column(name),)),)) if name in tags:
            return Predicate(without={name: frozenset([None])})
        case Call("in_list", (Column(name), *listed)) if name in tags:
            values = _texts(listed)
            return _UNKNOWN if values is None else Predicate(tags={name: values})
        case Call("not", (Call("in_list", (Column(name), *listed)),)) if name in tags:
            values = _texts(listed)
            return _UNKNOWN if values is None else Predicate(without={name: values | {None}})
    return _UNKNOWN


def _tested(word: str, left: Tree, literal: pa.Scalar, tags: Collection[str], *, negated: bool) -> Predicate:
    column = left.arguments[0] if isinstance(left, Call) and left.name == "cast_text" else left
    pattern = literal.as_py()
    if not isinstance(column, Column) or column.name not in tags or not isinstance(pattern, str):
        return _UNKNOWN
    ignores_case = word in ("ilike", "RegexIMatch", "RegexNotIMatch")
    made = like if word in ("like", "ilike") else matches
    test = made(pattern, ignores_case=ignores_case, negated=negated)
    return _UNKNOWN if test is None else Predicate(exact=test.exact, tests={column.name: (test,)})


def _texts(listed: Sequence[Tree]) -> frozenset[Value] | None:
    values = [each.value.as_py() if isinstance(each, Literal) else None for each in listed]
    return frozenset(values) if all(isinstance(value, str) for value in values) else None


def _compared(comparison: str, name: str, literal: pa.Scalar, tags: Collection[str]) -> Predicate:
    if name in tags and comparison in ("Eq", "NotEq"):
        value = literal.as_py()
        if not isinstance(value, str):
            return _UNKNOWN
        if comparison == "NotEq":
            return Predicate(without={name: frozenset([value, None])})
        return Predicate(tags={name: frozenset([value])})
    if name == TIME_COLUMN and comparison != "NotEq" and _is_moment(literal):
        at = literal.value
        first, last = ALL_TIME.start_ns, ALL_TIME.end_ns
        ends = {
            "Eq": (at, at),
            "Lt": (first, max(at - 1, first)),
            "LtEq": (first, at),
            "Gt": (min(at + 1, last), last),
            "GtEq": (at, last),
        }
        return Predicate(TimeRange(*ends[comparison]), exact=first < at < last)
    return _UNKNOWN


def _is_moment(literal: pa.Scalar) -> bool:
    return bool(pa.types.is_timestamp(literal.type) and literal.type.unit == "ns" and literal.is_valid)


def _read_tree(expression: pc.Expression) -> Tree:
    """Words come in order: a call's name, its arguments, `end`. No recursion: an IN of a thousand values is that deep."""
    reader = pa.ipc.open_file(expression.__reduce__()[1][0])
    literals = reader.get_batch(0)
    open_calls: list[tuple[str, list[Tree]]] = [("", [])]
    for kind, value in _metadata(reader.schema.serialize()):
        if kind == "call":
            open_calls.append((value, []))
        elif kind == "field_ref":
            open_calls[-1][1].append(Column(value))
        elif kind == "literal":
            open_calls[-1][1].append(Literal(literals.column(int(value))[0]))
        elif kind == "end":
            name, arguments = open_calls.pop()
            open_calls[-1][1].append(Call(_NAMES.get(name, name), tuple(arguments)))
        elif kind != "options":
            raise ValueError(f"unknown part of an expression: {kind}")
    ((tree,),) = (arguments for _, arguments in open_calls)
    return tree


def _metadata(message: pa.Buffer) -> list[tuple[str, str]]:
    """The key-value pairs of an encapsulated schema message, in order; pyarrow's dict keeps one of each key only."""
    data = memoryview(message)
    start = 8 if struct.unpack_from("<I", data)[0] == 0xFFFFFFFF else 4
    table = _Flat(data, start + struct.unpack_from("<I", data, start)[0])
    schema = table.table(2)  # Message.header
    return [(pair.text(0), pair.text(1)) for pair in schema.tables(2)]  # Schema.custom_metadata


class _Flat:
    """A flatbuffers table, as much of it as is needed here."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self._at = at

    def table(self, field_number: int) -> "_Flat":
        return _Flat(self._data, self._follow(self._field(field_number)))

    def tables(self, field_number: int) -> list["_Flat"]:
        at = self._field(field_number)
        if at == 0:
            return []
        vector = self._follow(at)
        (count,) = struct.unpack_from("<I", self._data, vector)
        return [_Flat(self._data, self._follow(vector + 4 + 4 * item)) for item in range(count)]

    def text(self, field_number: int) -> str:
        at = self._field(field_number)
        if at == 0:
            return ""
        start = self._follow(at)
        (length,) = struct.unpack_from("<I", self._data, start)
        return bytes(self._data[start + 4 : start + 4 + length]).decode()

    def _field(self, number: int) -> int:
        (back,) = struct.unpack_from("<i", self._data, self._at)
        layout = self._at - back
        (size,) = struct.unpack_from("<H", self._data, layout)
        if 4 + 2 * number >= size:
            return 0
        (offset,) = struct.unpack_from("<H", self._data, layout + 4 + 2 * number)
        return self._at + offset if offset else 0

    def _follow(self, at: int) -> int:
        return int(at + struct.unpack_from("<I", self._data, at)[0])


def with_plain_strings(expression: pc.Expression) -> pc.Expression:
    """The same, with texts as Utf8 where they are views, which pyarrow cannot compare. What is not understood stays."""
    try:
        tree = _read_tree(expression)
    except (pa.ArrowInvalid, ValueError, IndexError, struct.error):
        return expression
    done: list[pc.Expression] = []
    waiting: list[tuple[Tree, bool]] = [(tree, False)]
    while waiting:
        part, visited = waiting.pop()
        if isinstance(part, Column):
            done.append(pc.field(part.name))
        elif isinstance(part, Literal):
            done.append(
                pc.scalar(pa.scalar(part.value.as_py(), pa.utf8()) if part.value.type == pa.string_view() else part.value)
            )
        elif not isinstance(part, Call) or part.name not in _PLAIN or not part.arguments:
            return expression
        elif visited:
            arguments = done[-len(part.arguments) :]
            del done[-len(part.arguments) :]
            done.append(getattr(pc, _PLAIN[part.name])(*arguments))
        else:
            waiting += [(part, True), *((argument, False) for argument in reversed(part.arguments))]
    return done[0]
