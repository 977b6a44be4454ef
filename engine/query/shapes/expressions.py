"""DataFusion's expressions as small trees.

The Python classes of the bindings lack the order, filter and null treatment of aggregates, and refuse some kinds altogether.
What an expression is, it says when asked to serialise itself (`Expr.to_bytes`): datafusion.proto's LogicalExprNode. What is
not known here is `Opaque`, which fits nothing.

X1  A tree says what the expression says, or is Opaque where it does not. Qualifiers of columns are left out.

Held by tests/unit/engine/query/shapes/test_expressions.py (X1).
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    name: str


@dataclass(frozen=True, slots=True)
class Literal:
    value: pa.Scalar


@dataclass(frozen=True, slots=True)
class Interval:
    months: int
    days: int
    nanoseconds: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function, an operator (`Eq`, `And`, …) or one of `is_null`, `is_not_null`, `not`, `in_list`, `like`,
    `ilike`, `cast_double`, `cast_text`."""

    name: str
    arguments: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class SortKey:
    expression: "Tree"
    ascending: bool


@dataclass(frozen=True, slots=True)
class Aggregate:
    name: str
    arguments: tuple["Tree", ...]
    distinct: bool = False
    filter: "Tree | None" = None
    order: tuple[SortKey, ...] = ()
    ignores_nulls: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """With the frame that its function has by default, or one that makes no difference to it."""

    name: str
    arguments: tuple["Tree", ...]
    partition: tuple["Tree", ...]
    order: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Of a value that is still open: `$1`, `$host`."""

    name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something else."""


Tree = Column | Literal | Interval | Call | Aggregate | Window | Placeholder | Opaque
OPAQUE = Opaque()


class Expression(Protocol):
    def to_bytes(self) -> bytes: ...


def tree_of(expression: Expression) -> Tree:
    try:
        return _node(memoryview(expression.to_bytes()))
    except Exception:  # the bindings raise plain Exception for what has no serial form; that fits nothing either
        return OPAQUE


def columns_of(tree: Tree) -> Iterator[str]:
    """The names of all columns in a tree, aliases and keys included."""
    waiting: list[Tree] = [tree]
    while waiting:
        part = waiting.pop()
        match part:
            case Column(name):
                yield name
            case Call(_, arguments):
                waiting += arguments
            case Aggregate():
                waiting += [*part.arguments, *(key.expression for key in part.order)]
                waiting += [part.filter] if part.filter is not None else []
            case Window():
                waiting += [*part.arguments, *part.partition, *(key.expression for key in part.order)]


def replaced(tree: Tree, columns: Mapping[str, Tree]) -> Tree:
    """The tree with columns put in place of their names; Opaque where one is not known."""
    match tree:
        case Column(name):
            return columns.get(name, OPAQUE)
        case Call(name, arguments):
            return Call(name, _replaced(arguments, columns))
        case Aggregate():
            filter = None if tree.filter is None else replaced(tree.filter, columns)
            keys = tuple(SortKey(replaced(key.expression, columns), key.ascending) for key in tree.order)
            return Aggregate(tree.name, _replaced(tree.arguments, columns), tree.distinct, filter, keys, tree.ignores_nulls)
        case Window():
            keys = tuple(SortKey(replaced(key.expression, columns), key.ascending) for key in tree.order)
            return Window(tree.name, _replaced(tree.arguments, columns), _replaced(tree.partition, columns), keys)
        case _:
            return tree


def is_known(tree: Tree) -> bool:
    """Whether all of it was understood."""
    match tree:
        case Opaque():
            return False
        case Call(_, arguments):
            return all(map(is_known, arguments))
        case Aggregate():
            parts = [*tree.arguments, *(key.expression for key in tree.order)]
            return all(map(is_known, parts)) and (tree.filter is None or is_known(tree.filter))
        case Window():
            return all(map(is_known, [*tree.arguments, *tree.partition, *(key.expression for key in tree.order)]))
        case _:
            return True


def _replaced(trees: Sequence[Tree], columns: Mapping[str, Tree]) -> tuple[Tree, ...]:
    return tuple(replaced(each, columns) for each in trees)


# ---- datafusion.proto


def _node(data: memoryview) -> Tree:
    fields = list(_fields(data))
    if len(fields) != 1:
        return OPAQUE
    ((number, value),) = fields
    reader = _READERS.get(number)
    return OPAQUE if reader is None else reader(_Message(value))


class _Message:
    """One message's fields by number, in order."""

    def __init__(self, data: Any) -> None:
        self._values: dict[int, list[Any]] = {}
        for number, value in _fields(data):
            self._values.setdefault(number, []).append(value)

    def all(self, number: int) -> list[Any]:
        return self._values.get(number, [])

    def has(self, number: int) -> bool:
        return number in self._values

    def text(self, number: int) -> str:
        return bytes(self.all(number)[-1]).decode() if self.has(number) else ""

    def number(self, number: int) -> int:
        return int(self.all(number)[-1]) if self.has(number) else 0

    def nodes(self, number: int) -> tuple[Tree, ...]:
        return tuple(_node(each) for each in self.all(number))

    def keys(self, number: int) -> tuple[SortKey, ...]:
        keys = [_Message(each) for each in self.all(number)]
        return tuple(SortKey(_node(key.all(1)[-1]), bool(key.number(2))) for key in keys)

    def only(self, *numbers: int) -> bool:
        return self._values.keys() <= set(numbers)


def _column(message: _Message) -> Tree:
    return Column(message.text(1))


def _alias(message: _Message) -> Tree:
    return _node(message.all(1)[-1])


def _literal(message: _Message) -> Tree:
    value = _scalar(message)
    return OPAQUE if value is None else value


def _scalar(message: _Message) -> Literal | Interval | None:
    if message.has(27):  # a value of a dictionary
        return _scalar(_Message(_Message(message.all(27)[-1]).all(2)[-1]))
    if message.has(31):
        interval = _Message(message.all(31)[-1])
        return Interval(_signed32(interval.number(1)), _signed32(interval.number(2)), _signed(interval.number(3)))
    if message.has(26):
        moment = _Message(message.all(26)[-1])
        known = moment.has(2) and moment.only(2)
        return Literal(pa.scalar(_signed(moment.number(2)), pa.timestamp("ns"))) if known else None
    if message.has(1):
        return Literal(pa.scalar(bool(message.number(1))))
    if message.has(2):
        return Literal(pa.scalar(message.text(2)))
    if message.has(7):
        return Literal(pa.scalar(_signed(message.number(7))))
    if message.has(11):
        return Literal(pa.scalar(message.number(11), pa.uint64()))
    if message.has(13):
        return Literal(pa.scalar(struct.unpack("<d", struct.pack("<Q", message.number(13)))[0]))
    return None


def _binary(message: _Message) -> Tree:
    """`operands` may be more than two: a chain of one associative operator."""
    first, *others = message.nodes(1)
    tree = first
    for other in others:
        tree = Call(message.text(3), (tree, other))
    return tree


def _of_one(name: str) -> Any:
    return lambda message: Call(name, message.nodes(1)[:1])


def _in_list(message: _Message) -> Tree:
    found = Call("in_list", (*message.nodes(1), *message.nodes(2)))
    return Call("not", (found,)) if message.number(3) else found


def _cast(message: _Message) -> Tree:
    """To a double, as for the average of integers, or of a tag to text."""
    types = [number for each in message.all(2) for number, _ in _fields(each)]
    name = _CASTS.get(types[0]) if len(types) == 1 else None
    return OPAQUE if name is None else Call(name, message.nodes(1))


_CASTS = {13: "cast_double", 14: "cast_text"}


def _aggregate(message: _Message) -> Tree:
    if not message.only(1, 2, 3, 4, 5, 7):
        return OPAQUE
    filter = message.nodes(3)
    return Aggregate(
        message.text(1),
        message.nodes(2),
        bool(message.number(5)),
        filter[0] if filter else None,
        message.keys(4),
        bool(message.number(7)),
    )


def _window(message: _Message) -> Tree:
    if not message.only(9, 4, 5, 6, 8) or not message.has(9):
        return OPAQUE
    return Window(message.text(9), message.nodes(4), message.nodes(5), message.keys(6))


def _placeholder(message: _Message) -> Tree:
    return Placeholder(message.text(1))


def _function(message: _Message) -> Tree:
    return Call(message.text(1), message.nodes(2))


def _like(message: _Message, name: str = "like") -> Tree:
    escape = message.text(4)
    if escape not in ("", "\\"):
        return OPAQUE
    found = Call(name, (*message.nodes(2), *message.nodes(3)))
    return Call("not", (found,)) if message.number(1) else found


def _ilike(message: _Message) -> Tree:
    return _like(message, "ilike")


_READERS: Mapping[int, Any] = {
    1: _column,
    2: _alias,
    3: _literal,
    4: _binary,
    6: _of_one("is_null"),
    7: _of_one("is_not_null"),
    8: _of_one("not"),
    11: _cast,
    14: _in_list,
    18: _window,
    19: _aggregate,
    20: _function,
    31: _like,
    32: _ilike,
    34: _placeholder,
}


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _signed32(value: int) -> int:
    return _signed(value)  # protobuf writes a negative int32 as 64 bits


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Protobuf's wire format: numbers, and bytes of whatever they are."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
        elif kind == 1:
            yield number, struct.unpack_from("<Q", data, at)[0]
            at += 8
        elif kind == 2:
            length, at = _varint(data, at)
            yield number, data[at : at + length]
            at += length
        elif kind == 5:
            yield number, struct.unpack_from("<I", data, at)[0]
            at += 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
