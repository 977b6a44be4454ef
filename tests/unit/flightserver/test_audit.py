"""What administrators did (J1-J4)."""

import json
import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl
import pytest

from catalog.access import TOKEN
from catalog.tokens import EVERYTHING, Identity, Token
from flightserver import audit as module
from flightserver import wire
from flightserver.audit import Audit, UnusableAuditFile
from flightserver.handlers.actions import Action, Actions
from flightserver.handlers.call import Call, Guard
from tests.helpers.memory_node import MemoryNode
from tests.helpers.secured import act, secured

ANN = Identity(Token(7, "ann", "hash", 0, None, (EVERYTHING,)))


def now_ns() -> int:
    return 1_700_000_000_123_000_000


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_says_who_did_what_and_how_it_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """J1."""
    caplog.set_level(logging.INFO)
    file = tmp_path / "audit.log"
    audit = Audit(now_ns, file)

    audit.note(ANN, "drop_database", {"name": "sensors"})
    audit.note(None, "drop_database", {"name": "sensors"}, "database_not_found")
    audit.close()

    first, second = lines(file)
    assert first == {
        "time": "2023-11-14T22:13:20.123Z",
        "who": "ann",
        "token_id": 7,
        "action": "drop_database",
        "arguments": {"name": "sensors"},
        "outcome": "done",
    }
    assert (second["who"], second["outcome"]) == (None, "database_not_found")
    assert [json.loads(record.message) for record in caplog.records] == [first, second]


def test_only_arguments_with_a_known_name_are_kept(tmp_path: Path) -> None:
    """J2."""
    audit = Audit(now_ns, tmp_path / "audit.log")

    audit.note(ANN, "x", {"name": "n", "token": "apiv3_secret", "password": "secret", "hash": "h"})
    audit.note(ANN, "x", {"name": "n", "fields": {f"field{number}": "float64" for number in range(1000)}})
    audit.close()

    assert [line["arguments"] for line in lines(tmp_path / "audit.log")] == [{"name": "n"}, {"name": "n"}]


def test_the_file_is_its_owners_and_moved_aside_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J3."""
    monkeypatch.setattr(module, "FILE_BYTES", 1000)
    monkeypatch.setattr(module, "FILES", 3)
    audit = Audit(now_ns, tmp_path / "audit.log")

    for number in range(50):
        audit.note(ANN, "drop_table", {"name": str(number)})
    audit.close()

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["audit.log", "audit.log.1", "audit.log.2"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert all(file.stat().st_size <= 1000 for file in files)
    assert lines(files[0])[-1]["arguments"] == {"name": "49"}


def test_a_line_that_can_not_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """J4."""
    full = Path("/dev/full")
    audit = Audit(now_ns, full)

    audit.note(ANN, "x", {})
    audit.note(ANN, "y", {})
    audit.close()

    assert caplog.text.count("can not be written") == 1
    with pytest.raises(UnusableAuditFile, match="can not be opened"):
        Audit(now_ns, tmp_path / "no" / "such" / "directory")


def test_administrative_actions_leave_their_lines_and_others_none(tmp_path: Path) -> None:
    """J1, J2."""
    file = tmp_path / "audit.log"
    audit = Audit(now_ns, file)
    with closing(audit), secured(tmp_path, audit=audit) as server, fl.FlightClient(server.url) as flight:
        reader = server.token("db:a:read", name="reader")
        act(flight, server.operator, wire.ADMIN + "create_database", {"name": "made"})
        act(flight, server.operator, wire.ADMIN + "list_databases")
        made = act(flight, server.operator, wire.ADMIN + "create_admin_token", {"name": "bob"})
        with pytest.raises(fl.FlightUnauthorizedError):
            act(flight, reader, wire.ADMIN + "drop_database", {"name": "made"})
        with pytest.raises(fl.FlightUnauthenticatedError):
            act(flight, None, wire.ADMIN + "drop_database", {"name": "made"})
        with pytest.raises(pa.ArrowInvalid):
            act(flight, None, wire.ADMIN + "create_operator_token")
        with pytest.raises(KeyError):
            act(flight, server.operator, wire.ADMIN + "delete_token", {"name": "nobody"})

    told = [(line["who"], line["action"], line["arguments"], line["outcome"]) for line in lines(file)]
    assert told == [
        ("_admin", "create_database", {"name": "made"}, "done"),
        ("_admin", "create_admin_token", {"name": "bob"}, "done"),
        ("reader", "drop_database", {"name": "made"}, "not_permitted"),
        (None, "create_operator_token", {}, "token_name_taken"),
        ("_admin", "delete_token", {"name": "nobody"}, "not_found"),
    ]
    assert made["token"] not in file.read_text()
    assert made["hash"] not in file.read_text()


def test_what_nobody_planned_leaves_a_line_too(tmp_path: Path) -> None:
    """J1."""

    def fail(call: Call, body: pa.Buffer) -> list[bytes]:
        raise ZeroDivisionError

    audit = Audit(now_ns, tmp_path / "audit.log")
    actions = Actions([Action(wire.ADMIN + "fail", "fails", fail, TOKEN, audited=True)], audit)

    with closing(audit), pytest.raises(ZeroDivisionError):
        actions.run(Call(Guard(MemoryNode())), wire.ADMIN + "fail", pa.py_buffer(b"no JSON"))

    (line,) = lines(tmp_path / "audit.log")
    assert (line["action"], line["arguments"], line["outcome"]) == ("fail", {}, "internal")
