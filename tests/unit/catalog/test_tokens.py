"""What a token is and what it permits (K1-K4)."""

import hashlib
import re

import pytest

from catalog.apply import apply_all
from catalog.codec import Batch, encode_batch, encode_checkpoint
from catalog.errors import InvalidRequest
from catalog.ids import INTERNAL_DATABASE_ID
from catalog.state import EMPTY
from catalog.token_changes import create_token
from catalog.tokens import (
    ANYONE,
    EVERYTHING,
    Identity,
    Permission,
    Token,
    Tokens,
    hash_of,
    new_secret,
    parse_permission,
    permission_text,
)

IDS = {"a": 1, "b": 2, "_internal": INTERNAL_DATABASE_ID}


def identity(*permissions: str, expiry_ms: int | None = None) -> Identity:
    return Identity(Token(1, "t", "0" * 128, 0, expiry_ms, tuple(parse_permission(text, IDS) for text in permissions)))


def test_a_new_token_has_the_known_form_and_is_another_each_time() -> None:
    first, second = new_secret(), new_secret()

    assert re.fullmatch(r"apiv3_[A-Za-z0-9_-]{86}", first)
    assert first != second


def test_only_the_hash_of_the_whole_text_is_kept() -> None:
    """K1."""
    secret = new_secret()
    ops = create_token(EMPTY, "t", hash_of(secret), now_ms=5)

    stored = encode_batch(Batch(1, "n", 5, tuple(ops))) + encode_checkpoint(apply_all(ops, EMPTY))

    assert hash_of(secret) == hashlib.sha512(secret.encode()).hexdigest()
    assert hash_of(secret).encode() in stored
    assert secret.encode() not in stored
    assert secret.removeprefix("apiv3_").encode() not in stored


def test_a_token_is_found_by_its_hash_only() -> None:
    """K1."""
    token = Token(0, "t", hash_of("apiv3_x"), 0, None, (EVERYTHING,))
    tokens = Tokens().with_token(token)

    assert tokens.find(hash_of("apiv3_x")) == token
    assert tokens.find(hash_of("apiv3_y")) is None
    assert tokens.find("t") is None


def test_replacing_a_token_leaves_nothing_of_the_old_one() -> None:
    """K1, K3."""
    tokens = Tokens().with_token(Token(0, "t", "old", 0, None, (EVERYTHING,)))
    tokens = tokens.with_token(Token(0, "t", "new", 0, None, (EVERYTHING,)))

    assert tokens.find("old") is None
    assert [token.hash for token in tokens.all] == ["new"]
    assert tokens.without(tokens.all[0]) == Tokens(1)


@pytest.mark.parametrize(
    ("permission", "may", "may_not"),
    [
        ("db:a:read", [("read", 1)], [("read", 2), ("read", None), ("read", 0), ("write", 1), ("describe", 1), ("drop", 1)]),
        ("db:a,b:read,write", [("read", 1), ("write", 2)], [("read", 3), ("create", 1)]),
        ("db:*:write", [("write", 1), ("write", 99), ("write", None)], [("write", 0), ("read", 1)]),
        ("db:*:*", [("drop", 1), ("create", None), ("update", 7)], [("read", 0)]),
        ("system:*:read", [], [("read", 1), ("read", None)]),
        ("*:*:*", [("read", 0), ("drop", None), ("write", 5)], []),
    ],
)
def test_a_permission_covers_what_it_says(
    permission: str, may: list[tuple[str, int | None]], may_not: list[tuple[str, int | None]]
) -> None:
    """K2, K4."""
    caller = identity(permission)

    assert all(caller.may(action, database) for action, database in may)
    assert not any(caller.may(action, database) for action, database in may_not)
    assert caller.is_admin == (permission == "*:*:*")


def test_a_database_of_the_same_name_made_later_is_another_one() -> None:
    """K2."""
    caller = identity("db:a:read")

    assert caller.may("read", IDS["a"])
    assert not caller.may("read", IDS["a"] + 100)


def test_several_permissions_add_up() -> None:
    """K4."""
    caller = identity("db:a:read", "db:b:write", "system:ping:read")

    assert (caller.may("read", 1), caller.may("write", 2), caller.may("write", 1), caller.may("read", 2)) == (
        True,
        True,
        False,
        False,
    )
    assert (caller.may_ask("ping"), caller.may_ask("health")) == (True, False)


@pytest.mark.parametrize(("permission", "sees"), [("db:a:read", True), ("db:a:describe", True), ("db:a:write", False)])
def test_a_database_exists_for_whoever_may_read_or_describe_it(permission: str, sees: bool) -> None:
    """K4."""
    assert identity(permission).sees(1) is sees


def test_without_authentication_everyone_may_do_everything() -> None:
    assert ANYONE.is_admin
    assert ANYONE.may("drop", INTERNAL_DATABASE_ID)
    assert ANYONE.may_ask("metrics")


def test_a_token_is_valid_strictly_before_its_expiry() -> None:
    """K3."""
    token = Token(0, "t", "h", 0, 1000, ())

    assert [token.is_valid(now) for now in (999, 1000, 1001)] == [True, False, False]
    assert Token(0, "t", "h", 0, None, ()).is_valid(1 << 60)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("table:a:read", "resource type not supported table"),
        ("db:nope:read", "invalid resource name nope"),
        ("db:_internal:read", "invalid resource name _internal"),
        ("db:a,*:read", "mixed wildcard (*) and resource name"),
        ("db::read", "missing resource name"),
        ("db:a:fly", "action not supported, database action fly"),
        ("db:a:", "action not supported, database action "),
        ("system:ping:write", "action not supported, system action write"),
        ("system:disk:read", "invalid resource name disk"),
        ("*:a:read", "resource type not supported *"),
        ("db:a", "expected resource_type:names:actions, found db:a"),
    ],
)
def test_what_is_wrong_with_a_permission_is_named(text: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_permission(text, IDS)
    assert str(refused.value) == f"cannot parse token permission, {reason}"


def test_a_permission_reads_as_it_was_written_with_actions_in_one_order() -> None:
    names = {1: "a", 2: "b"}

    assert permission_text(parse_permission("db:a,b:write,read", IDS), names) == "db:a,b:read,write"
    assert permission_text(parse_permission("db:*:*", IDS), names) == "db:*:create,describe,update,drop,read,write,delete"
    assert permission_text(parse_permission("system:ping:read", IDS), names) == "system:ping:read"
    assert permission_text(EVERYTHING, names) == "*:*:*"
    assert permission_text(Permission("db", (7,), ("read",)), names) == "db:7:read"
