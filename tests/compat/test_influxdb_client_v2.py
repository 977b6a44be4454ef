"""influxdb-client, the library for version 2, writes and looks after the server's health, unmodified."""

from collections.abc import Iterator

import pytest
from influxdb_client import InfluxDBClient, Point, WriteOptions
from influxdb_client.client.write_api import ASYNCHRONOUS, SYNCHRONOUS
from influxdb_client.rest import ApiException

from tests.helpers.asking import Reached, new_name

SECOND_NS = 1_000_000_000


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def influx(reached: Reached, request: pytest.FixtureRequest) -> Iterator[InfluxDBClient]:
    ca_file = reached.ca_file and str(reached.ca_file)
    with InfluxDBClient(url=reached.url, token="none", org="any org", enable_gzip=request.param, ssl_ca_cert=ca_file) as influx:
        yield influx


def point(number: int) -> Point:
    return Point("cpu").tag("host", f"h{number}").field("n", number).time(number * SECOND_NS)


def test_points_lines_and_dicts_are_written_at_once(reached: Reached, influx: InfluxDBClient) -> None:
    bucket = new_name("v2")

    with influx.write_api(write_options=SYNCHRONOUS) as writing:
        writing.write(bucket, record=[point(1), point(2)])
        writing.write(bucket, org="", record="cpu,host=h3 n=3i 3000", write_precision="ms")
        writing.write(bucket, record={"measurement": "cpu", "tags": {"host": "h4"}, "fields": {"n": 4}, "time": 4 * SECOND_NS})

    assert reached.rows(bucket, "select host, n from cpu order by time") == [
        {"host": f"h{number}", "n": number} for number in range(1, 5)
    ]


def test_batches_are_written_in_the_background(reached: Reached, influx: InfluxDBClient) -> None:
    bucket = new_name("v2")
    failures: list[object] = []

    with influx.write_api(
        write_options=WriteOptions(batch_size=500, flush_interval=100),
        error_callback=lambda _conf, _data, error: failures.append(error),
    ) as writing:
        for number in range(2_000):
            writing.write(bucket, record=point(number))

    assert failures == []
    assert reached.rows(bucket, "select count(*) as n from cpu") == [{"n": 2000}]


@pytest.mark.filterwarnings("ignore:The 'WriteType.asynchronous' is deprecated:DeprecationWarning")
def test_asynchronous_writes_are_written(reached: Reached, influx: InfluxDBClient) -> None:
    bucket = new_name("v2")

    with influx.write_api(write_options=ASYNCHRONOUS) as writing:
        for result in [writing.write(bucket, record=point(number)) for number in range(20)]:
            result.get()

    assert reached.rows(bucket, "select count(*) as n from cpu") == [{"n": 20}]


def test_a_refused_line_is_told_with_code_and_message(influx: InfluxDBClient) -> None:
    with influx.write_api(write_options=SYNCHRONOUS) as writing, pytest.raises(ApiException) as caught:
        writing.write(new_name("v2"), record="cpu n= 1")

    assert caught.value.status == 400
    assert caught.value.message == "write buffer error: line protocol parse failed: No fields were provided"


@pytest.mark.filterwarnings("ignore:This method is deprecated:DeprecationWarning")
def test_the_server_is_healthy_and_ready_and_there(reached: Reached, influx: InfluxDBClient) -> None:
    health = influx.health()

    assert (health.status, health.name) == ("pass", "influxdb")
    assert health.message == "ready for queries and writes"
    assert influx.ping() is True
    assert influx.version()[0].isdigit()


def test_a_server_that_is_not_there_is_unhealthy() -> None:
    with InfluxDBClient(url="http://127.0.0.1:9", token="none", org="-") as influx:
        assert influx.ping() is False
