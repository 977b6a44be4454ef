"""`influxdb3 show …`: what there is, asked of the server in SQL where it has a table for it.

H1  Rows come in the format that was asked for, as the server writes them; a terminal gets them fitted to its width.

Held by tests/integration/cli/test_show.py (H1).
Elsewhere: the system tables themselves (engine.query.system_tables).
"""

import csv
import io
import json
import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from flightserver.cli.answers import Refused, Server
from flightserver.cli.console import CommandError, is_terminal, terminal_width, write_out
from flightserver.cli.parsing import Given
from flightserver.cli.remote import open_server
from flightserver.cli.tables import fitted

INTERNAL = "_internal"
GREATEST_FIRST = {
    "last_caches": "count",
    "parquet_files": "size_bytes",
    "queries": "end2end_duration",
    "distinct_caches": "max_cardinality",
}
_PERIODS = "".join(
    f" WHEN retention_period_ns % {unit_ns} = 0 THEN concat(CAST(retention_period_ns AS BIGINT) / {unit_ns}, '{unit}')"
    for unit, unit_ns in (
        ("d", 86_400 * 10**9),
        ("h", 3600 * 10**9),
        ("m", 60 * 10**9),
        ("s", 10**9),
        ("ms", 10**6),
        ("us", 1000),
        ("ns", 1),
    )
)
_PERIOD = f"CASE WHEN retention_period_ns IS NULL THEN 'infinite'{_PERIODS} END"
_RETENTION = (
    f"SELECT database_name, {_PERIOD} AS retention_period "
    "FROM system.databases WHERE NOT deleted {condition} ORDER BY database_name"
)
_RETENTION_OF_TABLES = (
    f'SELECT database_name AS "Database", table_name AS "Table", {_PERIOD} AS "Retention", source AS "Source" '
    "FROM system.retention WHERE true {condition} ORDER BY database_name, table_name"
)
_SYSTEM_TABLES = (
    "SELECT table_name, array_agg(column_name ORDER BY ordinal_position) AS column_names FROM information_schema.columns "
    "WHERE table_schema = 'system' GROUP BY table_name ORDER BY table_name"
)


def databases(given: Given) -> None:
    server = open_server(given)
    show_deleted = True if "--show-deleted" in given else None
    _emit(
        given,
        lambda name: server.call("GET", "/api/v3/configure/database", {"format": name, "show_deleted": show_deleted}),
    )


def tokens(given: Given) -> None:
    _emit_sql(given, INTERNAL, "SELECT * FROM system.tokens ORDER BY token_id")


def nodes(given: Given) -> None:
    _emit_sql(given, INTERNAL, "SELECT * FROM system.nodes ORDER BY node_id")


def retention(given: Given) -> None:
    name = given.find("--database")
    condition = "" if name is None else f"AND database_name = {_literal(name)}"
    if name is not None and not json.loads(open_server(given).rows(INTERNAL, _RETENTION.format(condition=condition), "json")):
        raise CommandError(f"database not found: {name}")
    statement = _RETENTION_OF_TABLES if "--tables" in given else _RETENTION
    _emit_sql(given, INTERNAL, statement.format(condition=condition))


def table_list(given: Given) -> None:
    _emit_sql(given, given.text("--database"), _SYSTEM_TABLES)


def table(given: Given) -> None:
    name = given.text("SYSTEM_TABLE")
    columns = ", ".join(map(_identifier, given.each("--select"))) or "*"
    order = given.each("--order-by") or ([GREATEST_FIRST[name]] if name in GREATEST_FIRST else [])
    statement = f"SELECT {columns} FROM system.{_identifier(name)}"
    if order:
        statement += " ORDER BY " + ", ".join(f"{_identifier(column)} DESC" for column in order)
    server = open_server(given)
    try:
        _emit(given, partial(server.rows, given.text("--database"), statement + _limit(given)))
    except Refused as error:
        if error.answer.status not in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
            raise
        known = _system_tables(server, given.text("--database"))
        if name in known:
            raise
        raise CommandError(
            f"system table '{name}' not found: please use a valid system table name: {json.dumps(known)}"
        ) from None


def summary(given: Given) -> None:
    server, database = open_server(given), given.text("--database")
    for name in _system_tables(server, database):
        print(f"{name} summary:", flush=True)
        order = f" ORDER BY {GREATEST_FIRST[name]} DESC" if name in GREATEST_FIRST else ""
        statement = f"SELECT * FROM system.{_identifier(name)}{order}{_limit(given)}"
        _emit(given, partial(server.rows, database, statement))


def _system_tables(server: Server, database: str) -> list[str]:
    return [row["table_name"] for row in json.loads(server.rows(database, _SYSTEM_TABLES, "json"))]


def _limit(given: Given) -> str:
    return f" LIMIT {given.number('--limit')}" if given.number("--limit") else ""


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _emit_sql(given: Given, database: str, statement: str) -> None:
    server = open_server(given)
    _emit(given, partial(server.rows, database, statement))


def _emit(given: Given, fetch: Callable[[str], bytes]) -> None:
    """Rows in the format that was asked for, where they were asked for."""
    name, file = given.text("--format"), given.find("--output")
    if file is not None:
        from flightserver.cli.files import write_file

        write_file(file, [fetch(name)])
    elif name == "pretty" and is_terminal(sys.stdout) and "--full" not in given:
        rows = csv.reader(io.StringIO(fetch("csv").decode("utf-8", "replace"), newline=""))
        sys.stdout.writelines(line + "\n" for line in fitted(next(rows, []), rows, terminal_width()))
    elif name == "parquet" and is_terminal(sys.stdout):
        raise CommandError("cannot write parquet to a terminal, use `--output <file>` or pipe the output")
    else:
        data = fetch(name)
        write_out(data if name == "parquet" or not data or data.endswith(b"\n") else data + b"\n")
