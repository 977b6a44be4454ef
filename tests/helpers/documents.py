"""Plays a Markdown document as a reader would, and says where it does not tell the truth.

A document is its code blocks, in order. What a block is follows from the word behind its fence:

    bash       run in one shell session: variables, files and the directory stay from block to block
    python     run as a program of its own
    output     what the block before it printed, both streams; without one, a block has to print nothing
    others     shown to be read (lines of a format, a query plan, …) and not run

A comment just before a block says what the block alone cannot:

    <!-- server -->               the command of the document's server; it stays until the next one, or the end. A document that
                                  begins without one has an ordinary server
    <!-- stop -->                 however the reader stops the server: shown only, the server is stopped
    <!-- file: name -->           a file of this name, in the directory where the blocks run
    <!-- exits: 1 -->             the command fails with this status
    <!-- not run: reason -->      shown only; tests/docs/test_documents.py counts these

In an output block `…` stands for any text within a line, and a line that is only `…` for any number of lines.

Documents say 8181 and 8182; ports that are free stand in their place wherever a block is run. Where a document says 9000, a
store that speaks S3 listens there, with a bucket `flightline`. The reader's home is empty. `scripts/serve` means its options:
the environment that it prepares is this one.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.stores import ask, free_port, moto

ROOT = Path(__file__).parents[2]
PORT = "8181"
RECOVERY_PORT = "8182"
STORE_PORT = "9000"
MARKS = ("server", "stop", "file", "exits", "not run")
SERVE = "influxdb3 serve --node-id docs --object-store file --data-dir data --without-auth"
SHOWN = frozenset({"lineprotocol", "text", "ini", "toml", "yaml", "json", "sql", "http", "java", "dockerfile", "mermaid"})
PATIENCE_S = 120

_FENCE = re.compile(
    r"(?:^<!-- (?P<marks>[^\n]*?) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Block:
    line: int
    language: str
    mark: str  # what the comment before it says: one of MARKS, or nothing
    value: str
    text: str

    @property
    def runs(self) -> bool:
        return self.language in ("bash", "python") and self.mark in ("", "exits")


def blocks_of(document: str) -> Iterator[Block]:
    for found in _FENCE.finditer(document):
        mark, _, value = (found["marks"] or "").partition(": ")
        if mark and mark not in MARKS:
            mark, value = "", ""  # a comment that has nothing to do with the block
        line = document.count("\n", 0, found.start("language")) + 1
        block = Block(line, found["language"].strip(), mark, value, found["text"])
        if not (block.language in ("bash", "python", "output") or block.language in SHOWN):
            raise ValueError(f"line {line}: nothing is known about blocks of {block.language!r}")
        yield block


def spelled_out(command: str) -> str:
    """What `scripts/serve` runs when nothing else is asked for."""
    options = re.search(r"options=\((--.*)\)", (ROOT / "scripts" / "serve").read_text())
    assert options is not None
    return command.replace("scripts/serve", f"influxdb3 serve {options[1]}")


def agrees(shown: str, printed: str) -> bool:
    """Is this what was printed, but for the places marked `…`?"""
    parts = []
    for line in shown.rstrip("\n").split("\n"):
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(r".*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"\n")
    cleaned = "".join(line.rstrip() + "\n" for line in printed.rstrip("\n").split("\n"))
    return re.fullmatch("".join(parts), cleaned) is not None


@dataclass(frozen=True, slots=True)
class Played:
    """One block that ran: what it should have printed, and what it did."""

    block: Block
    shown: str
    printed: str
    status: int

    @property
    def wanted_status(self) -> int:
        return int(self.block.value) if self.block.mark == "exits" else 0

    @property
    def true(self) -> bool:
        return self.status == self.wanted_status and agrees(self.shown, self.printed)


class Reader:
    """Somebody at an empty machine with the product, its clients, and the document."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "here"
        self._home = directory / "home"
        self._programs = directory / "bin"
        self._state = directory / "state"
        self._log = directory / "server.log"
        self._listener = directory / "listener"
        self._server: subprocess.Popen[bytes] | None = None
        for each in (self.directory, self._home, self._programs):
            each.mkdir(parents=True)
        self._ports = {said: str(free_port()) for said in (PORT, RECOVERY_PORT)}
        self._port = self._ports[PORT]
        self._program("influxdb3", f'exec {sys.executable} -m flightserver.cli.main "$@"')
        for name in ("python", "python3"):
            self._program(name, f'exec {sys.executable} "$@"')
        (self._home / ".curlrc").write_text("silent\nshow-error\n")  # as on a terminal: no progress in between
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("INFLUXDB3_", "LOG_", "COV_"))},
            "HOME": str(self._home),
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "INFLUXDB3_HOST_URL": f"http://127.0.0.1:{self._port}",
            "LC_ALL": "C.UTF-8",
        }

    def play(self, document: str) -> Iterator[Played]:
        blocks = list(blocks_of(document))
        if STORE_PORT in document:
            store = moto()
            ask("PUT", f"{store.url}/flightline")
            self._ports[STORE_PORT] = store.url.rpartition(":")[2]
        first = next((block for block in blocks if block.runs or block.mark == "server"), None)
        if first is not None and first.runs:
            self.serve(SERVE)
        for at, block in enumerate(blocks):
            if block.mark == "file":
                (self.directory / block.value).write_text(block.text)
            elif block.mark == "server":
                self.serve(block.text)
            elif block.mark == "stop":
                self.stop()
            elif block.runs:
                following = blocks[at + 1] if at + 1 < len(blocks) else None
                shown = following.text if following and following.language == "output" else ""
                yield self._run(block, shown)

    def serve(self, command: str) -> None:
        """Start the server that the document shows; the one before it ends first, as the reader would end it."""
        self.stop()
        self._listener.unlink(missing_ok=True)
        environment = {
            **self._environment,
            "INFLUXDB3_HTTP_BIND_ADDR": f"127.0.0.1:{self._port}",
            "INFLUXDB3_TCP_LISTENER_FILE_PATH": str(self._listener),
        }
        with self._log.open("ab") as log:
            words = shlex.split(self._here(spelled_out(command).replace("\\\n", " ")), comments=True)
            words = [word.replace("$PWD", str(self.directory)) for word in words]
            words = [str(self._home / word[2:]) if word.startswith("~/") else word for word in words]
            words[0] = str(self._programs / words[0])
            self._server = subprocess.Popen(
                words, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._listener.exists():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start: {self._log.read_text()[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """The document's server has to end as it should."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.send_signal(signal.SIGTERM)
        try:
            assert server.wait(PATIENCE_S) == 0, self._log.read_text()[-3000:]
        except subprocess.TimeoutExpired:
            server.kill()
            raise

    def _run(self, block: Block, shown: str) -> Played:
        text = self._here(block.text)
        if block.language == "python":
            command = [sys.executable, "-"]
        else:
            command = ["bash"]
            state = shlex.quote(str(self._state))
            restored, kept = f"set -a; [ ! -f {state} ] || source {state}", f"{{ export -p; echo cd $PWD; }} >{state}"
            text = f"{restored}\n{text}\nstatus=$?; {kept}; exit $status"
        done = subprocess.run(
            command,
            input=text.encode(),
            cwd=self.directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
            check=False,
        )
        printed = done.stdout.decode(errors="replace").replace(self._port, PORT)
        return Played(block, shown.replace(str(self._home), "~"), printed, done.returncode)

    def _here(self, text: str) -> str:
        """The text with the ports that are really used."""
        for said, used in self._ports.items():
            text = text.replace(said, used)
        return text

    def _program(self, name: str, line: str) -> None:
        path = self._programs / name
        path.write_text(f"#!/bin/bash\n{line}\n")
        path.chmod(0o755)
