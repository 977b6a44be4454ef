"""The log of statements (E1-E4)."""

import pytest

from engine import events
from engine.events import TEXT_BYTES, QueryLog
from tests.helpers.engine import ManualClock

TOKEN = "apiv3_" + "aB3-_" * 17 + "x"


def log_of(entries: int = 3) -> QueryLog:
    return QueryLog(ManualClock(), entries)


def test_the_last_statements_are_remembered_and_those_that_run() -> None:
    """E1."""
    log = log_of(2)

    slow = log.begin("db", "slow", "sql")
    for number in range(5):
        log.begin("db", f"quick {number}", "sql").ended(events.SUCCESS)

    assert [entry.text for entry in log.entries()] == ["quick 3", "quick 4", "slow"]
    assert [entry.running for entry in log.entries()] == [False, False, True]
    slow.ended(events.SUCCESS)
    assert [entry.text for entry in log.entries()] == ["quick 4", "slow"]


def test_a_log_without_room_remembers_only_what_runs() -> None:
    """E1."""
    log = log_of(0)

    entry = log.begin("db", "one", "sql")

    assert log.entries() == [entry]
    entry.ended(events.SUCCESS)
    assert log.entries() == []


def test_a_huge_statement_is_cut() -> None:
    """E1: at a whole character."""
    entry = log_of().begin("db", "ü" * TEXT_BYTES, "sql")

    assert len(entry.text.encode()) <= TEXT_BYTES
    assert entry.text.endswith("üü…")


def test_texts_take_a_bounded_room_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """E1."""
    monkeypatch.setattr(events, "TEXTS_BYTES", 10_000)
    log = log_of(1_000)

    for _ in range(100):
        log.begin("db", "x" * 1_000, "sql").ended(events.SUCCESS)

    assert len(log.entries()) == 10


@pytest.mark.parametrize("text", [f"SELECT '{TOKEN}'", f"-- Bearer {TOKEN}\nSELECT 1", "x" * (TEXT_BYTES - 20) + TOKEN])
def test_a_token_is_not_remembered(text: str) -> None:
    """E2: not a part of it either, where a long text is cut."""
    entry = log_of().begin("db", text, "sql")
    entry.ended(events.FAILURE, f"no function {TOKEN} is known")

    assert "aB3" not in entry.text
    assert entry.error == "no function apiv3_… is known"


def test_the_first_end_counts() -> None:
    """E3."""
    log = log_of()
    entry = log.begin("db", "one", "sql")

    entry.ended(events.CANCELLED)
    at = entry.end2end_ns
    entry.ended(events.FAILURE, "late")

    assert (entry.phase, entry.error, entry.end2end_ns) == (events.CANCELLED, None, at)
    assert (entry.cancelled, entry.success, entry.running) == (True, False, False)
    assert log.entries() == [entry]


def test_times_are_known_as_far_as_a_statement_has_come() -> None:
    """E4."""
    entry = log_of().begin("db", "one", "sql")
    seen = [(entry.phase, entry.permit_ns, entry.plan_ns, entry.execute_ns, entry.end2end_ns)]

    for step in (entry.planned, entry.waiting, entry.permitted, lambda: entry.ended(events.SUCCESS)):
        step()
        seen.append((entry.phase, entry.permit_ns, entry.plan_ns, entry.execute_ns, entry.end2end_ns))

    planned = "physically_planned"
    assert [phase for phase, *_ in seen] == ["received", planned, planned, "execution_permit", "success"]
    assert [sum(time is not None for time in times) for _, *times in seen] == [0, 1, 1, 2, 4]
    assert sum(time or 0 for time in seen[-1][1:4]) <= (entry.end2end_ns or 0)


def test_a_statement_that_was_never_planned_has_no_time_of_running() -> None:
    """E4."""
    entry = log_of().begin("db", "one", "sql")

    entry.ended(events.FAILURE, "no such table")

    assert (entry.plan_ns, entry.execute_ns, entry.phase) == (None, None, "fail")


def test_ids_differ_and_stay() -> None:
    log = log_of()
    one, other = log.begin("db", "one", "sql"), log.begin("db", "one", "sql")

    assert one.id != other.id
    assert one.id == one.id
