"""Unmodified clients against a server that asks for tokens: each sends its own form of one."""

import json
from collections.abc import Iterator
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import pytest
from influxdb import InfluxDBClient
from influxdb_client import InfluxDBClient as InfluxDBClientV2
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from influxdb_client_3 import InfluxDBClient3
from influxdb_client_3.exceptions import InfluxDB3ClientQueryError

from tests.conftest import PRODUCT
from tests.helpers.servers import PATIENCE_S, Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("secure"), command=PRODUCT, with_tokens=True) as server:
        yield server


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    request = Request(f"{server.url}/api/v3/configure/token/admin", method="POST")
    with urlopen(request, timeout=PATIENCE_S) as answer:
        return str(json.load(answer)["token"])


def test_influxdb3_python_writes_and_queries(server: Server, token: str) -> None:
    """Writes with the scheme Token, queries with Bearer."""
    with InfluxDBClient3(host=server.url, token=token, database="three") as client:
        client.write("cpu,host=a v=1 1")

        assert client.query("SELECT host FROM cpu").to_pylist() == [{"host": "a"}]
    with (
        InfluxDBClient3(host=server.url, token="apiv3_wrong", database="three") as client,
        pytest.raises(InfluxDB3ClientQueryError, match="Unauthenticated"),
    ):
        client.query("SELECT host FROM cpu")


def test_the_v2_client_writes(server: Server, token: str) -> None:
    """With the scheme Token."""
    with InfluxDBClientV2(url=server.url, token=token, org="any") as client:
        client.write_api(write_options=SYNCHRONOUS).write("two", record="cpu,host=a v=1 1")
    with InfluxDBClientV2(url=server.url, token="wrong", org="any") as client, pytest.raises(ApiException) as refused:
        client.write_api(write_options=SYNCHRONOUS).write("two", record="cpu,host=a v=1 1")

    assert refused.value.status == 401


def test_the_v1_client_writes_with_the_token_as_password(server: Server, token: str) -> None:
    """With the scheme Basic."""
    host, port = urlparse(server.url).hostname, urlparse(server.url).port
    with InfluxDBClient(host=host, port=port, username="any", password=token, database="one") as client:
        assert client.write(["cpu,host=a v=1 1"], {"db": "one"}, protocol="line")
    with (
        InfluxDBClient(host=host, port=port, username="any", password="wrong", database="one") as client,
        pytest.raises(Exception, match="401"),
    ):
        client.write(["cpu,host=a v=1 1"], {"db": "one"}, protocol="line")
