from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.persistent import PersistentMap


class Colliding:
    """Keys whose hashes agree, in the lowest bits or in all of them."""

    def __init__(self, number: int, hash_of: int) -> None:
        self.number = number
        self.hash_of = hash_of

    def __hash__(self) -> int:
        return self.hash_of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Colliding) and self.number == other.number

    def __repr__(self) -> str:
        return f"<{self.number}>"


KEYS: list[object] = [
    *range(-40, 120),
    *(f"table_{number}" for number in range(80)),
    *(Colliding(number, 7) for number in range(60)),
    *(Colliding(number, number << 20) for number in range(60, 120)),
]

steps = st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.none(), st.integers())), max_size=400)


def same(found: PersistentMap[Any, Any], expected: dict[Any, Any]) -> bool:
    return (
        dict(found.items()) == dict(found.pairs()) == expected
        and len(found) == len(expected)
        and sorted(map(repr, found.entries())) == sorted(map(repr, expected.values()))
        and all((key in found) == (key in expected) and found.find(key) == expected.get(key) for key in KEYS)
    )


@given(steps, st.integers(0, 400))
def test_it_agrees_with_a_dict_after_any_steps_and_older_maps_stay(steps: list[tuple[object, int | None]], hold: int) -> None:
    """P1, P3. None removes the key."""
    current: PersistentMap[object, int] = PersistentMap()
    model: dict[object, int] = {}
    held, held_model = current, dict(model)
    for number, (key, value) in enumerate(steps):
        if number == hold:
            held, held_model = current, dict(model)
        if value is not None:
            current, model[key] = current.with_entry(key, value), value
        elif key in model:
            current = current.without(key)
            del model[key]

    assert same(current, model)
    assert same(held, held_model)
    assert current == PersistentMap(model)


@given(st.dictionaries(st.one_of(st.integers(), st.text(max_size=5)), st.integers(), max_size=300))
def test_it_holds_what_it_was_made_of(entries: dict[object, int]) -> None:
    """P3."""
    made = PersistentMap(entries)

    assert dict(made.items()) == entries
    assert made == entries


def test_what_is_not_there_is_a_key_error() -> None:
    """P3."""
    empty: PersistentMap[str, int] = PersistentMap()

    with pytest.raises(KeyError):
        empty["x"]
    with pytest.raises(KeyError):
        empty.without("x")
    assert empty.find("x") is None
    assert PersistentMap({"x": 1})["x"] == 1


def test_changing_one_of_ten_thousand_copies_a_few_nodes_only() -> None:
    """P2: every leaf but one, and every branch but two, is the same object as before."""
    before = PersistentMap({number: number for number in range(10_000)})
    after = before.with_entry(77, -1)

    old, new = _nodes(before._root), _nodes(after._root)
    kept = {id(node) for node in old}
    copied = [node for node in new if id(node) not in kept]

    assert len(old) > 1_000
    assert len(copied) == 3
    assert sum(len(node) for node in copied) <= 2 * 32 + 32


def _nodes(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [node]
    return [node, *(found for child in node for found in _nodes(child))]
