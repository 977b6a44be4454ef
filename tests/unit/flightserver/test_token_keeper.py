"""Tokens at work in a catalog (W1, W3)."""

import threading

import pytest

from catalog.catalog import Catalog
from catalog.errors import ServiceError
from catalog.token_changes import TokenNameTaken
from catalog.tokens import ANYONE, hash_of
from engine.clock import SystemClock
from flightserver.tokens import NewToken, TokenKeeper, Wish, time_text
from tests.helpers.catalog_log import MemoryLog


def keeper_of(log: MemoryLog) -> TokenKeeper:
    return TokenKeeper(Catalog.open(log, clock=SystemClock()), SystemClock())


def test_the_text_of_a_token_is_in_the_answer_and_nowhere_else() -> None:
    """W1."""
    log = MemoryLog()

    made = keeper_of(log).create_operator()

    stored = b"".join(log.batches.values())
    assert made["hash"] == hash_of(made["token"])
    assert made["hash"].encode() in stored
    assert made["token"].encode() not in stored


def test_of_two_who_come_first_on_two_servers_one_is_first() -> None:
    """W3."""
    log = MemoryLog()
    keepers = [keeper_of(log), keeper_of(log)]
    made: list[NewToken] = []
    refused: list[ServiceError] = []

    def come(keeper: TokenKeeper) -> None:
        try:
            made.append(keeper.create_operator())
        except ServiceError as error:
            refused.append(error)

    threads = [threading.Thread(target=come, args=(keeper,)) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 1
    assert [type(error) for error in refused] == [TokenNameTaken]


def test_a_server_needs_a_first_token_until_there_is_an_administrators() -> None:
    keeper = keeper_of(MemoryLog())
    assert keeper.needs_first

    keeper.create_resource("watcher", [Wish("system", ["*"], ["read"])], None, ANYONE)
    assert keeper.needs_first
    keeper.create_operator()
    assert not keeper.needs_first


def test_a_name_is_taken_once() -> None:
    keeper = keeper_of(MemoryLog())
    keeper.create_operator()

    with pytest.raises(TokenNameTaken):
        keeper.create_admin("_admin", None, ANYONE)


def test_a_far_expiry_is_shown_as_the_last_date_there_is() -> None:
    assert time_text(1 << 60) == "9999-12-31T23:59:59.999Z"
    assert time_text(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
