"""The same doors over a real node: what is acknowledged is read back, also after the node has been opened again."""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager.dbapi as adbc
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.flight as fl
import pytest

from engine.clock import SystemClock
from engine.node import Node
from engine.storage.memory import MemoryStore
from flightserver.client import EngineClient
from flightserver.server import EngineServer
from tests.integration.flight.conftest import SETTINGS

TIMES = [dt.datetime(2024, 1, 1, 0, 0, second, tzinfo=dt.UTC) for second in range(3)]
ARROW = pa.table(
    {
        "host": pa.array(["a", "b", "a"]).dictionary_encode(),
        "usage": [1.0, None, 3.0],
        "time": pa.array(TIMES, pa.timestamp("ms", "UTC")),
    }
)


@pytest.fixture
def client(real_server: EngineServer, tmp_path: Path) -> Iterator[EngineClient]:
    client = EngineClient(f"grpc://127.0.0.1:{real_server.port}", handover_dir=tmp_path / "handover")
    yield client
    client.close()


@pytest.fixture
def connection(real_server: EngineServer) -> Iterator[adbc.Connection]:
    options = {"adbc.flight.sql.rpc.call_header.database": "db"}
    with flight_sql.connect(f"grpc://127.0.0.1:{real_server.port}", db_kwargs=options, autocommit=True) as connection:
        yield connection


def rows(client: EngineClient, columns: str = "host, usage") -> list[dict[str, Any]]:
    query = f"SELECT {columns} FROM cpu ORDER BY time, host"
    found: list[dict[str, Any]] = client.query(db="db", q=query).read_all().to_pylist()
    return found


EXPECTED = [{"host": "a", "usage": 1.0}, {"host": "b", "usage": None}, {"host": "a", "usage": 3.0}]


def test_ingested_rows_are_read_back_and_once_only(connection: adbc.Connection, client: EngineClient) -> None:
    with connection.cursor() as cursor:
        assert cursor.adbc_ingest("cpu", ARROW, mode="create_append") == 3
        assert cursor.adbc_ingest("cpu", ARROW, mode="append") == 3

    assert rows(client) == EXPECTED


def test_create_append_and_replace_keep_their_word(connection: adbc.Connection, client: EngineClient) -> None:
    other = pa.table({"host": ["z"], "usage": ["text"], "time": pa.array(TIMES[:1], pa.timestamp("us", "UTC"))})
    with connection.cursor() as cursor:
        with pytest.raises(connection.Error, match="table not found: cpu"):
            cursor.adbc_ingest("cpu", ARROW, mode="append")
        cursor.adbc_ingest("cpu", ARROW, mode="create")
        with pytest.raises(connection.Error, match="exists already"):
            cursor.adbc_ingest("cpu", ARROW, mode="create")
        with pytest.raises(connection.Error, match="expected iox::column_type::field::float"):
            cursor.adbc_ingest("cpu", other, mode="append")
        assert cursor.adbc_ingest("cpu", other, mode="replace") == 1

    assert rows(client) == [{"host": "z", "usage": "text"}]


def test_pandas_and_polars_frames_arrive(connection: adbc.Connection, client: EngineClient) -> None:
    pandas = pd.DataFrame({"host": pd.Categorical(["a", "b"]), "usage": [1.0, None], "time": pd.to_datetime(TIMES[:2])})
    polars = pl.DataFrame({"host": ["a"], "usage": [3.0], "time": TIMES[2:]})
    client.admin("create_database", {"name": "db"})

    pandas.to_sql("cpu", connection, if_exists="append", index=False)
    polars.write_database("cpu", connection, if_table_exists="append")

    assert rows(client) == EXPECTED
    assert connection.adbc_get_table_schema("cpu").field("host").metadata == {b"iox::column::type": b"iox::column_type::tag"}


def test_every_acknowledged_batch_survives_a_new_start(store: MemoryStore) -> None:
    node = Node.open(SETTINGS, store, SystemClock())
    server = EngineServer(node, "grpc://127.0.0.1:0")
    batches = [
        pa.record_batch({"host": pa.array(["a"]).dictionary_encode(), "usage": [float(number)], "time": pa.array([number])})
        for number in range(50)
    ]
    with fl.FlightClient(f"grpc://127.0.0.1:{server.port}") as flight:
        writer, reader = flight.do_put(fl.FlightDescriptor.for_path("db", "cpu"), batches[0].schema)
        for batch in batches:
            writer.write_batch(batch)
        answers = [json.loads(reader.read().to_pybytes()) for _ in batches]
        writer.close()
    server.shutdown()
    node.close()

    node = Node.open(SETTINGS, store, SystemClock())
    table = pa.Table.from_batches(list(node.query_sql("db", "SELECT usage FROM cpu ORDER BY time")))
    node.close()

    assert answers == [{"rows": 1, "batch": number} for number in range(50)]
    assert table.column("usage").to_pylist() == [float(number) for number in range(50)]


def test_parallel_streams_and_lines_meet_in_one_table(
    connection: adbc.Connection, client: EngineClient, real_server: EngineServer
) -> None:
    def put(stream: int) -> None:
        with fl.FlightClient(f"grpc://127.0.0.1:{real_server.port}") as flight:
            schema = pa.schema([("host", pa.utf8()), ("usage", pa.float64()), ("time", pa.int64())])
            options = fl.FlightCallOptions(headers=[(b"x-flightline-tags", b"host")])
            writer, _ = flight.do_put(fl.FlightDescriptor.for_path("db", "cpu"), schema, options)
            for number in range(20):
                writer.write_batch(
                    pa.record_batch([[f"arrow{stream}"] * 10, [1.0] * 10, range(number * 10, number * 10 + 10)], schema=schema)
                )
            writer.close()

    def write(stream: int) -> None:
        for number in range(20):
            client.write_lp(db="db", body=b"cpu,host=line%d usage=1 %d\n" % (stream, number), precision="nanosecond")

    threads = [threading.Thread(target=work, args=(stream,)) for work in (put, write) for stream in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    counts = client.query(db="db", q="SELECT host, count(*) AS n FROM cpu GROUP BY host ORDER BY host").read_all().to_pylist()
    assert counts == [{"host": f"arrow{n}", "n": 200} for n in range(3)] + [{"host": f"line{n}", "n": 20} for n in range(3)]


def test_a_body_may_change_once_its_call_has_returned(client: EngineClient) -> None:
    """R1: the next body overwrites the shared memory of this one, which no_sync left unfinished."""
    body = b"".join(b'cpu,host=h%d usage=%d,note="text %d" %d\n' % (n % 10, n, n, n) for n in range(5_000))

    client.write_lp(db="db", body=body, precision="nanosecond", no_sync=True)
    client.write_lp(db="db", body=b"#" * len(body) + b"\ncpu,host=last usage=1 5000\n", precision="nanosecond")

    found = rows(client, "host, usage, note")
    assert found[:-1] == [{"host": f"h{n % 10}", "usage": float(n), "note": f"text {n}"} for n in range(5_000)]


def test_a_report_counts_what_is_stored_and_lists_what_is_not(client: EngineClient) -> None:
    """R2."""
    report = client.write_lp(db="db", body=b"cpu,host=a usage=1 1\nrubbish\ncpu,host=b usage=2 2\ncpu,host=c usage=3i 3\n")

    assert report["rows"] == 2
    assert [(line["line_number"], line["original_line"]) for line in report["rejected"]] == [
        (2, "rubbish"),
        (4, "cpu,host=c usage=3i 3"),
    ]
    assert rows(client) == [{"host": "a", "usage": 1.0}, {"host": "b", "usage": 2.0}]
