"""The product, as real clients reach it."""

from collections.abc import Iterator

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import pytest

from tests.conftest import PRODUCT
from tests.helpers.asking import Reached
from tests.helpers.certificates import make_certificate
from tests.helpers.filled import Filled
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


@pytest.fixture
def database(server: Server) -> Filled:
    return Filled.on(Reached(server))


@pytest.fixture
def connection(database: Filled) -> Iterator[adbc.Connection]:
    options = {"adbc.flight.sql.rpc.call_header.database": database.name}
    with flight_sql.connect(database.flight_url, db_kwargs=options, autocommit=True) as connection:
        yield connection
