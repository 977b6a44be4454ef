"""The Flight SQL JDBC driver, as DBeaver, Tableau and DataGrip use it."""

import subprocess
from pathlib import Path

import pytest

from tests.helpers.filled import Filled
from tests.helpers.tools import jar

PROGRAM = Path(__file__).parent / "clients" / "FlightSqlJdbc.java"


def run(database: Filled, properties: str) -> dict[str, str]:
    """What the program says, one answer for each name."""
    driver = jar("org.apache.arrow", "flight-sql-jdbc-driver", "18.3.0")
    url = f"jdbc:arrow-flight-sql://{database.host}:{database.port}/?useEncryption=false&{properties}"
    opened = ["--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", str(driver)]
    done = subprocess.run(["java", *opened, str(PROGRAM), url], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)


@pytest.mark.parametrize("way", ["database={}", "catalog={}", "user=any&password=none&database={}"])
def test_jdbc_queries_binds_updates_and_browses(database: Filled, way: str) -> None:
    found = run(database, way.format(database.name))

    assert found["select"] == "[a,1.0, b,2.0, a,3.0]"
    assert (found["update"], found["inserted"]) == ("1", "[7.5]")
    assert "nothing' not found" in found["error"]
    assert (found["parameters"], found["again"]) == ("[3.0]", "[2.0]")
    assert found["prepared update"] == "1"
    assert (found["product"], found["read only"], found["transactions"]) == ("InfluxDB IOx", "false", "false")
    assert (found["quote"], found["numeric functions"], found["convert"]) == ('"', "true", "true")
    assert found["catalogs"] == "[public]"
    assert "iox" in found["schemas"]
    assert (found["tables"], found["columns"]) == ("[cpu]", "[host, time, usage]")
    assert found["types"] == "[BASE TABLE, VIEW]"
    assert (found["primary keys"], found["imported keys"]) == ("[host, time]", "[]")
