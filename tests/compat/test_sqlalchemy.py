"""flightsql-dbapi and the SQLAlchemy that it wants, in a place of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.filled import Filled
from tests.helpers.tools import python_packages

SCRIPT = Path(__file__).parent / "clients" / "sqlalchemy_client.py"


@pytest.fixture
def found(database: Filled) -> dict[str, Any]:
    """What the client says, one answer for each name."""
    packages = python_packages("sqlalchemy", "flightsql-dbapi==0.2.2", "sqlalchemy==1.4.54")
    command = [sys.executable, str(SCRIPT), database.host, str(database.port), database.name]
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_sqlalchemy_inspects_selects_binds_and_inserts(found: dict[str, Any]) -> None:
    assert {"iox", "information_schema"} <= set(found["schemas"])
    assert found["tables"] == ["cpu", "cpu_total"]
    assert found["columns"] == {"host": "TEXT", "time": "TIMESTAMP", "usage": "FLOAT"}
    assert found["primary key"] == {"constrained_columns": ["host", "time"], "name": "series"}
    assert found["select"] == [["a", 1.0], ["a", 3.0]]
    assert found["text"] == [[3]]
    assert found["group"] == [["a", 3.0], ["b", 2.0]]
    assert "nothing' not found" in found["error"]
    assert "Traceback" not in found["error"]
    assert found["prepared"] == [["a", 3.0]]
    assert found["dbapi"] == [["a", 1.0]]
    assert found["executemany"] == [[1.5], [2.5]]
    assert found["update"] == 1
    assert found["catalogs"] == [{"catalog_name": "public"}]
    assert found["types"] == [{"table_type": "BASE TABLE"}, {"table_type": "VIEW"}]
    assert found["xdbc"] == ["VARCHAR"]
