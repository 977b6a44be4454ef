"""What is delivered beside the code: archives that can be made again, a unit for systemd, a Dockerfile, fallbacks."""

import configparser
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.tools import skip_loudly

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
UNIT = PACKAGING / "flightline.service"
BUILD = "import sys, setuptools.build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"


def copy_of_the_tree(where: Path) -> Path:
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in names.stdout.decode().split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, where / name)
    return where


COMPILER = """\
#!/bin/sh
# compiles one source as it is and nothing instead of the others, which would take minutes
case "$*" in
  */module.cpp*) exec /usr/bin/env {name} "$@" ;;
  *" -c "*) exec /usr/bin/env {name} -x c++ -c /dev/null -o "$(echo "$*" | sed 's/.* -o \\([^ ]*\\).*/\\1/')" ;;
  *) exec /usr/bin/env {name} "$@" ;;
esac
"""


def built(kind: str, source: Path, out: Path, *, hash_seed: str) -> dict[str, str]:
    """Archives by name, with their digests."""
    compilers = source.parent / "compilers"
    compilers.mkdir(exist_ok=True)
    for name in ("cc", "c++"):
        (compilers / name).write_text(COMPILER.format(name=name))
        (compilers / name).chmod(0o755)
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": "1700000000",
        "PYTHONHASHSEED": hash_seed,
        "CC": str(compilers / "cc"),
        "CXX": str(compilers / "c++"),
    }
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(out)]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_the_same_tree_makes_the_same_archive_wherever_it_lies(kind: str, tmp_path: Path) -> None:
    first = built(kind, copy_of_the_tree(tmp_path / "a" / "source"), tmp_path / "first", hash_seed="1")
    second = built(kind, copy_of_the_tree(tmp_path / "another" / "place"), tmp_path / "second", hash_seed="2")

    assert len(first) == 1
    assert first == second


def test_systemd_takes_the_unit() -> None:
    if shutil.which("systemd-analyze") is None:
        skip_loudly("the unit for systemd: there is no systemd-analyze")

    said = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False)

    complaints = [line for line in said.stderr.splitlines() if UNIT.name in line and "is not executable" not in line]
    assert not complaints


def test_the_unit_names_options_that_exist_and_waits_longer_than_the_server_takes() -> None:
    from flightserver.options import OPTIONS

    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[method-assign,assignment]  # names are case-sensitive there
    unit.read(UNIT)
    service = unit["Service"]

    known = {name for option in OPTIONS for name in option.env_names}
    named = {setting.partition("=")[0] for setting in shlex.split(service["Environment"])}
    assert named <= known
    assert named >= {"INFLUXDB3_NODE_ID", "INFLUXDB3_DATA_DIR"}
    assert service["ExecStart"].endswith("/influxdb3 serve")
    (timeout,) = (option.default for option in OPTIONS if option.flag == "--shutdown-timeout")
    assert int(service["TimeoutStopSec"]) > int(str(timeout).removesuffix("s"))


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (PACKAGING / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def test_the_dockerfile_copies_what_is_there_and_all_that_the_package_needs() -> None:
    known = {
        *("FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")
    }
    copied = [
        source for word, rest in instructions() if word == "COPY" and "--from" not in rest for source in rest.split()[:-1]
    ]

    assert {word for word, _rest in instructions()} <= known
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert {"catalog", "engine", "flightserver", "httpapi", "pyproject.toml", "setup.py", "README.md", "LICENSE"} <= set(copied)


def test_the_image_runs_a_command_that_exists_as_somebody_who_is_not_root() -> None:
    said = dict(instructions())

    assert (said["ENTRYPOINT"], said["USER"], said["STOPSIGNAL"]) == ('["influxdb3"]', "flightline", "SIGTERM")
    assert said["CMD"].startswith('["serve"')


@pytest.mark.parametrize("answer", [200, 401, 503])
def test_the_image_is_healthy_unless_the_server_says_that_it_is_not(answer: int) -> None:
    """A server with tokens answers 401 to whoever brings none, and is well."""
    import http.server
    import json
    import threading

    class Face(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    command = json.loads(dict(instructions())["HEALTHCHECK"].partition("CMD ")[2])
    with http.server.HTTPServer(("127.0.0.1", 0), Face) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        program = command[2].replace("8181", str(server.server_port))
        done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)

    assert (done.returncode == 0) is (answer != 503)


NATIVE = ROOT / "engine" / "native"
SPECIAL = {path.name for path in NATIVE.rglob("*.h") if "__SSE2__" in path.read_text()}
SOURCES = [
    path
    for path in sorted(NATIVE.rglob("*.cpp"))
    if "__SSE2__" in (text := path.read_text()) or any(f'"{header}"' in text for header in SPECIAL)
]


def test_no_source_needs_the_instructions_of_one_kind_of_processor() -> None:
    """Every use of SSE2 stands in an #if; without it everything still compiles."""
    mentioned = {path for path in NATIVE.rglob("*") if path.suffix in (".h", ".cpp") and "mmintrin.h" in path.read_text()}
    assert {path.name for path in mentioned} <= SPECIAL
    include = subprocess.run(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('include'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    if (compiler := shutil.which("c++")) is None:
        skip_loudly("fallbacks of native code: there is no c++")
    flags = ["-std=c++17", "-fsyntax-only", "-U__SSE2__", "-Wall", "-Wextra", "-Werror", f"-I{include}"]

    done = subprocess.run([str(compiler), *flags, *map(str, SOURCES)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
