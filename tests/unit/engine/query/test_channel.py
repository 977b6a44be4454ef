"""What two processes say to each other."""

import socket
import struct
import threading

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from engine.query.elsewhere.channel import Messages, received_batches, send_batch


def test_messages_arrive_whole_and_in_order() -> None:
    """C1: large ones, and ones that carry expressions and sockets."""
    one, other = socket.socketpair()
    here, there = socket.socketpair()
    sender, receiver = Messages(one), Messages(other)

    def send() -> None:
        sender.send("large", b"x" * 3_000_000)
        sender.send("filter", pc.field("a") > 3, attached=there)
        sender.send("last", None)

    thread = threading.Thread(target=send)
    thread.start()
    large, none = receiver.receive()
    (kind, expression), attached = receiver.receive()
    last, _ = receiver.receive()
    thread.join()
    assert attached is not None
    attached.sendall(b"hello")

    assert (large, none) == (("large", b"x" * 3_000_000), None)
    assert kind == "filter"
    assert str(expression) == "(a > 3)"
    assert last == ("last", None)
    assert here.recv(5) == b"hello"
    for each in (one, other, here, there, attached):
        each.close()


def test_batches_arrive_with_their_dictionaries_until_the_end_of_a_result() -> None:
    """C1."""
    one, other = socket.socketpair()
    first = pa.record_batch({"tag": pa.array(["a", "b"]).dictionary_encode(), "n": [1, None]})
    second = pa.record_batch({"tag": pa.array(["c", "c"]).dictionary_encode(), "n": [3, 4]})

    for batch in (first, second, None, None):
        send_batch(one, batch)

    assert list(received_batches(other)) == [first, second]
    assert list(received_batches(other)) == []
    one.close()
    other.close()


def test_an_end_in_the_middle_is_told_from_a_whole_result() -> None:
    """C1."""
    one, other = socket.socketpair()
    send_batch(one, pa.record_batch({"n": [1]}))
    one.close()

    with pytest.raises(EOFError):
        list(received_batches(other))
    with pytest.raises(EOFError):
        Messages(other).receive()
    other.close()


@pytest.mark.parametrize("header", [b"", struct.pack("<Q", 100), struct.pack("<Q", 100)[:3]])
def test_a_socket_that_came_with_half_a_message_is_closed(header: bytes) -> None:
    """C1: its other end hears of it."""
    one, other = socket.socketpair()
    here, there = socket.socketpair()
    with one, there:
        socket.send_fds(one, [header or b"x"], [there.fileno()])

    with pytest.raises(EOFError):
        Messages(other).receive()

    assert here.recv(1) == b""
    other.close()
    here.close()
