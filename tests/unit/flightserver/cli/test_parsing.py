"""Command lines, read against a small tree and against the real one."""

from collections.abc import Mapping

import pytest

from flightserver.cli.declared import Argument, Command, Option
from flightserver.cli.parsing import Asked, Given, Tree, UsageError, parse
from flightserver.cli.tree import TREE


def even(text: str) -> int:
    if int(text) % 2:
        raise ValueError("expected an even number")
    return int(text)


SMALL = Tree(
    (
        Command(
            "make cake",
            "Bake.",
            options=(
                Option("--layers", "How many.", value="N", short="-n", env=("LAYERS",), default="2", kind=even),
                Option("--with", "What.", value="X", many=True),
                Option("--hot", "At once.", short="-t"),
                Option("--shape", "Form.", value="S", choices=("round", "square"), older_choices=(("circle", "round"),)),
                Option("--place", "Where.", value="P", required=True, also=("--at",)),
            ),
            arguments=(Argument("NAME", "Whose."), Argument("MORE", "Others.", required=False, many=True)),
        ),
        Command("make soup", "Cook.", absent="there is no pot"),
        Command("wait", "Do nothing."),
    ),
    {"bake": "make cake"},
)


def given(*words: str, environment: Mapping[str, str] | None = None) -> Given:
    asked = parse(SMALL, words, environment or {})
    assert asked.given is not None
    return asked.given


def refused(*words: str, tree: Tree = SMALL) -> str:
    with pytest.raises(UsageError) as caught:
        parse(tree, words, {})
    return caught.value.message


def test_a_flag_beats_its_variable_and_the_variable_beats_the_default() -> None:
    """P1."""
    cake = ("make", "cake", "--place", "p", "me")

    assert given(*cake).number("--layers") == 2
    assert given(*cake, environment={"LAYERS": "4"}).number("--layers") == 4
    assert given(*cake, "--layers=6", environment={"LAYERS": "4"}).number("--layers") == 6
    assert given(*cake, "-n8").number("--layers") == 8
    assert given(*cake, "-n", "10").number("--layers") == 10


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("update database sensors -r 7d", "unexpected argument 'sensors' found\n\n  tip: did you mean '--database sensors'?"),
        ("query -d sensors SELECT 1", "unexpected argument '1' found\n\n  tip: put [QUERY] in quotes"),
        ("query SELECT 1", "unexpected argument '1' found\n\n  tip: put [QUERY] in quotes"),
        ("show nodes all", "unexpected argument 'all' found"),
        ("query --verison", "unexpected argument '--verison' found\n\n  tip: a similar argument exists: '--version'"),
        ("query --nonsense", "unexpected argument '--nonsense' found"),
    ],
)
def test_a_word_too_many_and_an_unknown_option_are_told_with_what_was_probably_meant(line: str, message: str) -> None:
    assert refused(*line.split(), tree=TREE) == message


def test_values_come_by_name_list_and_older_spelling() -> None:
    """P1."""
    found = given("bake", "--at=here", "--with", "a", "-t", "me", "--with=b", "--shape", "circle", "you", "they")

    assert found.text("--place") == "here"
    assert found.each("--with") == ["a", "b"]
    assert "--hot" in found
    assert found.text("--shape") == "round"
    assert (found.text("NAME"), found.each("MORE")) == ("me", ["you", "they"])
    assert found.spelled["--at"] == "here"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("make", "cake", "--plaec", "x"),
            "unexpected argument '--plaec' found\n\n  tip: a similar argument exists: '--place'",
        ),
        (("make", "cakes"), "unrecognized subcommand 'cakes'\n\n  tip: a similar subcommand exists: 'cake'"),
        (("dance",), "unrecognized subcommand 'dance'"),
        (("wait", "long"), "unexpected argument 'long' found"),
        (("bake", "me"), "the following required arguments were not provided:\n  --place <P>"),
        (("bake", "--at", "x"), "the following required arguments were not provided:\n  <NAME>"),
        (("bake", "--at"), "a value is required for '--place <P>' but none was supplied"),
        (("bake", "--at", "--hot", "me"), "a value is required for '--place <P>' but none was supplied"),
        (("bake", "--at", "x", "me", "-n", "3"), "invalid value '3' for '--layers <N>': expected an even number"),
        (("bake", "--at", "x", "me", "--hot=perhaps"), "invalid value 'perhaps' for '--hot': expected true or false"),
        (
            ("bake", "--at", "x", "me", "--shape", "rond"),
            "invalid value 'rond' for '--shape <S>'\n  [possible values: round, square]\n\n"
            "  tip: a similar value exists: 'round'",
        ),
        (("bake", "me", "--at", "x", "--at", "y"), "the argument '--place <P>' cannot be used multiple times"),
    ],
)
def test_what_was_not_declared_is_refused_by_name(words: tuple[str, ...], message: str) -> None:
    """P1, D2."""
    assert refused(*words) == message


def test_an_unreadable_variable_is_refused_under_its_name() -> None:
    """D2."""
    with pytest.raises(UsageError) as caught:
        given("bake", "--at", "x", "me", environment={"LAYERS": "3"})

    assert caught.value.message == "invalid value '3' for 'LAYERS': expected an even number"


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("show", "system", "-d", "x", "summary"), "show system summary"),
        (("show", "--token", "t", "system", "--database=x", "table-list"), "show system table_list"),
        (("show", "summary", "--database", "x"), "show system summary"),
        (("create", "last-cache", "-t", "cpu", "--cache-name=c"), "create last_cache"),
        (("file-index", "create", "-d", "x", "-t", "y", "column"), "create file_index"),
        (("delete", "delete", "-d", "x", "--cache-name", "y"), "delete last_cache"),
        (("create", "meta-cache"), "create distinct_cache"),
        (("activate", "trigger", "x"), "enable trigger"),
        (("q", "-d", "x", "SELECT 1"), "query"),
        (("w", "-d", "x", "a b=1"), "write"),
        (("debug", "catalog", "ls"), "debug catalog list"),
    ],
)
def test_words_and_options_lead_to_a_command_in_any_order_and_spelling(words: tuple[str, ...], path: str) -> None:
    """P2, P3."""
    asked = parse(TREE, words, {})

    assert asked.path == path
    assert asked.command is not None


@pytest.mark.parametrize(
    ("words", "path", "level"),
    [
        (("-h",), "", "--help"),
        (("create", "--help-all"), "create", "--help-all"),
        (("create", "database", "-h"), "create database", "--help"),
        (("query", "--database", "x", "--help"), "query", "--help"),
        (("create", "trigger", "help"), "create trigger", "--help"),
        (("create", "distinct_cache", "-h"), "create distinct_cache", "--help"),
        (("help", "create"), "create", "--help"),
        (("help",), "", "--help"),
    ],
)
def test_help_is_asked_for_in_many_ways(words: tuple[str, ...], path: str, level: str) -> None:
    """P4."""
    assert parse(TREE, words, {})[:1] + parse(TREE, words, {})[3:4] == (path, level)


def test_an_early_version_took_the_host_from_h() -> None:
    """P4."""
    asked: Asked = parse(TREE, ["query", "-h", "http://there:1", "-d", "x", "SELECT 1"], {})

    assert asked.given is not None
    assert asked.given.text("--host") == "http://there:1"


def test_a_database_may_be_called_help_and_a_value_may_begin_with_a_hyphen() -> None:
    assert parse(TREE, ["create", "database", "help"], {}).given is not None
    found = parse(TREE, ["query", "-d", "x", "--", "-- a comment\nSELECT 1"], {}).given
    assert found is not None
    assert found.text("QUERY").startswith("-- a comment")


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:y", "http://a@b", "x y"])
def test_a_host_that_is_none_is_refused(url: str) -> None:
    """D2."""
    assert f"invalid value '{url}' for '--host <URL>'" in refused("show", "databases", "--host", url, tree=TREE)


@pytest.mark.parametrize("unit", ["ns", "n", "us", "u", "ms", "s", "second", "auto", "nanosecond"])
def test_a_precision_is_read_in_each_spelling(unit: str) -> None:
    found = parse(TREE, ["write", "-d", "x", "-p", unit, "a b=1"], {}).given

    assert found is not None
    assert found.text("--precision") in ("nanosecond", "microsecond", "millisecond", "second", "auto")


def test_an_unknown_precision_is_refused_in_the_words_that_scripts_know() -> None:
    """D2."""
    message = refused("write", "-d", "x", "--precision", "fake", tree=TREE)

    assert message == "invalid value 'fake' for '--precision <PRECISION>': unrecognized precision unit: fake"
