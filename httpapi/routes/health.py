"""Is it there, is it well, what has it done:  /health  /api/v1/health  /ready  /ping  /metrics  /debug/pprof/heap

L1  /health is 200 while the server can take writes and answer queries, 503 when it cannot; what is not as it should be is
    named either way.
L2  /ping answers without the engine: it says that this address is served, by whom and in which version.
L3  What a client sees depends on what it asks for: JSON when its Accept header takes JSON, else what clients of version 1
    expect (204 from /ping) or people read (a line of text from /health).
L4  /ready is 200 while the object store answers and writes are taken, else 503 with the reason.

Held by tests/integration/http/test_health.py (L1-L4).
"""

import uuid
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from catalog.access import system
from catalog.errors import ServiceError, Unauthenticated
from httpapi.calls import Call, Routes
from httpapi.replies import Reply, json_reply, text_reply

# What clients compare to decide which features they may use.
COMPATIBLE_VERSION = "3.10.0"
PRODUCT_NAME = "Flightline"

_PROCESS_ID = str(uuid.uuid4())
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PING_HEADERS = (("X-Influxdb-Build", "Core"), ("X-Influxdb-Version", COMPATIBLE_VERSION))


def own_version() -> str:
    try:
        return version("flightline")
    except PackageNotFoundError:
        return "unknown"


def health(call: Call) -> Reply:
    """`OK`, or what is wrong; as an object for clients that ask for JSON (the v2 client reads name, status and message)."""
    try:
        report = call.gateway.health(call.authorization)
    except Unauthenticated:
        raise
    except ServiceError as error:
        report = {"status": "fail", "problems": [error.message]}
    problems = [str(problem) for problem in report.get("problems", ())]
    failed = report.get("status") == "fail"
    status = 503 if failed else 200
    headers = (("Retry-After", "1"),) if failed else ()
    if "application/json" in call.accept:
        document: dict[str, Any] = {
            "name": "influxdb",
            "status": "fail" if failed else "pass",
            "message": "; ".join(problems) or "ready for queries and writes",
            "checks": [],
            "version": COMPATIBLE_VERSION,
            "commit": own_version(),
        }
        return json_reply(status, document, headers)
    word = "unavailable" if failed else "degraded"
    return text_reply(status, f"{word}: {'; '.join(problems)}" if problems or failed else "OK", headers)


def ready(call: Call) -> Reply:
    """For load balancers: unlike /health it asks the object store, and is no more than yes or no."""
    try:
        problems = call.gateway.ready(call.authorization)
    except Unauthenticated:
        raise
    except ServiceError as error:
        problems = [error.message]
    if problems:
        return text_reply(503, f"not ready: {'; '.join(problems)}", (("Retry-After", "1"),))
    return text_reply(200, "OK")


def heap_profile(call: Call) -> Reply:
    """Says that heap profiling is not built in."""
    return text_reply(503, "heap profiling is not built into this server")


def ping(call: Call) -> Reply:
    """Says who serves this address, in which version, without asking the engine."""
    headers = (*_PING_HEADERS, ("X-Request-Id", call.request_id))
    if not any(wanted in call.accept for wanted in ("application/json", "application/*", "*/*")):
        return Reply(204, headers=headers)
    document = {
        "product_name": PRODUCT_NAME,
        "version": COMPATIBLE_VERSION,
        "revision": own_version(),
        "process_id": _PROCESS_ID,
    }
    return json_reply(200, document, headers)


def metrics(call: Call) -> Reply:
    """The engine's figures and those of all HTTP workers. An engine that is away is a figure as well."""
    try:
        engine, up = call.gateway.metrics(call.authorization).removesuffix(b"# EOF\n"), 1
    except Unauthenticated:
        raise
    except ServiceError:
        engine, up = b"", 0
    own = (
        "# HELP flightline_engine_up Whether the engine process answers.\n"
        f"# TYPE flightline_engine_up gauge\nflightline_engine_up {up}\n"
    )
    return Reply(200, engine + own.encode() + call.counters.render() + b"# EOF\n", _METRICS_TYPE)


ROUTES: Routes = (
    ("/health", ["GET"], health, system("health")),
    ("/api/v1/health", ["GET"], health, system("health")),
    ("/ready", ["GET"], ready, system("ready")),
    ("/ping", ["GET", "HEAD", "POST"], ping, system("ping")),
    ("/debug/pprof/heap", ["GET", "POST"], heap_profile, system("pprof")),
    ("/metrics", ["GET"], metrics, system("metrics")),
)
