"""Plays the Python of the get-started documents: what test_walkthrough.py plays in a shell, in the other language.

The rows that its example asks for come from Telegraf's cpu plugin. Its client library has become stricter since: it wants a
token, which a server without authentication ignores.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.cli import environment_of, influxdb3
from tests.helpers.servers import PATIENCE_S, ROOT, Server

SEEDS = ROOT.parent / "shared" / "seeds"
BLOCK = re.compile(r"^```(?:py|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = [
    pytest.param(program, id=f"{path.name[:3]}-{number}")
    for path in (sorted(SEEDS.glob("*.txt")) if SEEDS.is_dir() else [])
    for number, program in enumerate(BLOCK.findall(path.read_text()))
    if "InfluxDBClient3(" in program
]
LINES = """\
cpu,cpu=cpu0,host=alpha usage_active=1.5,time_system=10 1735545600000000000
cpu,cpu=cpu1,host=alpha usage_active=2.5,time_system=20 1735545600000000000
cpu,cpu=cpu0,host=bravo usage_active=3.5,time_system=30 1735545600000000000
"""


@pytest.mark.skipif(not PROGRAMS, reason="the documents with these programs are not here")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_documents_runs_as_it_stands(program: str, server: Server, tmp_path: Path) -> None:
    assert influxdb3("write", "--quiet", "--database", "documented_python", url=server.url, stdin=LINES).code == 0
    here = program.replace("{{< influxdb/host >}}", f"127.0.0.1:{server.port}").replace(
        "127.0.0.1:8181", f"127.0.0.1:{server.port}"
    )
    here = here.replace("database='servers'", "database='documented_python', token='none'")

    done = subprocess.run(
        [sys.executable, "-c", here],
        cwd=tmp_path,
        env=environment_of(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    if "print(table.schema)" in here:
        assert "#### View Schema information" in done.stdout
        assert "usage_active: double" in done.stdout
        assert "time_system_mean: double" in done.stdout
