"""From flags, environment and .env to the values the server is built from.

F1  A flag beats the environment, the environment beats .env, .env beats the default; nothing that is asked for is dropped in
    silence.
F2  What this version cannot do stops the start with one sentence that names the option as it was written.
F3  What comes out is complete and absolute: bytes instead of percentages, paths without ~. Nobody below looks at the machine.

Held by tests/unit/flightserver/test_config.py (F1-F3).
Elsewhere: the options themselves (options), the engine's values (engine.settings), what is done with them (boot.py).
"""

import json
import os
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from engine.settings import Settings
from flightserver.environment import parse_dotenv as parse_dotenv
from flightserver.environment import read_environment as read_environment
from flightserver.logs import LogOptions, parse_log_filter
from flightserver.options import OPTIONS
from flightserver.options.declared import CLOUD, Given, Machine, Option, Value
from flightserver.options.kinds import flag

T = TypeVar("T")

QUICK_START_NAME = "primary-node"


class ConfigError(Exception):
    """The options cannot be served: printed as one sentence, exit 1."""


class UsageError(ConfigError):
    """The options cannot be read: printed as a usage error, exit 2."""


@dataclass(frozen=True, slots=True)
class Tls:
    cert_file: str
    key_file: str
    minimum_version: str  # tls-1.2 or tls-1.3


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """Who is let in. Paths are absolute; `released` names what nobody is asked for a token for."""

    with_tokens: bool = True
    released: tuple[str, ...] = ()
    admin_token_file: str | None = None
    permission_tokens_file: str | None = None
    recovery_bind: tuple[str, int] | None = None
    recovery_listener_file: str | None = None
    audit_log_file: str | None = None


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Everything `influxdb3 serve` needs. `store` holds the fields of engine.storage.open.StoreOptions that were given."""

    http_bind: tuple[str, int]
    flight_bind: tuple[str, int] | None
    tls: Tls | None
    logs: LogOptions
    access: AccessOptions
    http_workers: int
    http_threads: int
    cores: int | None
    listener_file: str | None
    store: Mapping[str, str | int | bool]
    settings: Settings
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


# -------------------------------------------------------------------------------------------- machine and environment


#: options whose values are nobody's business, and what of a URL is not
_SECRET = re.compile("key|secret|token|password|credential|account|licen|mail|jwt")
_CREDENTIALS = re.compile(r"//[^/@]*@")


def this_machine() -> Machine:
    return Machine(
        memory_bytes=_memory_bytes(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        hostname=socket.gethostname(),
        home=Path.home(),
    )


def _memory_bytes() -> int:
    """The memory this process may use: the machine's, or less where a control group says so."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = Path(name).read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():
            return min(physical, int(limit))
    return physical


# ------------------------------------------------------------------------------------------------------- one option


def _find_given(option: Option, arguments: Mapping[str, str], environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The spelling and text that count for this option, flags first."""
    flags = [(spelling, arguments[spelling]) for spelling in (option.flag, *option.also) if spelling in arguments]
    if len({text for _, text in flags}) > 1:
        raise UsageError(f"the argument '{flags[0][0]}' cannot be used with '{flags[1][0]}'")
    variables = [(name, environment[name]) for name in (*option.env_names, *option.unprefixed) if environment.get(name)]
    return next(iter(flags + variables), None)


def _parse(option: Option, given: Given) -> Value:
    try:
        return option.kind(given)
    except ValueError as error:
        wanted = option.flag if option.is_flag else f"{given.spelling} <{option.value_name}>"
        raise UsageError(f"invalid value '{given.text}' for '{wanted}': {error}") from None


def _refuse_unsupported(option: Option, given: Given) -> None:
    if given.text.lower() in option.allowed or (option.is_flag and not flag(given)):
        return
    raise ConfigError(f"{given.spelling} is not supported by this version: {option.unsupported}")


# ---------------------------------------------------------------------------------------------------- all of them


class _Values:
    """What was given, by the place it sets."""

    def __init__(self) -> None:
        self.by_place: dict[str, Value] = {}
        self.spelling: dict[str, str] = {}
        self.written: dict[str, str] = {}
        self.warnings: list[str] = []
        self.without_effect: list[str] = []

    def under(self, prefix: str) -> dict[str, Value]:
        return {place.removeprefix(prefix): value for place, value in self.by_place.items() if place.startswith(prefix)}

    def text(self, place: str) -> str | None:
        value = self.by_place.get(place)
        return None if value is None else str(value)

    def number(self, place: str) -> int | None:
        value = self.by_place.get(place)
        assert value is None or isinstance(value, int)
        return value

    def address(self, place: str) -> tuple[str, int] | None:
        value = self.by_place.get(place)
        if value is None:
            return None
        assert isinstance(value, tuple)
        return str(value[0]), int(value[1])


def resolve(
    arguments: Mapping[str, str],
    environment: Mapping[str, str],
    machine: Machine,
    *,
    options: Iterable[Option] = OPTIONS,
    quick_start: bool = False,
) -> ServeConfig:
    """The configuration that `arguments` (flag to text, "true" for a bare flag) and `environment` ask for."""
    values = _Values()
    for option in options:
        _resolve_option(option, arguments, environment, machine, values)
    store_kind = str(values.by_place["store.kind"])
    _warn_of_other_stores(values, store_kind, options)
    if values.without_effect:
        values.warnings.append("options without effect: " + "; ".join(values.without_effect))
    node_id, notes = _node_id(values, environment, machine, quick_start=quick_start)
    return ServeConfig(
        http_bind=_required(values.address("serve.http_bind")),
        flight_bind=values.address("serve.flight_bind"),
        tls=_tls(values),
        logs=_logs(values),
        access=_access(values),
        http_workers=values.number("serve.http_workers") or min(max(2, values.number("serve.cores") or machine.cpus), 8),
        http_threads=values.number("serve.http_threads") or (256 if store_kind in CLOUD else 32),
        cores=values.number("serve.cores"),
        listener_file=values.text("serve.listener_file"),
        store=_store(values, store_kind),
        settings=_settings(values, node_id),
        warnings=tuple(values.warnings),
        notes=notes,
    )


def _resolve_option(
    option: Option, arguments: Mapping[str, str], environment: Mapping[str, str], machine: Machine, values: _Values
) -> None:
    found = _find_given(option, arguments, environment)
    if found is None:
        if option.default is not None and option.sets is not None:
            values.by_place[option.sets] = option.kind(Given(option.flag, option.default, machine, option))
        return
    given = Given(*found, machine, option)
    values.spelling[option.flag] = given.spelling
    if given.spelling in option.unprefixed:
        values.warnings.append(f"the variable {given.spelling} is deprecated, use {option.env_names[0]}")
    value = _parse(option, given)
    if option.unsupported is not None:
        _refuse_unsupported(option, given)
    elif option.no_effect is not None:
        values.without_effect.append(f"{given.spelling} ({option.no_effect})")
    elif option.sets is not None:
        values.by_place[option.sets] = value
        if not _SECRET.search(option.flag):
            values.written[option.flag.removeprefix("--")] = _CREDENTIALS.sub("//", given.text)


def _warn_of_other_stores(values: _Values, store_kind: str, options: Iterable[Option]) -> None:
    for option in options:
        spelling = values.spelling.get(option.flag, "")
        if spelling.startswith("--") and option.for_stores and store_kind not in option.for_stores:
            values.warnings.append(f"{spelling} has no effect with --object-store {store_kind}")


def _required(value: T | None) -> T:
    assert value is not None, "declared with a default"
    return value


def _node_id(
    values: _Values, environment: Mapping[str, str], machine: Machine, *, quick_start: bool
) -> tuple[str, tuple[str, ...]]:
    given, variable = values.text("settings.node_id"), values.text("serve.node_id_from_env")
    if given is not None and variable is not None:
        raise UsageError("the argument '--node-id <NAME>' cannot be used with '--node-id-from-env <VAR>'")
    if variable is not None:
        if not environment.get(variable):
            raise ConfigError(f"--node-id-from-env names the variable {variable}, which is not set")
        option = next(option for option in OPTIONS if option.flag == "--node-id")
        return str(_parse(option, Given("--node-id", environment[variable], machine, option))), ()
    if given is not None:
        return given, ()
    if not quick_start:
        raise UsageError("the following required arguments were not provided:\n  --node-id <NAME>")
    host = re.sub(r"[^A-Za-z0-9._-]", "-", machine.hostname).strip("-._")
    generated = f"{host}-node" if host else QUICK_START_NAME
    return generated, (f"Using auto-generated node id: {generated}. For production deployments, explicitly set --node-id",)


def _tls(values: _Values) -> Tls | None:
    cert, key = values.text("serve.tls_cert"), values.text("serve.tls_key")
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise ConfigError("tls requires both a cert and a key file to be passed in to work")
    for option, file in (("--tls-cert", cert), ("--tls-key", key)):
        try:
            Path(file).open("rb").close()
        except OSError as error:
            raise ConfigError(f"{option} {file} cannot be read: {error.strerror}") from None
    minimum_version = str(values.by_place["serve.tls_minimum_version"])
    if minimum_version != "tls-1.2" and values.text("serve.flight_bind") is not None:
        raise ConfigError(
            f"--tls-minimum-version {minimum_version} cannot be kept on the port of --flight-bind, which takes tls-1.2 too:"
            " leave --flight-bind out and use the HTTP port, which serves Flight as well"
        )
    return Tls(cert, key, minimum_version)


def _logs(values: _Values) -> LogOptions:
    wanted = "debug" if values.by_place.get("serve.verbose") else str(values.by_place["serve.log_filter"])
    try:
        levels = parse_log_filter(wanted)
    except ValueError as error:
        raise UsageError(f"invalid value '{wanted}' for '--log-filter <FILTER>': {error}") from None
    return LogOptions(
        levels=levels,
        json=values.by_place["serve.log_format"] == "json",
        stderr=values.by_place["serve.log_destination"] == "stderr",
    )


def _access(values: _Values) -> AccessOptions:
    with_tokens = not values.by_place.get("access.without_auth")
    released = values.by_place.get("access.released", ())
    assert isinstance(released, tuple)
    found = AccessOptions(
        with_tokens,
        tuple(str(name) for name in released),
        values.text("access.admin_token_file"),
        values.text("access.permission_tokens_file"),
        values.address("access.recovery_bind"),
        values.text("access.recovery_listener_file"),
        values.text("access.audit_log_file"),
    )
    for name in ("--disable-authz", "--admin-token-file", "--permission-tokens-file", "--admin-token-recovery-http-bind"):
        if not with_tokens and name in values.spelling:
            values.warnings.append(f"{values.spelling[name]} has no effect with --without-auth: there are no tokens")
    return found


def _store(values: _Values, kind: str) -> dict[str, str | int | bool]:
    """The options of the chosen kind of store; those of the other kinds stay behind."""
    matters = {option.sets for option in OPTIONS if option.sets and (not option.for_stores or kind in option.for_stores)}
    store: dict[str, str | int | bool] = {
        place.removeprefix("store."): value
        for place, value in values.by_place.items()
        if place.startswith("store.") and place in matters and not isinstance(value, tuple)
    }
    if kind in CLOUD and "bucket" not in store:
        raise ConfigError(f"--object-store {kind} needs --bucket")
    for cloud in ("aws", "azure"):
        endpoint = str(store.get(f"{cloud}_endpoint", ""))
        if endpoint.startswith("http://") and not store.get(f"{cloud}_allow_http"):
            raise ConfigError(f"--{cloud}-endpoint {endpoint} is not encrypted, which needs --{cloud}-allow-http")
    return store


def _settings(values: _Values, node_id: str) -> Settings:
    known = {field.name for field in fields(Settings)}
    given = {name: value for name, value in values.under("settings.").items() if name in known}
    given["node_id"] = node_id
    given["cli_params"] = json.dumps(dict(sorted(values.written.items())))
    given["with_tokens"] = not values.by_place.get("access.without_auth")
    given["extend_tags"] = values.by_place["serve.new_tags"] == "extend"
    if values.by_place.get("serve.disable_file_cache"):
        given["file_cache_bytes"] = 0
    return settings_from(given)


def settings_from(given: Mapping[str, object]) -> Settings:
    """A Settings of plain values, as they travel to the engine process; an unknown name is an error."""
    return Settings(**given)  # type: ignore[arg-type]  # each value comes from the option that names its field
