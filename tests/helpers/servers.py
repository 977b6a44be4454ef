"""Real servers for tests: processes, sockets, and what they print."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import psutil
import pyarrow.flight as flight

ROOT = Path(__file__).parents[2]
START_S = 60.0
PATIENCE_S = 60.0  # how long anything may take before a test fails: the machine may be busy
SMALL = ("-m", "tests.helpers.small_serve")


def wait_until(condition: Callable[[], bool], *, within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s} s: {condition}")
        time.sleep(0.01)


@dataclass
class Server:
    process: "subprocess.Popen[bytes]"
    directory: Path
    output: Path
    host: str = "127.0.0.1"
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def journal(self) -> list[str]:
        return (self.directory / "journal").read_text().split()

    def get(self, path: str) -> bytes:
        with urlopen(self.url + path, timeout=PATIENCE_S) as response:
            return bytes(response.read())

    def flight(self) -> flight.FlightClient:
        return flight.connect(f"grpc://{self.host}:{self.port}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        return self.process.wait(within_s)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def engine_pid(self) -> int:
        engines = {"tests.helpers.small_engine", "flightserver.engine_process"}
        return next(child.pid for child in self.children() if engines & set(child.cmdline()))

    def master_pid(self) -> int:
        return next(child.pid for child in psutil.Process(self.process.pid).children() if "gunicorn" in child.cmdline())

    def run_directory(self) -> Path:
        line = psutil.Process(self.master_pid()).cmdline()
        return Path(line[line.index("--worker-tmp-dir") + 1])


def action(client: flight.FlightClient, name: str, body: bytes = b"") -> bytes:
    return next(iter(client.do_action(flight.Action(name, body)))).body.to_pybytes()  # type: ignore[no-any-return]


def read_response(sock: socket.socket) -> tuple[int, bytes]:
    """One response from a socket of ours; whatever follows it is lost."""
    with http.client.HTTPResponse(sock) as response:
        response.begin()
        return response.status, response.read()


def launch(
    directory: Path,
    *options: str,
    command: tuple[str, ...] = SMALL,
    bind: str = "127.0.0.1:0",
    with_tokens: bool = False,
    terminal: int | None = None,
) -> Server:
    """Start a server and return at once. Its output goes to a file, or to a terminal."""
    directory.mkdir(parents=True, exist_ok=True)
    arguments: list[str] = []
    for option, value in (("--node-id", "node"), ("--data-dir", str(directory)), ("--http-bind", bind)):
        arguments += [] if option in options else [option, value]
    arguments += [] if with_tokens else ["--without-auth"]
    arguments += ["--tcp-listener-file-path", str(directory / "listener"), *options]
    (directory / "listener").unlink(missing_ok=True)
    output = directory / f"output-{time.monotonic_ns()}"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *command, *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file if terminal is None else terminal,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not name.startswith(("INFLUXDB3_", "LOG_"))},
        )
    return Server(process, directory, output)


def await_ready(server: Server) -> Server:
    listener = server.directory / "listener"
    wait_until(lambda: listener.exists() or server.process.poll() is not None)
    if not listener.exists():
        raise AssertionError(f"the server ended with {server.process.returncode}: {server.text}")
    server.port = int(listener.read_text().rpartition(":")[2])
    return server


@contextmanager
def running(
    directory: Path,
    *options: str,
    command: tuple[str, ...] = SMALL,
    bind: str = "127.0.0.1:0",
    with_tokens: bool = False,
    terminal: int | None = None,
) -> Iterator[Server]:
    """A server that is ready, and nothing left of it afterwards."""
    server = launch(directory, *options, command=command, bind=bind, with_tokens=with_tokens, terminal=terminal)
    family: list[psutil.Process] = []
    try:
        await_ready(server)
        family = server.children()
        yield server
    finally:
        if server.process.poll() is None:
            family += server.children()
            server.signal(signal.SIGTERM)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.process.kill()
        for process in family:
            if process.is_running():
                process.kill()
