"""The relay by itself, between socket pairs of this process (Y1-Y4)."""

import os
import random
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from httpapi import relay as module
from httpapi.relay import Relay
from tests.helpers.servers import wait_until


class Wire:
    """A relay with a listening engine socket, and the clients that were given to it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "engine.sock"
        self.closed: list[float] = []
        self.stack = ExitStack()
        self.relay = Relay(str(self.path), lambda: self.closed.append(time.monotonic()))
        self.relay.start()

    def listen(self) -> socket.socket:
        listener = self.stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(self.path))
        listener.listen(1024)
        listener.settimeout(60)
        return listener

    def client(self, first: bytes = b"") -> socket.socket:
        ours, theirs = socket.socketpair()
        self.stack.enter_context(ours)
        theirs.setblocking(False)
        ours.settimeout(60)
        self.relay.add(theirs, first)
        return ours

    def pair(self, listener: socket.socket, first: bytes = b"") -> tuple[socket.socket, socket.socket]:
        client = self.client(first)
        return client, self.accept(listener)

    def accept(self, listener: socket.socket) -> socket.socket:
        engine, _ = listener.accept()
        engine.settimeout(60)
        return self.stack.enter_context(engine)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path)
    with made.stack:
        yield made


@pytest.fixture
def listener(wire: Wire) -> socket.socket:
    return wire.listen()


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(1 << 20):
        parts.append(part)
    return b"".join(parts)


def send_in_pieces(sock: socket.socket, data: bytes, seed: int) -> None:
    pieces, at = random.Random(seed), 0
    while at < len(data):
        size = pieces.choice([1, 10, 1000, 100_000, 3_000_000])
        sock.sendall(data[at : at + size])
        at += size
    sock.shutdown(socket.SHUT_WR)


def fill(sock: socket.socket) -> int:
    """Send until nothing more is taken."""
    sent = 0
    with suppress(TimeoutError):
        while True:
            sent += sock.send(b"x" * 65536)
    return sent


def test_bytes_arrive_unchanged_in_both_directions_at_once(wire: Wire, listener: socket.socket) -> None:
    """Y1."""
    up, down = os.urandom(8_000_000), os.urandom(12_000_000)
    client, engine = wire.pair(listener, first=b"FIRST")
    senders = [
        threading.Thread(target=send_in_pieces, args=(client, up, 1)),
        threading.Thread(target=send_in_pieces, args=(engine, down, 2)),
    ]
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(engine)))
    for thread in (*senders, reader):
        thread.start()

    assert read_all(client) == down
    reader.join(60)
    assert received == [b"FIRST" + up]


def test_an_end_of_the_client_is_passed_on_and_the_answer_still_comes(wire: Wire, listener: socket.socket) -> None:
    """Y1."""
    client, engine = wire.pair(listener)
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)

    assert read_all(engine) == b"question"
    engine.sendall(b"answer")
    engine.close()

    assert read_all(client) == b"answer"
    wait_until(lambda: len(wire.closed) == 1)


def test_a_side_that_vanishes_takes_the_other_with_it(wire: Wire, listener: socket.socket) -> None:
    client, engine = wire.pair(listener)
    client.close()
    assert read_all(engine) == b""
    engine.close()
    wait_until(lambda: len(wire.closed) == 1)

    client, engine = wire.pair(listener)
    engine.close()
    assert read_all(client) == b""
    wait_until(lambda: len(wire.closed) == 2)


@pytest.mark.parametrize("slow_side", ["client", "engine"])
def test_a_side_that_does_not_read_stops_the_other(wire: Wire, listener: socket.socket, slow_side: str) -> None:
    """Y2."""
    client, engine = wire.pair(listener)
    slow, fast = (client, engine) if slow_side == "client" else (engine, client)
    fast.settimeout(0.3)
    sent = fill(fast)

    assert sent < 6 * module.BUFFER_BYTES
    received = 0
    while received < sent:
        received += len(slow.recv(1 << 20))
    assert received == sent


def test_a_stalled_connection_does_not_hold_up_the_others(wire: Wire, listener: socket.socket) -> None:
    _client, stalled = wire.pair(listener)
    stalled.settimeout(0.1)
    fill(stalled)

    client, engine = wire.pair(listener)
    for _ in range(100):
        client.sendall(b"ping")
        assert engine.recv(4) == b"ping"
        engine.sendall(b"pong")
        assert client.recv(4) == b"pong"


def test_idle_connections_wake_nobody_and_need_no_thread(wire: Wire, listener: socket.socket) -> None:
    """Y3."""
    threads = threading.active_count()
    pairs = [wire.pair(listener) for _ in range(100)]
    before_s = time.process_time()
    time.sleep(0.3)

    assert time.process_time() - before_s < 0.1
    assert threading.active_count() <= threads
    for client, engine in pairs:
        client.sendall(b"hello")
        assert engine.recv(5) == b"hello"


def test_a_connection_waits_for_an_engine_that_is_starting(wire: Wire) -> None:
    """Y4."""
    client = wire.client(first=b"early")
    client.sendall(b" bird")
    time.sleep(0.2)
    engine = wire.accept(wire.listen())
    client.shutdown(socket.SHUT_WR)

    assert read_all(engine) == b"early bird"


def test_a_connection_does_not_wait_for_ever(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Y4."""
    monkeypatch.setattr(module, "ENGINE_PATIENCE_S", 0.2)
    client = wire.client(first=b"early")

    assert client.recv(1) == b""
    wait_until(lambda: len(wire.closed) == 1)


def test_a_connection_that_comes_when_no_descriptor_is_free_waits_for_one(wire: Wire) -> None:
    """Y4: and the thread lives on for the others."""
    listener, client = wire.listen(), socket.socketpair()
    client[1].setblocking(False)
    wire.stack.enter_context(client[0])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(fd) for fd in os.listdir("/proc/self/fd")) + 1, limits[1]))
    taken: list[int] = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(listener.fileno()))
        wire.relay.add(client[1], b"hello")
        wire.relay.join(0.2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in taken:
            os.close(descriptor)

    assert wire.accept(listener).recv(5) == b"hello"
