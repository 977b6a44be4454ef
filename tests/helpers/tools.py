"""What tests need beyond pip: clients of other languages, installed once under .flightline, or named as not tested.
Processes that test side by side wait for the one that installs.

Every installer is its ecosystem's own client (pip, npm, Maven) with whatever registry it is set up to use.
"""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).parents[2]
TOOLS = REPOSITORY / ".flightline"
INSTALL_S = 110


def python_packages(name: str, *packages: str) -> Path:
    """A directory for PYTHONPATH that has these packages and nothing else: what they stand on is the tests' own."""
    directory = TOOLS / name

    def install() -> str | None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return _run([*pip, "--no-deps", "--target", str(directory), *packages])

    _installed(directory, packages, install)
    return directory


def node_modules_with(name: str, *packages: str) -> Path:
    """The directory that has these packages in its node_modules."""
    directory = TOOLS / name

    def install() -> str | None:
        if shutil.which("node") is None or shutil.which("npm") is None:
            return "there is no node and npm"
        flags = ["--no-audit", "--no-fund", "--loglevel=error"]
        return _run(["npm", "install", "--prefix", str(directory), *flags, *packages])

    _installed(directory, packages, install)
    return directory


def jar(group: str, artifact: str, version: str) -> Path:
    """A Java library, without what it depends on."""
    directory = TOOLS / artifact
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"

    def install() -> str | None:
        if shutil.which("javac") is None or shutil.which("mvn") is None:
            return "there is no JDK and mvn"
        wanted = f"-Dartifact={group}:{artifact}:{version}"
        return _run(["mvn", "--quiet", "--batch-mode", copy, wanted, f"-DoutputDirectory={directory}"])

    _installed(directory, (group, artifact, version), install)
    return directory / f"{artifact}-{version}.jar"


def _installed(directory: Path, what: tuple[str, ...], install: Callable[[], str | None]) -> None:
    mark = directory / "installed"
    TOOLS.mkdir(exist_ok=True)
    with open(TOOLS / f"{directory.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_text() == " ".join(what):
            return
        trouble = _try(directory, what, install)
    if trouble:
        skip_loudly(f"{directory.name}: {trouble}")


_failures: dict[Path, str] = {}


def _try(directory: Path, what: tuple[str, ...], install: Callable[[], str | None]) -> str | None:
    """What keeps it from being installed, tried once a run."""
    if directory not in _failures:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        _failures[directory] = install() or ""
        if not _failures[directory]:
            (directory / "installed").write_text(" ".join(what))
    return _failures[directory]


def _run(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} was not done after {INSTALL_S} s"
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no reason given")[:300]


def skip_loudly(reason: str) -> NoReturn:
    print(f"\nNOT TESTED  {reason}", file=sys.__stderr__, flush=True)
    pytest.skip(reason)
