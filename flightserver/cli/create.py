"""`influxdb3 create database|table`.

Held by tests/integration/cli/test_manage.py.
Elsewhere: what the requests mean (httpapi.routes.configure), tokens (cli.tokens).
"""

from typing import cast

from flightserver.cli.parsing import Given
from flightserver.cli.remote import open_server


def database(given: Given) -> None:
    name = given.text("DATABASE_NAME")
    document = {"db": name} | _retention(given)
    open_server(given).call("POST", "/api/v3/configure/database", document=document)
    print(f'Database "{name}" created successfully')


def table(given: Given) -> None:
    database, name = given.text("--database"), given.text("TABLE_NAME")
    groups = cast("list[list[tuple[str, str]]]", given.values["--fields"])
    fields = [{"name": field, "type": kind} for group in groups for field, kind in group]
    document = {"db": database, "table": name, "tags": given.each("--tags"), "fields": fields} | _retention(given)
    open_server(given).call("POST", "/api/v3/configure/table", document=document)
    print(f'Table "{database}"."{name}" created successfully')


def _retention(given: Given) -> dict[str, str]:
    return {"retention_period": given.text("--retention-period")} if "--retention-period" in given else {}
