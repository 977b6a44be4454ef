"""`influxdb3 serve`: the declared options as a click command, and their help.

Held by tests/unit/flightserver/test_config_declarations.py (every option is offered and explained).
Elsewhere: the options (flightserver.options), their meaning together (config.py), the running server (boot.py).
"""

import shutil
import sys
import textwrap

import click

from flightserver.boot import ServeError, serve
from flightserver.cli.console import CommandError
from flightserver.config import ConfigError, UsageError, read_environment, resolve, this_machine
from flightserver.options import GROUPS, OPTIONS, Option

INTRODUCTION = "Start the server: writes and queries over HTTP and Arrow Flight on one port."
EXAMPLES = """\
Examples:
  influxdb3 serve --node-id node0 --object-store file --data-dir ~/.influxdb3
  influxdb3 serve --node-id node0 --object-store memory
  influxdb3 serve --node-id node0 --object-store s3 --bucket my-bucket \\
      --aws-access-key-id KEY --aws-secret-access-key SECRET"""


class ServeCommand(click.Command):
    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(
            help_text(everything=ctx.meta.get("help_all", False), width=shutil.get_terminal_size((100, 24)).columns)
        )


def help_text(*, everything: bool, width: int) -> str:
    width = max(60, min(width, 120))
    lines = [INTRODUCTION, "", "Usage: influxdb3 serve [OPTIONS]"]
    for group in GROUPS:
        shown = [option for option in OPTIONS if option.group == group and (everything or option.common)]
        if shown:
            lines += ["", f"{group}:"]
        for option in shown:
            lines += _explain(option, width, everything=everything)
    lines += ["", "Help:", *_columns("-h, --help", "The options most used.", width)]
    lines += _columns("    --help-all", "All options, with their variables and older spellings.", width)
    if not everything:
        lines += ["", EXAMPLES]
    return "\n".join(lines) + "\n"


def _explain(option: Option, width: int, *, everything: bool) -> list[str]:
    value = "" if option.value_name is None else f" <{option.value_name}>"
    if option.bare_value is not None:
        value = f" [{option.value_name}]"
    left = f"{option.short + ',' if option.short else '   '} {option.flag}{value}"
    right = [option.help]
    if option.unsupported is not None:
        right.append(f"Not supported: {option.unsupported}.")
    if option.no_effect is not None:
        right.append(f"Accepted without effect: {option.no_effect}.")
    if option.already is not None:
        right.append(f"Accepted: {option.already}.")
    if option.default is not None:
        right.append(f"[default: {option.default}]")
    if everything:
        right.append(f"[env: {', '.join((*option.env_names, *option.unprefixed))}]")
        right += [f"[also: {', '.join(option.also)}]"] if option.also else []
    return _columns(left, " ".join(right), width)


def _columns(left: str, right: str, width: int) -> list[str]:
    indent = 34
    wrapped = textwrap.wrap(right, width - indent, break_on_hyphens=False, break_long_words=False)
    first = f"  {left:<{indent - 3}} "
    if len(first) > indent:
        return [first.rstrip(), *(" " * indent + line for line in wrapped)]
    return [first + wrapped[0], *(" " * indent + line for line in wrapped[1:])]


def _show_help(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta["help_all"] = parameter.name == "help_all"
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def _parameters() -> list[click.Parameter]:
    """One click option per spelling, so that the value knows how it was written."""
    found: list[click.Parameter] = [
        click.Option(["-h", "--help"], is_flag=True, expose_value=False, is_eager=True, callback=_show_help),
        click.Option(["--help-all"], is_flag=True, expose_value=False, is_eager=True, callback=_show_help),
        click.Option(["--quick-start"], is_flag=True),
    ]
    for option in OPTIONS:
        for spelling in (option.flag, *option.also):
            bare = "true" if option.is_flag else option.bare_value
            if bare is None:
                found.append(click.Option([spelling]))
            elif option.short is not None:
                found.append(click.Option([spelling, option.short], count=True))
            else:
                found.append(click.Option([spelling], is_flag=False, flag_value=bare))
    return found


def _arguments(given: dict[str, object]) -> dict[str, str]:
    spellings = {spelling.removeprefix("--").replace("-", "_"): spelling for o in OPTIONS for spelling in (o.flag, *o.also)}
    return {
        spellings[name]: "true" if isinstance(value, int) else str(value)
        for name, value in given.items()
        if name in spellings and value is not None and value != 0
    }


def _serve(quick_start: bool = False, **given: object) -> int:
    environment = read_environment()
    try:
        config = resolve(_arguments(given), environment, this_machine(), quick_start=quick_start)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    except ConfigError as error:
        raise CommandError(str(error)) from None
    for note in config.notes:
        print(note, file=sys.stderr)
    try:
        return serve(config, environment)
    except ServeError as error:
        raise CommandError(str(error)) from None


command = ServeCommand("serve", params=_parameters(), callback=_serve, help=INTRODUCTION, add_help_option=False)
