"""Tokens from files (Y1-Y3)."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from catalog.catalog import Catalog
from catalog.tokens import READ, WRITE, Identity, hash_of
from engine.clock import SystemClock
from flightserver.token_files import UnusableTokenFile, take_in_admin_token, take_in_permission_tokens
from flightserver.tokens import TokenKeeper
from tests.helpers.catalog_log import MemoryLog

SECRET = "apiv3_from-a-file"
CLOCK = SystemClock()


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.open(MemoryLog(), clock=CLOCK)


def written(directory: Path, content: Any, mode: int = 0o600) -> Path:
    file = directory / "tokens.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    file.chmod(mode)
    return file


def identity(catalog: Catalog, secret: str) -> Identity:
    token = catalog.state().tokens.find(hash_of(secret))
    assert token is not None
    return Identity(token)


def test_an_admin_token_is_taken_in(catalog: Catalog, tmp_path: Path) -> None:
    """Y1."""
    take_in_admin_token(catalog, CLOCK, written(tmp_path, {"token": SECRET, "name": "_admin", "expiry_millis": 9}))

    found = identity(catalog, SECRET)
    assert found.is_admin
    assert found.token is not None
    assert (found.token.name, found.token.expiry_ms) == ("_admin", 9)


def test_an_admin_token_is_taken_in_once(catalog: Catalog, tmp_path: Path) -> None:
    """Y1."""
    file = written(tmp_path, {"token": SECRET, "name": "_admin"})
    take_in_admin_token(catalog, CLOCK, file)
    TokenKeeper(catalog, CLOCK).regenerate_operator()
    before = catalog.state().sequence

    take_in_admin_token(catalog, CLOCK, file)

    assert catalog.state().sequence == before
    assert catalog.state().tokens.find(hash_of(SECRET)) is None


def test_permission_tokens_are_taken_in_with_the_databases_they_need(catalog: Catalog, tmp_path: Path) -> None:
    """Y1."""
    tokens = [
        {"token": SECRET + "1", "name": "one", "permissions": ["db:a,b:read,write", "system:ping:read"]},
        {"token": SECRET + "2", "name": "two", "permissions": ["db:*:read"], "expiry_millis": 5},
    ]
    file = written(tmp_path, {"create_databases": ["a", "b"], "tokens": tokens})

    take_in_permission_tokens(catalog, CLOCK, file)

    one, two = identity(catalog, SECRET + "1"), identity(catalog, SECRET + "2")
    a = catalog.state().database("a").id
    assert (one.may(WRITE, a), one.may(WRITE, 99), one.may_ask("ping"), one.is_admin) == (True, False, True, False)
    assert (two.may(READ, 99), two.may(WRITE, a)) == (True, False)


def test_permission_tokens_are_taken_in_while_there_are_none_only(catalog: Catalog, tmp_path: Path) -> None:
    """Y1."""
    TokenKeeper(catalog, CLOCK).create_operator()
    file = written(tmp_path, {"tokens": [{"token": SECRET, "name": "one", "permissions": ["db:*:read"]}]})
    take_in_permission_tokens(catalog, CLOCK, file)
    before = catalog.state()

    take_in_permission_tokens(catalog, CLOCK, file)

    assert catalog.state() == before
    assert [token.name for token in before.tokens.all] == ["_admin", "one"]


GOOD = {"token": SECRET, "name": "one", "permissions": ["db:*:read"]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("not json", "is not JSON"),
        ("[]", "is not a JSON object"),
        ({"name": "x"}, "must start with 'apiv3_'"),
        ({"token": "v2_x"}, "must start with 'apiv3_'"),
        ({"token": "apiv3_two words"}, "characters that no header may hold"),
        ({"token": SECRET, "expiry_millis": "soon"}, "expiry_millis"),
        ({"token": SECRET, "name": "two\nlines"}, "a token's name"),
    ],
)
def test_a_bad_admin_token_file_is_named_without_its_token(catalog: Catalog, tmp_path: Path, content: Any, reason: str) -> None:
    """Y2."""
    file = written(tmp_path, content)

    with pytest.raises(UnusableTokenFile, match=reason) as refused:
        take_in_admin_token(catalog, CLOCK, file)

    assert str(file) in str(refused.value)
    assert SECRET not in str(refused.value)
    assert not catalog.state().tokens.all


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "needs a list 'tokens'"),
        ({"tokens": [GOOD, {**GOOD, "name": "two", "token": SECRET}]}, "already exists"),
        ({"tokens": [GOOD, {**GOOD, "token": SECRET + "2"}]}, "token name already exists, one"),
        ({"tokens": [{**GOOD, "permissions": []}]}, "needs a list 'permissions'"),
        ({"tokens": [{**GOOD, "permissions": ["db:nowhere:read"]}]}, "invalid resource name nowhere"),
        ({"create_databases": ["no name"], "tokens": [GOOD]}, "invalid character"),
    ],
)
def test_of_a_bad_permission_file_nothing_is_taken_in(catalog: Catalog, tmp_path: Path, content: Any, reason: str) -> None:
    """Y1, Y2."""
    with pytest.raises(UnusableTokenFile, match=reason) as refused:
        take_in_permission_tokens(catalog, CLOCK, written(tmp_path, content))

    assert SECRET not in str(refused.value)
    assert not catalog.state().tokens.all
    assert [database.name for database in catalog.state().databases] == ["_internal"]


def test_a_file_that_is_not_there_is_named(catalog: Catalog, tmp_path: Path) -> None:
    """Y2."""
    with pytest.raises(UnusableTokenFile, match="No such file or directory"):
        take_in_admin_token(catalog, CLOCK, tmp_path / "nothing")


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o400, False), (0o644, True), (0o660, True)])
def test_a_file_that_others_may_read_is_told_of(
    catalog: Catalog, tmp_path: Path, mode: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Y3."""
    caplog.set_level(logging.WARNING)

    take_in_admin_token(catalog, CLOCK, written(tmp_path, {"token": SECRET}, mode))

    words = f"Admin token file has insecure permissions: {mode:o}. Consider using chmod 0600."
    assert (words in caplog.text) is told
    assert SECRET not in caplog.text
