"""What the supervisor and the help do not import (B5)."""

import subprocess
import sys

HEAVY = ("pyarrow", "gunicorn", "datafusion", "flask", "obstore", "fsspec")


def test_the_supervisor_imports_nothing_heavy() -> None:
    """B5."""
    script = "import sys, flightserver.cli.serve, flightserver.cli.main; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()

    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
