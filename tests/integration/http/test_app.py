"""What all answers have in common (A1-A4)."""

import json
import uuid

import pytest

from httpapi.gateway import Gateway
from tests.helpers.http_api import HttpApi

PATHS = [
    ("GET", "/health"),
    ("GET", "/nowhere"),
    ("POST", "/write"),
    ("POST", "/write?db=db"),
    ("GET", "/api/v3/query_sql"),
    ("OPTIONS", "/write"),
    ("DELETE", "/api/v3/configure/database"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_every_answer_names_the_cluster_and_the_request_and_is_open_to_browsers(api: HttpApi, method: str, path: str) -> None:
    """A1."""
    answer = api.http.open(path, method=method)

    assert answer.headers["cluster-uuid"] == api.node.cluster_uuid
    assert uuid.UUID(answer.headers["Request-Id"]).version == 7
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_request_ids_sort_by_time_and_are_never_the_same(api: HttpApi) -> None:
    ids = [api.http.get("/health").headers["Request-Id"] for _ in range(50)]

    assert len(set(ids)) == 50
    assert [text[:13] for text in ids] == sorted(text[:13] for text in ids)


@pytest.mark.parametrize("path", ["/write", "/health", "/nowhere", "/api/v3/query_sql"])
def test_a_browser_may_ask_first(api: HttpApi, path: str) -> None:
    answer = api.http.options(path)

    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Methods"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == "*"
    assert answer.headers["Access-Control-Max-Age"] == "86400"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("GET", "/write"),
        ("PUT", "/api/v3/write_lp"),
        ("POST", "/health"),
        ("GET", "//health"),
        ("GET", "/health/"),
        ("POST", "/api/3/write_lp"),
        ("DELETE", "/metrics"),
        ("BREW", "/ping"),
    ],
)
def test_what_is_not_there_is_404_and_json(api: HttpApi, method: str, path: str) -> None:
    """A4."""
    answer = api.http.open(path, method=method)

    assert (answer.status_code, json.loads(answer.data)) == (404, {"error": "not found"})


def test_what_is_not_there_has_the_shape_of_v2_under_v2(api: HttpApi) -> None:
    """A4."""
    assert json.loads(api.http.get("/api/v2/buckets").data) == {"code": "not found", "message": "not found"}


@pytest.mark.parametrize(("method", "path"), [("POST", "/write?db=db"), ("GET", "/health")])
def test_what_nobody_planned_is_an_internal_error_and_a_line_in_the_log(
    api: HttpApi, method: str, path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A3."""

    def fail(self: Gateway, *_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(Gateway, "write_lp", fail)
    monkeypatch.setattr(Gateway, "health", fail)

    answer = api.http.open(path, method=method, data=b"cpu f=1")

    assert (answer.status_code, json.loads(answer.data)) == (500, {"error": "internal error"})
    assert answer.headers["Request-Id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    assert api.http.get("/health").status_code == 200


def test_paths_and_methods_that_clients_make_up_are_counted_as_other(api: HttpApi) -> None:
    """A2."""
    for number in range(20):
        api.http.open(f"/{number}", method=f"M{number}")

    text = api.http.get("/metrics").text

    assert 'flightline_http_requests_total{route="other",method="other",status="404"} 20' in text
    assert "/7" not in text
