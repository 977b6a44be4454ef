"""The Flight client counts what was acknowledged (scripts/bench_lib/flight_client.py)."""

import pytest
from pyarrow import flight

from scripts.bench_lib import data as rows_of
from scripts.bench_lib.flight_client import Job, Load
from scripts.bench_lib.nothing import Nothing

DATA = rows_of.cpu("flight", hosts=100, rows=125_000)


class Refusing(Nothing):
    """Takes two batches and then breaks off."""

    def do_put(self, context: object, descriptor: object, reader: object, writer: flight.FlightMetadataWriter) -> None:
        for _ in range(2):
            reader.read_chunk()  # type: ignore[attr-defined]
            writer.write(b"")
        raise flight.FlightUnavailableError("full")


def job(port: int, way: str, streams: int) -> Job:
    return {
        "way": way,
        "uri": f"grpc://127.0.0.1:{port}",
        "database": "bench",
        "table": "cpu",
        "check_field": "usage_user",
        "batches": str(rows_of.batches(DATA, DATA.full_rows)),
        "streams": streams,
    }


@pytest.mark.parametrize(("way", "calls"), [("doput", 13), ("adbc", 2)])
def test_all_rows_are_acknowledged(way: str, calls: int) -> None:
    """F1, F2."""
    with Nothing("grpc://127.0.0.1:0") as server:
        result = Load(job(server.port, way, 2)).run()

    assert (result["rows"], result["unknown_rows"], result["outcomes"]) == (125_000, 0, {"acknowledged": calls})
    assert result["check"] == int(rows_of.cpu_values(DATA, 125_000)[:, 0].sum())


def test_a_stream_that_breaks_leaves_its_rows_unknown_and_names_the_reason() -> None:
    """F1."""
    with Refusing("grpc://127.0.0.1:0") as server:
        result = Load(job(server.port, "doput", 1)).run()

    assert result["rows"] in (0, 10_000, 20_000)  # an answer on the way when a write fails is not waited for
    assert result["rows"] + result["unknown_rows"] == 125_000  # type: ignore[operator]
    assert any("full" in outcome for outcome in result["outcomes"])  # type: ignore[attr-defined]
