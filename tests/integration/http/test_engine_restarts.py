"""Writes through the whole server while its engine is killed: nobody is told anything but "stored" or "try again" (H2)."""

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.conftest import PRODUCT
from tests.helpers.asking import Reached
from tests.helpers.servers import Server, running, wait_until

DOORS = ("/api/v3/write_lp?db=db", "/api/v2/write?bucket=db", "/write?db=db")


class Writer(threading.Thread):
    """Writes one row after another, each until it is stored."""

    def __init__(self, server: Server, host: str) -> None:
        super().__init__()
        self.server = server
        self.host = host
        self.answers: Counter[int] = Counter()
        self.unusable: list[str] = []
        self.stored = 0
        self.done = threading.Event()

    def run(self) -> None:
        with closing(http.client.HTTPConnection(self.server.host, self.server.port, timeout=60)) as connection:
            while not self.done.is_set():
                line = f"cpu,host={self.host} n={self.stored}i {self.stored + 1}000000000000"
                connection.request("POST", DOORS[self.stored % 3], line, {"Content-Type": "text/plain"})
                answer = connection.getresponse()
                body = answer.read()
                self.answers[answer.status] += 1
                if answer.status == 204:
                    self.stored += 1
                    continue
                if not (isinstance(json.loads(body), dict) and answer.headers["Retry-After"]):
                    self.unusable.append(body.decode())
                time.sleep(0.02)


def await_progress(writers: list[Writer]) -> None:
    goals = [writer.stored + 5 for writer in writers]
    wait_until(lambda: all(writer.stored >= goal for writer, goal in zip(writers, goals, strict=True)))


def test_writes_are_stored_or_worth_another_try_while_the_engine_dies(tmp_path: Path) -> None:
    """H2."""
    with running(tmp_path, "--object-store", "file", command=PRODUCT) as server:
        writers = [Writer(server, f"h{number}") for number in range(6)]
        for writer in writers:
            writer.start()
        for _ in range(2):
            await_progress(writers)
            os.kill(server.engine_pid(), signal.SIGKILL)
        await_progress(writers)
        for writer in writers:
            writer.done.set()
        for writer in writers:
            writer.join()

        answers = sum((writer.answers for writer in writers), Counter[int]())
        found = Reached(server).rows("db", "select host, count(*) as n from cpu group by host order by host")
        assert found == [{"host": writer.host, "n": writer.stored} for writer in writers]
        assert set(answers) == {204, 503}, answers
        assert [writer.unusable for writer in writers] == [[]] * len(writers)
        assert "Traceback" not in server.text
