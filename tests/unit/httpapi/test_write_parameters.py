"""What the query string of a write means (W3)."""

import pytest

from catalog.errors import InvalidRequest
from httpapi.errors import Family
from httpapi.routes.write import Target, parse_target

V1, V2, V3 = "/write", "/api/v2/write", "/api/v3/write_lp"
VALUES = "`second`, `s`, `millisecond`, `ms`, `microsecond`, `us`, `u`, `nanosecond`, `ns`, `n`"


def refusal(path: str, query_string: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse_target(path, query_string)
    return caught.value.message


def test_v3_takes_partial_writes_in_any_precision_unless_told_otherwise() -> None:
    assert parse_target(V3, "db=a") == Target(Family.V3, "a", "auto", accept_partial=True, no_sync=False)
    assert parse_target(V3, "db=a&accept_partial=false&no_sync=true&precision=ms") == Target(
        Family.V3, "a", "millisecond", accept_partial=False, no_sync=True
    )


@pytest.mark.parametrize(("path", "name"), [(V1, "db"), (V2, "bucket")])
def test_v1_and_v2_are_all_or_nothing_in_nanoseconds_and_ignore_what_v3_added(path: str, name: str) -> None:
    target = parse_target(path, f"{name}=a&accept_partial=true&no_sync=true&u=user&p=secret&consistency=any&org=x&orgID=1")

    assert (target.precision, target.accept_partial, target.no_sync) == ("nanosecond", False, False)


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        (("second", "s"), "second"),
        (("millisecond", "ms"), "millisecond"),
        (("microsecond", "us", "u"), "microsecond"),
        (("nanosecond", "ns", "n"), "nanosecond"),
    ],
)
@pytest.mark.parametrize("start", [f"{V1}?db=a", f"{V2}?bucket=a", f"{V3}?db=a"])
def test_a_precision_has_several_names(start: str, words: tuple[str, ...], meaning: str) -> None:
    path, _, query = start.partition("?")

    assert {parse_target(path, f"{query}&precision={word}").precision for word in words} == {meaning}


@pytest.mark.parametrize("micro", ["%C2%B5s", "%CE%BCs"])
def test_v2_knows_both_characters_for_micro(micro: str) -> None:
    assert parse_target(V2, f"bucket=a&precision={micro}").precision == "microsecond"


@pytest.mark.parametrize(("path", "name"), [(V1, "db"), (V2, "bucket")])
def test_an_empty_precision_is_none_for_old_clients(path: str, name: str) -> None:
    assert parse_target(path, f"{name}=a&precision=").precision == "nanosecond"


def test_v2_takes_db_for_bucket() -> None:
    assert parse_target(V2, "db=a").db == "a"


@pytest.mark.parametrize("path", [V1, V2, V3])
def test_a_comma_where_an_ampersand_was_meant_is_read_as_meant(path: str) -> None:
    target = parse_target(path, "db=mydb,precision=ns")

    assert (target.db, target.precision) == ("mydb", "nanosecond")


@pytest.mark.parametrize(
    ("rp", "db"),
    [("", "a"), ("''", "a"), ("autogen", "a"), ("AutoGen", "a"), ("default", "a"), ("Weekly", "a/weekly"), ("%27%27", "a")],
)
def test_v1_maps_a_retention_policy_to_a_database(rp: str, db: str) -> None:
    assert parse_target(V1, f"db=a&rp={rp}").db == db


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        (V3, "", "missing query parameter 'db'"),
        (V3, "precision=s", "serde error: missing field `db`"),
        (V3, "db=a&precision=x", f"serde error: unknown variant `x`, expected one of `auto`, {VALUES}"),
        (V3, "db=a&precision=NS", f"serde error: unknown variant `NS`, expected one of `auto`, {VALUES}"),
        (V3, "db=a&accept_partial=yes", "serde error: provided string was not `true` or `false`"),
        (V3, "db=a&no_sync=1", "serde error: provided string was not `true` or `false`"),
        (V3, "db=a&db=a", "serde error: duplicate field `db`"),
        (V3, "db=a&precision=s&precision=s", "serde error: duplicate field `precision`"),
        (V3, "db=", "db name cannot be empty"),
        (V3, "db=_a", "db name did not start with a number or letter"),
        (V1, "", "no db destination provided"),
        (V1, "precision=s", "failed to deserialize db/rp/precision in request: missing field `db`"),
        (
            V1,
            "db=a&precision=m",
            f"failed to deserialize db/rp/precision in request: unknown variant `m`, expected one of {VALUES}",
        ),
        (V1, "db=a&rp=x&rp=y", "failed to deserialize db/rp/precision in request: duplicate field `rp`"),
        (V2, "", "no org/bucket destination provided"),
        (V2, "org=x", "failed to deserialize org/bucket/precision in request: missing field `bucket`"),
        (V2, "bucket=", "missing bucket value"),
        (V2, "bucket=a&db=a", "failed to deserialize org/bucket/precision in request: duplicate field `bucket`"),
    ],
)
def test_what_is_wrong_is_said_in_known_words(path: str, query: str, text: str) -> None:
    """W3."""
    assert refusal(path, query) == text


@pytest.mark.parametrize("path", [V1, V2, V3])
@pytest.mark.parametrize("bytes_", ["%FF%FE", "%00", "%", "%zz", "a%2Fb%2Fc"])
def test_no_bytes_in_a_name_pass_for_a_name(path: str, bytes_: str) -> None:
    """W3."""
    assert refusal(path, f"db={bytes_}")


def test_thousands_of_parameters_are_refused() -> None:
    assert refusal(V3, "&".join("db=a" for _ in range(2000)))


def test_only_query_strings_of_ordinary_length_are_remembered() -> None:
    long = "db=a&x=" + "y" * 10_000

    assert parse_target(V3, long) is not parse_target(V3, long)
    assert parse_target(V3, "db=remembered") is parse_target(V3, "db=remembered")
