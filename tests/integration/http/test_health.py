"""Health, readiness, ping and metrics (L1-L4, G1)."""

import json
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest
from werkzeug.test import Client

from flightserver.client import EngineClient
from httpapi.app import HttpSettings, create_app
from httpapi.gateway import Gateway
from tests.helpers.flight_process import FlightProcess
from tests.helpers.http_api import HttpApi
from tests.helpers.memory_node import MemoryNode
from tests.helpers.servers import wait_until


class TroubledNode(MemoryNode):
    def health(self) -> dict[str, object]:
        return {"status": "degraded", "problems": ["wal/7 is damaged", "one file is missing"]}


def with_health(api: HttpApi, monkeypatch: pytest.MonkeyPatch, report: dict[str, object]) -> None:
    monkeypatch.setattr(MemoryNode, "health", lambda self: report)


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_a_healthy_server_says_ok(api: HttpApi, path: str) -> None:
    """L1."""
    answer = api.http.get(path)

    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_health_is_an_object_for_who_asks_for_json(api: HttpApi) -> None:
    """L3."""
    document = json.loads(api.http.get("/health", headers={"Accept": "application/json"}).data)

    assert (document["name"], document["status"]) == ("influxdb", "pass")
    assert document["message"] == "ready for queries and writes"
    assert document["version"][0].isdigit()


def test_what_is_not_as_it_should_be_is_named_while_the_server_serves(api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """L1."""
    with_health(api, monkeypatch, TroubledNode().health())

    text = api.http.get("/health")
    document = json.loads(api.http.get("/health", headers={"Accept": "application/json"}).data)

    assert (text.status_code, text.text) == (200, "degraded: wal/7 is damaged; one file is missing")
    assert (document["status"], document["message"]) == ("pass", "wal/7 is damaged; one file is missing")


def test_a_server_that_cannot_serve_is_unhealthy(api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """L1."""
    with_health(api, monkeypatch, {"status": "fail", "problems": ["the log is closed"]})

    answer = api.http.get("/health")

    assert (answer.status_code, answer.text) == (503, "unavailable: the log is closed")
    assert answer.headers["Retry-After"] == "1"


def test_an_engine_that_is_away_is_unhealthy_and_yet_pings(api: HttpApi) -> None:
    """L1, L2."""
    api.engine.shutdown()

    assert api.http.get("/health").status_code == 503
    assert json.loads(api.http.get("/health", headers={"Accept": "application/json"}).data)["status"] == "fail"
    assert api.http.get("/ping", headers={"Accept": "*/*"}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html,application/json;q=0.9"])
def test_ping_says_who_answers(api: HttpApi, method: str, accept: str) -> None:
    """L2, L3."""
    answer = api.http.open("/ping", method=method, headers={"Accept": accept})

    document = json.loads(answer.data)
    assert answer.status_code == 200
    assert document.keys() == {"product_name", "version", "revision", "process_id"}
    assert answer.headers["X-Influxdb-Version"] == document["version"]
    assert answer.headers["X-Influxdb-Build"] == "Core"
    assert answer.headers["Request-Id"] == answer.headers["X-Request-Id"]
    assert uuid.UUID(answer.headers["Request-Id"]).version == 7


@pytest.mark.parametrize(
    ("method", "accept"), [("GET", "application/x-msgpack"), ("GET", None), ("HEAD", "*/*"), ("POST", "text/csv")]
)
def test_ping_is_204_for_who_does_not_ask_for_json(api: HttpApi, method: str, accept: str | None) -> None:
    """L3."""
    answer = api.http.open("/ping", method=method, headers={"Accept": accept} if accept else {})

    assert (answer.status_code, answer.data) == (204 if method != "HEAD" else answer.status_code, b"")
    assert answer.headers["X-Influxdb-Version"]


def test_a_server_that_should_get_traffic_is_ready(api: HttpApi) -> None:
    """L4."""
    answer = api.http.get("/ready")

    assert (answer.status_code, answer.text) == (200, "OK")


def test_a_server_that_should_get_none_says_why(api: HttpApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """L4."""
    monkeypatch.setattr(MemoryNode, "readiness", lambda self: ["the log is closed", "could not read s3://b"])

    answer = api.http.get("/ready")
    api.stop_engine()
    away = api.http.get("/ready")

    assert (answer.status_code, answer.text) == (503, "not ready: the log is closed; could not read s3://b")
    assert (away.status_code, away.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_heap_profile_is_said_as_such(api: HttpApi, method: str) -> None:
    answer = api.http.open("/debug/pprof/heap", method=method)

    assert (answer.status_code, answer.text) == (503, "heap profiling is not built into this server")


def test_metrics_are_the_engines_and_the_workers_and_end_as_they_should(api: HttpApi) -> None:
    api.write(b"cpu,host=a usage=1 1")
    api.write(b"")
    api.http.get("/made/up/path")

    answer = api.http.get("/metrics")

    lines = answer.text.splitlines()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert {"flightline_up 1", "flightline_engine_up 1"} <= set(lines)
    assert 'flightline_http_requests_total{route="/api/v3/write_lp",method="POST",status="204"} 1' in lines
    assert 'flightline_http_requests_total{route="/api/v3/write_lp",method="POST",status="400"} 1' in lines
    assert 'flightline_http_requests_total{route="other",method="GET",status="404"} 1' in lines
    assert lines[-1] == "# EOF"
    assert lines.count("# EOF") == 1


def test_metrics_without_an_engine_say_so(api: HttpApi) -> None:
    api.engine.shutdown()

    answer = api.http.get("/metrics")

    assert answer.status_code == 200
    assert "flightline_engine_up 0" in answer.text


def test_an_engine_that_hangs_is_unhealthy_and_holds_nobody(tmp_path: Path) -> None:
    """G2, L1."""
    location = f"grpc+unix://{tmp_path}/engine"
    engine = FlightProcess(location, tmp_path)
    app = create_app(
        Gateway(EngineClient(location), watching=EngineClient(location, timeout_s=0.5)), HttpSettings(counters_dir=tmp_path)
    )
    http = Client(app)
    assert http.get("/health").text == "OK"
    engine.pause()

    try:
        wait_until(lambda: http.get("/health").status_code == 503)  # its threads stop one after another
        began_s = time.monotonic()
        assert http.get("/health").status_code == 503
        assert "flightline_engine_up 0" in http.get("/metrics").text
        assert http.get("/ping", headers={"Accept": "*/*"}).status_code == 200
        assert time.monotonic() - began_s < 30, "the client for everything else would wait longer"
    finally:
        engine.resume()
        engine.kill()
        app.close()


def test_an_engine_that_is_not_there_yet_is_asked_again_by_the_next_request(
    api: HttpApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G1."""
    monkeypatch.setattr("httpapi.gateway.time", SimpleNamespace(monotonic=lambda: 5.0))
    gateway = Gateway(api.client, watching=EngineClient(f"grpc+unix://{tmp_path}/nobody"))
    assert gateway.identity() == {}
    gateway._watching = api.watching

    assert gateway.identity()["cluster_uuid"] == api.node.cluster_uuid


def test_the_cluster_is_named_in_every_answer_once_the_engine_has_told_it(api: HttpApi) -> None:
    """G1."""
    first = api.http.get("/ping", headers={"Accept": "*/*"})
    api.engine.shutdown()
    later = api.http.get("/ping", headers={"Accept": "*/*"})

    assert first.headers["cluster-uuid"] == later.headers["cluster-uuid"] == api.node.cluster_uuid
