"""What is wrong, in one line."""

import pytest

from engine.query.messages import MESSAGE_BYTES, QueryRefused, planner_message
from engine.query.statement import prepare
from tests.helpers.sql import context_of, read, rows

CPU = rows({"host": "a", "time": "2024-01-01", "busy": 1, "usage": 0.5, "note": "x"})


def refusal(text: str) -> str:
    context = context_of(cpu=CPU, memory=CPU)
    with pytest.raises(QueryRefused) as caught:
        prepare(context, text, {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT * FROM cpx", "Error during planning: table 'public.iox.cpx' not found. Did you mean 'cpu'?"),
        ("SELECT * FROM Memroy", "Error during planning: table 'public.iox.memroy' not found. Did you mean 'memory'?"),
        ("SELECT * FROM zzz", "Error during planning: table 'public.iox.zzz' not found"),
        ("SELECT * FROM information_schema.colunms", "'public.information_schema.colunms' not found. Did you mean 'columns'?"),
        ("SELECT usge FROM cpu", "Schema error: No field named usge. Did you mean 'cpu.usage'?"),
        ("SELECT c.usge FROM cpu c", "Schema error: No field named c.usge. Did you mean 'c.usage'?"),
        ("SELECT selector_lst(usage, time) FROM cpu", "Invalid function 'selector_lst'. Did you mean 'selector_last'?"),
        ("SELECT date_bin_gapfil('1m', time) FROM cpu", "Invalid function 'date_bin_gapfil'. Did you mean 'date_bin_gapfill'?"),
        ("SELECT qqqqq(1)", "Error during planning: Invalid function 'qqqqq'"),
        ("SELEC 1", 'SQL error: ParserError("Expected: an SQL statement, found: SELEC at Line: 1, Column: 1")'),
        ("SELECT usage FROM cpu WHERE", 'SQL error: ParserError("Expected: an expression, found: EOF")'),
        ("", "Error during planning: No SQL statements were provided in the query string"),
        ("SELECT 1; SELECT 2", "This feature is not implemented: more than one statement in a request"),
        ("SELECT CAST('a' AS INT)", "Arrow error: Cast error: Cannot cast string 'a' to value of Int32 type"),
        ("SELECT host + 1 FROM cpu", "Error during planning: Cannot coerce arithmetic expression"),
        ("SELECT " + "(" * 80 + "1" + ")" * 80, "SQL error: the statement is nested more than 50 levels deep"),
        ("SELECT * FROM read_csv('/etc/passwd')", "Error during planning: table function 'read_csv' not found"),
    ],
)
def test_a_mistake_is_said_in_one_line_with_what_was_probably_meant(text: str, said: str) -> None:
    """M1, M2."""
    assert said in refusal(text)


def test_a_message_is_never_long() -> None:
    """M1."""
    wide = rows({"time": 0}).append_column("x" * 2000, CPU.column("usage"))
    context = context_of(wide=wide)

    with pytest.raises(QueryRefused) as caught:
        prepare(context, "SELECT nothing FROM wide", {})

    assert len(str(caught.value).encode()) <= MESSAGE_BYTES
    assert str(caught.value).endswith("…")


def test_the_words_around_a_message_go() -> None:
    wrapped = Exception("DataFusion error: Optimizer rule 'x' failed\ncaused by\nError during planning: what is wrong\n  here")

    assert planner_message(wrapped) == "Error during planning: what is wrong here"


def test_a_bug_of_the_planner_is_not_blamed_on_the_reader() -> None:
    bug = Exception(
        "Internal error: No such thing.\nThis issue was likely caused by a bug in DataFusion's code. "
        "Please help us to resolve this by filing a bug report in our issue tracker: https://example.com"
    )

    assert planner_message(bug) == "Internal error: No such thing"


def test_what_one_of_our_functions_says_is_told_without_its_traceback() -> None:
    context = context_of(cpu=CPU)

    with pytest.raises(Exception, match="PyErr") as caught:
        read(prepare(context, "SELECT sleep(-1)", {}))

    assert planner_message(caught.value) == "Execution error: duration must be non-negative but is -1s"


@pytest.mark.parametrize("text", ["SELECT 1/0", "SELECT busy / 0 FROM cpu", "SELECT busy % 0 FROM cpu"])
def test_a_division_by_zero_is_said_when_it_happens(text: str) -> None:
    prepared = prepare(context_of(cpu=CPU), text, {})

    with pytest.raises(Exception, match="Divide by zero") as caught:
        read(prepared)

    assert planner_message(caught.value) == "Arrow error: Divide by zero error"
