"""The reference, docs/reference/*.md, written from what the code declares.

R1  A page holds nothing but declarations: options, commands, routes, calls, actions, errors, metrics, system tables.
R2  What is declared has a sentence beside it; without one, no page is written and the message says where it is missing.

Held by tests/docs/test_reference.py (R1, R2).
"""

import importlib
import inspect
import pkgutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pyarrow.flight as fl
from prometheus_client.parser import text_string_to_metric_families

import catalog
import engine
import flightserver
import httpapi
from catalog.access import TOKEN, Access
from catalog.errors import ServiceError
from catalog.tokens import SYSTEM_RESOURCES
from engine.clock import SystemClock
from engine.node import Node
from engine.query.system_tables import SYSTEM_TABLES, SystemTable
from engine.settings import Settings
from engine.storage.memory import MemoryStore
from flightserver import options
from flightserver.cli import tree
from flightserver.cli.declared import Argument, Command
from flightserver.cli.declared import Option as CommandOption
from flightserver.errors import flight_error
from flightserver.flightsql.commands import COMMANDS
from flightserver.options.declared import Option
from flightserver.server import EngineServer
from httpapi.app import ROUTES
from httpapi.counters import RequestCounters
from httpapi.errors import Family, error_reply
from httpapi.routes import health
from httpapi.routes.write import WRITE_PATHS

PAGES = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Written by scripts/reference from what the code declares: change it there. -->"
PACKAGES = (catalog, engine, flightserver, httpapi)

#: Flight's calls have no declaration of their own: each is a method of the server
CALLS = {
    "handshake": "Answers user name and password, or a token, with the header `authorization` to send from then on.",
    "list_flights": "Lists the tables of a database.",
    "get_flight_info": "Plans a command: its schema and the one ticket to get its rows with. Nothing runs.",
    "get_schema": "The schema of a command's answer.",
    "do_get": "The rows of a ticket: of `get_flight_info`, or InfluxDB 3's JSON with `database`, `sql_query`, `params`.",
    "do_put": "Arrow rows for a table, bulk ingest, updates, values of a prepared statement.",
    "do_exchange": "Not supported, and says so.",
    "do_action": "Runs an action, see below.",
    "list_actions": "Lists the actions.",
}


class Undescribed(Exception):
    """Something is declared without a sentence that says what it is."""


def pages() -> Mapping[str, str]:
    """Every page by its file name."""
    with a_node() as node:
        return {
            "serve-options.md": serve_options(),
            "commands.md": commands(),
            "http-endpoints.md": http_endpoints(),
            "flight.md": flight(node),
            "errors.md": errors(),
            "metrics.md": metrics(node),
            "system-tables.md": system_tables(),
        }


# --------------------------------------------------------------------------------------------------------------- options


def serve_options() -> str:
    parts = [
        "Options of `influxdb3 serve`",
        "Each option has a variable; the option wins. A file `.env` in the working directory, or in one above it, may set "
        "them, too. Durations are written as `10s`, `5m`, `1h30m`, sizes as `512MB`, `2GiB` or a percentage of the "
        "machine's memory.",
    ]
    for group in options.GROUPS:
        working = [option for option in options.OPTIONS if option.group == group and works(option)]
        if working:
            parts.append(f"## {group}")
            parts.append(table(("Option", "Variable", "Default", "What it does"), map(serve_option, working)))
    parts.append("## Accepted for the sake of others")
    parts.append(
        "Options of InfluxDB 3 that scripts may pass. Those that change nothing are accepted; those that ask for something "
        "that this version cannot do are refused when the server starts."
    )
    rest = [option for option in options.OPTIONS if not works(option)]
    parts.append(table(("Option", "What happens"), map(foreign_option, rest)))
    return page(*parts)


def works(option: Option) -> bool:
    return option.sets is not None or (option.already is not None and option.common)


def serve_option(option: Option) -> Sequence[str]:
    spelling = f"`{option.flag} <{option.value_name}>`" if option.value_name else f"`{option.flag}`"
    older = f" Also: {', '.join(f'`{also}`' for also in option.also)}." if option.also else ""
    default = f"`{option.default}`" if option.default is not None else ""
    return spelling, f"`{option.env_names[0]}`", default, option.help + older


def foreign_option(option: Option) -> Sequence[str]:
    if option.unsupported is not None:
        allowed = [value or "empty" for value in option.allowed]
        but = f" (`{'`, `'.join(allowed)}` is accepted)" if allowed else ""
        return f"`{option.flag}`", f"refused: {option.unsupported}{but}"
    return f"`{option.flag}`", f"accepted: {option.already or option.no_effect}"


# -------------------------------------------------------------------------------------------------------------- commands


def commands() -> str:
    parts = [
        "Commands",
        "The options of `serve` have [a page of their own](serve-options.md). `-h` and `--help-all` work everywhere.",
    ]
    for command in tree.COMMANDS:
        if command.absent is None and not command.hidden:
            parts += one_command(command)
    parts.append("## Not part of this version")
    parts.append(
        table(
            ("Command", "Instead"),
            ((f"`influxdb3 {command.words}`", command.absent) for command in tree.COMMANDS if command.absent is not None),
        )
    )
    return page(*parts)


def one_command(command: Command) -> Iterator[str]:
    yield f"## `{command.words}`"
    options_here = ["[OPTIONS]"] if command.options or command.more_options else []
    usage = " ".join(("influxdb3", command.words, *options_here, *(each.shown for each in command.arguments)))
    yield f"{command.help}\n\n```text\n{usage}\n```"
    if command.arguments:
        yield table(("Argument", "What it is"), map(argument, command.arguments))
    if shown := [option for option in command.options if not option.ignored]:
        yield table(("Option", "Variable", "Default", "What it does"), map(command_option, shown))


def argument(declared: Argument) -> Sequence[str]:
    return f"`{declared.shown}`", declared.help


def command_option(option: CommandOption) -> Sequence[str]:
    short = f"`{option.short}`, " if option.short else ""
    choices = f" One of {', '.join(f'`{choice}`' for choice in option.choices)}." if option.choices else ""
    default = f"`{option.default}`" if option.default is not None else "required" if option.required else ""
    return f"{short}`{option.shown}`", ", ".join(f"`{name}`" for name in option.env), default, option.help + choices


# ------------------------------------------------------------------------------------------------------------- endpoints


def http_endpoints() -> str:
    return page(
        "HTTP endpoints",
        "Every answer has the headers `cluster-uuid` and `request-id`. A mistake is answered with a JSON object, see "
        "[errors](errors.md). With authentication a request brings its token as `Authorization: Bearer …`, "
        "`Authorization: Token …`, as the password of `Authorization: Basic …`, or, at `/write` and "
        "`/query`, as the parameter `p`.",
        table(("Method", "Path", "What it does", "Token"), endpoints()),
    )


def endpoints() -> Iterator[Sequence[str]]:
    for path, door in WRITE_PATHS.items():
        yield "POST", f"`{path}`", sentence_of(door), needed(TOKEN)
    for path, methods, view, access in ROUTES:
        yield ", ".join(methods), f"`{path}`", sentence_of(view), needed(access)


def needed(access: Access) -> str:
    if access.kind == "system":
        own = f", or `system:{access.resource}:read`" if access.resource in SYSTEM_RESOURCES else ""
        return f"any admin's{own}; none with `--disable-authz {access.resource}`"
    return {"open": "none", "token": "a valid one", "admin": "an admin's"}[access.kind]


# ---------------------------------------------------------------------------------------------------------------- Flight


def flight(node: Node) -> str:
    server = EngineServer(node, "grpc://127.0.0.1:0")
    try:
        with fl.connect(f"grpc://127.0.0.1:{server.port}") as client:
            actions = sorted(client.list_actions())
    finally:
        server.shutdown()
    own = [name for name in vars(EngineServer) if name in vars(fl.FlightServerBase) and not name.startswith("_")]
    known = ["handshake", *(name for name in own if name != "shutdown")]
    if missing := [name for name in known if name not in CALLS]:
        raise Undescribed(f"scripts/reference_pages.py says nothing about the Flight calls {missing}")
    return page(
        "Arrow Flight and Flight SQL",
        "On the one port of the server, beside HTTP, and on `--flight-bind`. The database comes from the header `database` "
        "(also `bucket`, `bucket-name`, `iox-namespace-name`), from the session, or from the ticket. The token comes in the "
        "header `authorization`.",
        "## Calls",
        table(("Call", "What it does"), ((f"`{name}`", CALLS[name]) for name in known)),
        "## Commands of Flight SQL",
        "\n".join(f"- `{name}`" for name in sorted(COMMANDS) if name.startswith("Command") and "Substrait" not in name),
        "Substrait plans, transactions and savepoints are refused with a sentence.",
        "## Actions",
        "Those of `flightline.` take and give JSON objects, and nothing where no argument is named.",
        table(("Action", "What it does, or takes"), ((f"`{action.type}`", action.description) for action in actions)),
    )


# ---------------------------------------------------------------------------------------------------------------- errors


def errors() -> str:
    rows = sorted((found.code, found) for found in error_classes())
    return page(
        "Errors",
        "Every error has a code that never changes its meaning, a sentence, and sometimes a hint. HTTP tells the sentence as "
        "`error` (`message` for version 2) with a status; gRPC tells it with a code of its own.",
        table(("Code", "HTTP", "gRPC", "What it means"), (error_row(found) for _code, found in rows)),
    )


def error_classes() -> Iterator[type[ServiceError]]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith(("wsgi", "engine_process", "__main__")):
                importlib.import_module(module.name)

    def below(base: type[ServiceError]) -> Iterator[type[ServiceError]]:
        for child in base.__subclasses__():
            if child.__module__.partition(".")[0] in {package.__name__ for package in PACKAGES}:
                yield child
            yield from below(child)

    return below(ServiceError)


def error_row(kind: type[ServiceError]) -> Sequence[str]:
    error = kind.__new__(kind)
    line = {"error_message": "", "line_number": 1, "original_line": ""}
    ServiceError.__init__(error, "text", rejected=[line], stored=False)
    status = 500 if kind.kind == "internal" else error_reply(Family.V3, error).status
    return f"`{kind.code}`", str(status), grpc_code(error), sentence_of(kind)


def grpc_code(error: ServiceError) -> str:
    """The code that pyarrow makes of the exception."""
    raised = flight_error(error, detailed=False)
    by_class = {
        fl.FlightUnauthenticatedError: "UNAUTHENTICATED",
        fl.FlightUnauthorizedError: "PERMISSION_DENIED",
        fl.FlightUnavailableError: "UNAVAILABLE",
        NotImplementedError: "UNIMPLEMENTED",
        ValueError: "INVALID_ARGUMENT",
        KeyError: "NOT_FOUND",
    }
    return next((code for kind, code in by_class.items() if isinstance(raised, kind)), "INTERNAL")


# --------------------------------------------------------------------------------------------------------------- metrics


def metrics(node: Node) -> str:
    with tempfile.TemporaryDirectory() as directory:
        gateway = SimpleNamespace(metrics=lambda _authorization: node.metrics_text())
        asked = SimpleNamespace(gateway=gateway, authorization=None, counters=RequestCounters(Path(directory)))
        reply = health.metrics(asked)  # type: ignore[arg-type]  # all that it uses of a Call
    assert isinstance(reply.body, bytes)
    families = sorted(text_string_to_metric_families(reply.body.decode()), key=lambda family: family.name)
    if undescribed := [family.name for family in families if not family.documentation]:
        raise Undescribed(f"metrics without a help text: {undescribed}")
    names = {family.name: family.name + "_total" * (family.type == "counter") for family in families}
    wanted = [family for family in families if not family.name.endswith("_created")]
    return page(
        "Metrics",
        "`GET /metrics` answers in Prometheus' text format, for all processes of the server together.",
        table(("Name", "Kind", "What it counts"), ((f"`{names[f.name]}`", f.type, f.documentation) for f in wanted)),
    )


# --------------------------------------------------------------------------------------------------------- system tables


def system_tables() -> str:
    parts = [
        "System tables",
        "Tables of the schema `system`, in every database; some are seen in the database `_internal` only, which needs an "
        'administrator\'s token. Ask them with SQL: `influxdb3 query --database mydb "SELECT * FROM system.queries"`.',
    ]
    for found in sorted(SYSTEM_TABLES, key=lambda each: each.name):
        parts += one_system_table(found)
    return page(*parts)


def one_system_table(found: SystemTable) -> Iterator[str]:
    yield f"## `system.{found.name}`"
    where = " In `_internal` only." if found.internal else ""
    yield f"{found.about[0].upper()}{found.about[1:]}.{where}"
    yield table(("Column", "Type"), ((f"`{column.name}`", f"`{column.type}`") for column in found.schema))


# ---------------------------------------------------------------------------------------------------------------- common


@contextmanager
def a_node() -> Iterator[Node]:
    """A node that knows all of its figures."""
    node = Node.open(Settings("reference"), MemoryStore(), SystemClock())
    try:
        yield node
    finally:
        node.close()


def sentence_of(declared: object) -> str:
    """The first paragraph of a docstring, in one line."""
    own = vars(declared).get("__doc__") if isinstance(declared, type) else getattr(declared, "__doc__", None)
    if not own:
        where = f"{inspect.getsourcefile(declared)}: {declared.__name__}"  # type: ignore[arg-type,attr-defined]
        raise Undescribed(f"{where} has no docstring that says what it is; the reference needs one")
    return " ".join(inspect.cleandoc(own).partition("\n\n")[0].split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(title: str, *parts: str) -> str:
    return "\n\n".join((f"# {title}", NOTE, *parts)) + "\n"


def main(arguments: Sequence[str]) -> int:
    written = pages()
    stale = sorted(name for name, text in written.items() if not (PAGES / name).exists() or (PAGES / name).read_text() != text)
    if "--check" in arguments:
        print("\n".join(f"docs/reference/{name} is not what the code declares" for name in stale))
        return 1 if stale else 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in written.items():
        (PAGES / name).write_text(text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Undescribed as reason:
        sys.exit(str(reason))
