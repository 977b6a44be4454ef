"""An HTTP client that costs little: ready bytes on raw keep-alive sockets, one thread, one epoll.

H1  Every request that was begun has one outcome: its status, `dropped` (connection lost) or `timeout`.
H2  Rows count as acknowledged only with a 2xx answer; rows of requests without an answer are `unknown`.
H3  With `interval_s` a connection sends on schedule, and latency runs from the scheduled moment, so that a server that
    stalls cannot hide the requests it kept from being sent. Without, the next request follows the answer. What is to be sent
    on schedule is in memory before: a disk that is slow to read it back would be taken for a slow server.

Held by tests/bench/test_http_client.py. Started by processes.Client: a job as one JSON line on stdin, `ready` when all
connections stand, `go`, and the result as one JSON line. A 503 is repeated after Retry-After when the job says `retry`.
"""

import heapq
import itertools
import json
import mmap
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from .measure import cpu_s, summary

ANSWER_TIMEOUT_S = 90.0
RETRY_DEFAULT_S = 0.1


class Job(TypedDict):
    port: int
    path: str
    headers: dict[str, str]
    data: str
    index: str
    connections: int
    interval_s: float | None
    duration_s: float | None
    retry: bool


@dataclass(slots=True)
class Response:
    status: int
    closes: bool
    retry_after_s: float
    text: str


class Connection:
    __slots__ = ("began", "due", "got", "item", "left", "sock", "waits")

    def __init__(self, port: int) -> None:
        self.sock = connect(port)
        self.item: int | None = None  # the request under way
        self.left: list[memoryview] = []  # what is still to be sent of it
        self.waits = False  # for the socket to take more
        self.got = bytearray()
        self.began = self.due = 0.0


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


def parse_response(got: bytearray) -> Response | None:
    """One whole answer, or None while some of it is missing."""
    end = got.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = bytes(got[:end]).lower().split(b"\r\n")
    status = int(lines[0].split(b" ")[1])
    headers = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
    body = len(got) - end - 4
    if headers.get(b"transfer-encoding", b"").strip() == b"chunked":
        if not got.endswith(b"0\r\n\r\n"):
            return None
    elif body < int(headers.get(b"content-length", b"0")):
        return None
    wait = headers.get(b"retry-after", b"").strip()
    closes = headers.get(b"connection", b"").strip() == b"close"
    text = got[end + 4 : end + 304].decode(errors="replace").strip()
    return Response(status, closes, float(wait) if wait.isdigit() else RETRY_DEFAULT_S, text)


class Load:
    """One run: the connections, the requests not yet begun, and what became of the others."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.index: list[tuple[int, int, int, int]] = list(map(tuple, np.load(job["index"]).tolist()))
        with open(job["data"], "rb") as file:
            populate = mmap.MAP_POPULATE if job["interval_s"] is not None else 0
            self.data = memoryview(mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE | populate, mmap.PROT_READ))
        self.items: Iterator[int] = iter(range(len(self.index)))
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        for _ in range(job["connections"]):
            self.adopt(Connection(job["port"]))
        self.wakeups: list[tuple[float, int, Connection, int | None]] = []  # when, order, who, which item to repeat
        self.order = itertools.count()
        self.busy = 0
        self.outcomes: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.first_error = ""
        self.acknowledged_rows = self.acknowledged_check = self.unknown_rows = 0
        self.heads: dict[int, bytes] = {}
        fixed = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **job["headers"]}.items())
        self.head = f"POST {job['path']} HTTP/1.1\r\n{fixed}Content-Length: "

    def run(self) -> dict[str, object]:
        self.start = self.last_answer = time.perf_counter()
        duration, interval, count = self.job["duration_s"], self.job["interval_s"], len(self.connections)
        self.deadline = self.start + duration if duration is not None else float("inf")
        for number, connection in enumerate(list(self.connections.values())):
            phase = interval * number / count if interval is not None else 0.0
            self.wake(self.start + phase, connection)
        while self.wakeups or self.busy:
            self.step()
        return {
            "elapsed_s": self.last_answer - self.start,
            "rows": self.acknowledged_rows,
            "check": self.acknowledged_check,
            "unknown_rows": self.unknown_rows,
            "outcomes": dict(self.outcomes),
            "first_error": self.first_error,
            **summary(self.latencies),
        }

    def step(self) -> None:
        now = time.perf_counter()
        while self.wakeups and self.wakeups[0][0] <= now:
            due, _, connection, item = heapq.heappop(self.wakeups)
            self.begin(connection, due, item)
        wait = min(self.wakeups[0][0] - time.perf_counter(), 1.0) if self.wakeups else 1.0
        events = self.epoll.poll(max(wait, 0.0))
        for descriptor, event in events:
            connection = self.connections[descriptor]
            if event & select.EPOLLOUT:
                self.send(connection)
            if event & ~select.EPOLLOUT:
                self.receive(connection)
        if not events:
            self.give_up_on_silence()

    def wake(self, due: float, connection: Connection, item: int | None = None) -> None:
        heapq.heappush(self.wakeups, (due, next(self.order), connection, item))

    def begin(self, connection: Connection, due: float, item: int | None) -> None:
        now = time.perf_counter()
        if item is None:
            item = next(self.items, None) if due < self.deadline else None
        if item is None:
            return
        offset, length, _, _ = self.index[item]
        head = self.heads.get(length)
        if head is None:
            head = self.heads[length] = f"{self.head}{length}\r\n\r\n".encode()
        body = self.data[offset : offset + length]
        # one segment for a small request: two would be two packets
        connection.left = [memoryview(head + body)] if length < 8192 else [memoryview(head), body]
        connection.item, connection.due = item, due
        connection.began = due if self.job["interval_s"] is not None else now
        self.busy += 1
        self.send(connection)

    def send(self, connection: Connection) -> None:
        while connection.left:
            try:
                sent = connection.sock.sendmsg(connection.left)
            except BlockingIOError:
                self.wait_to_send(connection, True)
                return
            except OSError:
                self.lose(connection, "dropped")
                return
            while connection.left and sent >= len(connection.left[0]):
                sent -= len(connection.left.pop(0))
            if sent:
                connection.left[0] = connection.left[0][sent:]
        self.wait_to_send(connection, False)

    def wait_to_send(self, connection: Connection, waits: bool) -> None:
        if waits != connection.waits:
            self.epoll.modify(connection.sock, select.EPOLLIN | (select.EPOLLOUT if waits else 0))
            connection.waits = waits

    def receive(self, connection: Connection) -> None:
        try:
            some = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            some = b""
        if not some:
            self.lose(connection, "dropped")
            return
        connection.got += some
        response = parse_response(connection.got)
        if response is None or connection.item is None:
            return
        connection.got.clear()
        unsent, connection.left = bool(connection.left), []
        if response.closes or unsent:  # an early answer ends the connection: the rest of the body has no reader
            connection = self.replace(connection)
        self.settle(connection, response)

    def settle(self, connection: Connection, response: Response) -> None:
        item = connection.item
        assert item is not None
        self.last_answer = time.perf_counter()
        self.latencies.append(self.last_answer - connection.began)
        self.outcomes[str(response.status)] += 1
        if response.status >= 300 and not self.first_error:
            self.first_error = f"{response.status} {response.text}"
        if 200 <= response.status < 300:
            self.acknowledged_rows += self.index[item][2]
            self.acknowledged_check += self.index[item][3]
        repeat = response.status == 503 and self.job["retry"] and self.last_answer < self.deadline
        self.go_on(connection, self.last_answer + response.retry_after_s if repeat else None)

    def lose(self, connection: Connection, outcome: str) -> None:
        """H1, H2. An idle connection that the server closed is only replaced."""
        was_idle = connection.item is None
        connection = self.replace(connection)
        if was_idle:
            return
        assert connection.item is not None
        self.outcomes[outcome] += 1
        self.unknown_rows += self.index[connection.item][2]
        self.go_on(connection, None)

    def go_on(self, connection: Connection, repeat_at: float | None) -> None:
        """The next request, or the same again."""
        self.busy -= 1
        item, connection.item = connection.item, None
        interval = self.job["interval_s"]
        if repeat_at is not None:
            self.wake(repeat_at, connection, item)
        elif interval is None:
            self.wake(time.perf_counter(), connection)
        else:
            self.wake(connection.due + interval, connection)

    def adopt(self, connection: Connection) -> None:
        self.connections[connection.sock.fileno()] = connection
        self.epoll.register(connection.sock, select.EPOLLIN)

    def replace(self, old: Connection) -> Connection:
        """The same connection on a new socket."""
        self.epoll.unregister(old.sock)
        del self.connections[old.sock.fileno()]
        old.sock.close()
        old.sock, old.left, old.waits = connect(self.job["port"]), [], False
        old.got.clear()
        self.adopt(old)
        return old

    def give_up_on_silence(self) -> None:
        patience = time.perf_counter() - ANSWER_TIMEOUT_S
        for connection in list(self.connections.values()):
            if connection.item is not None and max(connection.began, connection.due) < patience:
                self.lose(connection, "timeout")


def main() -> None:
    job: Job = json.loads(sys.stdin.readline())
    load = Load(job)
    print("ready", flush=True)
    if not sys.stdin.readline():
        return  # whoever started us is gone
    before = cpu_s()
    result = load.run()
    print(json.dumps({**result, "client_cpu_s": cpu_s() - before}), flush=True)


if __name__ == "__main__":
    main()
