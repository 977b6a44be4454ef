"""`influxdb3 delete database|table`: asks first, unless told not to.

Held by tests/integration/cli/test_manage.py.
Elsewhere: tokens (cli.tokens), what becomes of the data (engine.persist.removals).
"""

from flightserver.cli.console import CommandError, confirm
from flightserver.cli.parsing import Given, UsageError
from flightserver.cli.remote import open_server


def database(given: Given) -> None:
    name = given.text("DATABASE_NAME")
    if "--remove-tables" in given and "--data-only" not in given:
        raise UsageError("--remove-tables needs --data-only: without it the tables go with their database", "delete database")
    ask(given, f'"{name}"')
    query = {"db": name, **_scope(given), "remove_tables": True if "--remove-tables" in given else None}
    open_server(given).call("DELETE", "/api/v3/configure/database", query)
    print(f'Database "{name}" deleted successfully')


def table(given: Given) -> None:
    database, name = given.text("--database"), given.text("TABLE_NAME")
    ask(given, f'"{database}"."{name}"')
    open_server(given).call("DELETE", "/api/v3/configure/table", {"db": database, "table": name, **_scope(given)})
    print(f'Table "{database}"."{name}" deleted successfully')


def ask(given: Given, what: str) -> None:
    if "--yes" not in given and not confirm(f"Are you sure you want to delete {what}? Enter 'yes' or 'y' to confirm"):
        raise CommandError("Cannot proceed without confirmation")


def _scope(given: Given) -> dict[str, object]:
    return {"hard_delete_at": given.find("--hard-delete"), "data_only": True if "--data-only" in given else None}
