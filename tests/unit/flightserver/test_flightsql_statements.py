"""The outside of statements."""

import time

import datafusion
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidRequest, ServiceError, UnsupportedFeature
from flightserver.flightsql.statements import Insert, is_insert, is_read, kind_of, parameters, parse_insert, quoted_parameters


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT 1", "select"),
        ("  -- INSERT\n/* UPDATE /* nested */ DELETE */ insert into t values (1)", "insert"),
        ("((select 1))", "select"),
        ("explain select 1", "explain"),
        ("'SELECT'", ""),
        ("", ""),
        ("/* never closed", ""),
        ("42", ""),
    ],
)
def test_the_kind_of_a_statement_is_its_first_word(text: str, kind: str) -> None:
    """V1."""
    assert kind_of(text) == kind


def test_reading_and_inserting_are_told_apart() -> None:
    assert [is_read(text) for text in ("WITH x AS (SELECT 1) TABLE x", "DESCRIBE cpu", "INSERT INTO t SELECT 1")] == [
        True,
        True,
        False,
    ]
    assert is_insert("insert\ninto t select 1")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT ?, ?", ("1", "2")),
        ("SELECT $2, $1, $2", ("1", "2")),
        ("SELECT $10, $9", ("9", "10")),
        ("SELECT $b, $a, $b", ("b", "a")),
        ("SELECT $host, $1", ("1", "host")),
        ("SELECT '?', \"$a\", `?`, $$ ? $$, $t$ $b $t$, e'\\'?', x'?', 'it''s ?' -- ?\n/* ? /* ? */ ? */, ?", ("1",)),
        ("SELECT a$b, 'a\\', ?, 'b'", ("1",)),
        ("SELECT $é, $_x9", ("é", "_x9")),
        ("SELECT ?2, ?1", ("1", "2")),
        ("SELECT 1::int, x FROM t", ()),
        ("SELECT 'never closed ?", ()),
    ],
)
def test_parameters_are_found_outside_of_strings_names_and_comments(text: str, names: tuple[str, ...]) -> None:
    """V1, V3."""
    assert parameters(text) == names


def test_strings_that_could_be_parameters_are_known() -> None:
    """V1."""
    assert quoted_parameters("SELECT '$host', '$a b', \"$x\", 'it is $y', '$$' -- '$z'") == {"host", "a b", "$"}
    assert quoted_parameters("SELECT 1") == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT $1 AS x, '$2', $$ $3 $$, e'\\'$4', \"$5\" FROM (SELECT 1 AS \"$5\") -- $6\n"
        " WHERE /* $7 */ $8 = $8 AND $host <> 'a\\'",
        "SELECT $é, $a1, $b_2::int",
    ],
)
def test_the_planner_wants_values_for_the_same_parameters(text: str) -> None:
    """V1, V3."""
    values = dict.fromkeys(parameters(text), "1")

    def run(bound: dict[str, str]) -> int:
        return int(datafusion.SessionContext().sql(text, param_values=bound).count())

    assert run(values) == 1
    for missing in values:
        with pytest.raises(Exception, match="laceholder"):
            run({name: value for name, value in values.items() if name != missing})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'INSERT INTO Cpu (Host, "Us""age", `time`) VALUES (?, ?, ?);',
            Insert("cpu", ("host", 'Us"age', "time"), "VALUES (?, ?, ?);", ("1", "2", "3")),
        ),
        ("insert into public.iox.cpu values ($2, $a)", Insert("cpu", None, "values ($2, $a)", ("2", "a"))),
        ("INSERT INTO TABLE cpu VALUES ($1, 2)", Insert("cpu", None, "VALUES ($1, 2)", None)),
        ("INSERT INTO cpu VALUES ($1), ($2)", Insert("cpu", None, "VALUES ($1), ($2)", None)),
        ("INSERT INTO cpu VALUES ($1 + 1)", Insert("cpu", None, "VALUES ($1 + 1)", None)),
        ("INSERT INTO cpu VALUES ()", Insert("cpu", None, "VALUES ()", None)),
        ("INSERT INTO cpu (SELECT 1)", Insert("cpu", None, "(SELECT 1)", None)),
        (
            'INSERT INTO "my.table" /* a */ (a)\nWITH x AS (SELECT 1) TABLE x',
            Insert("my.table", ("a",), "WITH x AS (SELECT 1) TABLE x", None),
        ),
    ],
)
def test_an_insert_is_a_table_columns_and_a_query(text: str, expected: Insert) -> None:
    """V2."""
    assert parse_insert(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DELETE FROM cpu", "DELETE is not supported"),
        ("update cpu set x = 1", "UPDATE is not supported"),
        ("DROP TABLE cpu", "DROP is not supported"),
        ("INSERT OR REPLACE INTO cpu VALUES (1)", "INSERT OR is not supported"),
        ("INSERT OVERWRITE cpu SELECT 1", "INSERT OVERWRITE is not supported"),
    ],
)
def test_other_changes_are_refused_by_their_kind(text: str, words: str) -> None:
    """V2."""
    with pytest.raises(UnsupportedFeature, match=words):
        parse_insert(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("INSERT INTO other.cpu VALUES (1)", "tables live in public.iox, not in other"),
        ("INSERT INTO a.b.c VALUES (1)", "not in a.b"),
        ("INSERT INTO cpu", "needs VALUES or a query, found: the end of the statement"),
        ("INSERT INTO cpu DEFAULT VALUES", "needs VALUES or a query, found: DEFAULT"),
        ("INSERT INTO cpu (a, b VALUES (1)", r"expected \) after the columns of INSERT, found: VALUES"),
        ("INSERT INTO cpu (a, a) VALUES (1, 2)", "names a column twice"),
        ("INSERT INTO 'cpu' VALUES (1)", "expected a name in INSERT, found: 'cpu'"),
        ("INSERT INTO", "expected a name in INSERT, found: the end"),
    ],
)
def test_a_broken_head_says_what_was_expected(text: str, words: str) -> None:
    """V2."""
    with pytest.raises(InvalidRequest, match=words):
        parse_insert(text)


@given(st.text(alphabet="INSERT into$?'\"`(),.;-/*\n1aé$$e'\\", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """V1, V2."""
    parameters(text)
    try:
        parse_insert("INSERT INTO " + text)
    except ServiceError:
        return


def test_a_long_statement_is_read_once_and_quickly() -> None:
    text = "INSERT INTO cpu VALUES " + ",".join(["(1, 'it')"] * 500_000)

    started = time.thread_time()

    assert parameters(text) == ()
    assert parse_insert(text).sole_row is None
    assert time.thread_time() - started < 1
