"""The store that `influxdb3 debug …` looks at: named as for `serve`, and left as it is.

I1  Opening changes nothing: no directory is made, and what a crash left behind stays.
I2  Options of `serve` that say nothing about the store are not read, so they cannot be wrong here.

Held by tests/integration/cli/test_debug.py (I1, I2).
Elsewhere: the options (flightserver.options), their meaning together (flightserver.config).
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from engine.storage.base import ObjectStore
from engine.storage.open import StoreOptions, open_store
from flightserver.cli import declared, serve
from flightserver.cli.console import CommandError
from flightserver.cli.parsing import Given, UsageError
from flightserver.config import ConfigError, resolve, this_machine
from flightserver.config import UsageError as UnreadableOption
from flightserver.environment import read_environment
from flightserver.options import OPTIONS

_STORE_FLAGS = {option.flag for option in OPTIONS if option.flag == "--node-id" or (option.sets or "").startswith("store.")}
_PATHS = ("data_dir", "aws_credentials_file", "google_service_account", "tls_ca")


class Opened(NamedTuple):
    store: ObjectStore
    node_id: str
    node_was_named: bool
    """Or else `node_id` is what a quick start would call it."""


def options() -> tuple[declared.Option, ...]:
    """Those of `serve` that say where its data is."""
    return tuple(option for option in serve.options() if option.flag in _STORE_FLAGS)


def look_into(given: Given, command: str) -> Opened:
    environment = {name: text for name, text in read_environment().items() if not _is_of_serve_alone(name)}
    named = {spelling: text for spelling, text in given.spelled.items() if spelling in _store_spellings()}
    try:
        config = resolve(named, environment, this_machine(), quick_start=True)
    except UnreadableOption as error:
        raise UsageError(str(error), command) from None
    except ConfigError as error:
        raise CommandError(str(error)) from None
    store: dict[str, Any] = {name: Path(str(value)) if name in _PATHS else value for name, value in config.store.items()}
    if store["kind"].startswith("memory"):
        raise CommandError("the object store memory ends with its server; there is nothing to look at")
    if store["kind"] == "file" and not os.path.isdir(store["data_dir"]):
        raise CommandError(f"{store['data_dir']} is no directory; --data-dir names the one of `serve`")
    opened = open_store(StoreOptions(**store), only_reading=True)
    return Opened(opened, config.settings.node_id, not config.notes)


def _store_spellings() -> set[str]:
    return {name for option in OPTIONS if option.flag in _STORE_FLAGS for name in (option.flag, *option.also)}


def _is_of_serve_alone(variable: str) -> bool:
    """What only a running server needs is not looked at, so that it cannot be wrong here."""
    others = (option for option in OPTIONS if option.flag not in _STORE_FLAGS)
    return any(variable in (*option.env_names, *option.unprefixed) for option in others)
