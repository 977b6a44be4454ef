"""The HTTP connection, against a socket that behaves badly."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flightserver.cli.answers import Unreachable
from flightserver.cli.parsing import parse
from flightserver.cli.remote import HttpServer
from flightserver.cli.tree import TREE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def closing_after(answers: list[list[bytes]]) -> Iterator[tuple[int, list[bytes]]]:
    """Answers so many requests of each connection, then closes it; keeps what was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            for connection_answers in answers:
                connection, _ = listener.accept()
                with connection:
                    for answer in connection_answers:
                        asked.append(connection.recv(65536))
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], asked
        thread.join(10)


def server_on(port: int) -> HttpServer:
    given = parse(TREE, ["show", "databases", "--host", f"http://127.0.0.1:{port}"], {}).given
    assert given is not None
    return HttpServer(given)


def test_a_call_that_finds_its_connection_closed_is_sent_again() -> None:
    """R1."""
    with closing_after([[OK], [OK]]) as (port, asked):
        server = server_on(port)

        assert [server.call("GET", "/health") for _ in range(2)] == [b"ok", b"ok"]
        assert len(asked) == 2
        server.close()


def test_what_may_not_be_repeated_is_not() -> None:
    """R1."""
    with closing_after([[OK], []]) as (port, asked):
        server = server_on(port)
        server.call("GET", "/health")

        with pytest.raises(Unreachable):
            server.send("POST", "/write", body=b"cpu f=1", again=False)

        assert len(asked) == 1
        server.close()
        socket.create_connection(("127.0.0.1", port)).close()  # what the listener still waits for
