"""Which statements are expected to be brief."""

import pytest

from flightserver.handlers import brief
from flightserver.handlers.brief import BRIEF_BYTES, BRIEF_S, Brief


def test_a_statement_is_as_brief_as_it_was_the_last_time() -> None:
    """V1."""
    known = Brief()
    assert not known.expects(("db", "SELECT 1"))

    known.note(("db", "SELECT 1"), BRIEF_S / 2, BRIEF_BYTES, is_whole=True)
    assert known.expects(("db", "SELECT 1"))
    assert not known.expects(("db", "SELECT 2"))

    known.note(("db", "SELECT 1"), BRIEF_S * 2, 0, is_whole=True)
    assert not known.expects(("db", "SELECT 1"))


@pytest.mark.parametrize(("seconds", "size_bytes", "is_whole"), [(BRIEF_S, 1, True), (0, BRIEF_BYTES + 1, True), (0, 0, False)])
def test_what_takes_long_is_large_or_was_not_read_to_its_end_is_not_brief(
    seconds: float, size_bytes: int, is_whole: bool
) -> None:
    """V1."""
    known = Brief()

    known.note("a", seconds, size_bytes, is_whole=is_whole)

    assert not known.expects("a")


def test_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """V2."""
    monkeypatch.setattr(brief, "KNOWN_MAX", 2)
    known = Brief()

    for statement in "abc":
        known.note(statement, 0, 0, is_whole=True)

    assert [known.expects(statement) for statement in "abc"] == [False, True, True]
