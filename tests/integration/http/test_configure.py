"""Databases and tables over HTTP (K1, K2)."""

import json
import time
from typing import Any

import pytest
from werkzeug.test import TestResponse

from catalog.durations import SECOND_NS
from tests.helpers.http_api import HttpApi

DATABASE, TABLE = "/api/v3/configure/database", "/api/v3/configure/table"
RETENTION = f"{DATABASE}/retention_period"
DAY_NS = 86_400 * SECOND_NS


def send(api: HttpApi, path: str, document: Any, method: str = "POST") -> TestResponse:
    return api.http.open(path, method=method, json=document)


def error(answer: TestResponse) -> str:
    return str(json.loads(answer.data)["error"])


def test_a_database_is_made_once(api: HttpApi) -> None:
    answer = send(api, DATABASE, {"db": "db"})

    assert (answer.status_code, answer.data) == (200, b"")
    assert "db" in api.node.databases
    assert send(api, DATABASE, {"db": "db"}).status_code == 409


def test_a_retention_period_is_a_duration(api: HttpApi) -> None:
    for name, period, expected in [
        ("a", "30d", 30 * DAY_NS),
        ("b", None, None),
        ("c", "none", None),
        ("d", "1h 30m", 5400 * SECOND_NS),
    ]:
        assert send(api, DATABASE, {"db": name, "retention_period": period}).status_code == 200
        assert api.node.retention_ns[name] == expected

    answer = send(api, DATABASE, {"db": "e", "retention_period": "soon"})
    assert (answer.status_code, error(answer)[:18]) == (400, "serde json error: ")


def test_a_retention_period_can_be_changed_and_cleared(api: HttpApi) -> None:
    send(api, DATABASE, {"db": "db"})

    assert send(api, DATABASE, {"db": "db", "retention_period": "7d"}, "PUT").status_code == 200
    assert api.node.retention_ns == {"db": 7 * DAY_NS}
    assert send(api, DATABASE, {"db": "db"}, "PUT").status_code == 200
    assert api.node.retention_ns == {"db": None}
    assert api.http.post(f"{RETENTION}?db=db&duration=1w").status_code == 204
    assert api.node.retention_ns == {"db": 7 * DAY_NS}
    assert api.http.delete(f"{RETENTION}?db=db").status_code == 204
    assert api.node.retention_ns == {"db": None}


def test_a_bad_retention_period_is_quoted(api: HttpApi) -> None:
    answer = api.http.post(f"{RETENTION}?db=db&duration=soon")

    assert answer.status_code == 400
    assert error(answer).startswith("Cannot parse the given human time: ")
    assert api.http.post(f"{RETENTION}?db=nope&duration=1d").status_code == 404


@pytest.mark.parametrize("show_deleted", [False, True])
@pytest.mark.parametrize("name", ["json", "jsonl", "csv", "pretty", "parquet"])
def test_databases_are_listed_in_every_format(api: HttpApi, name: str, show_deleted: bool) -> None:
    send(api, DATABASE, {"db": "one"})

    answer = api.http.get(f"{DATABASE}?format={name}&show_deleted={str(show_deleted).lower()}")

    assert answer.status_code == 200
    assert (b"deleted" in answer.data) == show_deleted
    assert b"one" in answer.data
    if name == "json":
        assert json.loads(answer.data) == [{"iox::database": "one"} | ({"deleted": False} if show_deleted else {})]


def test_a_list_needs_a_format(api: HttpApi) -> None:
    answer = api.http.get(DATABASE)

    assert (answer.status_code, error(answer)) == (400, "serde error: missing field `format`")
    assert api.http.get(f"{DATABASE}?format=xml").status_code == 400
    assert api.http.get(f"{DATABASE}?format=json&show_deleted=maybe").status_code == 400


def test_a_database_is_dropped_and_its_data_three_days_later(api: HttpApi) -> None:
    """K2."""
    send(api, DATABASE, {"db": "db"})

    answer = api.http.delete(f"{DATABASE}?db=db")

    assert (answer.status_code, answer.data) == (200, b"")
    assert api.node.removals["db"] == pytest.approx(time.time_ns() + 3 * DAY_NS, abs=60 * SECOND_NS)


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("never", None),
        ("2030-01-01T00:00:00Z", 1_893_456_000 * SECOND_NS),
        ("2030-01-01T02:00:00.5%2B02:00", 1_893_456_000 * SECOND_NS + SECOND_NS // 2),
    ],
)
def test_the_time_of_removal_can_be_said(api: HttpApi, text: str, expected_ns: int | None) -> None:
    """K2."""
    send(api, DATABASE, {"db": "db"})
    send(api, TABLE, {"db": "db", "table": "t", "tags": [], "fields": []})

    assert api.http.delete(f"{TABLE}?db=db&table=t&hard_delete_at={text}").status_code == 200
    assert api.http.delete(f"{DATABASE}?db=db&hard_delete_at={text}").status_code == 200
    assert (api.node.removals["db.t"], api.node.removals["db"]) == (expected_ns, expected_ns)


def test_now_is_now(api: HttpApi) -> None:
    """K2."""
    send(api, DATABASE, {"db": "db"})

    api.http.delete(f"{DATABASE}?db=db&hard_delete_at=now")

    assert api.node.removals["db"] == pytest.approx(time.time_ns(), abs=60 * SECOND_NS)


@pytest.mark.parametrize("text", ["tomorrow", "2030-01-01T00:00:00", "2030-13-01T00:00:00Z", ""])
def test_a_time_of_removal_that_is_none_is_refused(api: HttpApi, text: str) -> None:
    answer = api.http.delete(f"{DATABASE}?db=db&hard_delete_at={text}")

    assert answer.status_code == 400
    assert error(answer).startswith("Cannot parse the timestamp: ")


def test_dropping_what_is_not_there_is_404(api: HttpApi) -> None:
    answer = api.http.delete(f"{DATABASE}?db=nope")
    assert (answer.status_code, error(answer)) == (404, "the requested resource was not found: nope")
    answer = api.http.delete(f"{TABLE}?db=nope&table=t")
    assert (answer.status_code, error(answer)) == (404, "Database not found nope")
    send(api, DATABASE, {"db": "db"})
    answer = api.http.delete(f"{TABLE}?db=db&table=t")
    assert (answer.status_code, error(answer)) == (404, "Table t not in DB schema for db")


def test_dropping_needs_a_name(api: HttpApi) -> None:
    assert error(api.http.delete(DATABASE)) == "serde error: missing field `db`"
    assert error(api.http.delete(TABLE)) == "serde error: missing field `db`"
    assert error(api.http.delete(f"{TABLE}?db=db")) == "serde error: missing field `table`"


def test_a_table_is_made_with_its_columns(api: HttpApi) -> None:
    """K1."""
    kinds = ["utf8", "int64", "uint64", "float64", "bool"]
    fields = [{"name": f"f_{kind}", "type": kind} for kind in kinds]
    send(api, DATABASE, {"db": "db"})

    answer = send(api, TABLE, {"db": "db", "table": "t", "tags": ["a b", "c,d"], "fields": fields})

    assert (answer.status_code, answer.data) == (200, b"")
    table = api.node.databases["db"]["t"]
    assert table.tags == ("a b", "c,d")
    assert set(table.rows.schema.names) == {"a b", "c,d", "time", *(f"f_{kind}" for kind in kinds)}


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "serde json error: missing field `fields`"),
        ({"fields": []}, "serde json error: missing field `db`"),
        ({"fields": [], "db": "db", "table": "t"}, "serde json error: missing field `tags`"),
        (
            {"fields": [], "db": "db", "table": "t", "tags": "a"},
            "serde json error: invalid type for `tags`, expected a sequence",
        ),
        ({"fields": [], "db": "db", "table": "t", "tags": [1]}, "serde json error: invalid type for `tags`, expected a string"),
        ({"fields": [1]}, "serde json error: invalid type for `fields`, expected an object"),
        ({"fields": [{"name": "f"}]}, "serde json error: missing field `type`"),
        (
            {"fields": [{"name": "f", "type": "foobar"}]},
            "serde json error: unknown variant `foobar`, expected one of `utf8`, `int64`, `uint64`, `float64`, `bool`",
        ),
        (
            {"fields": [{"name": "f", "type": "int64"}, {"name": "f", "type": "utf8"}]},
            "cannot add column f because it already exists with type iox::column_type::field::integer",
        ),
    ],
)
def test_what_a_table_lacks_is_named(api: HttpApi, document: object, text: str) -> None:
    answer = send(api, TABLE, document)

    assert (answer.status_code, error(answer)) == (400, text)


@pytest.mark.parametrize("path", [DATABASE, TABLE])
def test_a_body_has_to_say_that_it_is_json(api: HttpApi, path: str) -> None:
    answer = api.http.post(path, data=b'{"db":"db"}', headers={"Content-Type": "text/plain"})

    assert (answer.status_code, error(answer)) == (415, "unacceptable content-type, expected: application/json")


def kept(api: HttpApi) -> int | None:
    return api.node.retention_ns["db.t"]


TABLE_RETENTION = "/api/v3/enterprise/configure/table/retention_period"


def test_a_table_has_a_retention_period_of_its_own(api: HttpApi) -> None:
    """K1."""
    send(api, DATABASE, {"db": "db"})
    table = {"db": "db", "table": "t", "tags": [], "fields": []}

    assert send(api, TABLE, table | {"retention_period": "1h"}).status_code == 200
    assert kept(api) == 3600 * SECOND_NS
    assert send(api, TABLE, {"db": "db", "table": "t", "retention_period": "7d"}, "PUT").status_code == 200
    assert kept(api) == 7 * DAY_NS
    assert send(api, TABLE, {"db": "db", "table": "t", "retention_period": "none"}, "PUT").status_code == 200
    assert kept(api) is None
    assert api.http.post(f"{TABLE_RETENTION}?db=db&table=t&duration=2d").status_code == 204
    assert kept(api) == 2 * DAY_NS
    assert api.http.delete(f"{TABLE_RETENTION}?db=db&table=t").status_code == 204
    assert kept(api) is None
    assert error(api.http.post(f"{TABLE_RETENTION}?db=db&table=t&duration=x")).startswith("Cannot parse the given human time: ")


def test_changing_what_is_not_there_is_404(api: HttpApi) -> None:
    send(api, DATABASE, {"db": "db"})

    for answer, text in (
        (send(api, DATABASE, {"db": "nope"}, "PUT"), "the requested resource was not found: nope"),
        (api.http.delete(f"{RETENTION}?db=nope"), "the requested resource was not found: nope"),
        (send(api, TABLE, {"db": "nope", "table": "t"}, "PUT"), "Database not found nope"),
        (api.http.delete(f"{TABLE_RETENTION}?db=db&table=t"), "Table t not in DB schema for db"),
    ):
        assert (answer.status_code, error(answer)) == (404, text)


def test_data_can_go_without_what_holds_it(api: HttpApi) -> None:
    """K1."""
    send(api, DATABASE, {"db": "db"})
    send(api, TABLE, {"db": "db", "table": "t", "tags": [], "fields": []})

    assert api.http.delete(f"{TABLE}?db=db&table=t&data_only=true").status_code == 200
    assert api.http.delete(f"{DATABASE}?db=db&data_only=true").status_code == 200
    assert list(api.node.databases["db"]) == ["t"]
    assert api.http.delete(f"{DATABASE}?db=db&data_only=true&remove_tables=true").status_code == 200
    assert api.node.databases["db"] == {}
    assert api.http.delete(f"{DATABASE}?db=db&data_only=perhaps").status_code == 400
