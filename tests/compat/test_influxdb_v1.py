"""influxdb, the library for version 1, writes and pings, unmodified."""

from collections.abc import Iterator

import pytest
from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

from tests.helpers.asking import Reached, new_name

POINTS = [
    {"measurement": "cpu", "tags": {"host": f"h{number}"}, "time": number, "fields": {"n": number, "ok": True, "s": 'a "b"'}}
    for number in range(1, 4)
]


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def influx(reached: Reached, request: pytest.FixtureRequest) -> Iterator[InfluxDBClient]:
    influx = InfluxDBClient(
        reached.host,
        reached.port,
        "any",
        "none",
        new_name("v1"),
        gzip=request.param,
        ssl=reached.ca_file is not None,
        verify_ssl=str(reached.ca_file) if reached.ca_file else False,
    )
    yield influx
    influx.close()


def database(influx: InfluxDBClient) -> str:
    return str(influx._database)


@pytest.mark.parametrize(
    ("precision", "time_text"),
    [("s", "00:00:01"), ("ms", "00:00:00.001"), ("u", "00:00:00.000001"), (None, "00:00:00.000000001")],
)
def test_points_are_written(reached: Reached, influx: InfluxDBClient, precision: str | None, time_text: str) -> None:
    assert influx.write_points(POINTS, time_precision=precision)

    found = reached.rows(database(influx), "select host, n, ok, s, time from cpu order by time")
    assert found[0] == {"host": "h1", "n": 1, "ok": True, "s": 'a "b"', "time": f"1970-01-01T{time_text}"}
    assert len(found) == 3


def test_lines_are_written_in_batches(reached: Reached, influx: InfluxDBClient) -> None:
    lines = [f"cpu,host=h{number} n={number}i {number}" for number in range(1_000)]

    assert influx.write_points(lines, batch_size=300, protocol="line", time_precision="s", consistency="any")

    assert reached.rows(database(influx), "select count(*) as n from cpu") == [{"n": 1000}]


@pytest.mark.parametrize(("policy", "suffix"), [("autogen", ""), ("weekly", "/weekly")])
def test_a_retention_policy_is_a_database_of_its_own(
    reached: Reached, influx: InfluxDBClient, policy: str, suffix: str
) -> None:
    influx.write_points(POINTS, retention_policy=policy)

    assert len(reached.rows(database(influx) + suffix, "select n from cpu")) == 3


def test_a_refused_line_is_told(influx: InfluxDBClient) -> None:
    with pytest.raises(InfluxDBClientError) as caught:
        influx.write_points(["cpu n= 1"], protocol="line")

    assert caught.value.code == 400
    assert "No fields were provided" in str(caught.value)


def test_ping_tells_the_version(influx: InfluxDBClient) -> None:
    assert influx.ping()[0].isdigit()
