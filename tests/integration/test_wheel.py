"""The package as others get it: a wheel that runs elsewhere, and one sentence where it cannot be built."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.helpers.servers import PATIENCE_S, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as git has it, so that nothing built in place slips in."""
    copy = tmp_path_factory.mktemp("source")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in names.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not name.startswith("tests/"):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(path.read_bytes())
    return copy


COMPILER = """\
#!/bin/sh
# Compiles without optimising, and nothing twice: an object is kept by what its source and all its headers say.
case "$*" in *" -c "*) ;; *) exec c++ "$@" ;; esac
object="$(echo "$*" | sed 's/.* -o \\([^ ]*\\).*/\\1/')"
c++ "$@" -O0 -E -P || exit
made="{made}/$({{ echo "$*"; cat "$object"; }} | sha256sum | cut -d' ' -f1).o"
if [ ! -e "$made" ]; then
  c++ "$@" -O0 && cp "$object" "$made.$$" && mv "$made.$$" "$made" || exit
fi
cp "$made" "$object"
"""


@pytest.fixture
def compiler(tmp_path: Path) -> Path:
    made = ROOT / "build" / "test-wheel"
    made.mkdir(parents=True, exist_ok=True)
    program = tmp_path / "compiler"
    program.write_text(COMPILER.format(made=made))
    program.chmod(0o755)
    return program


def build(source: Path, out: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(out),
        str(source),
    ]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def test_a_wheel_built_from_the_tree_is_a_working_command_in_an_empty_environment(
    source: Path, compiler: Path, tmp_path: Path
) -> None:
    built = build(source, tmp_path / "wheels", CC=str(compiler), CXX=str(compiler))
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "wheels").iterdir()
    home = tmp_path / "elsewhere"
    venv.create(home, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    (next(home.glob("lib/python*/site-packages")) / "libraries.pth").write_text(libraries + "\n")

    where = ran(home, tmp_path, str(home / "bin" / "python"), "-P", "-c", "import engine; print(engine.__file__)")
    version = ran(home, tmp_path, "influxdb3", "--version")
    server = started(home, tmp_path)
    try:
        url = f"http://{(tmp_path / 'listener').read_text().strip()}"
        host = ("--host", url, "--database", "db")
        ran(home, tmp_path, "influxdb3", "write", "--quiet", *host, "cpu,host=a usage=0.5 1735545600")
        answer = ran(home, tmp_path, "influxdb3", "query", *host, "--format", "csv", "SELECT host, usage FROM cpu")
    finally:
        server.terminate()
        ended = server.wait(PATIENCE_S)

    assert where.startswith(str(home))
    assert version.startswith("influxdb3 Flightline ")
    assert answer.split() == ["host,usage", "a,0.5"]
    assert ended == 0


def environment_of(home: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("INFLUXDB3_", "PYTHON", "LOG_"))}
    return {**inherited, "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}


def started(home: Path, directory: Path) -> "subprocess.Popen[bytes]":
    """A server of that environment, ready; `listener` in the directory says where it listens."""
    command = ["influxdb3", "serve", "--node-id", "n", "--data-dir", "data", "--http-bind", "127.0.0.1:0", "--without-auth"]
    command += ["--tcp-listener-file-path", str(directory / "listener")]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=directory, env=environment_of(home), stdout=log, stderr=log)
    wait_until(lambda: (directory / "listener").exists() or server.poll() is not None)
    assert server.poll() is None, (directory / "log").read_text()
    return server


def ran(home: Path, directory: Path, *command: str) -> str:
    """What a command of that environment printed."""
    environment = environment_of(home)
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_compiler_the_build_ends_with_what_to_install(source: Path, tmp_path: Path) -> None:
    built = build(source, tmp_path, CC="/nonexistent/cc", CXX="/nonexistent/c++")

    assert built.returncode != 0
    assert "Flightline needs a C++17 compiler and Python's headers: install them" in built.stdout + built.stderr
