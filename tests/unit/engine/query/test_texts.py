"""Conditions on texts, against the planner's own opinion of the same texts."""

import pyarrow as pa
import pytest
from datafusion import SessionContext

from engine.query.predicate import Predicate, expression_for, narrowed
from engine.query.shapes.expressions import Call, Column, Literal, Tree
from engine.query.texts import Either, Like, Matches, OneOf, all_of, like, matches

TEXTS = [
    *(
        "",
        "a",
        "A",
        "ab",
        "abc",
        "a.c",
        "a-c",
        "a/c",
        "b",
        "cab",
        "CAB",
        "host_1",
        "host_10",
        "host-1",
        "hostx1",
        "1",
        "12",
        "a1b2",
    ),
    *(
        "100%",
        "a%b",
        "a_b",
        "a\\b",
        "\\",
        "a\nb",
        "\n",
        "a\n",
        "ü",
        "Ü",
        "straße",
        "STRASSE",
        "k",
        "\u212a",
        "日本",
        "a 日",
        "٣",
        "a b",
    ),
    *("^", "$", "a|b", "(a)", "[a]", "{1}", "a+b", "a*", "x?y", "_", "%", ".", "…", "\t", "'", '"'),
]
PATTERNS = [
    "",
    "%",
    "_",
    "a%",
    "%a%",
    "%c",
    "a_c",
    "_b",
    "host__%",
    "100\\%",
    "a\\_b",
    "a\\\\b",
    "%ü%",
    "Ü",
    "a%b",
    "__",
    "a.c",
    "[a]",
    "^",
]
EXPRESSIONS = [
    *(
        "",
        "a",
        "^a",
        "c$",
        "^a.c$",
        "^(a|b)$",
        "a|b.*c",
        "[0-9]+",
        "^host_[0-9]$",
        "host.1",
        "^[^a]",
        "a.*b",
        "^.$",
        "^..$",
        "b?c",
    ),
    *("a\\.c", "\\|", "\\(a\\)", "^host_(1|10)$", "[.]", "a/c", "(ab)+", "^$", ".", "[a-c]b", "x", "^a\\+b$"),
]
UNKNOWN = [
    "\\d+",
    "(?i)a",
    "\\bhost",
    "[[:alpha:]]",
    "a{2}",
    "\\w",
    "\\pL",
    "[a&&b]",
    "[\\d]",
    "a**",
    "(",
    "*a",
    "\\x41",
    "a\\",
    "[a~~b]",
]


def planned(operator: str, pattern: str) -> list[bool]:
    """What the planner says of each text."""
    context = SessionContext()
    context.register_record_batches("t", [[pa.record_batch({"n": range(len(TEXTS)), "x": TEXTS})]])
    spelled = pattern.replace("'", "''")
    (batch,) = context.sql(f"SELECT n, x {operator} '{spelled}' AS y FROM t ORDER BY n").collect()
    answers: list[bool] = batch.column("y").to_pylist()
    return answers


@pytest.mark.parametrize("operator", ["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"])
def test_patterns_say_what_the_planner_says(operator: str) -> None:
    """T1."""
    for pattern in PATTERNS:
        test = like(pattern, ignores_case="ILIKE" in operator, negated="NOT" in operator)
        assert test is not None, pattern
        found, expected = test.of(pa.array(TEXTS)).to_pylist(), planned(operator, pattern)
        if test.exact:
            assert found == expected, pattern
        assert all(ours for ours, theirs in zip(found, expected, strict=True) if theirs), pattern


@pytest.mark.parametrize("operator", ["~", "!~", "~*", "!~*"])
def test_regular_expressions_say_what_the_planner_says(operator: str) -> None:
    """T1."""
    for pattern in EXPRESSIONS:
        test = matches(pattern, ignores_case="*" in operator, negated="!" in operator)
        assert test is not None, pattern
        found, expected = test.of(pa.array(TEXTS)).to_pylist(), planned(operator, pattern)
        if test.exact:
            assert found == expected, pattern
        assert all(ours for ours, theirs in zip(found, expected, strict=True) if theirs), pattern


@pytest.mark.parametrize("pattern", UNKNOWN)
def test_what_engines_may_read_differently_is_no_test(pattern: str) -> None:
    """T2."""
    assert matches(pattern, ignores_case=False, negated=False) is None


def test_a_pattern_that_escapes_a_letter_is_no_test() -> None:
    """T2."""
    assert like("a\\b", ignores_case=False, negated=False) is None
    assert like("a\\", ignores_case=False, negated=False) is None


def said(text: str) -> Literal:
    return Literal(pa.scalar(text))


HOST = Column("host")
CAST = Call("cast_text", (HOST,))


@pytest.mark.parametrize(
    ("tree", "expected", "exact"),
    [
        (Call("like", (HOST, said("a%"))), (Like("a%"),), True),
        (Call("not", (Call("like", (CAST, said("a%"))),)), (Like("a%", negated=True),), True),
        (Call("ilike", (HOST, said("A%"))), (Like("A%", ignores_case=True),), False),
        (Call("RegexMatch", (CAST, said("^a"))), (Matches("^a"),), True),
        (Call("RegexNotMatch", (CAST, said("^a"))), (Matches("^a", negated=True),), True),
        (Call("RegexIMatch", (CAST, said("^a"))), (Matches("^a", ignores_case=True),), False),
        (
            Call("Or", (Call("like", (HOST, said("a%"))), Call("Eq", (HOST, said("c"))))),
            (Either((Like("a%"),), (OneOf(frozenset("c")),)),),
            True,
        ),
        (
            Call("Or", (Call("NotEq", (HOST, said("c"))), Call("RegexMatch", (CAST, said("x"))))),
            (Either((OneOf(frozenset("c"), negated=True),), (Matches("x"),)),),
            True,
        ),
        (
            Call("And", (Call("like", (HOST, said("a%"))), Call("RegexMatch", (CAST, said("x"))))),
            (Like("a%"), Matches("x")),
            True,
        ),
        (Call("RegexMatch", (CAST, said("\\d"))), None, False),
        (Call("like", (Column("v"), said("a"))), None, False),
        (Call("Or", (Call("like", (HOST, said("a%"))), Call("is_null", (HOST,)))), None, False),
        (Call("Or", (Call("like", (HOST, said("a%"))), Call("like", (Column("region"), said("b"))))), None, False),
    ],
)
def test_conditions_on_a_tag_are_tests_of_its_values(tree: Tree, expected: tuple[object, ...] | None, exact: bool) -> None:
    predicate = narrowed(tree, ["host", "region"])

    assert predicate.tests == ({} if expected is None else {"host": expected})
    assert predicate.exact == exact


def test_tests_are_a_filter_too_and_no_value_passes_none() -> None:
    rows = pa.table({"host": pa.array(["ab", None, "cd", "ce", "x"]).dictionary_encode()})
    tests = (Either((Like("a%"),), (OneOf(frozenset(["x"]), negated=True), Matches("c"))), Like("%d", negated=True))
    predicate = Predicate(tests={"host": tests})
    filter = expression_for(predicate)
    assert filter is not None

    assert rows.filter(filter).column("host").to_pylist() == ["ab", "ce"]
    assert all_of(tests, pa.array(["ab", "cd", "ce", "x"])).to_pylist() == [True, False, True, False]
    assert len(all_of(tests, pa.array([], pa.utf8()))) == 0
