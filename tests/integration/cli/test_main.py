"""`influxdb3` as a command: verbs, failures, quick start (C1-C3)."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from flightserver.config import ConfigError, resolve, this_machine
from flightserver.options import OPTIONS
from tests.conftest import PRODUCT
from tests.helpers.cli import environment_of
from tests.helpers.servers import PATIENCE_S, ROOT, running

SEEDS = ROOT.parent / "shared" / "seeds"


def influxdb3(*arguments: str, directory: Path | None = None, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INFLUXDB3_")}
    return subprocess.run(
        [sys.executable, "-m", "flightserver.cli.main", *arguments],
        cwd=directory or ROOT,
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_one_line(flag: str) -> None:
    done = influxdb3(flag)

    assert done.returncode == 0
    assert re.fullmatch(r"influxdb3 Flightline \d+\.\d+\.\d+\S*, revision (unknown|[0-9a-f]{7,10})\n", done.stdout)


@pytest.mark.parametrize("arguments", [("-h",), ("--help",), ("--help-all",)])
def test_help_lists_the_verbs(arguments: tuple[str, ...]) -> None:
    """C1."""
    done = influxdb3(*arguments)

    assert done.returncode == 0
    assert "serve" in done.stdout


@pytest.mark.parametrize("flag", ["-h", "--help", "--help-all"])
def test_serve_has_a_short_and_a_full_help(flag: str) -> None:
    done = influxdb3("serve", flag)

    assert done.returncode == 0
    assert "--node-id <NAME>" in done.stdout
    assert ("--jwt-issuer" in done.stdout) is (flag == "--help-all")


def test_an_unknown_option_is_a_usage_error_with_a_tip() -> None:
    """C2."""
    done = influxdb3("serve", "--node-di", "x")

    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: unexpected argument '--node-di' found\n\n  tip: a similar argument exists: '--node-id'\n"
    )
    assert "Usage: influxdb3 serve [OPTIONS]" in done.stderr


def test_an_unknown_verb_is_a_usage_error() -> None:
    """C2."""
    done = influxdb3("dance")

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_a_missing_node_id_is_a_usage_error() -> None:
    """C2."""
    done = influxdb3("serve")

    assert done.returncode == 2
    assert done.stderr.startswith("error: the following required arguments were not provided:\n  --node-id <NAME>\n")


def test_what_is_not_supported_fails_with_one_line() -> None:
    """C2."""
    done = influxdb3("serve", "--node-id", "n", "--plugin-dir", "~/.plugins")

    assert done.returncode == 1
    expected = "Serve command failed: --plugin-dir is not supported by this version: it has no processing engine yet\n"
    assert done.stderr == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ("--object-store", "memory", "--mode", "query"),
        ("--num-io-threads", "4", "--object-store=memory", "--mode", "query"),
        ("--num-io-threads=4", "serve", "--node-id", "n", "--mode", "query"),
        ("--io-runtime-type", "multi-thread", "serve", "--node-id", "n", "--mode", "query"),
    ],
)
def test_options_may_stand_before_the_verb_or_without_one(arguments: tuple[str, ...]) -> None:
    """C3: each of these gets as far as the mode."""
    done = influxdb3(*arguments)

    assert (done.returncode, done.stderr.splitlines()[-1].split(":")[0]) == (1, "Serve command failed")
    assert "--mode is not supported" in done.stderr


def test_a_dotenv_file_in_a_directory_above_counts(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("INFLUXDB3_NODE_ID=n\nINFLUXDB3_PLUGIN_DIR=p\n")
    below = tmp_path / "below"
    below.mkdir()

    done = influxdb3("serve", directory=below)

    assert done.stderr.startswith("Serve command failed: INFLUXDB3_PLUGIN_DIR is not supported by this version: ")


#: what the standard library lacks on macOS, of the things that any of our modules uses
ELSEWHERE = """
import os, platform, select, sys
for module, names in {
    os: ("sched_getaffinity", "sched_setaffinity", "pipe2", "eventfd", "memfd_create", "posix_fallocate", "fdatasync"),
    select: ("epoll", "EPOLLIN", "EPOLLRDHUP", "EPOLLHUP", "EPOLLERR", "EPOLLOUT", "EPOLLET", "EPOLLONESHOT"),
}.items():
    for name in names:
        delattr(module, name)
platform.system = lambda: "Darwin"
from flightserver.cli.main import main
sys.exit(main())
"""


def test_commands_need_nothing_that_only_linux_has(tmp_path: Path) -> None:
    """V1."""

    def elsewhere(*arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", ELSEWHERE, *arguments],
            env=environment_of({"INFLUXDB3_HOST_URL": url} if url else {}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    with running(tmp_path, "--object-store", "file", command=PRODUCT) as server:
        written = elsewhere("write", "-q", "-d", "db", "cpu n=1i 1", url=server.url)
        asked = elsewhere("query", "-d", "db", "--format", "csv", "SELECT n FROM cpu", url=server.url)
        looked = elsewhere("debug", "verify", "--data-dir", str(tmp_path), "--node-id", "node")
    refused = elsewhere("serve", "--node-id", "n")

    assert (written.returncode, written.stderr) == (0, "")
    assert (asked.returncode, asked.stdout) == (0, "n\n1\n")
    assert (looked.returncode, looked.stderr) == (0, "")
    assert (
        refused.stderr == "Serve command failed: the server runs on Linux, and this is Darwin; all other commands work here\n"
    )


def test_nothing_is_imported_from_the_directory_it_is_started_in(tmp_path: Path) -> None:
    for name in ("json", "engine", "click", "logging"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('imported from the wrong place')")

    done = subprocess.run(
        [sys.executable, "-P", "-m", "flightserver.cli.main", "serve", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def seed_commands() -> list[str]:
    """Every `influxdb3 serve …` of the documents, with continued lines joined and placeholders left as they are."""
    text = "\n".join(path.read_text() for path in sorted(SEEDS.glob("*.txt"))).replace("\\\n", " ")
    return sorted({line.strip() for line in re.findall(r"influxdb3 serve --[^\n`|]*", text)})


def arguments_of(command: str) -> dict[str, str]:
    words = shlex.split(re.sub(r"[<>]", "", command.replace("[...OPTIONS]", "")))[2:]
    arguments = {}
    for word, following in itertools.pairwise([*words, "--"]):
        flag, equals, value = word.partition("=")
        if flag.startswith("--"):
            arguments[flag] = value if equals else "true" if following.startswith("--") else following
    return arguments


def outcome(arguments: dict[str, str]) -> str:
    try:
        resolve(arguments, {}, this_machine())
    except ConfigError as error:
        return str(error)
    return "starts"


@pytest.mark.skipif(not SEEDS.is_dir(), reason="the documents with these commands are not here")
def test_every_documented_command_starts_or_says_why_not() -> None:
    spellings = {flag for option in OPTIONS for flag in (option.flag, *option.also)} | {"--help"}
    commands = {command: arguments_of(command) for command in seed_commands()}
    outcomes = []
    for arguments in commands.values():
        named = arguments if {"--node-id", "--writer-id"} & set(arguments) else {"--node-id": "n", **arguments}
        outcomes += [] if "--help" in arguments else [outcome(named)]

    assert {flag for arguments in commands.values() for flag in arguments} <= spellings
    assert [text for text in outcomes if text != "starts" and "not supported by this version" not in text] == []
    assert outcomes.count("starts") >= 6
