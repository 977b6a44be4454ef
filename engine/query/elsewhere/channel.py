"""What the engine and a process that runs a statement for it say to each other.

Two sockets. On one go messages: tuples of values, pickled, since both ends are ours and came from the same files; with a
message may go a socket, for the rows of a scan. On the other go batches of the result, each an Arrow IPC stream of its own, and
nothing for the end.

C1  What one side sends the other receives, whole and in order; an end in the middle is EOFError, and nothing is left open.

Held by tests/unit/engine/query/test_channel.py (C1).
"""

import pickle
import socket
import struct
import threading
from collections.abc import Iterator

import pyarrow as pa

_HEADER = struct.Struct("<Q")


class Messages:
    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._sending = threading.Lock()

    def send(self, *message: object, attached: socket.socket | None = None) -> None:
        body = pickle.dumps(message)
        with self._sending:
            # a socket goes with the first byte of the header, of which there is always room for all
            socket.send_fds(self.socket, [_HEADER.pack(len(body))], [attached.fileno()] if attached else [])
            self.socket.sendall(body)

    def receive(self) -> tuple[tuple[object, ...], socket.socket | None]:
        header, descriptors, _, _ = socket.recv_fds(self.socket, _HEADER.size, 1)
        attached = socket.socket(fileno=descriptors[0]) if descriptors else None
        try:
            return self._rest(header), attached
        except BaseException:
            if attached is not None:
                attached.close()
            raise

    def _rest(self, header: bytes) -> tuple[object, ...]:
        header += _received(self.socket, _HEADER.size - len(header)) if 0 < len(header) < _HEADER.size else b""
        if not header:
            raise EOFError
        message: tuple[object, ...] = pickle.loads(_received(self.socket, _HEADER.unpack(header)[0]))
        return message


def send_batch(sock: socket.socket, batch: pa.RecordBatch | None) -> None:
    if batch is None:
        sock.sendall(_HEADER.pack(0))
        return
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    body = sink.getvalue()
    sock.sendall(_HEADER.pack(len(body)))
    sock.sendall(body)


def received_batches(sock: socket.socket) -> Iterator[pa.RecordBatch]:
    """To the end of one result."""
    while size := _HEADER.unpack(_received(sock, _HEADER.size))[0]:
        yield from pa.ipc.open_stream(_received(sock, size))


def _received(sock: socket.socket, size: int) -> pa.Buffer:
    buffer = pa.allocate_buffer(size)
    view = memoryview(buffer).cast("B")
    while view:
        count = sock.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return buffer
