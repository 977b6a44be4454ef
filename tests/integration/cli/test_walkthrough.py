"""Plays the get-started documents in a shell, from the first command to the last, as a new user on an empty machine would.

Each command of a document is matched by a rule that says what has to happen; what the document prints is compared with what
is printed. A command without a rule fails the test. Commands whose feature this version lacks have to say so.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PRODUCT
from tests.helpers.cli import environment_of, rows_of
from tests.helpers.servers import PATIENCE_S, ROOT, Server, running, wait_until
from tests.helpers.stores import ask, moto, new_name

SEEDS = ROOT.parent / "shared" / "seeds"
DOCUMENTS = (
    sorted(path for path in SEEDS.glob("*.txt") if "get started" in path.read_text().lower()[:40_000]) if SEEDS.is_dir() else []
)
BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)
BEGIN = re.compile(r"^\s*(?:Usage: )?(?:[$>] )?(?P<command>(?:influxdb3|curl)\b.*)$")

PLACEHOLDERS = {
    "<DATABASE_NAME>": "servers",
    "<DATABASE>": "servers",
    "<TABLE>": "cpu",
    "<COLUMNS>": "host",
    "<QUERY>": "SELECT 1",
    "<CACHE_NAME>": "cpuCache",
    "[CACHE_NAME]": "cpuCache",
    "[OPTIONS]": "",
    "<PLUGIN_FILENAME>": "test.py",
    "<INPUT_LINE_PROTOCOL>": "'a b=1'",
}


@dataclass
class Step:
    command: str
    shown: str = ""  # what the document prints below it


@dataclass
class Shell:
    """A directory that is home and working directory, with `influxdb3` on the path, and a server to talk to."""

    home: Path
    server: Server

    def run(self, command: str, stdin: str | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.home,
            env=self.environment(**variables),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def environment(self, **variables: str) -> dict[str, str]:
        path = f"{self.home / 'bin'}:{os.environ['PATH']}"
        return environment_of({"HOME": str(self.home), "PATH": path, "INFLUXDB3_HOST_URL": self.server.url, **variables})


# --------------------------------------------------------------------------------------------------- what has to happen


def starts(shell: Shell, step: Step, **more: str) -> None:
    """The server of the document answers, and Ctrl-C ends it."""
    listener = shell.home / "listener"
    listener.unlink(missing_ok=True)
    variables = {
        "INFLUXDB3_HTTP_BIND_ADDR": "127.0.0.1:0",
        "INFLUXDB3_WITHOUT_AUTH": "true",
        "INFLUXDB3_TCP_LISTENER_FILE_PATH": str(listener),
        **more,
    }
    process = subprocess.Popen(
        ["bash", "-c", "exec " + step.command.partition("influxdb3")[1] + step.command.partition("influxdb3")[2]],
        cwd=shell.home,
        env=shell.environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: listener.exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        url = f"http://127.0.0.1:{listener.read_text().rpartition(':')[2].strip()}"
        answered = shell.run(f"curl -s {url}/health")
        assert answered.stdout == "OK"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    if "--data-dir ~/.influxdb3" in step.command:
        assert (shell.home / ".influxdb3").is_dir()


def starts_on_a_store_that_speaks_s3(shell: Shell, step: Step) -> None:
    bucket, store = new_name(), moto().url
    ask("PUT", f"{store}/{bucket}")
    command = re.sub(r"--bucket=(\[BUCKET\]|BUCKET)", f"--bucket={bucket}", step.command)
    command = re.sub(r"--aws-endpoint=(\[ENDPOINT\]|ENDPOINT)", f"--aws-endpoint={store}", command)
    command = re.sub(r"=\[?AWS[ _](?:ACCESS|SECRET ACCESS|SECRET_ACCESS)[ _]KEY\]?", "=minio", command)

    starts(shell, Step(command))


def starts_on_s3(shell: Shell, step: Step) -> None:
    """As it would at AWS: the store that speaks S3 comes from the environment. The address is one that is free here."""
    bucket, store = new_name(), moto().url
    ask("PUT", f"{store}/{bucket}")
    command = re.sub(r"--bucket=\S+", f"--bucket={bucket}", step.command)
    command = re.sub(r"--http-bind=\S+", "", command)
    command = re.sub(r"=(?:\[AWS[ A-Z]*KEY\]|<AWS_\w+>|AWS_\w*KEY)", "=minio", command)

    starts(shell, Step(command), AWS_ENDPOINT=store, AWS_ALLOW_HTTP="true")


def says_that_nodes_work_alone(shell: Shell, step: Step) -> None:
    """Several nodes that serve each other's rows: the options are known, and the server does not pretend."""
    done = shell.run(re.sub(r"\[\.\.\.OPTIONS\]|<(\w+)>", r"\1", step.command), INFLUXDB3_NODE_ID="local01")

    assert done.returncode == 1
    assert re.fullmatch(
        r"Serve command failed: --[\w-]+ is not supported by this version: a node works alone so far, .*\n", done.stderr
    )


def explains(shell: Shell, step: Step) -> None:
    done = shell.run(step.command)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def tells_the_version(shell: Shell, step: Step) -> None:
    assert shell.run(step.command).stdout.startswith("influxdb3 ")


def writes(shell: Shell, step: Step) -> None:
    """A command that names no lines gets them from the pipe that a person would use."""
    done = shell.run(step.command, stdin="cpu,host=Alpha val=1i\n")

    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def writes_what_it_shows(shell: Shell, step: Step) -> None:
    done = shell.run(step.command.replace("curl -v", "curl -s"))
    shown = json.loads(step.shown[step.shown.index("{") :])
    answered = json.loads(done.stdout)

    assert answered["error"] == shown["error"]
    for ours, theirs in zip(_listed(answered["data"]), _listed(shown["data"]), strict=True):
        assert ours["line_number"] == theirs["line_number"]
        assert ours["original_line"] == str(theirs["original_line"]).removeprefix("dquote> ")
        assert ours["error_message"]


def _listed(data: Any) -> list[dict[str, Any]]:
    return data if isinstance(data, list) else [data]


def makes_a_database(shell: Shell, step: Step) -> None:
    """Writing has made it already where the document writes first."""
    done = shell.run(step.command)

    made = 'Database "mydb" created successfully\n'
    there = "[409 Conflict]: attempted to create a resource that already exists\n"
    assert done.stdout == made or done.stderr.endswith(there)


def lists_tables(shell: Shell, step: Step) -> None:
    """The document's rows are there; newer versions list more."""
    done = shell.run(step.command)

    ours, theirs = rows_of(done.stdout), rows_of(step.shown)
    assert ours[0] == theirs[0]
    assert {tuple(row) for row in theirs} <= {tuple(row) for row in ours}


def shows_the_same_rows(shell: Shell, step: Step) -> None:
    """In any order: the statement asks for none."""
    done = shell.run(step.command)

    assert rows_of(done.stdout)[0] == rows_of(step.shown)[0]
    assert sorted(rows_of(done.stdout)) == sorted(rows_of(step.shown))
    assert done.stdout.splitlines()[0] == step.shown.splitlines()[0]


def answers_with_rows(shell: Shell, step: Step) -> None:
    done = shell.run(step.command.replace("curl -v", "curl -s"))

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def names_the_missing_database(shell: Shell, step: Step) -> None:
    """The document asks a database that it never made."""
    assert json.loads(shell.run(f"{step.command} -s").stdout) == {"error": "query error: database not found: server"}


def points_at_the_open_quote(shell: Shell, step: Step) -> None:
    """The document forgot a quote."""
    done = shell.run(step.command)

    assert done.returncode == 1
    assert "Unterminated string literal" in done.stderr or "last_cache" in done.stderr
    assert done.stderr.rstrip().endswith("^")


def is_not_there_yet(shell: Shell, step: Step) -> None:
    done = shell.run(step.command)

    assert done.returncode == 1, done.stdout
    assert re.search(
        r"not (part of|supported by) this version|Table function '\w+' not found|last_cache|distinct_cache", done.stderr
    )
    assert "Traceback" not in done.stderr


RULES: list[tuple[str, Callable[[Shell, Step], None]]] = [
    (r"^influxdb3 --version", tells_the_version),
    (r"^influxdb3 .*(?:-h|--help)$", explains),
    (r"^influxdb3 serve .*--aws-endpoint", starts_on_a_store_that_speaks_s3),
    (r"^influxdb3 serve .*--(?:mode=(?:compactor|read )|read-from)", says_that_nodes_work_alone),
    (r"^influxdb3 serve .*--object-store=s3", starts_on_s3),
    (r"^influxdb3 serve ", starts),
    (r"^influxdb3 write ", writes),
    (r"^curl .*write_lp.*no_sync=true", lambda shell, step: writes(shell, Step(step.command))),
    (r"^curl .*write_lp", writes_what_it_shows),
    (r"^influxdb3 create database", makes_a_database),
    (r"^influxdb3 query .*SHOW TABLES", lists_tables),
    (r"^influxdb3 query .*SELECT DISTINCT usage_percent, time", shows_the_same_rows),
    (r"^influxdb3 query .*--lang(?:uage)?=influxql", is_not_there_yet),
    (r"^influxdb3 query .*host = 'Bravo;\"", points_at_the_open_quote),
    (r"^influxdb3 query .*(?:last|distinct)_cache\(", is_not_there_yet),
    (r"^influxdb3 query ", answers_with_rows),
    (r"^curl .*/api/v3/query_sql .*\"server\"", names_the_missing_database),
    (r"^curl .*query_sql", answers_with_rows),
    (r"^influxdb3 (?:create|delete) (?:last|distinct)[-_]cache", is_not_there_yet),
    (r"^influxdb3 delete delete", is_not_there_yet),
    (r"^influxdb3 (?:create|test|enable) (?:plugin|trigger|wal_plugin)", is_not_there_yet),
    (r"^influxdb3 file-index", is_not_there_yet),
    (r"^curl -O https", lambda shell, step: None),  # fetching a program from the internet is not ours
]

# ------------------------------------------------------------------------------------------------------- the documents


def steps_of(document: str) -> Iterator[Step]:
    """Commands in order, with the output that stands below, or in the block before where the document explains it there."""
    blocks = [match["text"] for match in BLOCK.finditer(document)]
    for number, text in enumerate(blocks):
        found = list(_steps_of_block(text))
        following = blocks[number + 1] if number + 1 < len(blocks) else ""
        if len(found) == 1 and not found[0].shown and "accept_partial" in found[0].command and following.startswith("<"):
            found[0].shown = following
        yield from found


def _steps_of_block(text: str) -> Iterator[Step]:
    lines = iter(text.split("\n"))
    step: Step | None = None
    for line in lines:
        found = BEGIN.match(line)
        if found is None:
            if step is not None and line.strip() and not line.lstrip().startswith(("#", "Options:", "-")):
                step.shown += line + "\n"
            continue
        if step is not None:
            yield step
        command = found["command"].rstrip()
        while command.endswith("\\") or _is_open(command):
            following = next(lines, None)
            if following is None:
                break
            command = command.removesuffix("\\") + (" " if command.endswith("\\") else "\n") + following.strip()
        step = Step(command.strip())
    if step is not None:
        yield step


def _is_open(command: str) -> bool:
    return command.count('"') % 2 == 1


def for_here(command: str, server: Server) -> str:
    address = f"127.0.0.1:{server.port}"
    for placeholder, value in PLACEHOLDERS.items():
        command = command.replace(placeholder, value)
    command = command.replace("{{< influxdb/host >}}", address)
    return re.sub(r"\b(?:localhost|127\.0\.0\.1):8\d\d\d\b", address, command)


def rows_shown_as_lines(document: str) -> str:
    """The rows of the document's own answer, so that its question has that answer."""
    shown = next(step.shown for step in steps_of(document) if "SELECT DISTINCT usage_percent, time" in step.command)
    lines = []
    for usage, time in rows_of(shown)[1:]:
        seconds = subprocess.run(
            ["date", "-u", "-d", f"{time}Z", "+%s"], capture_output=True, text=True, check=True
        ).stdout.strip()
        lines.append(f'cpu,host=Alpha,application=web usage_percent={usage},status="OK" {seconds}\n')
    return "".join(lines)


@pytest.mark.skipif(not DOCUMENTS, reason="the documents are not here")
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name[:3])
def test_a_get_started_document_can_be_played_to_its_end(path: Path, tmp_path: Path) -> None:
    document = path.read_text()
    (tmp_path / "home" / "bin").mkdir(parents=True)
    program = tmp_path / "home" / "bin" / "influxdb3"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m flightserver.cli.main "$@"\n')
    program.chmod(0o755)
    lines = next(match["text"] for match in BLOCK.finditer(document) if match["text"].startswith("cpu,host=Alpha"))
    (tmp_path / "home" / "server_data").write_text(lines)
    wrong: list[str] = []
    played = 0

    with running(tmp_path / "server", "--object-store", "file", command=PRODUCT) as server:
        shell = Shell(tmp_path / "home", server)
        assert shell.run("influxdb3 write -q -d servers -p s", stdin=rows_shown_as_lines(document)).returncode == 0
        for step in steps_of(document):
            plain = " ".join(step.command.split())
            rule = next((check for pattern, check in RULES if re.search(pattern, plain)), None)
            if rule is None:
                wrong.append(f"{plain}\n    no rule says what has to happen")
                continue
            try:
                rule(shell, Step(for_here(step.command, server), step.shown))
                played += 1
            except AssertionError as error:
                wrong.append(f"{plain}\n    {rule.__name__}: {str(error)[:1500]}")

    assert not wrong, "\n".join(wrong)
    assert played >= 12
