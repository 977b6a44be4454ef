"""Parser, series index and encoders under sanitizers: mutated bodies (lines.h P1-P5, lines_grammar.h G3), threads (series.h S1,
S3), random batches (encode/rows.h E1-E4).

The drivers are plain C++ programs around the same sources, built once per state of the sources into build/.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NATIVE = ROOT / "engine" / "native"
HERE = Path(__file__).parent
SOURCES = [
    "lines.cpp",
    "lines_body.cpp",
    "lines_bytes.cpp",
    "lines_grammar.cpp",
    "lines_rows.cpp",
    "lineschema.cpp",
    "series.cpp",
    "series_postings.cpp",
]
ENCODE_SOURCES = ["encode/columns.cpp", "encode/rows.cpp", "encode/text.cpp"]
COMPILER = os.environ.get("CXX", "g++")
ENVIRONMENT = {
    **os.environ,
    "ASAN_OPTIONS": "abort_on_error=1",
    "UBSAN_OPTIONS": "abort_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


def built(driver: str, sanitizers: str, sources: Sequence[str] = SOURCES) -> Path:
    """The driver's program; skips the test where the compiler cannot make one."""
    if shutil.which(COMPILER) is None:
        pytest.skip(f"no compiler {COMPILER}")
    command = [
        COMPILER,
        "-std=c++17",
        "-O1",
        "-g1",
        f"-fsanitize={sanitizers}",
        "-fno-sanitize-recover=all",
        "-Wall",
        "-Wextra",
    ]
    command += ["-DFLIGHTLINE_SMALL_LIMITS"]
    command += ["-pthread", f"-I{NATIVE}", *(str(NATIVE / name) for name in sources), str(HERE / driver)]
    digest = hashlib.sha256(" ".join(command).encode())
    for path in sorted([*NATIVE.rglob("*.h"), *(NATIVE / name for name in sources), HERE / "drive.h", HERE / driver]):
        digest.update(path.read_bytes())
    program = ROOT / "build" / "native-tests" / f"{Path(driver).stem}-{digest.hexdigest()[:16]}"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    probe = subprocess.run(
        [COMPILER, f"-fsanitize={sanitizers}", "-x", "c++", "-", "-o", f"{program}.probe"],
        input="int main() { return 0; }",
        capture_output=True,
        text=True,
        check=False,
    )
    Path(f"{program}.probe").unlink(missing_ok=True)
    if probe.returncode != 0:
        pytest.skip(f"no {sanitizers} sanitizer here: {probe.stderr.strip().splitlines()[-1:]}")
    for old in program.parent.glob(f"{Path(driver).stem}-*"):
        old.unlink()
    made = subprocess.run([*command, "-o", f"{program}.new"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    Path(f"{program}.new").rename(program)
    return program


def run(program: Path, seconds: float, *arguments: str) -> str:
    seed = str(time.time_ns() % 2**32)
    done = subprocess.run(
        [str(program), str(seconds), seed, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        env=ENVIRONMENT,
        check=False,
    )
    if "unexpected memory mapping" in done.stderr:
        pytest.skip("this kernel's address layout does not suit the thread sanitizer")
    assert done.returncode == 0, f"seed {seed}\n{done.stdout}\n{done.stderr[-8000:]}"
    return done.stdout


@pytest.mark.timeout(600)
def test_mutated_bodies_are_read_without_a_wrong_step() -> None:
    """P1, P2, P3, P4, P5, G3."""
    said = run(built("fuzz_lines.cpp", "address,undefined"), 8)

    bodies, _, parts, *_ = said.split()
    assert int(bodies) > 100
    assert int(parts) > 0


@pytest.mark.timeout(600)
def test_threads_that_parse_and_settle_do_not_race() -> None:
    """S1, S3, T1-T3."""
    said = run(built("race_series.cpp", "thread"), 4)

    assert int(said.split()[0]) > 10


@pytest.mark.timeout(600)
def test_random_batches_become_text_without_a_wrong_step() -> None:
    """E1, E2, E3, E4."""
    said = run(built("fuzz_encode.cpp", "address,undefined", ENCODE_SOURCES), 4)

    assert int(said.split()[0]) > 50
