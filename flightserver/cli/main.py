"""`influxdb3`: finds the verb, runs it, and reports failures the way scripts expect.

C1  Every file of this package with a `command` is a verb; a verb is imported when it is used, so starting costs what it needs.
C2  A failure is one line on stderr: `<Verb> command failed: …` and exit 1, or `error: …` with a usage line and exit 2.
C3  Without a verb, options are those of `serve`, and what it needs is made up (quick start).

Held by tests/integration/cli/test_main.py (C1-C3).
"""

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Sequence

import click

from flightserver import cli
from flightserver.cli.console import CommandError
from flightserver.version import revision, version

NOT_VERBS = ("main", "console")
RUNTIME_OPTIONS = ("--num-io-threads", "--num-threads", "--io-runtime-")
OWN_OPTIONS = ("-h", "--help", "--help-all", "-V", "--version")
SHORTER = {"q": "query", "w": "write"}
ABOUT = "Flightline: an open time-series database that speaks what InfluxDB 3 speaks."


def version_line() -> str:
    return f"influxdb3 Flightline {version()}, revision {revision()}"


class Verbs(click.Group):
    """The verbs, by file name; a hyphen in a verb is read as an underscore."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(found.name for found in pkgutil.iter_modules(cli.__path__) if found.name not in NOT_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = SHORTER.get(cmd_name, cmd_name.replace("-", "_"))
        if name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"flightserver.cli.{name}").command
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_verb(args))


def _with_verb(args: list[str]) -> list[str]:
    """Runtime options may stand before the verb, and only `serve` has a use for them; no verb at all is a quick start."""
    runtime: list[str] = []
    rest = list(args)
    while rest and rest[0].startswith(RUNTIME_OPTIONS):
        taken = 1 if "=" in rest[0] else 2
        runtime, rest = runtime + rest[:taken], rest[taken:]
    if not rest or (rest[0].startswith("-") and rest[0] not in OWN_OPTIONS):
        return ["serve", "--quick-start", *runtime, *rest]
    return [rest[0], *runtime, *rest[1:]] if rest[0] == "serve" else rest


def _show_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        click.echo(version_line())
        ctx.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help", "--help-all"]}, help=ABOUT)
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def influxdb3() -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    args = list(sys.argv[1:] if arguments is None else arguments)
    context: click.Context | None = None
    try:
        with influxdb3.make_context("influxdb3", args) as context:
            result = influxdb3.invoke(context)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        print(_usage_text(error), file=sys.stderr)
        return 2
    except CommandError as error:
        print(f"{_verb_name(context)} command failed: {error}", file=sys.stderr)
        return 1
    except (click.Abort, KeyboardInterrupt):
        return 130


def _verb_name(context: click.Context | None) -> str:
    verb = context.invoked_subcommand if context is not None else None
    return SHORTER.get(verb or "", verb or "influxdb3").capitalize()


def _usage_text(error: click.UsageError) -> str:
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        message = f"unexpected argument '{error.option_name}' found"
        similar = difflib.get_close_matches(error.option_name, error.possibilities or (), n=1)
        message += "".join(f"\n\n  tip: a similar argument exists: '{name}'" for name in similar)
    path = error.ctx.command_path if error.ctx is not None else "influxdb3"
    return f"error: {message}\n\nUsage: {path} [OPTIONS]\n\nFor more information, try '--help'."


if __name__ == "__main__":
    sys.exit(main())
