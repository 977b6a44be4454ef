"""DoPut by path and by JSON command: one answer for each batch, in order, while the client streams on."""

import json
import threading
import time
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from catalog.errors import Unavailable
from tests.helpers.flight_process import within
from tests.helpers.memory_node import MemoryNode

BATCH = pa.record_batch(
    {"host": pa.array(["a", "b"]).dictionary_encode(), "usage": [1.0, 2.0], "time": pa.array([1, 2], pa.timestamp("s"))}
)
PATH = fl.FlightDescriptor.for_path("db", "cpu")


def answer(reader: fl.FlightMetadataReader) -> dict[str, Any]:
    found = reader.read()
    assert found is not None
    return dict(json.loads(found.to_pybytes()))


def wait_for(event: threading.Event) -> None:
    assert event.wait(60)


def command(**entries: Any) -> fl.FlightDescriptor:
    return fl.FlightDescriptor.for_command(json.dumps({"database": "db", "table": "cpu", **entries}))


def test_a_client_that_waits_for_each_answer_gets_each_at_once(flight: fl.FlightClient, node: MemoryNode) -> None:
    """D1."""
    writer, reader = flight.do_put(PATH, BATCH.schema)
    answers = []
    for _ in range(3):
        writer.write_batch(BATCH)
        answers.append(answer(reader))
    writer.close()

    assert answers == [{"rows": 2, "batch": 0}, {"rows": 2, "batch": 1}, {"rows": 2, "batch": 2}]
    assert node.databases["db"]["cpu"].rows.num_rows == 6
    assert node.databases["db"]["cpu"].tags == ("host",)
    assert node.closed_sessions == 1


def test_a_client_that_never_reads_answers_is_served_too(flight: fl.FlightClient, node: MemoryNode) -> None:
    writer, _ = flight.do_put(PATH, BATCH.schema)
    for _ in range(100):
        writer.write_batch(BATCH)
    writer.close()

    assert node.databases["db"]["cpu"].rows.num_rows == 200


@pytest.mark.parametrize(("rows", "expected"), [(2, 64), (100_000, 9)], ids=["many", "large"])
def test_batches_are_read_while_earlier_ones_wait_for_the_disk_but_only_so_many(
    flight: fl.FlightClient, node: MemoryNode, rows: int, expected: int
) -> None:
    """D3."""
    durable = threading.Event()
    node.before_wait = lambda: wait_for(durable)
    batch = pa.record_batch({f"v{column}": pa.array([1.0] * rows) for column in range(5)})

    writer, reader = flight.do_put(PATH, batch.schema)
    sender = threading.Thread(target=lambda: [writer.write_batch(batch) for _ in range(80)])
    sender.start()

    def waiting() -> int:
        return node.databases["db"]["cpu"].rows.num_rows // rows if "cpu" in node.databases.get("db", {}) else 0

    within(60, lambda: waiting() >= expected - 1)
    time.sleep(0.1)
    in_flight = waiting()
    durable.set()
    answers = [answer(reader) for _ in range(80)]
    sender.join()
    writer.close()

    assert abs(in_flight - expected) <= 1
    assert [found["batch"] for found in answers] == list(range(80))


def test_a_json_command_names_database_table_and_tags(flight: fl.FlightClient, node: MemoryNode) -> None:
    plain = pa.record_batch({"host": ["a", "b"], "usage": [1.0, 2.0]})

    writer, reader = flight.do_put(command(tags=["host"]), plain.schema)
    writer.write_batch(plain)
    found = answer(reader)
    writer.close()

    assert found == {"rows": 2, "batch": 0}
    assert node.databases["db"]["cpu"].tags == ("host",)


def test_a_header_names_the_tags_of_a_path(flight: fl.FlightClient, node: MemoryNode) -> None:
    plain = pa.record_batch({"host": ["a"], "rack": ["1"], "usage": [1.0]})

    options = fl.FlightCallOptions(headers=[(b"x-flightline-tags", b"rack, host")])
    writer, reader = flight.do_put(PATH, plain.schema, options)
    writer.write_batch(plain)
    answer(reader)
    writer.close()

    assert node.databases["db"]["cpu"].tags == ("rack", "host")


def test_a_batch_that_does_not_fit_ends_the_call_and_names_the_column(flight: fl.FlightClient, node: MemoryNode) -> None:
    """D1."""
    other = pa.record_batch({"usage": pa.array([1, 2])})
    writer, reader = flight.do_put(PATH, BATCH.schema)
    writer.write_batch(BATCH)
    answer(reader)
    writer.close()

    writer, reader = flight.do_put(PATH, other.schema)
    with pytest.raises(pa.ArrowInvalid, match=r"column 'usage' of table cpu, expected .*::float, got .*::integer"):
        writer.close()


def test_a_row_without_time_is_answered_with_an_error_and_the_batches_before_it_stay(
    flight: fl.FlightClient, node: MemoryNode
) -> None:
    """D1."""
    timeless = BATCH.set_column(2, BATCH.schema.field("time"), pa.nulls(2, pa.timestamp("s")))
    writer, reader = flight.do_put(PATH, BATCH.schema)
    writer.write_batch(BATCH)
    writer.write_batch(timeless)

    answers = [answer(reader), answer(reader)]

    assert answers[0] == {"rows": 2, "batch": 0}
    assert answers[1]["error"]["message"] == "row 1 of the batch has no time"
    with pytest.raises(pa.ArrowInvalid, match="row 1 of the batch has no time"):
        writer.close()
    assert node.databases["db"]["cpu"].rows.num_rows == 2


def test_a_write_that_can_not_become_durable_is_never_acknowledged(flight: fl.FlightClient, node: MemoryNode) -> None:
    """D1."""
    node.fail_write_with = Unavailable("the log is closed")
    writer, reader = flight.do_put(PATH, BATCH.schema)
    writer.write_batch(BATCH)

    found = answer(reader)

    assert found["error"]["code"] == "unavailable"
    with pytest.raises(fl.FlightUnavailableError, match="the log is closed"):
        writer.close()


@pytest.mark.parametrize(
    ("descriptor", "expected"),
    [
        (fl.FlightDescriptor.for_path("db"), r"the path of a table is \[database, table\]"),
        (command(tags="host", colour="red"), "unknown entry in a write's command: colour"),
        (command(if_exists="explode"), "if_exists is append, fail or replace"),
        (command(table=7), "names its database and its table"),
        (command(tags=[1]), "tags are a list of column names"),
        (fl.FlightDescriptor.for_command(b"{nonsense"), "not JSON"),
        (fl.FlightDescriptor.for_command(b"nonsense"), "Invalid protobuf"),
    ],
)
def test_a_descriptor_that_says_too_little_or_too_much_is_refused(
    flight: fl.FlightClient, descriptor: fl.FlightDescriptor, expected: str
) -> None:
    writer, _ = flight.do_put(descriptor, BATCH.schema)

    with pytest.raises(pa.ArrowInvalid, match=expected):
        writer.close()
