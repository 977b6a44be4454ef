"""LIKE without wildcards."""

import pyarrow as pa
import pytest

from engine.query.likes import without_plain_likes
from engine.query.messages import QueryRefused
from engine.query.statement import prepare
from tests.helpers.sql import column, context_of, rows

CPU = rows(
    {"host": "a", "time": "2024-01-01", "usage": 1},
    {"host": "b", "time": "2024-01-02", "usage": 2},
    {"host": None, "time": "2024-01-03", "usage": 3},
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WHERE r LIKE 'y'", "WHERE r IN ('y')"),
        ("(r NOT LIKE 'it''s' OR s Like '')", "(r NOT IN ('it''s') OR s IN (''))"),
        ("CASE WHEN r LIKE -- pattern\n'y' THEN 1 END", "CASE WHEN r IN ('y') THEN 1 END"),
        ("r LIKE $p AND r LIKE $2;", "r IN ($p) AND r LIKE $2;"),
        ("r LIKE $q", "r LIKE $q"),
        ("r LIKE 'y%' AND r LIKE '_' AND r LIKE 'a\\b'", "r LIKE 'y%' AND r LIKE '_' AND r LIKE 'a\\b'"),
        ("r LIKE 'y' || s", "r LIKE 'y' || s"),
        ("r LIKE 'y' ESCAPE 'x'", "r LIKE 'y' ESCAPE 'x'"),
        ("r LIKE E'y' AND r LIKE s AND r ILIKE 'y'", "r LIKE E'y' AND r LIKE s AND r ILIKE 'y'"),
        ("'LIKE' \"like\" 'y' /* LIKE 'y' */", "'LIKE' \"like\" 'y' /* LIKE 'y' */"),
        ("r LIKE", "r LIKE"),
    ],
)
def test_a_pattern_without_wildcards_is_a_list_of_one(text: str, expected: str) -> None:
    """I1, I2."""
    values = {"p": pa.scalar("y"), "2": pa.scalar("%"), "q": pa.scalar(None)}

    assert without_plain_likes(text, values) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("host LIKE 'a' AND host = 'a'", [1]),
        ("host LIKE 'a' AND host <> 'a'", []),
        ("host NOT LIKE 'a' AND host = 'a'", []),
        ("host NOT LIKE 'a'", [2]),
        ("NOT host LIKE 'a' OR host = 'a'", [1, 2]),
        ("host LIKE 'a' AND host ~ '^a$' AND host IN ('a', 'b') AND host NOT LIKE 'b'", [1]),
        ("host || '' LIKE 'a' IS NULL", [3]),
        ("host LIKE $p AND host = 'a'", [1]),
    ],
)
def test_conditions_on_one_tag_agree(condition: str, expected: list[int]) -> None:
    """I1: DataFusion by itself says that two of them exclude each other, or that one of them implies the other."""
    given = {"p": "a"} if "$p" in condition else {}

    assert column(context_of(cpu=CPU), f"SELECT usage FROM cpu WHERE {condition} ORDER BY usage", given) == expected


def test_names_and_mistakes_are_those_of_the_statement_as_it_was_written() -> None:
    """S1."""
    context = context_of(cpu=CPU)

    assert prepare(context, "SELECT host LIKE 'a', host LIKE 'b' AS b FROM cpu").schema.names == [
        'cpu.host LIKE Utf8("a")',
        "b",
    ]
    with pytest.raises(QueryRefused, match="LIKE expression"):
        prepare(context, "SELECT * FROM cpu WHERE usage LIKE '5'")
