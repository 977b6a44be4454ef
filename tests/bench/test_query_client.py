"""Answers are timed whole, and a question that fails is one figure (scripts/bench_lib/query_client.py)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import flight

from flightserver.flightsql import commands
from scripts.bench_lib import data as rows_of
from scripts.bench_lib.nothing import Nothing
from scripts.bench_lib.query_client import job, run, statement_command

DATA = rows_of.cpu("asked", hosts=10, rows=20_000)
TABLE = pa.table({"a": [1, 2, 3]})


class Answering(flight.FlightServerBase):  # type: ignore[misc]
    """Answers every statement with one table; fails at those that say so."""

    def get_flight_info(self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor) -> flight.FlightInfo:
        ticket = flight.Ticket(commands.unpack(descriptor.command).query.encode())  # type: ignore[attr-defined]
        return flight.FlightInfo(TABLE.schema, descriptor, [flight.FlightEndpoint(ticket, [])], -1, -1)

    def do_get(self, context: flight.ServerCallContext, ticket: flight.Ticket) -> flight.RecordBatchStream:
        if b"fail" in ticket.ticket:
            raise flight.FlightServerError("no such thing")
        return flight.RecordBatchStream(TABLE)


@pytest.fixture
def location() -> Iterator[str]:
    with Answering("grpc://127.0.0.1:0") as server:
        yield f"grpc://127.0.0.1:{server.port}"


def test_a_statement_is_a_flight_sql_command() -> None:
    for sql in ("SELECT 1", "SELECT 'é'" + " " * 300):
        assert commands.unpack(statement_command(sql)).query == sql  # type: ignore[attr-defined]


def test_every_question_has_its_figures_and_its_first_answer_is_kept(location: str, tmp_path: Path) -> None:
    """A1, A2."""
    questions = [{"name": name, "requests": [f"SELECT {name}", "SELECT 2"]} for name in ("one", "two")]

    found = run(job("flight", location, questions, seconds=0.0, least=7, keep=str(tmp_path)))  # type: ignore[arg-type]

    for name in ("one", "two"):
        figures = found[name]
        assert figures["requests"] == 7  # type: ignore[index]
        assert figures["bytes"] == TABLE.nbytes  # type: ignore[index]
        assert pa.ipc.open_file(str(tmp_path / f"{name}.arrow")).read_all() == TABLE


def test_a_question_that_fails_says_why_and_the_next_is_asked(location: str) -> None:
    """A3."""
    questions = [{"name": "bad", "requests": ["fail"]}, {"name": "good", "requests": ["SELECT 1"]}]

    found = run(job("flight", location, questions, seconds=0.0))  # type: ignore[arg-type]

    assert "no such thing" in found["bad"]["error"]  # type: ignore[index]
    assert found["good"]["requests"] == 5  # type: ignore[index]


def test_many_clients_ask_on_schedule_and_errors_are_counted(location: str) -> None:
    questions = [{"name": "mix", "requests": ["SELECT 1", "fail"]}]

    found = run(job("flight", location, questions, seconds=0.4, clients=4, interval_s=0.1))["together"]  # type: ignore[arg-type]

    assert found["requests"] + found["errors"] == 16  # type: ignore[index]
    assert found["requests"] == 8  # type: ignore[index]


def test_the_server_that_does_nothing_sends_as_many_rows_as_the_ticket_says() -> None:
    ticket = json.dumps({"batches": str(rows_of.batches(DATA, DATA.full_rows)), "rows": 100_000})
    with Nothing("grpc://127.0.0.1:0") as server:
        location = f"grpc://127.0.0.1:{server.port}"
        questions = [{"name": "export", "requests": [ticket]}]

        found = run(job("doget", location, questions, seconds=0.0, least=1))["export"]  # type: ignore[arg-type]
        rows = flight.connect(location).do_get(flight.Ticket(ticket.encode())).read_all()

    assert 100_000 <= rows.num_rows < 110_000
    assert found["bytes"] == pytest.approx(rows.nbytes, rel=0.01)  # type: ignore[index]
    assert rows.schema.field("hostname").type == pa.utf8()
