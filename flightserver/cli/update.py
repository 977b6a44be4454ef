"""`influxdb3 update database|table`: how long rows are kept.

Held by tests/integration/cli/test_manage.py.
"""

from flightserver.cli.console import CommandError
from flightserver.cli.parsing import Given
from flightserver.cli.remote import open_server


def database(given: Given) -> None:
    name = given.text("--database")
    document = {"db": name, "retention_period": _retention(given, "database")}
    open_server(given).call("PUT", "/api/v3/configure/database", document=document)
    print(f'Database "{name}" updated successfully')


def table(given: Given) -> None:
    database, name = given.text("--database"), given.text("TABLE_NAME")
    document = {"db": database, "table": name, "retention_period": _retention(given, "table")}
    open_server(given).call("PUT", "/api/v3/configure/table", document=document)
    print(f'Table "{database}"."{name}" updated successfully')


def _retention(given: Given, what: str) -> str | None:
    period = given.find("--retention-period")
    if period is None:
        raise CommandError(f"--retention-period is required for update {what}")
    return None if period == "none" else period
