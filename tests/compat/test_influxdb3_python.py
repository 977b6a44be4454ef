"""influxdb3-python writes, unmodified."""

import time
from collections.abc import Callable

import pandas
import pytest
from influxdb_client_3 import InfluxDBClient3, Point, WriteOptions, WritePrecision, write_client_options
from influxdb_client_3.exceptions import InfluxDBError, InfluxDBPartialWriteError
from influxdb_client_3.write_client.client.write_api import WriteType

from tests.helpers.asking import Reached, new_name

SECOND_NS = 1_000_000_000


def client(reached: Reached, database: str, **options: object) -> InfluxDBClient3:
    ca_file = reached.ca_file and str(reached.ca_file)
    return InfluxDBClient3(host=reached.url, token="none", database=database, ssl_ca_cert=ca_file, **options)


def point(number: int) -> Point:
    return Point("cpu").tag("host", f"h{number}").field("usage", number / 2).field("n", number).time(number * SECOND_NS)


@pytest.mark.parametrize("enable_gzip", [False, True])
@pytest.mark.parametrize("use_v2_api", [False, True])
def test_points_lines_and_dicts_are_written_at_once(reached: Reached, use_v2_api: bool, enable_gzip: bool) -> None:
    database = new_name("py3")

    with client(reached, database, write_use_v2_api=use_v2_api, enable_gzip=enable_gzip) as influx:
        influx.write(point(1))
        influx.write("cpu,host=h2 usage=1,n=2i 2000000000")
        influx.write([point(3), "cpu,host=h4 usage=2,n=4i 4000000000"])
        influx.write({"measurement": "cpu", "tags": {"host": "h5"}, "fields": {"usage": 2.5, "n": 5}, "time": 5 * SECOND_NS})

    assert reached.rows(database, "select host, n, time from cpu order by time") == [
        {"host": f"h{number}", "n": number, "time": f"1970-01-01T00:00:0{number}"} for number in range(1, 6)
    ]


@pytest.mark.parametrize("enable_gzip", [False, True])
@pytest.mark.parametrize("use_v2_api", [False, True])
def test_batches_are_written_in_the_background(reached: Reached, use_v2_api: bool, enable_gzip: bool) -> None:
    database = new_name("py3")
    failures: list[object] = []
    options = WriteOptions(write_type=WriteType.batching, batch_size=500, flush_interval=100, use_v2_api=use_v2_api)

    with client(
        reached,
        database,
        enable_gzip=enable_gzip,
        write_client_options=write_client_options(
            write_options=options, error_callback=lambda _conf, _data, error: failures.append(error)
        ),
    ) as influx:
        for number in range(2_000):
            influx.write(point(number))

    assert failures == []
    assert reached.rows(database, "select count(*) as n from cpu") == [{"n": 2000}]


@pytest.mark.parametrize(
    ("precision", "time_text"),
    [
        (WritePrecision.S, "2023-11-14T22:13:20"),
        (WritePrecision.MS, "2023-11-14T22:13:20.123"),
        (WritePrecision.US, "2023-11-14T22:13:20.123456"),
        (WritePrecision.NS, "2023-11-14T22:13:20.123456789"),
    ],
)
@pytest.mark.parametrize("use_v2_api", [False, True])
def test_every_precision_means_the_same_time(reached: Reached, use_v2_api: bool, precision: str, time_text: str) -> None:
    database = new_name("py3")
    digits = {WritePrecision.S: 0, WritePrecision.MS: 3, WritePrecision.US: 6, WritePrecision.NS: 9}[precision]

    with client(reached, database, write_use_v2_api=use_v2_api) as influx:
        influx.write(f"cpu usage=1 {1_700_000_000_123_456_789 // 10 ** (9 - digits)}", write_precision=precision)

    assert reached.rows(database, "select time from cpu") == [{"time": time_text}]


def test_a_partial_write_is_told_line_by_line_and_keeps_the_good_lines(reached: Reached) -> None:
    database = new_name("py3")

    with client(reached, database, write_use_v2_api=False) as influx, pytest.raises(InfluxDBPartialWriteError) as caught:
        influx.write("home,room=Sunroom temp=96 1000000000\nhome,room=Sunroom temp=hi")

    [line] = caught.value.line_errors
    assert (line.line_number, line.original_line) == (2, "home,room=Sunroom temp=hi")
    assert reached.rows(database, "select temp from home") == [{"temp": 96.0}]


def test_a_full_reject_is_told_and_keeps_nothing(reached: Reached) -> None:
    database = new_name("py3")

    with client(reached, database, write_use_v2_api=False, write_accept_partial=False) as influx:
        influx.write("home,room=Den temp=1 1")
        with pytest.raises(InfluxDBError) as caught:
            influx.write("home,room=Sunroom temp=96 1000000000\nhome,room=Sunroom temp=hi")

    assert "parsing failed for write_lp endpoint" in str(caught.value)
    assert len(reached.rows(database, "select temp from home")) == 1


def test_an_error_of_v2_carries_its_message(reached: Reached) -> None:
    with client(reached, new_name("py3"), write_use_v2_api=True) as influx, pytest.raises(InfluxDBError) as caught:
        influx.write("cpu usage= 1")

    assert "line protocol parse failed: No fields were provided" in str(caught.value)


def test_writes_that_do_not_wait_arrive(reached: Reached) -> None:
    database = new_name("py3")

    with client(reached, database, write_use_v2_api=False, write_no_sync=True) as influx:
        influx.write(point(1))

    within(60, lambda: reached.rows(database, "select n from cpu") == [{"n": 1}])


def test_a_data_frame_is_written(reached: Reached) -> None:
    database = new_name("py3")
    times = pandas.to_datetime([1, 2], unit="s", utc=True)
    frame = pandas.DataFrame({"time": times, "host": ["a", "b"], "usage": [0.5, 1.5]})

    with client(reached, database) as influx:
        influx.write(
            frame, data_frame_measurement_name="cpu", data_frame_tag_columns=["host"], data_frame_timestamp_column="time"
        )

    assert reached.rows(database, "select host, usage from cpu order by time") == [
        {"host": "a", "usage": 0.5},
        {"host": "b", "usage": 1.5},
    ]


def test_the_version_of_the_server_is_known(reached: Reached) -> None:
    with client(reached, "any") as influx:
        assert str(influx.get_server_version())[0].isdigit()


def within(seconds: float, holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
