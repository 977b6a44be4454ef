"""Plans that are kept for the next time."""

import pytest

from engine.query import plans
from engine.query.plans import Plans, key_of


def test_a_plan_has_one_user_at_a_time() -> None:
    """P1."""
    kept: Plans[str] = Plans()
    key = key_of(1, 1, "SELECT 1", {})
    assert kept.take(key) is None

    kept.keep(key, "one")

    assert kept.find(key) == "one"  # and leaves it
    assert kept.take(key) == "one"
    assert kept.take(key) is None
    assert kept.find(key) is None
    kept.keep(key, "one")
    kept.keep(key, "two")
    assert {kept.take(key), kept.take(key)} == {"one", "two"}


def test_alike_are_only_the_same_text_values_types_and_catalog() -> None:
    """P1."""
    statement = "SELECT * FROM t WHERE a = $a"
    same = key_of(1, 1, statement, {"a": 1})
    others = [
        key_of(2, 1, statement, {"a": 1}),
        key_of(1, 2, statement, {"a": 1}),
        key_of(1, 1, statement.lower(), {"a": 1}),
        key_of(1, 1, statement, {"a": 2}),
        key_of(1, 1, statement, {"a": True}),
        key_of(1, 1, statement, {"a": 1.0}),
        key_of(1, 1, statement, {"a": "1"}),
        key_of(1, 1, statement, {"b": 1}),
        key_of(1, 1, statement, {}),
        key_of(1, 1, statement, None),
    ]

    assert same == key_of(1, 1, statement, {"a": 1})
    assert len({same, *others}) == len(others) + 1
    assert key_of(1, 1, "SELECT 1", None) == key_of(1, 1, "SELECT 1", {})


@pytest.mark.parametrize(
    "text", ["SELECT now()", "SELECT Current_Timestamp", "SELECT today()", "SELECT " + "1, " * 5_000 + "1"]
)
def test_what_is_right_only_once_and_what_is_long_has_no_key(text: str) -> None:
    """P2."""
    kept: Plans[str] = Plans()
    key = key_of(1, 1, text, {})
    kept.keep(key, "plan")

    assert key is None
    assert kept.take(key) is None


def test_only_so_many_are_kept_and_those_asked_for_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """P3."""
    monkeypatch.setattr(plans, "PLANS_MAX", 3)
    monkeypatch.setattr(plans, "ALIKE_MAX", 1)
    kept: Plans[int] = Plans()
    keys = [key_of(1, 1, f"SELECT {number}", {}) for number in range(4)]
    for number in (0, 1, 2, 0):
        kept.keep(keys[number], number)

    kept.keep(keys[3], 3)

    assert [kept.take(key) for key in keys] == [0, None, 2, 3]
    assert kept.take(keys[0]) is None, "of the same, one is enough here"
