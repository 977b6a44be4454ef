"""InfluxDB's own libraries: one port for writes over HTTP and queries over gRPC."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from influxdb_client_3 import InfluxDBClient3, Point
from influxdb_client_3.exceptions import InfluxDB3ClientQueryError

from tests.helpers.asking import Reached
from tests.helpers.filled import Filled
from tests.helpers.tools import node_modules_with

SCRIPT = Path(__file__).parent / "clients" / "influxdb3_client.mjs"


@pytest.fixture
def database(reached: Reached) -> Filled:
    """Plainly and over TLS."""
    return Filled.on(reached)


def connected(database: Filled, name: str | None = None) -> InfluxDBClient3:
    ca_file = database.reached.ca_file and str(database.reached.ca_file)
    return InfluxDBClient3(host=database.reached.url, token="none", database=name or database.name, ssl_ca_cert=ca_file)


@pytest.fixture
def python_client(database: Filled) -> Iterator[InfluxDBClient3]:
    with connected(database) as client:
        yield client


def test_the_python_client_writes_and_queries(python_client: InfluxDBClient3) -> None:
    python_client.write("py,host=a usage=1.5 1700000000000000000")
    python_client.write(Point("py").tag("host", "b").field("usage", 2.5).time(1700000001000000000))
    frame = pd.DataFrame({"host": ["c"], "usage": [3.5]}, index=[pd.Timestamp("2024-01-01", tz="UTC")])
    python_client.write(frame, data_frame_measurement_name="py", data_frame_tag_columns=["host"])

    query = "SELECT host, usage FROM py ORDER BY time"
    assert python_client.query(query).to_pydict() == {"host": ["a", "b", "c"], "usage": [1.5, 2.5, 3.5]}
    assert python_client.query(query, mode="pandas").shape == (3, 2)
    assert python_client.query(query, mode="polars").shape == (3, 2)
    assert python_client.query(query, mode="schema").names == ["host", "usage"]
    assert sum(chunk.data.num_rows for chunk in python_client.query(query, mode="chunk")) == 3
    assert python_client.query(query, mode="reader").read_all().num_rows == 3


def test_the_python_client_binds_parameters_of_every_kind(python_client: InfluxDBClient3) -> None:
    query = "SELECT $s AS s, $i AS i, $n AS n, $f AS f, $b AS b"
    parameters = {"s": "x", "i": 7, "n": -7, "f": 1.5, "b": True}

    assert python_client.query(query, query_parameters=parameters).to_pylist() == [parameters]
    assert python_client.query("SELECT usage FROM cpu WHERE host = $host", query_parameters={"host": "b"}).num_rows == 1


def test_the_python_client_hears_what_is_wrong(python_client: InfluxDBClient3, database: Filled) -> None:
    with pytest.raises(InfluxDB3ClientQueryError, match="nothing' not found") as caught:
        python_client.query("SELECT * FROM nothing")
    assert "Traceback" not in str(caught.value)
    with (
        connected(database, "unknown") as elsewhere,
        pytest.raises(InfluxDB3ClientQueryError, match="database not found: unknown"),
    ):
        elsewhere.query("SELECT 1")


def test_the_javascript_client_writes_queries_and_hears_what_is_wrong(database: Filled) -> None:
    modules = node_modules_with("js", "@influxdata/influxdb3-client@2.1.0")
    script = modules / SCRIPT.name
    script.write_text(SCRIPT.read_text())
    ca_file = str(database.reached.ca_file or "")
    trusted = {"NODE_EXTRA_CA_CERTS": ca_file, "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": ca_file} if ca_file else {}
    command = ["node", str(script), database.reached.url, database.name]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **trusted})

    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert [(row["host"], row["usage"], row["count"], row["ok"], row["note"]) for row in found["rows"]] == [
        ("a", 1.5, 2, True, "x"),
        ("b", 2.5, None, None, None),
    ]
    assert [row["time"] for row in found["rows"]] == [1700000000000, 1700000001000]
    assert found["parameters"] == [{"usage": 2.5}]
    assert found["empty"] == []
    assert [point[:2] for point in found["points"]] == [["a", 1.5], ["b", 2.5]]
    assert found["wide"] == 6_000_000
    assert found["error"]["code"] == "INVALID_ARGUMENT"
    assert "nothing' not found" in found["error"]["message"]
    assert "Traceback" not in found["error"]["message"]
    assert "database not found: unknown" in found["unknown"]
