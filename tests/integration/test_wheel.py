"""The package as others get it: a wheel that runs elsewhere, and one sentence where it cannot be built."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

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


def test_a_wheel_built_from_the_tree_runs_from_another_place(source: Path, tmp_path: Path) -> None:
    built = build(source, tmp_path / "wheels")
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "wheels").iterdir()
    home = tmp_path / "elsewhere"
    venv.create(home, with_pip=False, symlinks=True)
    packages = next(home.glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages), str(wheel)], check=True
    )
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    (packages / "libraries.pth").write_text(libraries + "\n")

    said = subprocess.run(
        [
            str(home / "bin" / "python"),
            "-P",
            "-c",
            "import engine; from flightserver.cli.main import main; print(engine.__file__); main()",
            "--version",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert str(home) in said.stdout
    assert "influxdb3" in said.stdout


def test_without_a_compiler_the_build_ends_with_what_to_install(source: Path, tmp_path: Path) -> None:
    built = build(source, tmp_path, CC="/nonexistent/cc", CXX="/nonexistent/c++")

    assert built.returncode != 0
    assert "Flightline needs a C++17 compiler and Python's headers: install them" in built.stdout + built.stderr
