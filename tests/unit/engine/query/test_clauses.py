"""Where a SELECT's parts are."""

import pytest

from engine.query.functions.clauses import arm_around, definitions, item, queries_around, select, statement, visible
from engine.query.functions.tokens import Tokens


def parts(text: str) -> dict[str, str]:
    tokens = Tokens(text)
    found = select(tokens, (0, len(tokens)))
    return {word: tokens.source(*span) for word, span in found.clauses.items()}


def test_clauses_are_separated_by_words_outside_of_brackets() -> None:
    """A1."""
    text = (
        "SELECT extract(hour FROM t), a IS DISTINCT FROM b, first_value(x ORDER BY t) FROM cpu c, (SELECT 1 FROM y WHERE z) s "
        "WHERE b AND x.limit > 1 GROUP BY a, (SELECT 1 GROUP BY q) HAVING count(*) > 1 WINDOW w AS (ORDER BY t) "
        "QUALIFY row_number() OVER w = 1 ORDER BY a LIMIT 3 OFFSET 4"
    )

    assert parts(text) == {
        "from": "FROM cpu c, (SELECT 1 FROM y WHERE z) s",
        "where": "WHERE b AND x.limit > 1",
        "group": "GROUP BY a, (SELECT 1 GROUP BY q)",
        "having": "HAVING count(*) > 1",
        "window": "WINDOW w AS (ORDER BY t)",
        "qualify": "QUALIFY row_number() OVER w = 1",
        "order": "ORDER BY a",
        "limit": "LIMIT 3",
        "offset": "OFFSET 4",
    }


@pytest.mark.parametrize(
    ("text", "expression", "alias"),
    [
        ("a", "a", None),
        ("a b", "a", "b"),
        ("a AS b", "a", "b"),
        ('max(a) "B c"', "max(a)", "B c"),
        ("a.b", "a.b", None),
        ("x::bigint", "x::bigint", None),
        ("x::double precision", "x::double precision", None),
        ("CASE WHEN a THEN b ELSE c END", "CASE WHEN a THEN b ELSE c END", None),
        ("CASE WHEN a THEN b END c", "CASE WHEN a THEN b END", "c"),
        ("a IS NOT NULL", "a IS NOT NULL", None),
        ("INTERVAL '1 day'", "INTERVAL '1 day'", None),
        ("'x' y", "'x'", "y"),
        ("a['b'] c", "a['b']", "c"),
        ("NOT a", "NOT a", None),
        ("1 + a", "1 + a", None),
        ("a AND b", "a AND b", None),
        ("$1 x", "$1", "x"),
    ],
)
def test_an_item_is_an_expression_and_perhaps_an_alias(text: str, expression: str, alias: str | None) -> None:
    tokens = Tokens(text)

    found = item(tokens, (0, len(tokens)))

    assert (tokens.source(*found.span), found.name) == (expression, alias)


def test_a_quantifier_is_no_item() -> None:
    tokens = Tokens("SELECT DISTINCT ON (a, b) a, c FROM t")

    found = select(tokens, (0, len(tokens)))

    assert tokens.source(*found.quantifier) == "DISTINCT ON (a, b)"
    assert [tokens.source(*each.span) for each in found.items] == ["a", "c"]


@pytest.mark.parametrize(
    "text",
    ["SELECT 1", "SELECT 1;;", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE VERBOSE SELECT 1", "EXPLAIN FORMAT tree SELECT 1 ;"],
)
def test_explain_and_semicolons_are_around_a_statement(text: str) -> None:
    tokens = Tokens(text)

    assert tokens.source(*statement(tokens)) == "SELECT 1"


def test_an_arm_of_a_union_leaves_order_and_limit_to_the_whole() -> None:
    tokens = Tokens("WITH a AS (SELECT 0) SELECT x FROM a UNION ALL SELECT y FROM b WHERE c ORDER BY 1 LIMIT 2")
    inside = [index for index in range(len(tokens)) if tokens[index].name in ("x", "y")]

    arms = [tokens.source(*arm_around(tokens, statement(tokens), index)) for index in inside]

    assert arms == ["SELECT x FROM a", "SELECT y FROM b WHERE c"]


def test_a_select_alone_keeps_its_order() -> None:
    tokens = Tokens("WITH a AS (SELECT 0) SELECT x FROM a ORDER BY 1")

    assert tokens.source(*arm_around(tokens, statement(tokens), len(tokens) - 1)) == "SELECT x FROM a ORDER BY 1"


def test_queries_around_a_token_are_found_from_the_outside_in() -> None:
    tokens = Tokens("SELECT (SELECT max((x)) FROM t) FROM u")
    x = next(index for index in range(len(tokens)) if tokens[index].name == "x")

    assert [tokens.source(*query) for query in queries_around(tokens, x)][1:] == ["SELECT max((x)) FROM t"]


def test_definitions_may_have_columns_and_hints() -> None:
    tokens = Tokens("WITH a (x, y) AS (SELECT 1, 2), b AS NOT MATERIALIZED (SELECT 3) SELECT * FROM a, b")

    found, body = definitions(tokens, statement(tokens))

    assert [tokens.source(*span) for span in found] == ["a (x, y) AS (SELECT 1, 2)", "b AS NOT MATERIALIZED (SELECT 3)"]
    assert tokens.source(body, len(tokens)) == "SELECT * FROM a, b"


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("0", "WITH a AS (SELECT 1), b AS (SELECT 2) "),
        ("1", ""),
        ("2", "WITH a AS (SELECT 1) "),
        ("4", "WITH a AS (SELECT 3), b AS (SELECT 2) "),
    ],
)
def test_a_select_sees_what_is_defined_before_and_around_it(mark: str, expected: str) -> None:
    tokens = Tokens("WITH a AS (SELECT 1), b AS (SELECT 2) SELECT 0, (WITH a AS (SELECT 3) SELECT 4)")
    place = next(index for index in range(len(tokens)) if tokens[index].name == mark)

    assert visible(tokens, place) == expected


def test_recursion_is_kept() -> None:
    tokens = Tokens("WITH RECURSIVE a AS (SELECT 1) SELECT 2")

    assert visible(tokens, len(tokens) - 1) == "WITH RECURSIVE a AS (SELECT 1) "
