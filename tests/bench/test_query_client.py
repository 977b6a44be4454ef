"""Answers are timed whole, and a question that fails is one figure (scripts/bench_lib/query_client.py)."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import flight

from flightserver.flightsql import commands
from scripts.bench_lib import data as rows_of
from scripts.bench_lib import query_client
from scripts.bench_lib.nothing import Nothing
from scripts.bench_lib.query_client import IN_A_ROW, Asked, Part, job, part, run, statement_command

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


def questions(**requests: list[str]) -> list[Asked]:
    return [{"name": name, "requests": wordings} for name, wordings in requests.items()]


def test_every_question_has_its_figures_and_its_first_answer_is_kept(location: str, tmp_path: Path) -> None:
    """A1, A2."""
    asked = questions(one=["SELECT 1", "SELECT 2"], two=["SELECT 3"])

    found = run(job([part("us", "flight", location, asked, keep=tmp_path)], seconds=0.0, least=7))["us"]

    for name in ("one", "two"):
        assert found[name]["requests"] == 7
        assert found[name]["bytes"] == TABLE.nbytes
        assert pa.ipc.open_file(str(tmp_path / f"{name}.arrow")).read_all() == TABLE


def test_a_question_that_fails_says_why_and_the_next_is_asked(location: str) -> None:
    """A3."""
    asked = questions(bad=["fail"], good=["SELECT 1"])

    found = run(job([part("us", "flight", location, asked)], seconds=0.0))["us"]

    assert "no such thing" in found["bad"]["error"]
    assert found["good"]["requests"] == 5


def test_systems_take_turns(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A4."""
    order: list[str] = []

    class Noting:
        def __init__(self, given: Part) -> None:
            self.name = given["name"]

        def ask(self, request: str) -> int:
            order.append(self.name)
            return 1

        def keep(self, path: Path) -> None:
            return

    monkeypatch.setitem(query_client.WAYS, "noting", Noting)
    parts = [part(name, "noting", "", questions(q=["x"])) for name in ("a", "b")]

    found = run(job(parts, seconds=0.0, least=IN_A_ROW + 2))

    some, rest = IN_A_ROW + 1, 2 + 1
    assert order == ["a", "b", *["a"] * some, *["b"] * some, *["a"] * rest, *["b"] * rest]
    assert found["a"]["q"]["requests"] == IN_A_ROW + 2, "the first one of each turn is not timed"


def test_many_clients_ask_on_schedule_and_errors_are_counted(location: str) -> None:
    asked = questions(mix=["SELECT 1", "fail"])

    found = run(job([part("us", "flight", location, asked)], seconds=0.39, clients=4, interval_s=0.1))["us"]["together"]

    assert found["requests"] + found["errors"] == 16
    assert found["requests"] == 8


def test_the_server_that_does_nothing_sends_as_many_rows_as_the_ticket_says() -> None:
    ticket = json.dumps({"batches": str(rows_of.batches(DATA, DATA.full_rows)), "rows": 100_000})
    with Nothing("grpc://127.0.0.1:0") as server:
        location = f"grpc://127.0.0.1:{server.port}"

        found = run(job([part("nothing", "doget", location, questions(export=[ticket]))], seconds=0.0, least=1))["nothing"][
            "export"
        ]
        rows = flight.connect(location).do_get(flight.Ticket(ticket.encode())).read_all()

    assert 100_000 <= rows.num_rows < 110_000
    assert found["bytes"] == pytest.approx(rows.nbytes, rel=0.01)
    assert rows.schema.field("hostname").type == pa.utf8()
