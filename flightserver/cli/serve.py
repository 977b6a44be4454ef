"""`influxdb3 serve`: the server's options as options of the command line, and the running server.

V1  Everything else that the command line does needs nothing that only Linux has; `serve` says so.

Held by tests/integration/cli/test_main.py (V1) and tests/unit/flightserver/test_config_declarations.py (every option is offered
and explained).
Elsewhere: the options (flightserver.options), their meaning together (config.py), the running server (boot.py).
"""

import platform
import select
import sys

from flightserver.boot import ServeError, serve
from flightserver.cli import declared
from flightserver.cli.console import CommandError
from flightserver.cli.parsing import Given, UsageError
from flightserver.config import ConfigError, resolve, this_machine
from flightserver.config import UsageError as UnreadableOption
from flightserver.environment import read_environment
from flightserver.options import GROUPS, OPTIONS
from flightserver.options.declared import Option

QUICK_START = declared.Option("--quick-start", "Make up what is needed to start.", rare=True)


def options() -> tuple[declared.Option, ...]:
    """Texts only: what they mean is decided where all of them are known (config.resolve)."""
    ordered = sorted(OPTIONS, key=lambda option: GROUPS.index(option.group))
    return (*map(_declared, ordered), QUICK_START)


def _declared(option: Option) -> declared.Option:
    return declared.Option(
        option.flag,
        _help(option),
        value=option.value_name,
        short=option.short,
        group=option.group,
        env=(*option.env_names, *option.unprefixed),
        also=option.also,
        bare="true" if option.is_flag else option.bare_value,
        rare=not option.common,
    )


def _help(option: Option) -> str:
    parts = [option.help]
    if option.unsupported is not None:
        parts.append(f"Not supported: {option.unsupported}.")
    if option.no_effect is not None:
        parts.append(f"Accepted without effect: {option.no_effect}.")
    if option.already is not None:
        parts.append(f"Accepted: {option.already}.")
    if option.default is not None:
        parts.append(f"[default: {option.default}]")
    return " ".join(parts)


def run(given: Given) -> int:
    if not hasattr(select, "epoll"):
        raise CommandError(f"the server runs on Linux, and this is {platform.system()}; all other commands work here")
    environment = read_environment()
    arguments = {(_long(spelling)): text for spelling, text in given.spelled.items() if _long(spelling) != QUICK_START.flag}
    try:
        config = resolve(arguments, environment, this_machine(), quick_start="--quick-start" in given)
    except UnreadableOption as error:
        raise UsageError(str(error), "serve") from None
    except ConfigError as error:
        raise CommandError(str(error)) from None
    for note in config.notes:
        print(note, file=sys.stderr)
    try:
        return serve(config, environment)
    except ServeError as error:
        raise CommandError(str(error)) from None


def _long(spelling: str) -> str:
    return next((option.flag for option in OPTIONS if option.short == spelling), spelling)
