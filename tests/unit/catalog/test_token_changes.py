"""Making, replacing and deleting tokens, as ops (H4, H5)."""

import pytest

from catalog.apply import apply_all
from catalog.errors import AlreadyExists, InvalidRequest, NotFound
from catalog.ops import CreateToken, DeleteToken, ReplaceToken
from catalog.state import EMPTY, CatalogState
from catalog.token_changes import (
    OperatorTokenStays,
    TokenNameTaken,
    create_token,
    delete_token,
    replace_operator_token,
)
from catalog.tokens import EVERYTHING


def with_tokens(*names: str) -> CatalogState:
    state = EMPTY
    for name in names:
        state = apply_all(create_token(state, name, f"hash of {name}", now_ms=1), state)
    return state


def test_a_token_is_made_with_the_next_id() -> None:
    """H4."""
    state = with_tokens("_admin")

    ops = create_token(state, "x", "h", now_ms=5, expiry_ms=9, created_by=0)

    assert ops == [CreateToken(1, "x", "h", 5, 9, (EVERYTHING,), 0)]
    assert apply_all(ops, state).tokens.next_id == 2


def test_ids_are_not_handed_out_again() -> None:
    state = with_tokens("_admin", "x")
    state = apply_all(delete_token(state, "x"), state)

    assert create_token(state, "x", "h", now_ms=5)[0] == CreateToken(2, "x", "h", 5, None, (EVERYTHING,))


def test_a_name_is_taken_once() -> None:
    with pytest.raises(TokenNameTaken, match=r"^token name already exists, _admin$"):
        create_token(with_tokens("_admin"), "_admin", "h", now_ms=1)


@pytest.mark.parametrize("name", ["", "two\nlines", "x" * 1001, "tab\t"])
def test_a_name_is_something_people_can_read(name: str) -> None:
    with pytest.raises(InvalidRequest):
        create_token(EMPTY, name, "h", now_ms=1)


def test_the_operator_token_is_replaced_but_never_deleted() -> None:
    """H5."""
    state = with_tokens("_admin", "x")

    assert replace_operator_token(state, "new", now_ms=7, updated_by=0) == [ReplaceToken("_admin", "new", 7, 0)]
    with pytest.raises(OperatorTokenStays, match=r"^cannot delete operator token$"):
        delete_token(state, "_admin")
    assert delete_token(state, "x") == [DeleteToken("x")]


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match=r"^missing admin token, cannot update$"):
        replace_operator_token(EMPTY, "new", now_ms=7)
    with pytest.raises(NotFound, match=r"^the requested resource was not found: x$"):
        delete_token(EMPTY, "x")


def test_two_tokens_never_have_one_hash() -> None:
    state = with_tokens("_admin")

    with pytest.raises(AlreadyExists):
        apply_all([CreateToken(1, "x", "hash of _admin", 1, None, ())], state)
    with pytest.raises(AlreadyExists):
        apply_all([*create_token(state, "x", "h", now_ms=1), ReplaceToken("x", "hash of _admin", 1)], state)


def test_replacing_keeps_id_name_and_rights() -> None:
    state = with_tokens("_admin")

    after = apply_all(replace_operator_token(state, "new", now_ms=7, updated_by=3), state).tokens.by_name["_admin"]

    assert (after.id, after.permissions, after.created_at_ms, after.updated_at_ms, after.updated_by) == (
        0,
        (EVERYTHING,),
        1,
        7,
        3,
    )
