"""A scan's filter, read: which times and which tag values can match.

DataFusion hands a scan its filter as a pyarrow expression, which says what it is only when asked to serialise itself: an
Arrow IPC file whose schema metadata spells the tree in order (call, field_ref, literal, end) and whose one row holds the
literals. What is not understood narrows nothing.

F1  A row that the filter accepts lies in `times` and has, for each tag in `tags`, one of the values there.
F2  `exact` is claimed only when every row that does so is accepted.

Held by tests/unit/engine/query/test_predicate.py (F1, F2).
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from catalog.names import TIME_COLUMN
from engine.buffer.rows import TimeRange

ALL_TIME = TimeRange(-(2**63), 2**63 - 1)

Value = str | None


@dataclass(frozen=True, slots=True)
class Predicate:
    """What a filter lets through, as far as times and tags tell. A tag's values may hold None: no value."""

    times: TimeRange = ALL_TIME
    tags: Mapping[str, frozenset[Value]] = field(default_factory=dict)
    exact: bool = True

    def since(self, start_ns: int) -> "Predicate":
        """The same, without the times before `start_ns`; as exact as it was, for whoever applies `times` too."""
        return replace(self, times=replace(self.times, start_ns=max(self.times.start_ns, start_ns)))

    def both(self, other: "Predicate") -> "Predicate":
        tags = dict(self.tags)
        for name, values in other.tags.items():
            tags[name] = tags[name] & values if name in tags else values
        times = TimeRange(max(self.times.start_ns, other.times.start_ns), min(self.times.end_ns, other.times.end_ns))
        return Predicate(times, tags, self.exact and other.exact)

    def either(self, other: "Predicate") -> "Predicate":
        """The narrowest that holds both. Exact only where both speak of one and the same tag, or of nothing."""
        times = self.times.union(other.times)
        shared = self.tags.keys() & other.tags.keys()
        tags = {name: self.tags[name] | other.tags[name] for name in shared}
        alike = self.times == other.times and len(shared) == 1 and self.tags.keys() == other.tags.keys()
        return Predicate(times, tags, alike and self.exact and other.exact)


EVERYTHING = Predicate()
_UNKNOWN = Predicate(exact=False)


def expression_of(filter: pc.Expression | pa.Scalar | None) -> pc.Expression | None:
    """A scan's filter as an expression: one that the planner found to be always or never true arrives as a plain value."""
    return filter if filter is None or isinstance(filter, pc.Expression) else pc.scalar(filter)


def read_filter(expression: pc.Expression | None, tags: Sequence[str]) -> Predicate:
    """What `expression` lets through, in a table with these tags."""
    if expression is None:
        return EVERYTHING
    try:
        tree = _read_tree(expression)
    except (pa.ArrowInvalid, ValueError, IndexError, struct.error):
        return _UNKNOWN
    return _narrowed(tree, frozenset(tags))


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    arguments: tuple["_Tree", ...]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str


@dataclass(frozen=True, slots=True)
class _Literal:
    value: pa.Scalar


_Tree = _Call | _Field | _Literal

_SKELETON = ("and_kleene", "or_kleene")
_MIRRORED = {
    "less": "greater",
    "greater": "less",
    "less_equal": "greater_equal",
    "greater_equal": "less_equal",
    "equal": "equal",
}
#: calls that mean the same without their options
_PLAIN = frozenset({*_SKELETON, *_MIRRORED, "not_equal", "is_null", "is_valid", "invert"})


def _narrowed(tree: _Tree, tags: frozenset[str]) -> Predicate:
    """Bottom up over the and/or skeleton, again without recursion."""
    done: list[Predicate] = []
    waiting: list[tuple[_Tree, bool]] = [(tree, False)]
    while waiting:
        part, visited = waiting.pop()
        if isinstance(part, _Call) and part.name in _SKELETON and len(part.arguments) == 2:
            if visited:
                right, left = done.pop(), done.pop()
                done.append(left.both(right) if part.name == "and_kleene" else left.either(right))
            else:
                waiting += [(part, True), (part.arguments[1], False), (part.arguments[0], False)]
        else:
            done.append(_leaf(part, tags))
    return done[0]


def _leaf(tree: _Tree, tags: frozenset[str]) -> Predicate:
    if not isinstance(tree, _Call):
        return _UNKNOWN
    arguments = tree.arguments
    if tree.name == "is_null" and isinstance(arguments[0], _Field) and arguments[0].name in tags:
        return Predicate(tags={arguments[0].name: frozenset([None])})
    if len(arguments) == 2 and tree.name in _MIRRORED:
        left, right = arguments
        if isinstance(left, _Field) and isinstance(right, _Literal):
            return _compared(tree.name, left.name, right.value, tags)
        if isinstance(left, _Literal) and isinstance(right, _Field):
            return _compared(_MIRRORED[tree.name], right.name, left.value, tags)
    return _UNKNOWN


def _compared(comparison: str, name: str, literal: pa.Scalar, tags: frozenset[str]) -> Predicate:
    if name in tags and comparison == "equal":
        value = literal.as_py()
        return Predicate(tags={name: frozenset([value])}) if isinstance(value, str) else _UNKNOWN
    if name == TIME_COLUMN and pa.types.is_timestamp(literal.type) and literal.type.unit == "ns" and literal.is_valid:
        at = literal.value
        first, last = ALL_TIME.start_ns, ALL_TIME.end_ns
        ends = {
            "equal": (at, at),
            "less": (first, max(at - 1, first)),
            "less_equal": (first, at),
            "greater": (min(at + 1, last), last),
            "greater_equal": (at, last),
        }
        return Predicate(TimeRange(*ends[comparison]), exact=first < at < last)
    return _UNKNOWN


def _read_tree(expression: pc.Expression) -> _Tree:
    """Words come in order: a call's name, its arguments, `end`. No recursion: an IN of a thousand values is that deep."""
    reader = pa.ipc.open_file(expression.__reduce__()[1][0])
    literals = reader.get_batch(0)
    open_calls: list[tuple[str, list[_Tree]]] = [("", [])]
    for kind, value in _metadata(reader.schema.serialize()):
        if kind == "call":
            open_calls.append((value, []))
        elif kind == "field_ref":
            open_calls[-1][1].append(_Field(value))
        elif kind == "literal":
            open_calls[-1][1].append(_Literal(literals.column(int(value))[0]))
        elif kind == "end":
            name, arguments = open_calls.pop()
            open_calls[-1][1].append(_Call(name, tuple(arguments)))
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
    waiting: list[tuple[_Tree, bool]] = [(tree, False)]
    while waiting:
        part, visited = waiting.pop()
        if isinstance(part, _Field):
            done.append(pc.field(part.name))
        elif isinstance(part, _Literal):
            done.append(
                pc.scalar(pa.scalar(part.value.as_py(), pa.utf8()) if part.value.type == pa.string_view() else part.value)
            )
        elif part.name not in _PLAIN or not part.arguments:
            return expression
        elif visited:
            arguments = done[-len(part.arguments) :]
            del done[-len(part.arguments) :]
            done.append(getattr(pc, part.name)(*arguments))
        else:
            waiting += [(part, True), *((argument, False) for argument in reversed(part.arguments))]
    return done[0]
