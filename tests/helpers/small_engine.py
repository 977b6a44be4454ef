"""An engine process for tests of the server around it: obeys the same orders, and its Flight server has no data.

Actions: `echo` returns its body, `pid` the process id, `sleep` says so and waits so many seconds. DoGet with ticket `n` streams
n batches of 1 MiB. Files in the store's data_dir decide how it behaves: `refuse` makes it report that file's text instead of
starting, `die` exit at once, `slow` take a second to start. Starts and stops are noted in `journal`.
"""

import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as flight


class SmallServer(flight.FlightServerBase):  # type: ignore[misc]  # pyarrow ships no types
    def do_action(self, context: Any, action: Any) -> Iterator[bytes]:
        body = action.body.to_pybytes()
        if action.type == "pid":
            body = str(os.getpid()).encode()
        elif action.type == "sleep":
            yield b"asleep"
            time.sleep(float(body))
        yield body

    def do_get(self, context: Any, ticket: Any) -> Any:
        batch = pa.record_batch({"x": pa.array(range(131072), pa.int64())})
        count = int(ticket.ticket)
        return flight.GeneratorStream(batch.schema, (batch for _ in range(count)))

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        for chunk in reader:
            writer.write(str(chunk.data.num_rows).encode())


def journal(directory: Path, line: str) -> None:
    with (directory / "journal").open("a") as file:
        file.write(line + "\n")


def report(fd: int, content: dict[str, str]) -> None:
    with os.fdopen(fd, "w") as pipe:
        pipe.write(json.dumps(content) + "\n")


def main() -> int:
    orders = json.loads(sys.stdin.readline())
    directory = Path(orders["store"]["data_dir"])
    directory.mkdir(parents=True, exist_ok=True)
    journal(directory, "start")
    if (directory / "die").exists():
        return 7
    if (directory / "slow").exists():
        time.sleep(0.7)
    lock = os.open(directory / "node.lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        report(orders["report_fd"], {"error": f"node {orders['settings']['node_id']} is in use by another server"})
        return 1
    if (directory / "refuse").exists():
        report(orders["report_fd"], {"error": (directory / "refuse").read_text()})
        return 1
    servers = [SmallServer(f"grpc+unix://{orders['socket']}")]
    if orders["flight_bind"]:
        host, port = orders["flight_bind"]
        servers.append(SmallServer(f"grpc://{host}:{port}"))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    report(
        orders["report_fd"], {"store": f"file://{directory}", "flight": str(servers[-1].port) if orders["flight_bind"] else ""}
    )
    stop.wait()
    for server in servers:
        server.shutdown()
    journal(directory, "stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
