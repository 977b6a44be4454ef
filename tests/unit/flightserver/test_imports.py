"""What is not imported (B5, S2)."""

import ast
import subprocess
import sys
from pathlib import Path

SETTINGS = Path(__file__).parents[3] / "engine" / "settings.py"
HEAVY = ("pyarrow", "gunicorn", "datafusion", "flask", "obstore", "fsspec")


def test_the_supervisor_imports_nothing_heavy() -> None:
    """B5."""
    script = "import sys, flightserver.cli.serve, flightserver.cli.main; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()

    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []


def test_the_settings_of_the_engine_cannot_look_around() -> None:
    """S2: what is not imported cannot be asked."""
    imports = [node for node in ast.walk(ast.parse(SETTINGS.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]

    assert [ast.unparse(node) for node in imports] == ["from dataclasses import dataclass"]
