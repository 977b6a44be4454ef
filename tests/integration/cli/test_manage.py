"""create, delete and update with the real command and a real server."""

from pathlib import Path

import pytest

from tests.helpers.cli import influxdb3, on_a_terminal
from tests.helpers.servers import Server


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    return server.url


def test_a_database_is_made_once(url: str) -> None:
    """A1."""
    first = influxdb3("create", "database", "cli_once", url=url)
    second = influxdb3("create", "database", "cli_once", url=url)

    assert (first.code, first.out, first.err) == (0, 'Database "cli_once" created successfully\n', "")
    assert (second.code, second.out) == (1, "")
    assert second.err == (
        "Create command failed: server responded with error [409 Conflict]: "
        "attempted to create a resource that already exists\n"
    )


def test_the_name_may_come_from_the_environment(url: str) -> None:
    done = influxdb3("create", "database", url=url, variables={"INFLUXDB3_DATABASE_NAME": "cli_from_environment"})

    assert done.out == 'Database "cli_from_environment" created successfully\n'


def test_a_table_is_made_with_its_tags_and_fields_and_its_database(url: str) -> None:
    fields = ("--fields", "temp:float64,co:int64", "-f", "ok:bool")

    done = influxdb3("create", "table", "-d", "cli_tables", "--tags", "room,sensor", *fields, "home", url=url)
    shown = influxdb3("query", "-d", "cli_tables", "--format", "csv", "SHOW COLUMNS FROM home", url=url)

    assert (done.code, done.out) == (0, 'Table "cli_tables"."home" created successfully\n')
    assert {line.split(",")[3] for line in shown.lines[1:]} == {"room", "sensor", "temp", "co", "ok", "time"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("temp:float", "float is not a valid data type, values are int64, uint64, float64, utf8, and bool"),
        ("temp", "invalid FIELD:VALUE. No `:` found in `temp`"),
    ],
)
def test_a_field_without_a_type_is_a_usage_error(url: str, fields: str, message: str) -> None:
    done = influxdb3("create", "table", "-d", "cli_tables", "--fields", fields, "t", url=url)

    assert done.code == 2
    assert done.err.startswith(f"error: invalid value '{fields}' for '--fields <FIELDS>': {message}\n")


def test_deleting_asks_and_takes_only_a_yes(url: str) -> None:
    """N2."""
    influxdb3("create", "database", "cli_asked", url=url)
    question = "Are you sure you want to delete \"cli_asked\"? Enter 'yes' or 'y' to confirm\n"

    refused = [influxdb3("delete", "database", "cli_asked", url=url, stdin=answer) for answer in ("no\n", "", "yess\n")]
    accepted = influxdb3("delete", "database", "cli_asked", url=url, stdin="Yes\n")

    assert {(done.code, done.out, done.err) for done in refused} == {
        (1, "", f"{question}Delete command failed: Cannot proceed without confirmation\n")
    }
    assert (accepted.code, accepted.out, accepted.err) == (0, 'Database "cli_asked" deleted successfully\n', question)


def test_a_person_at_a_terminal_is_asked_too(url: str) -> None:
    """N2."""
    influxdb3("create", "table", "-d", "cli_terminal", "--tags", "a", "--fields", "f:int64", "t", url=url)

    done = on_a_terminal("delete", "table", "-d", "cli_terminal", "t", url=url, typed="y\n")

    assert done.code == 0
    assert 'Table "cli_terminal"."t" deleted successfully\n' in done.out


def test_what_is_not_there_cannot_be_deleted(url: str) -> None:
    """A1."""
    done = influxdb3("delete", "database", "cli_nowhere", "-y", url=url)

    assert done.code == 1
    assert done.err == (
        "Delete command failed: server responded with error [404 Not Found]: "
        "the requested resource was not found: cli_nowhere\n"
    )


def test_a_deletion_may_say_when_the_data_goes_for_good(url: str) -> None:
    influxdb3("create", "database", "cli_gone", url=url)

    wrong = influxdb3("delete", "database", "cli_gone", "-y", "--hard-delete", "tomorrow", url=url)
    done = influxdb3("delete", "database", "cli_gone", "-y", "--hard-delete", "2040-01-01T00:00:00Z", url=url)

    assert wrong.code == 1
    assert "Cannot parse the timestamp" in wrong.err
    assert done.code == 0


def test_retention_is_set_and_cleared(url: str) -> None:
    influxdb3("create", "database", "cli_retained", "--retention-period", "30d", url=url)

    done = [
        influxdb3("update", "database", "-d", "cli_retained", "-r", "7d", url=url),
        influxdb3("update", "database", "-d", "cli_retained", "--retention-period", "none", url=url),
    ]
    without = influxdb3("update", "database", "-d", "cli_retained", url=url)
    wrong = influxdb3("update", "database", "-d", "cli_retained", "-r", "7x", url=url)

    assert [(each.code, each.out) for each in done] == [(0, 'Database "cli_retained" updated successfully\n')] * 2
    assert without.err == "Update command failed: --retention-period is required for update database\n"
    assert wrong.code == 2


def test_a_table_keeps_its_rows_as_long_as_it_is_told(url: str) -> None:
    to = ("-d", "cli_table_retention")
    influxdb3("create", "table", *to, "--fields", "n:int64", "--retention-period", "1h", "t", url=url)
    influxdb3("write", *to, "-q", "t n=1i 1000000000", url=url)

    hidden = influxdb3("query", *to, "--format", "csv", "SELECT count(*) AS n FROM t", url=url)
    done = influxdb3("update", "table", *to, "-r", "none", "t", url=url)
    shown = influxdb3("query", *to, "--format", "csv", "SELECT count(*) AS n FROM t", url=url)

    assert hidden.lines == ["n", "0"]
    assert (done.code, done.out) == (0, 'Table "cli_table_retention"."t" updated successfully\n')
    assert shown.lines in (["n", "1"], ["n", "0"])  # what has expired may have gone for good by now


def test_rows_alone_may_be_deleted(url: str) -> None:
    to = ("-d", "cli_data_only")
    influxdb3("write", *to, "-q", "t,host=a n=1i", url=url)

    done = influxdb3("delete", "table", *to, "--data-only", "--yes", "t", url=url)
    rows = influxdb3("query", *to, "--format", "csv", "SELECT count(*) AS n FROM t", url=url)
    misused = influxdb3("delete", "database", "cli_data_only", "--remove-tables", "--yes", url=url)

    assert (done.code, done.out) == (0, 'Table "cli_data_only"."t" deleted successfully\n')
    assert rows.lines == ["n", "0"]
    assert misused.code == 2


def test_a_server_that_is_not_there_is_named() -> None:
    """A2."""
    done = influxdb3("create", "database", "x", "--host", "127.0.0.1:1")

    assert done.code == 1
    assert done.err == (
        "Create command failed: failed to send POST http://127.0.0.1:1/api/v3/configure/database request: "
        "connection refused; is the server running?\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "last_cache", "-d", "servers", "-t", "cpu", "--key-columns=host", "cpuCache"),
        ("create", "trigger", "--trigger-spec", "all_tables", "-d", "x", "t"),
        ("file-index", "create", "-d", "x", "-t", "y", "column"),
        ("test", "wal_plugin", "--lp", "a b=1", "-d", "mydb", "test.py"),
        ("show", "license"),
    ],
)
def test_what_is_not_there_yet_says_so_in_one_sentence(url: str, arguments: tuple[str, ...]) -> None:
    done = influxdb3(*arguments, url=url)
    helped = influxdb3(*arguments[:2], "-h", url=url)

    assert (done.code, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1
    assert "is not part of this version: " in done.err
    assert helped.code == 0
    assert "is not part of this version: " in helped.out


def test_an_untrusted_certificate_file_is_named(tmp_path: Path) -> None:
    done = influxdb3("show", "databases", "--host", "https://127.0.0.1:1", "--tls-ca", str(tmp_path / "nowhere.pem"))

    assert done.code == 1
    assert "--tls-ca" in done.err
    assert "No such file or directory" in done.err
