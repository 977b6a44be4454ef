"""The way back in for whoever lost the operator token (R1, R2)."""

import json
import socket
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from catalog.catalog import Catalog
from catalog.tokens import hash_of
from engine.clock import SystemClock
from flightserver.audit import Audit
from flightserver.recovery import PATH, Recovery, RecoveryUnavailable
from flightserver.tokens import TokenKeeper
from tests.helpers.catalog_log import MemoryLog
from tests.helpers.servers import wait_until

ANYWHERE = ("127.0.0.1", 0)
AUDIT = Audit(time.time_ns)


@pytest.fixture
def catalog() -> Catalog:
    return Catalog.open(MemoryLog(), clock=SystemClock())


@pytest.fixture
def keeper(catalog: Catalog) -> TokenKeeper:
    keeper = TokenKeeper(catalog, SystemClock())
    keeper.create_operator()
    return keeper


def post(address: str, path: str = PATH, method: str = "POST") -> tuple[int, dict[str, object]]:
    try:
        with urlopen(Request(f"http://{address}{path}", method=method), timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def refuses(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_it_replaces_the_operator_token_once_and_closes(catalog: Catalog, keeper: TokenKeeper, tmp_path: Path) -> None:
    """R1."""
    done = tmp_path / "done"
    recovery = Recovery(ANYWHERE, keeper, AUDIT, done)

    status, made = post(recovery.address)

    assert (status, made["name"]) == (201, "_admin")
    assert catalog.state().tokens.by_name["_admin"].hash == hash_of(str(made["token"]))
    assert done.exists()
    wait_until(lambda: refuses(recovery.address))


def test_everything_else_is_not_there(keeper: TokenKeeper, catalog: Catalog, tmp_path: Path) -> None:
    """R1."""
    recovery = Recovery(ANYWHERE, keeper, AUDIT, tmp_path / "done")
    before = catalog.state()

    for method, path in (
        ("GET", PATH),
        ("POST", "/"),
        ("POST", PATH + "/"),
        ("POST", PATH + "?x"),
        ("DELETE", PATH),
        ("HEAD", "/"),
    ):
        assert post(recovery.address, path, method)[0] == 404
    assert catalog.state() == before
    recovery.close()


def test_without_an_operator_token_there_is_nothing_to_replace(catalog: Catalog, tmp_path: Path) -> None:
    recovery = Recovery(ANYWHERE, TokenKeeper(catalog, SystemClock()), AUDIT, tmp_path / "done")

    assert post(recovery.address) == (404, {"error": "missing admin token, cannot update"})
    assert not (tmp_path / "done").exists()
    recovery.close()


def test_a_caller_who_says_nothing_holds_it_up_for_seconds_only(keeper: TokenKeeper, tmp_path: Path) -> None:
    """R2."""
    recovery = Recovery(ANYWHERE, keeper, AUDIT, tmp_path / "done")
    host, _, port = recovery.address.rpartition(":")

    with socket.create_connection((host, int(port))):
        assert post(recovery.address)[0] == 201


def test_an_address_that_is_taken_is_named(keeper: TokenKeeper, tmp_path: Path) -> None:
    with socket.create_server(ANYWHERE) as other:
        port = other.getsockname()[1]
        with pytest.raises(RecoveryUnavailable, match=f"cannot listen on 127.0.0.1:{port} for token recovery"):
            Recovery(("127.0.0.1", port), keeper, AUDIT, tmp_path / "done")
