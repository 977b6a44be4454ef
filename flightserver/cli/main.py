"""`influxdb3`: finds the verb, runs it, and reports failures the way scripts expect.

C1  Every file of this package with a `command` is a verb; a verb is imported when it is used, so starting costs what it needs.
C2  A failure is one line on stderr: `<Verb> command failed: …` and exit 1, or `error: …` with a usage line and exit 2.
C3  Without a verb, options are those of `serve`, and what it needs is made up (quick start).

Held by tests/integration/cli/test_main.py (C1-C3).
"""

import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from flightserver import cli
from flightserver.cli.console import CommandError

NOT_VERBS = ("main", "console")
SHORTER = {"q": "query", "w": "write"}
ABOUT = "Flightline: an open time-series database that speaks what InfluxDB 3 speaks."


def version_line() -> str:
    return f"influxdb3 Flightline {importlib.metadata.version('flightline')}, revision {_revision()}"


def _revision() -> str:
    """The commit this runs from: recorded by the build, or read from the working tree."""
    root = Path(__file__).parents[2]
    try:
        head = (root / ".git").read_text() if (root / ".git").is_file() else (root / ".git" / "HEAD").read_text()
    except OSError:
        return "unknown"
    return _resolve_head(root / ".git", head.strip())


def _resolve_head(git: Path, head: str) -> str:
    if head.startswith("gitdir: "):
        git = Path(head.removeprefix("gitdir: "))
        head = (git / "HEAD").read_text().strip() if (git / "HEAD").is_file() else ""
    if not head.startswith("ref: "):
        return head[:10] or "unknown"
    common = (git / "commondir").read_text().strip() if (git / "commondir").is_file() else "."
    reference = git / common / head.removeprefix("ref: ")
    return reference.read_text().strip()[:10] if reference.is_file() else "unknown"


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
        return super().parse_args(ctx, _as_serve(args))


def _as_serve(args: list[str]) -> list[str]:
    """Options before the verb are the runtime's, which `serve` declares; options without a verb are a quick start."""
    if args and (not args[0].startswith("-") or args[0] in ("-h", "--help", "--help-all", "-V", "--version")):
        return args
    if "serve" in args:
        verb = args.index("serve")
        return ["serve", *args[:verb], *args[verb + 1 :]]
    return ["serve", "--quick-start", *args]


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help", "--help-all"]}, help=ABOUT)
@click.version_option(None, "-V", "--version", message="%(version)s", package_name="flightline")
def influxdb3() -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    args = list(sys.argv[1:] if arguments is None else arguments)
    if args[:1] in (["-V"], ["--version"]):
        click.echo(version_line())
        return 0
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
    except click.Abort:
        return 130


def _verb_name(context: click.Context | None) -> str:
    verb = context.invoked_subcommand if context is not None else None
    return SHORTER.get(verb or "", verb or "influxdb3").capitalize()


def _usage_text(error: click.UsageError) -> str:
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        message = f"unexpected argument '{error.option_name}' found"
        if error.possibilities:
            message += f"\n\n  tip: a similar argument exists: '{sorted(error.possibilities)[0]}'"
    path = error.ctx.command_path if error.ctx is not None else "influxdb3"
    return f"error: {message}\n\nUsage: {path} [OPTIONS]\n\nFor more information, try '--help'."


if __name__ == "__main__":
    sys.exit(main())
