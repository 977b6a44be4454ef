"""The product, as real clients reach it."""

from collections.abc import Iterator

import pytest

from tests.conftest import PRODUCT
from tests.helpers.asking import Reached
from tests.helpers.certificates import make_certificate
from tests.helpers.servers import Server, running


@pytest.fixture(scope="session", params=["plain", "tls"])
def reached(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    if request.param == "plain":
        server: Server = request.getfixturevalue("server")
        yield Reached(server)
        return
    certificate = make_certificate(tmp_path_factory.mktemp("certificate"))
    options = ("--object-store", "file", *certificate.options)
    with running(tmp_path_factory.mktemp("tls"), *options, command=PRODUCT) as server:
        yield Reached(server, certificate.cert)
