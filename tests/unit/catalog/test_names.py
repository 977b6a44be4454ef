import pytest

from catalog.errors import InvalidRequest
from catalog.names import (
    INTERNAL_DATABASE,
    InvalidColumn,
    InvalidDatabaseName,
    check_column_name,
    check_database_name,
    check_namespace_name,
    check_table_name,
    split_retention_policy,
    with_retention_policy,
)

START = "db name did not start with a number or letter"
CHARACTER = "invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens"
POLICY = "db name with invalid retention policy, if providing a retention policy name, must be of form '<db_name>/<rp_name>'"


@pytest.mark.parametrize("name", ["a", "1", "foo_bar", "foo-bar", "db/rp", "Db1/90d_x", "a" * 511])
def test_a_good_database_name_passes(name: str) -> None:
    """N1, N2."""
    check_database_name(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "db name cannot be empty"),
        ("a" * 512, "db name too long: max 511"),
        ("é" * 256, "db name too long: max 511"),
        ("_foo", START),
        ("-", START),
        ("?x", START),
        ("/rp", START),
        (" a", START),
        ("_a/b/c", START),
        ("écran", CHARACTER),
        ("héllo", CHARACTER),
        ("a.b", CHARACTER),
        ("a b", CHARACTER),
        ("a\n", CHARACTER),
        ("a.b/", CHARACTER),
        ("a²", CHARACTER),
        ("x/", POLICY),
        ("a//b", POLICY),
        ("a/b/c", POLICY),
        ("a\ud800", CHARACTER),
        (INTERNAL_DATABASE, START),
    ],
)
def test_a_bad_database_name_is_told_the_first_rule_it_breaks(name: str, text: str) -> None:
    """N1, N2."""
    with pytest.raises(InvalidDatabaseName) as refused:
        check_database_name(name)

    assert refused.value.message == text


@pytest.mark.parametrize("name", ["a", "_x", "über/café", "a" * 64])
def test_a_good_namespace_name_passes(name: str) -> None:
    """N1."""
    check_namespace_name(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "namespace name  length must be between 1 and 64 characters"),
        ("a" * 65, f"namespace name {'a' * 65} length must be between 1 and 64 characters"),
        ("a b", "namespace name 'a b' contains invalid character, character number 1 is not allowed"),
        ("?", "namespace name '?' contains invalid character, character number 0 is not allowed"),
    ],
)
def test_a_bad_namespace_name_is_told_why(name: str, text: str) -> None:
    """N1."""
    with pytest.raises(InvalidDatabaseName) as refused:
        check_namespace_name(name)

    assert refused.value.message == text


@pytest.mark.parametrize("policy", [None, "", "''", "autogen", "AutoGen", "default", "DEFAULT"])
def test_the_default_retention_policy_is_the_database_itself(policy: str | None) -> None:
    assert with_retention_policy("db", policy) == "db"


def test_another_retention_policy_is_a_database_of_its_own() -> None:
    """N2."""
    assert with_retention_policy("db", "One_Week") == "db/one_week"
    assert split_retention_policy("db/one_week") == ("db", "one_week")
    assert split_retention_policy("db") == ("db", "autogen")


@pytest.mark.parametrize("name", ["time", "__chunk_order"])
def test_a_reserved_column_is_refused(name: str) -> None:
    """N3."""
    with pytest.raises(InvalidColumn, match=rf"^'{name}' is a reserved column$"):
        check_column_name(name)


@pytest.mark.parametrize("name", ["Time", "_x", "a b", "\x00", "日本", "iox_a", "x" * 100_000])
def test_any_other_text_names_a_column_or_a_table(name: str) -> None:
    """N3."""
    check_column_name(name)
    check_table_name(name)


@pytest.mark.parametrize("name", ["", "a\ud800"])
def test_no_text_names_nothing(name: str) -> None:
    """N3."""
    with pytest.raises(InvalidRequest, match="column"):
        check_column_name(name)
    with pytest.raises(InvalidRequest, match="table"):
        check_table_name(name)
