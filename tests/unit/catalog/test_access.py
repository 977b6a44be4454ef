"""What a route or an action asks of its caller (G1)."""

import pytest

from catalog.access import ADMIN, OPEN, TOKEN, Access, system
from catalog.errors import Forbidden
from catalog.tokens import ANYONE, Identity, Token, parse_permission


def caller(permission: str) -> Identity:
    return Identity(Token(0, "t", "h", 0, None, (parse_permission(permission, {"a": 1}),)))


def passes(access: Access, identity: Identity) -> bool:
    try:
        access.check(identity)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize("access", [OPEN, TOKEN, ADMIN, system("health"), system("pprof")])
def test_without_authentication_nothing_is_closed(access: Access) -> None:
    """G1."""
    assert passes(access, ANYONE)


def test_administrators_pass_everywhere_and_others_where_they_may() -> None:
    admin, reader, watcher = caller("*:*:*"), caller("db:a:read"), caller("system:health,metrics:read")
    asked = (TOKEN, ADMIN, system("health"), system("ping"), system("pprof"))

    assert [passes(access, admin) for access in asked] == [True] * 5
    assert [passes(access, reader) for access in asked] == [True, False, False, False, False]
    assert [passes(access, watcher) for access in asked] == [True, False, True, False, False]


def test_what_is_open_or_released_asks_nobody() -> None:
    assert OPEN.is_open(())
    assert system("ping").is_open({"ping"})
    assert not system("health").is_open({"ping"})
    assert not TOKEN.is_open({"ping"})
