"""gunicorn, by command line: HTTP workers that share the supervisor's listening socket.

Never imported: the workers see this package's wire and client only, and the supervisor sees no gunicorn.
"""

import json
import math
from collections.abc import Mapping

from flightserver.children import ROOT, python_command
from flightserver.config import ServeConfig
from flightserver.logs import logging_config
from flightserver.rundir import RunDirectory

APP = "httpapi.wsgi:app"
CONNECTIONS_PER_WORKER = 20_000
KEEPALIVE_S = 600
HEARTBEAT_S = 60
LONGEST_DRAIN_S = 4.0


def drain_s(config: ServeConfig) -> float:
    """How long open requests may take once the server stops."""
    return min(LONGEST_DRAIN_S, config.settings.shutdown_timeout_ms / 1000)


def http_command(config: ServeConfig, run: RunDirectory, listener_fd: int, report_fd: int, app: str) -> list[str]:
    run.log_config.write_text(json.dumps(logging_config(config.logs)))
    settings = {
        "FLIGHTLINE_REPORT_FD": str(report_fd),
        "FLIGHTLINE_ENGINE": f"grpc+unix://{run.engine_socket}",
        "FLIGHTLINE_HANDOVER_DIR": str(run.handover),
        "FLIGHTLINE_COUNTERS_DIR": str(run.counters),
        "FLIGHTLINE_MAX_HTTP_REQUEST_BYTES": str(config.settings.max_http_request_size_bytes),
        "FLIGHTLINE_WITH_TOKENS": str(int(config.access.with_tokens)),
        "FLIGHTLINE_RELEASED": ",".join(config.access.released),
    }
    command = python_command("-m", "gunicorn", app)
    flags: dict[str, str | int] = {
        "--bind": f"fd://{listener_fd}",
        "--worker-class": "httpapi.worker.SinglePortWorker",
        "--workers": config.http_workers,
        "--threads": config.http_threads,
        "--worker-connections": CONNECTIONS_PER_WORKER,
        "--backlog": 4096,
        "--keep-alive": KEEPALIVE_S,
        "--timeout": HEARTBEAT_S,
        "--graceful-timeout": max(1, math.ceil(drain_s(config))),
        "--limit-request-line": 0,  # the worker bounds the whole header
        "--limit-request-field_size": 0,
        "--worker-tmp-dir": str(run.path),
        "--log-config-json": str(run.log_config),
        "--chdir": str(ROOT),
    }
    if config.tls is not None:
        settings["FLIGHTLINE_TLS_MINIMUM_VERSION"] = config.tls.minimum_version
        flags |= {"--certfile": config.tls.cert_file, "--keyfile": config.tls.key_file}
    for name, value in flags.items():
        command += [name, str(value)]
    for name, setting in settings.items():
        command += ["--env", f"{name}={setting}"]
    return [*command, "--no-control-socket"]


def http_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without the variables that gunicorn would read: every option of it is given above."""
    return {
        name: value for name, value in environment.items() if not name.startswith(("GUNICORN_", "WEB_CONCURRENCY", "LISTEN_"))
    }
