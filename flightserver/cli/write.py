"""`influxdb3 write`: lines in pieces, several under way at a time.

    cli/sources ─▶ cli/splitting: pieces that end where lines end ─▶ Sender: threads, each with a door (cli/doors, cli/actions)
      ─▶ silence if all is stored; else cli/refused explains the lines, or the message says where to go on

W1  A piece is sent again only when the server asks for it (503). About a connection that broke nothing is guessed.
W2  Refused lines do not stop the rest, which the server has stored: they are told at the end, and the command fails.
W3  Whatever else goes wrong stops everything, and the message says at which byte to go on: all before it is stored.
W4  Of a file of any length only the pieces under way are held, at most UNDER_WAY_BYTES_MAX or one.

Held by tests/integration/cli/test_write.py (W1-W4).
"""

import queue
import sys
import threading
import time
from collections.abc import Sequence

from flightserver.cli.answers import Answer, Refused
from flightserver.cli.console import CommandError, Interrupted, Progress, is_terminal, size
from flightserver.cli.doors import Door, Outcome, open_door
from flightserver.cli.parsing import Given
from flightserver.cli.refused import RefusedLine, told
from flightserver.cli.sources import NO_LINES, Source, open_sources
from flightserver.cli.splitting import Body, bodies

UNDER_WAY_BYTES_MAX = 128 * 1024 * 1024
BUSY_FOR_MAX_S = 60.0
EXACT_REPLY_MAX = 4096


def run(given: Given) -> None:
    source_list = list(open_sources(given))
    sender = _Sender(given)
    progress = Progress(wanted="--quiet" not in given, after_s=0.3)
    tally = _Tally(source_list)
    stopped_in: tuple[Source, int] | None = None
    try:
        for source in source_list:
            for body in bodies(source.read, given.number("--max-request-size"), source.at, source.line):
                sender.send(body, source)
                tally.add(body)
                progress.show("{}", tally)
                if sender.failed is not None:
                    break
            stored_to = sender.drain(source)
            if sender.failed is not None:
                stopped_in = source, stored_to
                break
    except KeyboardInterrupt:
        progress.clear()
        sender.stop()
        print(_go_on(source, sender.stored_to(source), source_list), file=sys.stderr)
        raise Interrupted from None
    finally:
        progress.clear()
    if not sender.requests and sender.failed is None:
        raise CommandError(NO_LINES)
    if "--quiet" not in given and sender.requests and sender.failed is None:
        print(tally.line(sender.requests), file=sys.stderr)
    _report(sender, stopped_in, source_list)


def _report(sender: "_Sender", stopped_in: tuple[Source, int] | None, sources: Sequence[Source]) -> None:
    """Silence if all went well."""
    lines = told(sender.refused)
    if sender.failed is not None and stopped_in is not None:
        source, stored_to = stopped_in
        several = sender.requests > 1 or stored_to > source.at
        more = [text for text in (lines, sender.failed.more) if text] + (
            [_go_on(source, stored_to, sources)] if several else []
        )
        raise CommandError(str(sender.failed), more="\n".join(more))
    if sender.refused:
        raise CommandError(_headline(sender), more=lines)


def _headline(sender: "_Sender") -> str:
    answer = sender.partial
    if sender.requests == 1 and answer is not None and not is_terminal(sys.stderr) and len(answer.body) <= EXACT_REPLY_MAX:
        return f"server responded with error [{answer.status} {answer.reason}]: {answer.text}"
    count = len(sender.refused)
    which = "1 line was" if count == 1 else f"{count:,} lines were"
    return f"{which} refused, all others are stored: partial write of line protocol occurred"


def _go_on(source: Source, stored_to: int, sources: Sequence[Source]) -> str:
    if source.name is None:
        return f"the first {stored_to:,} bytes of the input are stored"
    later = [f"--file {other.name}" for other in sources[sources.index(source) + 1 :] if other.name]
    what = " and then with ".join([f"--file {source.name} --start-at {stored_to}", *later])
    return f"everything in {source.name} before byte {stored_to:,} is stored; go on with {what}"


class _Sender:
    """Threads with a connection each, made when there is work that nobody is free for. The first piece is sent alone:
    what is wrong with all of them is found before a hundred are under way."""

    def __init__(self, given: Given) -> None:
        self._given = given
        under_way_max = max(1, UNDER_WAY_BYTES_MAX // given.number("--max-request-size"))
        self._threads_max = min(given.number("--max-concurrent-requests"), under_way_max)
        self._work: queue.SimpleQueue[tuple[Body, Source] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._under_way: dict[int, Body] = {}
        self._sent_to = 0
        self._stopping = False
        self._is_first = True
        self._first = open_door(given)
        self.requests = 0
        self.refused: list[RefusedLine] = []
        self.partial: Answer | None = None
        self.failed: CommandError | None = None

    def send(self, body: Body, source: Source) -> None:
        with self._changed:
            while len(self._under_way) >= self._threads_max and self.failed is None:  # what failed stays under way
                self._changed.wait(1.0)
            if self.failed is not None:
                return
            self._under_way[body.at] = body
            self._sent_to = body.at + len(body.data)
        if self._is_first:
            self._is_first = False
            self._send_one(self._first, body, source)
            return
        if len(self._threads) < min(len(self._under_way), self._threads_max):
            door = self._first if not self._threads else open_door(self._given)
            thread = threading.Thread(target=self._work_on, args=(door,), daemon=True)
            self._threads.append(thread)
            thread.start()
        self._work.put((body, source))

    def drain(self, source: Source) -> int:
        """Wait for what is under way; the byte up to which all is stored."""
        with self._changed:
            while self._under_way and self.failed is None:
                self._changed.wait(1.0)
        stored_to = self.stored_to(source)
        if self.failed is not None:
            self.stop()
        self._sent_to = 0
        return stored_to

    def stop(self) -> None:
        """What is being sent may still arrive; what waits is dropped."""
        self._stopping = True

    def stored_to(self, source: Source) -> int:
        with self._changed:
            return max(source.at, min(self._under_way, default=self._sent_to))

    def _work_on(self, door: Door) -> None:
        while (taken := self._work.get()) is not None:
            self._send_one(door, *taken)

    def _send_one(self, door: Door, body: Body, source: Source) -> None:
        if self._stopping or self.failed is not None:
            return
        outcome = self._until_not_busy(door, body, source)
        with self._changed:
            self.requests += 1
            self.refused += outcome.refused
            self.partial = outcome.answer or self.partial
            if outcome.error is not None:
                self.failed = self.failed or outcome.error
            else:
                del self._under_way[body.at]
            self._changed.notify_all()

    def _until_not_busy(self, door: Door, body: Body, source: Source) -> Outcome:
        deadline_s = time.monotonic() + BUSY_FOR_MAX_S
        while True:
            outcome = door.write(body, source)
            answer = outcome.error.answer if isinstance(outcome.error, Refused) else None
            if answer is None or answer.status not in (429, 503) or time.monotonic() > deadline_s or self._stopping:
                return outcome
            time.sleep(min(answer.retry_after_s or 0.5, 5.0))


class _Tally:
    """What has been read, for progress."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._started_s = time.monotonic()
        self._lines = 0
        self._bytes = 0

    def add(self, body: Body) -> None:
        self._lines += body.lines
        self._bytes += len(body.data)

    def __str__(self) -> str:
        """What the progress line shows."""
        elapsed_s = max(time.monotonic() - self._started_s, 1e-6)
        speed = f"{self._lines:,} lines, {self._lines / elapsed_s:,.0f} lines/s, {size(self._bytes / elapsed_s)}/s"
        if any(source.size_bytes is None for source in self._sources):
            return f"{size(self._bytes)}, {speed}"
        whole = sum(source.size_bytes or 0 for source in self._sources) or 1
        done = min(sum(source.position() for source in self._sources) / whole, 1.0)
        left_s = elapsed_s / done - elapsed_s if done else 0.0
        return f"[{'=' * int(done * 30):<30}] {done:4.0%}  {speed}, {left_s:.0f} s left"

    def line(self, requests: int) -> str:
        elapsed_s = max(time.monotonic() - self._started_s, 1e-6)
        which = "1 request" if requests == 1 else f"{requests} requests"
        lines, sent = f"{self._lines} lines ({self._lines / elapsed_s:.0f} lines/s)", size(self._bytes)
        rate = f"{which} ({requests / elapsed_s:.2f} requests/sec)"
        return f"{elapsed_s:.2f}s: {rate}, {lines}, {sent} ({size(self._bytes / elapsed_s)}/s)"
