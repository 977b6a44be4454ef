"""A process that runs one statement after another for an engine: `python -m engine.query.elsewhere.child`, with two sockets.

C1  It ends when the engine does, whatever it is doing.
C2  It has less of the machine than the engine: it yields the cores, and the system's memory killer takes it first.

Held by tests/integration/engine/test_elsewhere.py (C1, C2).
Elsewhere: who starts it, and when it is killed (workers.py).
"""

from engine.spared import spare

if __name__ == "__main__":
    spare()

import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from datafusion import DataFrame

from catalog.errors import encode_error
from engine.query.elsewhere.channel import Messages, send_batch
from engine.query.elsewhere.remote import Remote, RemoteSchema
from engine.query.limits import TooMuchMemory
from engine.query.messages import is_panic, reason_of, runs_out_of_memory
from engine.query.params import Parameters
from engine.query.session import new_session, runtime_of
from engine.query.statement import prepare

NICENESS = 10


@dataclass(frozen=True, slots=True)
class Order:
    """A statement, and what it may have. Without `rows` only its schema is wanted; without parameters they stay open."""

    text: str
    parameters: Parameters | None
    schemas: tuple[str, ...]
    threads: int
    limit_bytes: int
    rows: bool


class Child:
    def __init__(self, messages: Messages, results: socket.socket) -> None:
        self._messages = messages
        self._results = results
        self._remote = Remote(messages)
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        threading.Thread(target=self._receive, name="receive", daemon=True).start()

    def run(self) -> None:
        while True:
            order = self._orders.get()
            try:
                self._carry_out(order)
            except BaseException as error:  # the bindings raise plain Exception for everything that goes wrong, and panics
                kind = "panicked" if is_panic(error) else "failed"
                reason = TooMuchMemory(order.limit_bytes) if runs_out_of_memory(error) else reason_of(error)
                self._messages.send(kind, encode_error(reason))
            else:
                self._messages.send("done")
            if order.rows:
                send_batch(self._results, None)

    def _receive(self) -> None:
        """C1."""
        with suppress(EOFError, OSError):
            while True:
                (kind, *values), _ = self._messages.receive()
                if kind == "order":
                    self._orders.put(Order(*values))  # type: ignore[arg-type]  # as they were sent
                else:
                    self._remote.answers.put((kind == "answer", *values))
        os._exit(0)

    def _carry_out(self, order: Order) -> None:
        schemas = {name: RemoteSchema(self._remote, name) for name in order.schemas}
        context = new_session(schemas, runtime_of(order.limit_bytes * 4 // 5), order.threads)
        prepared = prepare(context, order.text, order.parameters)
        self._messages.send("planned", prepared.schema)
        if order.rows:
            for batch in prepared.batches(_run, time.sleep):
                send_batch(self._results, batch)


def _run(frame: DataFrame) -> Iterator[pa.RecordBatch]:
    for batch in frame.execute_stream():
        yield batch.to_pyarrow()


def _take_less() -> None:
    """C2."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(NICENESS)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def main(arguments: list[str]) -> None:
    messages, results = (socket.socket(fileno=int(number)) for number in arguments)
    _take_less()
    Child(Messages(messages), results).run()


if __name__ == "__main__":
    main(sys.argv[1:])
