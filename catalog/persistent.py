"""A mapping that is never changed, only succeeded by another one that shares all but a few of its parts.

    branch   a tuple of 32 nodes, chosen among by five bits of the key's hash; the next five bits choose one level below
    leaf     a dict of up to 32 entries (more only where hashes agree in all their bits)

P1  No operation changes a map that exists; `with_entry` and `without` return another.
P2  Their cost grows with the depth, log32 of the size: one entry more in 10,000 copies two branches and a leaf.
P3  It holds what a dict holds after the same steps. Its order is no order: whoever shows it to people sorts.

Held by tests/property/test_persistent_map.py (P1-P3).
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar, Union

K = TypeVar("K")
V = TypeVar("V")
_Node = Union[dict[K, V], tuple["_Node[K, V]", ...]]  # noqa: UP007 (a recursive alias needs the name in quotes)

_BITS: Final = 5
_WIDTH: Final = 1 << _BITS
_MASK: Final = _WIDTH - 1
_LEAF_MAX: Final = 32
_DEPTH_MAX: Final = 12  # 60 bits used


class PersistentMap(Mapping[K, V]):
    __slots__ = ("_root", "_size")

    _root: _Node[K, V]
    _size: int

    def __init__(self, entries: Mapping[K, V] | None = None) -> None:
        given: dict[K, V] = {} if entries is None else dict(entries)
        self._root = _node_of(given, 0)
        self._size = len(given)

    def __getitem__(self, key: K) -> V:
        return self._leaf(key)[key]

    def find(self, key: K) -> V | None:
        return self._leaf(key).get(key)

    def __contains__(self, key: object) -> bool:
        return key in self._leaf(key)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[K]:
        for leaf in _leaves(self._root):
            yield from leaf

    def entries(self) -> Iterator[V]:
        """All values; much faster than looking each key up."""
        for leaf in _leaves(self._root):
            yield from leaf.values()

    def pairs(self) -> Iterator[tuple[K, V]]:
        """As `items`, and as fast as `entries`."""
        for leaf in _leaves(self._root):
            yield from leaf.items()

    def with_entry(self, key: K, value: V) -> "PersistentMap[K, V]":
        return _map_of(_with(self._root, key, value, 0), self._size + (key not in self))

    def without(self, key: K) -> "PersistentMap[K, V]":
        """Branches stay when they become empty: what has been large may be large again."""
        if key not in self:
            raise KeyError(key)
        return _map_of(_without(self._root, key, 0), self._size - 1)

    def _leaf(self, key: object) -> dict[K, V]:
        node, path = self._root, hash(key)
        while isinstance(node, tuple):
            node = node[path & _MASK]
            path >>= _BITS
        return node


def _map_of(root: _Node[K, V], size: int) -> PersistentMap[K, V]:
    made: PersistentMap[K, V] = PersistentMap.__new__(PersistentMap)
    made._root = root
    made._size = size
    return made


def _slot(key: object, depth: int) -> int:
    return (hash(key) >> (depth * _BITS)) & _MASK


def _node_of(entries: dict[K, V], depth: int) -> _Node[K, V]:
    if len(entries) <= _LEAF_MAX or depth == _DEPTH_MAX:
        return entries
    slots: list[dict[K, V]] = [{} for _ in range(_WIDTH)]
    for key, value in entries.items():
        slots[_slot(key, depth)][key] = value
    return tuple(_node_of(slot, depth + 1) for slot in slots)


def _with(node: _Node[K, V], key: K, value: V, depth: int) -> _Node[K, V]:
    if isinstance(node, dict):
        return _node_of({**node, key: value}, depth)
    slot = _slot(key, depth)
    return (*node[:slot], _with(node[slot], key, value, depth + 1), *node[slot + 1 :])


def _without(node: _Node[K, V], key: K, depth: int) -> _Node[K, V]:
    if isinstance(node, dict):
        return {k: v for k, v in node.items() if k != key}
    slot = _slot(key, depth)
    return (*node[:slot], _without(node[slot], key, depth + 1), *node[slot + 1 :])


def _leaves(node: _Node[K, V]) -> Iterator[dict[K, V]]:
    if isinstance(node, dict):
        yield node
        return
    for child in node:
        yield from _leaves(child)
