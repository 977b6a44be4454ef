"""The way back in for whoever lost the operator token (R1, R2)."""

import http.client
import json
import socket
import ssl
import time
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from catalog.catalog import Catalog
from catalog.tokens import hash_of
from engine.clock import SystemClock
from flightserver.audit import Audit
from flightserver.config import Tls
from flightserver.engine_process import server_context
from flightserver.recovery import PATH, Recovery, RecoveryUnavailable
from flightserver.tokens import TokenKeeper
from tests.helpers.catalog_log import MemoryLog
from tests.helpers.certificates import make_certificate
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
    except (ConnectionRefusedError, ConnectionResetError):  # the latter while it closes
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


def test_with_a_certificate_it_speaks_tls_and_nothing_else(keeper: TokenKeeper, tmp_path: Path) -> None:
    """R3."""
    certificate = make_certificate(tmp_path)
    context = server_context(Tls(str(certificate.cert), str(certificate.key), "tls-1.3"))
    trusting, old = (ssl.create_default_context(cafile=str(certificate.cert)) for _ in range(2))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    recovery = Recovery(ANYWHERE, keeper, AUDIT, tmp_path / "done", context)

    with pytest.raises((OSError, http.client.HTTPException)):
        post(recovery.address)
    with pytest.raises(URLError, match=r"(?i)protocol version"):
        urlopen(Request(f"{recovery.url}{PATH}", method="POST"), timeout=30, context=old)
    with urlopen(Request(f"{recovery.url}{PATH}", method="POST"), timeout=30, context=trusting) as answer:
        made = json.loads(answer.read())

    assert recovery.url.startswith("https://127.0.0.1:")
    assert made["token"].startswith("apiv3_")


def test_an_address_that_is_taken_is_named(keeper: TokenKeeper, tmp_path: Path) -> None:
    with socket.create_server(ANYWHERE) as other:
        port = other.getsockname()[1]
        with pytest.raises(RecoveryUnavailable, match=f"cannot listen on 127.0.0.1:{port} for token recovery"):
            Recovery(("127.0.0.1", port), keeper, AUDIT, tmp_path / "done")
