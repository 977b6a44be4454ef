"""A client's socket (X2)."""

import socket
from collections.abc import Iterator

import pytest

from httpapi.connections import JOINED_BYTES, ClientSocket


@pytest.fixture
def pair() -> Iterator[tuple[ClientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ClientSocket(ours.family, ours.type, ours.proto, fileno=ours.detach()) as wrapped, theirs:
        theirs.setblocking(False)
        wrapped.start_request()
        yield wrapped, theirs


def received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


def test_a_header_leaves_with_the_beginning_of_the_body(pair: tuple[ClientSocket, socket.socket]) -> None:
    """X2."""
    ours, theirs = pair
    ours.sendall(b"header ")
    assert received(theirs) == b""

    ours.sendall(b"body")

    assert received(theirs) == b"header body"


def test_a_header_without_body_leaves_at_the_end(pair: tuple[ClientSocket, socket.socket]) -> None:
    """X2."""
    ours, theirs = pair
    ours.sendall(b"header")
    ours.end_request()

    assert received(theirs) == b"header"
    ours.end_request()
    assert received(theirs) == b""


def test_what_follows_is_not_held(pair: tuple[ClientSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.sendall(b"header ")
    ours.sendall(b"one ")
    ours.sendall(b"two")

    assert received(theirs) == b"header one two"


def test_a_large_beginning_is_not_copied_and_still_comes_second(pair: tuple[ClientSocket, socket.socket]) -> None:
    """X2."""
    ours, theirs = pair
    body = b"x" * (JOINED_BYTES + 1)
    ours.sendall(b"header ")
    ours.sendall(memoryview(body))

    assert received(theirs) == b"header " + body


def test_every_request_of_a_connection_begins_anew(pair: tuple[ClientSocket, socket.socket]) -> None:
    ours, theirs = pair
    for _ in range(2):
        ours.start_request()
        ours.sendall(b"a")
        assert received(theirs) == b""
        ours.end_request()
        assert received(theirs) == b"a"
