"""`influxdb3 show …` with the real command and a real server."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.cli import influxdb3, on_a_terminal, rows_of
from tests.helpers.servers import Server


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    influxdb3("create", "database", "cli_show", "--retention-period", "36h", url=server.url)
    influxdb3("write", "-d", "cli_show", "-q", "cpu,host=a n=1i", url=server.url)
    return server.url


def test_databases_are_listed_in_each_format(url: str, tmp_path: Path) -> None:
    """H1."""
    pretty = influxdb3("show", "databases", url=url)
    rows = influxdb3("show", "databases", "--format", "json", url=url)
    csv = influxdb3("show", "databases", "--show-deleted", "--format", "csv", url=url)
    influxdb3("show", "databases", "--format", "parquet", "--output", str(tmp_path / "file"), url=url)

    assert pretty.lines[1].split("|")[1].strip() == "iox::database"
    assert ["cli_show"] in rows_of(pretty.out)
    assert {"iox::database": "_internal"} in json.loads(rows.out)
    assert csv.lines[0] == "iox::database,deleted"
    active = [line.split(",")[0] for line in csv.lines[1:] if line.endswith(",false")]
    assert active == sorted(active)
    assert "cli_show" in pq.read_table(tmp_path / "file")["iox::database"].to_pylist()


def test_a_terminal_gets_a_table_that_fits(url: str) -> None:
    """H1."""
    done = on_a_terminal("show", "databases", "--show-deleted", url=url, columns=24)
    summary = on_a_terminal("show", "system", "-d", "cli_show", "summary", url=url, columns=60)

    assert done.code == summary.code == 0
    assert max(len(line) for line in done.lines) <= 24
    assert max(len(line) for line in summary.lines) <= 60
    assert "queries summary:" in summary.lines
    assert "(no rows)" in summary.lines


def test_retention_of_a_database_that_is_not_there_is_an_error(url: str) -> None:
    done = influxdb3("show", "retention", "--database", "cli_nowhere", url=url)

    assert (done.code, done.out, done.err) == (1, "", "Show command failed: database not found: cli_nowhere\n")


def test_a_server_without_a_certificate_does_not_speak_tls(url: str) -> None:
    done = influxdb3("show", "databases", url=url.replace("http", "https"))

    assert "what answers there does not speak TLS; is it http://?" in done.err


def test_no_rows_are_no_line_in_csv(url: str) -> None:
    assert influxdb3("show", "tokens", "--format", "csv", url=url).out == ""


def test_retention_of_tables_says_where_it_is_from(url: str) -> None:
    influxdb3("create", "table", "-d", "cli_show", "--fields", "n:int64", "--retention-period", "2h", "short_lived", url=url)

    shown = influxdb3("show", "retention", "--tables", "--database", "cli_show", "--format", "csv", url=url)

    assert shown.lines[0] == "Database,Table,Retention,Source"
    assert "cli_show,short_lived,2h,table" in shown.lines
    assert all(line.endswith(",36h,database") for line in shown.lines[1:] if "short_lived" not in line)


def test_retention_is_shown_in_the_largest_whole_unit(url: str) -> None:
    every = influxdb3("show", "retention", "--format", "json", url=url)
    one = influxdb3("show", "retention", "--database", "cli_show", "--format", "csv", url=url)

    assert {"database_name": "cli_show", "retention_period": "36h"} in json.loads(every.out)
    assert all(re.fullmatch(r"infinite|\d+[a-z]+", row["retention_period"]) for row in json.loads(every.out))
    assert one.lines == ["database_name,retention_period", "cli_show,36h"]


def test_system_tables_are_listed_shown_and_summed_up(url: str) -> None:
    names = influxdb3("show", "system", "-d", "cli_show", "table-list", url=url)
    table = influxdb3("show", "system", "--database", "cli_show", "table", "queries", "-s", "id,phase", "-l", "2", url=url)
    summary = influxdb3("show", "summary", "--database", "cli_show", "--limit", "1", url=url)

    assert rows_of(names.out)[0] == ["table_name", "column_names"]
    listed = [row[0] for row in rows_of(names.out)[1:]]
    assert "queries" in listed
    assert rows_of(table.out)[0] == ["id", "phase"]
    assert len(rows_of(table.out)) == 3
    assert [line for line in summary.lines if line.endswith(" summary:")] == [f"{name} summary:" for name in listed]


def test_an_unknown_system_table_is_answered_with_those_that_exist(url: str) -> None:
    done = influxdb3("show", "system", "-d", "cli_show", "table", "meow", url=url)

    assert done.code == 1
    expected = "Show command failed: system table 'meow' not found: please use a valid system table name: [\""
    assert done.err.startswith(expected)
    assert '"queries"' in done.err


def test_nodes_are_listed(url: str) -> None:
    done = influxdb3("show", "nodes", "--format", "json", url=url)

    assert [node["node_id"] for node in json.loads(done.out)] == ["node"]
