"""The engine process: storage, catalog, log, queries and the Flight server, behind a private socket.

E1  It reads its orders from standard input and answers through one pipe: ready, or one sentence about why not.
E2  It stops on SIGTERM: calls that run get a moment, then everything acknowledged is stored and the exit code is 0.
E3  Until it is ready, SIGTERM ends it where it stands (the system's own way, since a handler would wait for a call into a
    library to return); opening a store can be cut off at any point.

Held by tests/integration/test_engine_process.py (E1-E3).
Elsewhere: who starts it and what is in the orders (boot.py), what it opens (engine.node, flightserver.server).
"""

from engine.spared import spare

if __name__ == "__main__":
    spare()

import contextlib
import gc
import json
import logging
import os
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from catalog.errors import ServiceError
from engine.clock import Clock, SystemClock
from engine.node import Node
from engine.ownership import Fenced
from engine.storage.base import ObjectStore
from engine.storage.open import StoreOptions, open_store
from engine.storage.probe import check_store
from flightserver.audit import Audit
from flightserver.auth import Authorizer, Everyone, TokenAuthorizer
from flightserver.children import EXIT_LOG_STOPPED, EXIT_TAKEN_OVER
from flightserver.config import AccessOptions, Tls, settings_from
from flightserver.logs import LogOptions, set_up_logging
from flightserver.recovery import Recovery
from flightserver.server import EngineServer
from flightserver.token_files import take_in_files
from flightserver.tokens import TokenKeeper
from flightserver.version import version

log = logging.getLogger("flightserver.engine_process")


@dataclass(frozen=True, slots=True)
class Running:
    """An open node and the servers in front of it."""

    store: ObjectStore
    node: Node
    servers: tuple[EngineServer, ...]
    report: Mapping[str, str]
    recovery: Recovery | None = None

    def stop(self, drain_s: float) -> None:
        """E2. Flight's own shutdown waits for running calls without end, so it gets a thread and a deadline.

        The node goes last: calls that are being waited for may still store and read. One that outlives its moment finds the
        log closed and is refused; what was acknowledged before is stored.
        """
        if self.recovery is not None:
            self.recovery.close()
        closing = [threading.Thread(target=server.shutdown, daemon=True) for server in self.servers]
        deadline_s = time.monotonic() + drain_s
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        giving_up = threading.Timer(drain_s, self.store.close)
        giving_up.daemon = True
        giving_up.start()  # a store that does not answer must not hold up the end
        self.node.close()
        self.store.close()


def open_engine(orders: Mapping[str, Any]) -> Running:
    options = _store_options(orders["store"])
    settings = settings_from(orders["settings"])
    store = open_store(options)
    store = check_store(store, settings.node_id, allow_unconditional_writes=options.allow_unconditional_writes)
    clock = SystemClock()
    node = Node.open(settings, store, clock, _end)
    try:
        node.introduce(version())
        return _serve(store, node, orders, clock)
    except BaseException:
        node.close()
        raise


def _serve(store: ObjectStore, node: Node, orders: Mapping[str, Any], clock: Clock) -> Running:
    report = {"store": store.url}
    access = AccessOptions(**{name: value for name, value in orders["access"].items() if name != "recovery_done_file"})
    audit = Audit(clock.now_ns, None if access.audit_log_file is None else Path(access.audit_log_file))
    authorizer: Authorizer = Everyone()
    keeper: TokenKeeper | None = None
    recovery: Recovery | None = None
    if access.with_tokens:
        authorizer = TokenAuthorizer(node.catalog.state, clock.now_ns, frozenset(access.released))
        keeper = TokenKeeper(node.catalog, clock)
        take_in_files(node.catalog, clock, audit, access.admin_token_file, access.permission_tokens_file)
        tls = None if orders["tls"] is None else server_context(Tls(**orders["tls"]))
        recovery = _open_recovery(keeper, access, audit, Path(orders["access"]["recovery_done_file"]), tls)
        report |= {"needs_first_token": "yes"} if keeper.needs_first else {}
        report |= {} if recovery is None else {"recovery": recovery.url}
    server = partial(EngineServer, node, authorizer=authorizer, tokens=keeper, audit=audit)
    servers = [server(location=f"grpc+unix://{orders['socket']}", handover_dir=orders["handover_dir"])]
    os.chmod(orders["socket"], 0o600)
    if orders["flight_bind"] is not None:
        servers.append(_open_outer(server, orders))
        report["flight"] = f"{orders['flight_bind'][0]}:{servers[-1].port}"
    return Running(store, node, tuple(servers), report, recovery)


def _open_recovery(
    keeper: TokenKeeper, access: AccessOptions, audit: Audit, done_file: Path, tls: ssl.SSLContext | None
) -> Recovery | None:
    """Once: an engine that is started anew after a recovery does not open it again."""
    if access.recovery_bind is None or done_file.exists():
        return None
    host, port = access.recovery_bind  # a list, after its way through JSON
    recovery = Recovery((host, port), keeper, audit, done_file, tls)
    if access.recovery_listener_file is not None:
        Path(access.recovery_listener_file).write_text(recovery.address)
    return recovery


def _store_options(given: Mapping[str, Any]) -> StoreOptions:
    """Paths travel as text."""
    options: dict[str, Any] = dict(given)
    for name in ("data_dir", "aws_credentials_file", "google_service_account", "tls_ca"):
        if name in options:
            options[name] = Path(options[name])
    return StoreOptions(**options)


def server_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.minimum_version == "tls-1.3" else ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


def _open_outer(server: Callable[..., EngineServer], orders: Mapping[str, Any]) -> EngineServer:
    host, port = orders["flight_bind"]
    written = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if orders["tls"] is None:
        return server(location=f"grpc://{written}")
    with open(orders["tls"]["cert_file"], "rb") as cert, open(orders["tls"]["key_file"], "rb") as key:
        pair = (cert.read(), key.read())
    return server(location=f"grpc+tls://{written}", tls_certificates=[pair])


def main() -> int:
    orders = json.loads(sys.stdin.readline())
    set_up_logging(LogOptions(**orders["logs"]))
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        running = open_engine(orders)
    except Exception as error:
        _report(orders["report_fd"], {"error": _sentence(error)})
        return 1
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    _report(orders["report_fd"], running.report)
    _spare_the_collector()
    stop.wait()
    running.stop(orders["drain_ms"] / 1000)
    log.debug("engine stopped")
    logging.shutdown()
    os._exit(0)  # a call that outlived its moment must not hold up the end


def _spare_the_collector() -> None:
    """What is loaded by now lives as long as the process, and a write leaves no cycles: look seldom, and not at all of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _end(error: BaseException) -> None:
    """The log has stopped for good. The supervisor starts another process, which reads it again, unless it is not ours now."""
    logging.shutdown()
    os._exit(EXIT_TAKEN_OVER if isinstance(error, Fenced) else EXIT_LOG_STOPPED)


def _report(fd: int, content: Mapping[str, str]) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(fd, "wb") as pipe:
        pipe.write(json.dumps(dict(content)).encode() + b"\n")


def _sentence(error: Exception) -> str:
    """What the supervisor prints; the whole story of an unplanned error goes to the log."""
    if isinstance(error, ServiceError):
        return error.message if error.hint is None else f"{error.message} ({error.hint})"
    log.error("the engine cannot start", exc_info=error)
    return f"the engine cannot start: {type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
