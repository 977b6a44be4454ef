"""`influxdb3 serve`: one light process that starts the engine and the HTTP workers, watches both and stops them in order.

B1  The listening socket is ours: a port that is taken is known before anything starts, and no connection is refused while
    workers are replaced.
B2  A part that dies is started again, ever more slowly; what cannot be kept alive ends the server with a sentence, and so
    does an engine whose node another server has taken over.
B3  Stopping goes HTTP, Flight, log: nobody is cut off who was let in, and what was acknowledged is stored. The exit code is 0.
B4  Nothing of ours survives us: neither a process nor a file in the run directory.
B5  This process imports nothing heavy (no pyarrow, no gunicorn), so both parts start at once and early.

Held by tests/integration/test_serve.py (B1-B4) and tests/unit/flightserver/test_imports.py (B5).
Elsewhere: what the engine does (engine_process.py), gunicorn's flags (sidecar.py), child processes (children.py).
"""

import ctypes
import errno
import json
import logging
import os
import resource
import select
import signal
import socket
import ssl
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from types import FrameType

from flightserver.children import EXIT_TAKEN_OVER, Child, Restarts, python_command
from flightserver.config import ServeConfig, Tls
from flightserver.logs import set_up_logging
from flightserver.rundir import RunDirectory, run_directory
from flightserver.sidecar import APP, drain_s, http_command, http_environment

log = logging.getLogger("flightserver.boot")

SO_ATTACH_FILTER = 26  # Linux; the socket module has no name for it
PORT_PATIENCE_S = 1.0  # for a server that is just going
HTTP_HEAD_START_S = 1.0  # for HTTP requests, before the engine is asked to stop


class ServeError(Exception):
    """One sentence about why there is no server (any more)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What is started. Tests put something smaller here."""

    engine_command: Sequence[str] = tuple(python_command("-m", "flightserver.engine_process"))
    http_app: str = APP
    most_deaths: int = 6  # of one part within a minute


#: Memory that the engine frees stays its own for some seconds. Rows come and go by the megabyte, and pages given back to
#: the kernel at once are zeroed anew each time: that was a quarter of the CPU time of a load.
ENGINE_MEMORY = {
    "MIMALLOC_PURGE_DELAY": "10000",  # ms, for Arrow's buffers
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}


def serve(config: ServeConfig, environment: Mapping[str, str], parts: Parts | None = None) -> int:
    set_up_logging(config.logs)
    for warning in config.warnings:
        log.warning(warning)
    if config.cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: config.cores])
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # thousands of connections; our children inherit it
    if config.tls is not None:
        check_certificate(config.tls)
    with ExitStack() as stack:
        listener = stack.enter_context(listen(config.http_bind))
        if config.flight_bind is not None and config.flight_bind[1]:
            listen(config.flight_bind).close()  # only to say clearly that it is taken
        try:
            run = stack.enter_context(run_directory())
        except OSError as error:
            raise ServeError(f"cannot make a directory for sockets: {error}") from None
        return Supervisor(config, environment, listener, run, parts or Parts()).run()


#: what OpenSSL says in its own words
_NO_PAIR = {
    "PEM lib": "they are not a certificate and its key in PEM form",
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
}


def check_certificate(tls: Tls) -> None:
    """Before anything starts, because workers that cannot use it would only keep dying."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.cert_file, tls.key_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        cause = next((ours for theirs, ours in _NO_PAIR.items() if theirs in str(error)), str(error))
        raise ServeError(f"--tls-cert {tls.cert_file} and --tls-key {tls.key_file} cannot be used: {cause}") from None


def listen(address: tuple[str, int]) -> socket.socket:
    """A listening socket (B1). A server that is just stopping gets a moment."""
    deadline = time.monotonic() + PORT_PATIENCE_S
    while True:
        try:
            family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
            both = address[0] == "::" and socket.has_dualstack_ipv6()
            return socket.create_server(address, family=family, backlog=4096, dualstack_ipv6=both)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            raise ServeError(f"cannot listen on {_written(address)}: {_reason(error)}") from None


def admit_nobody_else(listener: socket.socket) -> None:
    """Let the kernel drop new connections, while those that it has admitted wait to be accepted: closing would reset them."""
    drop_all = ctypes.create_string_buffer(struct.pack("=HBBI", 0x06, 0, 0, 0))  # "return 0", in the language of packet filters
    program = struct.pack("@HP", 1, ctypes.addressof(drop_all))
    with suppress(OSError):  # a kernel without filters: then some are reset
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _reason(error: OSError) -> str:
    return "the port is taken by another process" if error.errno == errno.EADDRINUSE else error.strerror or str(error)


def _written(address: tuple[str, int]) -> str:
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


class Part:
    """A child that is meant to run, when to start it if it does not, and the line it says about itself."""

    def __init__(self, name: str, restarts: Restarts) -> None:
        self.name = name
        self.restarts = restarts
        self.child: Child | None = None
        self.start_at_s: float | None = 0.0
        self.was_ready = False
        self.report_fd = -1
        self._report = b""

    def open_report(self) -> int:
        """A pipe for the child; its end of it is returned."""
        self.close_report()
        self.report_fd, for_child = os.pipe2(os.O_CLOEXEC)
        self._report = b""
        return for_child

    def read_report(self) -> None:
        chunk = os.read(self.report_fd, 65536)
        self._report += chunk
        if not chunk or b"\n" in self._report:
            self.close_report()

    def take_report(self) -> dict[str, str] | None:
        """The first line, once."""
        line, newline, _ = self._report.partition(b"\n")
        if not newline:
            return None
        self._report = b""
        report: dict[str, str] = json.loads(line)
        return report

    def close_report(self) -> None:
        if self.report_fd >= 0:
            os.close(self.report_fd)
            self.report_fd = -1

    @property
    def ended(self) -> bool:
        return self.child is not None and self.child.ended


class Supervisor:
    def __init__(
        self, config: ServeConfig, environment: Mapping[str, str], listener: socket.socket, run: RunDirectory, parts: Parts
    ) -> None:
        self.config = config
        self.environment = environment
        self.listener = listener
        self.run_dir = run
        self.parts = parts
        self.engine = Part("engine", Restarts(parts.most_deaths))
        self.http = Part("http", Restarts(parts.most_deaths))
        self.signals: list[int] = []
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.engine_report: Mapping[str, str] = {}
        self.refusal = ""
        self.announced = False
        self.began_at_s = time.monotonic()

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # started under nohup, it stays ignored
            signal.signal(signal.SIGHUP, self._on_signal)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        try:
            while not self.signals:
                self._start_what_is_due()
                self._wait()
                self._hear_reports()
                self._bury_the_dead()
            return self._stop()
        except ServeError:
            self._signal(self.engine, signal.SIGTERM)
            self._await([self.engine], time.monotonic() + self.config.settings.shutdown_timeout_ms / 1000)
            raise
        finally:
            self._kill_all()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.signals.append(number)

    # ------------------------------------------------------------------------------------------------ watching

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for part, start in ((self.http, self._start_http), (self.engine, self._start_engine)):
            if part.start_at_s is not None and part.start_at_s <= now:
                part.start_at_s = None
                try:
                    part.child = start()
                except OSError as error:
                    raise ServeError(f"cannot start the {part.name} process: {error}") from None

    def _start_http(self) -> Child:
        report_fd = self.http.open_report()
        try:
            return Child.start(
                "http",
                http_command(self.config, self.run_dir, self.listener.fileno(), report_fd, self.parts.http_app),
                http_environment(self.environment),
                on_our_death=signal.SIGQUIT,  # at once: the port has to be free for our successor
                pass_fds=(self.listener.fileno(), report_fd),
            )
        finally:
            os.close(report_fd)

    def _start_engine(self) -> Child:
        self.run_dir.engine_socket.unlink(missing_ok=True)
        report_fd = self.engine.open_report()
        try:
            return Child.start(
                "engine",
                self.parts.engine_command,
                {**ENGINE_MEMORY, **self.environment},
                on_our_death=signal.SIGTERM,
                pass_fds=(report_fd,),
                input_data=json.dumps(self._engine_orders(report_fd)).encode() + b"\n",
            )
        finally:
            os.close(report_fd)

    def _engine_orders(self, report_fd: int) -> dict[str, object]:
        """All the engine needs to know; through a pipe, because secrets in arguments or variables can be read by others."""
        config = self.config
        return {
            "settings": asdict(config.settings),
            "store": dict(config.store),
            "socket": str(self.run_dir.engine_socket),
            "handover_dir": str(self.run_dir.handover),
            "flight_bind": config.flight_bind,
            "tls": None if config.tls is None else asdict(config.tls),
            "logs": asdict(config.logs),
            "access": asdict(config.access) | {"recovery_done_file": str(self.run_dir.recovered)},
            "report_fd": report_fd,
            "drain_ms": int(min(1500, drain_s(config) * 500)),
        }

    def _wait(self) -> None:
        """Until something happens, or the next start is due."""
        due = [part.start_at_s for part in (self.engine, self.http) if part.start_at_s is not None]
        timeout_s = max(0.0, min(due) - time.monotonic()) if due else None
        self._select(timeout_s)

    def _select(self, timeout_s: float | None) -> None:
        reporting = {part.report_fd: part for part in (self.engine, self.http) if part.report_fd >= 0}
        readable, _, _ = select.select([self.wake_read, *reporting], [], [], timeout_s)
        if self.wake_read in readable:
            os.read(self.wake_read, 4096)
        for fd, part in reporting.items():
            if fd in readable:
                part.read_report()

    def _hear_reports(self) -> None:
        while self.engine.ended and self.engine.report_fd >= 0:
            self._select(None)  # a dead engine has said all it had to say: up to the end of the pipe
        if self.http.take_report() is not None:
            self.http.was_ready = True
        report = self.engine.take_report()
        if report is not None and "error" in report:
            self._hear_refusal(report["error"])
        elif report is not None and self.engine.was_ready:
            self.refusal = ""
            log.info("the engine is ready again")
        elif report is not None:
            self.engine.was_ready = True
            self.engine_report = report
        if self.engine.was_ready and self.http.was_ready and not self.announced:
            self.announced = True
            self._announce(self.engine_report)

    def _hear_refusal(self, sentence: str) -> None:
        if not self.engine.was_ready:
            raise ServeError(sentence)
        self.refusal = sentence
        log.error("the engine cannot start again: %s", sentence)

    def _announce(self, report: Mapping[str, str]) -> None:
        host, port = self.listener.getsockname()[:2]
        scheme = "http" if self.config.tls is None else "https"
        url = f"{scheme}://{_written((host, port))}"
        if self.config.listener_file is not None:
            _write_whole(self.config.listener_file, _written((host, port)))
        seconds = time.monotonic() - self.began_at_s
        details = {"url": url, "store": report["store"], "node": self.config.settings.node_id}
        details |= {"flight": report["flight"]} if report.get("flight") else {}
        details |= {"token recovery": report["recovery"]} if report.get("recovery") else {}
        log.info("ready after %.2f s", seconds, extra=details)
        near = f"{scheme}://{'localhost' if host in ('0.0.0.0', '::') else _written((host, 0))[:-2]}:{port}"
        needs_first = bool(report.get("needs_first_token"))
        if sys.stdout.isatty() and not self.config.logs.json:
            print(_hint(near, with_tokens=self.config.access.with_tokens, needs_first=needs_first))
        elif needs_first:
            log.warning("there is no admin token yet: make the first one with `%s`", _first_token(near))

    def _bury_the_dead(self) -> None:
        for part in (self.engine, self.http):
            child = part.child
            if child is None or not child.ended:
                continue
            part.child = None
            if part is self.engine and not self.engine.was_ready and not self.signals:
                raise ServeError(f"the engine {child.how_it_ended()} before it was ready")
            if part is self.engine and child.process.returncode == EXIT_TAKEN_OVER:
                raise ServeError(
                    f"another server has started as node {self.config.settings.node_id} on the same store and owns its data"
                    " now: this one stops (give each server a --node-id of its own)"
                )
            delay_s = part.restarts.delay_s(time.monotonic())
            if delay_s is None:
                why = f"cannot start again: {self.refusal}" if part is self.engine and self.refusal else child.how_it_ended()
                raise ServeError(f"the {part.name} process keeps dying; it {why}")
            log.error("the %s process %s, starting it again in %.1f s", part.name, child.how_it_ended(), delay_s)
            part.start_at_s = time.monotonic() + delay_s

    # ------------------------------------------------------------------------------------------------ stopping

    def _stop(self) -> int:
        """B3. The engine is asked a little after HTTP, and then lets what HTTP still waits for come to an end."""
        began_s = time.monotonic()
        deadline_s = began_s + self.config.settings.shutdown_timeout_ms / 1000
        log.info("stopping")
        admit_nobody_else(self.listener)
        self.listener.close()
        self._signal(self.http, signal.SIGTERM)
        self._await([self.http], min(began_s + HTTP_HEAD_START_S, deadline_s))
        self._signal(self.engine, signal.SIGTERM)
        in_time = self._await([self.engine, self.http], deadline_s)
        if len(self.signals) > 1:
            log.warning("stopped at once: what was not flushed is lost")
            return 130
        if not in_time:
            raise ServeError("the server did not stop within --shutdown-timeout and was ended")
        engine = self.engine.child
        if engine is not None and engine.process.returncode not in (0, -signal.SIGTERM):
            raise ServeError(f"while stopping, the engine {engine.how_it_ended()}")
        log.info("stopped after %.2f s", time.monotonic() - began_s)
        return 0

    def _signal(self, part: Part, number: signal.Signals) -> None:
        if part.child is not None:
            part.child.signal(number)

    def _await(self, parts: Sequence[Part], deadline_s: float) -> bool:
        """Whether all of them ended in time; a second signal ends the patience."""
        while len(self.signals) < 2:
            if all(part.child is None or part.child.ended for part in parts):
                return True
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                return False
            self._select(remaining_s)
        return False

    def _kill_all(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient Ctrl-C must not hurt now
        for part in (self.http, self.engine):
            if part.child is not None:
                part.child.kill_group()
                part.child.process.wait()


def _write_whole(path: str, text: str) -> None:
    """So that a reader who polls for the file never sees half of it."""
    with open(f"{path}.tmp", "w") as file:
        file.write(text)
    os.replace(f"{path}.tmp", path)


def _first_token(url: str) -> str:
    host = "" if url == "http://localhost:8181" else f" --host {url}"
    return f"influxdb3 create token --admin{host}"


def _hint(url: str, *, with_tokens: bool, needs_first: bool) -> str:
    """For the person who has just started a server."""
    header = " -H 'Authorization: Bearer TOKEN'" if with_tokens else ""
    first = (
        f"\n  Nobody can use this server yet. Make the first token (it is shown once, and administers everything):\n\n"
        f"    {_first_token(url)}\n"
        if needs_first
        else ""
    )
    return (
        f"{first}\n  write   curl '{url}/api/v3/write_lp?db=mydb'{header} --data-raw 'cpu,host=a usage=0.5'\n"
        f"  query   curl '{url}/api/v3/query_sql?db=mydb&format=pretty'{header} --data-urlencode 'q=SELECT * FROM cpu' -G\n"
    )
