"""From what an administrator asks for to the ops that do it: tokens made, replaced and deleted.

H4  Pure, as changes.py: each function reads one state and returns ops. The text of a token never comes this far, only its hash.
H5  Nobody is locked out by a deletion: the operator token can only be replaced.

Held by tests/unit/catalog/test_token_changes.py (H4, H5).
"""

from collections.abc import Sequence
from typing import Final

from catalog.errors import Conflict, InvalidRequest, NotFound, ServiceError
from catalog.ops import CreateToken, DeleteToken, Op, ReplaceToken
from catalog.state import CatalogState
from catalog.tokens import EVERYTHING, OPERATOR, Permission

_NAME_CHARACTERS_MAX: Final = 1000


class TokenNameTaken(Conflict):
    """A token of that name is there already."""

    code = "token_name_taken"

    def __init__(self, name: str) -> None:
        super().__init__(f"token name already exists, {name}", name=name)


class OperatorTokenStays(ServiceError):
    """The operator's token can be replaced, and not deleted."""

    code = "operator_token_stays"
    kind = "not_allowed"

    def __init__(self) -> None:
        super().__init__("cannot delete operator token")


def create_token(
    state: CatalogState,
    name: str,
    hash: str,
    *,
    now_ms: int,
    expiry_ms: int | None = None,
    permissions: Sequence[Permission] = (EVERYTHING,),
    created_by: int | None = None,
) -> list[Op]:
    check_token_name(name)
    if name in state.tokens.by_name:
        raise TokenNameTaken(name)
    return [CreateToken(state.tokens.next_id, name, hash, now_ms, expiry_ms, tuple(permissions), created_by)]


def replace_operator_token(state: CatalogState, hash: str, *, now_ms: int, updated_by: int | None = None) -> list[Op]:
    if OPERATOR not in state.tokens.by_name:
        raise NotFound("missing admin token, cannot update")
    return [ReplaceToken(OPERATOR, hash, now_ms, updated_by)]


def delete_token(state: CatalogState, name: str) -> list[Op]:
    if name == OPERATOR:
        raise OperatorTokenStays
    if name not in state.tokens.by_name:
        raise NotFound(f"the requested resource was not found: {name}", name=name)
    return [DeleteToken(name)]


def check_token_name(name: str) -> None:
    """A name is for people: one line of it, that ends somewhere."""
    if not name or len(name) > _NAME_CHARACTERS_MAX or not name.isprintable():
        raise InvalidRequest(f"a token's name has 1 to {_NAME_CHARACTERS_MAX} printable characters")
